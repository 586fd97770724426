"""Adversarial attacks: one engine; objectives, geometries, schedules; the table of named attacks."""
