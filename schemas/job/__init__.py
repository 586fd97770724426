"""Job files, validated before anything runs."""
