"""Sources of clean rows. A new one is one file here, and one line in the table."""
