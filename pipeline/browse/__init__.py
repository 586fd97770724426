"""Looks up rows by a condition, and compares two datasets."""
