"""Generators: networks, training, sampling, and measures of what they make."""
