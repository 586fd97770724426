"""Records of runs, evaluations and hardening loops, and results of commands."""
