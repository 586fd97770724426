"""Loading rows for training: which rows a batch holds, in which order, and reading them."""
