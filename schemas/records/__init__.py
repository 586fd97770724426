"""What runs, evaluations and hardening loops leave behind, and what commands answer."""
