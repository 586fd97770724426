"""Evaluates models by fresh attacks, corruptions and shifts: figures, gates, warnings."""
