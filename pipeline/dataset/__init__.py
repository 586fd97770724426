"""A dataset on storage: its files, the records of its runs, its provenance, and tables over it."""
