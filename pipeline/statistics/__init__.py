"""Figures over rows: one pass over a dataset, histograms, shares with their intervals."""
