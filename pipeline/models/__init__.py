"""Classifiers: built by a factory, loaded with weights, normalised, checked on a few rows."""
