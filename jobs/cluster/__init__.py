"""Jobs on a Ray cluster through its job API: submitted, followed, stopped."""
