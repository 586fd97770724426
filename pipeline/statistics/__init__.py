"""Statistics over rows: one pass over a dataset, histograms, shares with confidence intervals."""
