"""Shards handed to actors on a Ray cluster, whatever dies meanwhile."""

from pipeline.cluster.actors import Setup
from pipeline.cluster.connection import Place, connect
from pipeline.cluster.dispatcher import Dispatcher
from pipeline.cluster.ray_backend import RayBackend
from pipeline.cluster.tally import Tally

__all__ = ["Dispatcher", "Place", "RayBackend", "Setup", "Tally", "connect"]
