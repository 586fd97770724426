"""A whole run: looked at, tried, worked off, committed."""
