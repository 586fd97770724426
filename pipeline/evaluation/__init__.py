"""Models measured by fresh attacks, corruptions and shifts: figures, gates, warnings."""
