"""Shards handed to actors on a Ray cluster, whatever dies meanwhile."""
