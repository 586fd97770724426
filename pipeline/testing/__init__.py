"""Conformance kits: what holds a source or a recipe, built in or a user's own, to the laws."""
