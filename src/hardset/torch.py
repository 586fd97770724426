"""Rows of a dataset for training with PyTorch: single ones, batches, and a loader that goes on wherever it was stopped.

`Rows` is map-style, `Batches` iterable, `Loader` the whole of it with worker processes and an exact state. They read
the newest run of a dataset folder at any fsspec URL. The trainer of `hardset harden` draws its batches from the same
plan.
"""

from hardset.pipeline.loading.datasets import Batches, Rows
from hardset.pipeline.loading.loader import Loader

__all__ = ["Batches", "Loader", "Rows"]
