"""Shards handed to actors on a Ray cluster, whatever dies meanwhile."""

from hardset.pipeline.cluster.actors import Setup
from hardset.pipeline.cluster.connection import Place, connect
from hardset.pipeline.cluster.dispatcher import Dispatcher
from hardset.pipeline.cluster.ray_backend import RayBackend
from hardset.pipeline.cluster.tally import Tally

__all__ = ["Dispatcher", "Place", "RayBackend", "Setup", "Tally", "connect"]
