"""What this machine, its libraries and a job's places can do."""
