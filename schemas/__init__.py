"""Contracts of hardset: job files, the row contract, and the records of a run.

Nothing here imports torch or Ray, so that a scheduler or a reader can use the contracts alone.
"""
