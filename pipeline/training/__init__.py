"""Training classifiers: standard, on shards, and adversarially on the fly."""
