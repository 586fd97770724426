"""Hardens a model in rounds: generate rows against it, train it, measure it."""
