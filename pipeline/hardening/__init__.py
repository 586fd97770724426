"""Hardening a model round by round: generate against it, train it, measure it."""
