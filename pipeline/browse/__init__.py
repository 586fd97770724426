"""Rows looked up by a condition, and two datasets side by side."""
