"""Generators: networks, training, sampling and quality measures."""
