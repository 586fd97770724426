"""Code that a job names by import path."""
