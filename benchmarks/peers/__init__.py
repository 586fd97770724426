"""Whole pipelines that people would write instead of a job file, against `hardset generate` on the same rows."""
