"""Stored rows held against their records, their sources, and what makes them again."""
