"""What commands say and take on a terminal: arguments they share, progress, signals, JSON lines."""
