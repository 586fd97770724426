"""What a user asks for: job files, validated before anything runs."""
