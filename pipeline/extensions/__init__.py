"""Code of a user's own: found by import path, checked, and named by a version."""
