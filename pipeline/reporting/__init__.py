"""Reports: HTML pages of datasets, evaluations and hardening loops, and the picture of a dataset."""
