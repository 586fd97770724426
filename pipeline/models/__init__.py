"""Classifiers: built by a factory, filled with weights, normalised, tried on a few rows."""
