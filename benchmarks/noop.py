"""An actor that does nothing, in a module of its own so that other processes can import it."""

from __future__ import annotations

from benchmarks.records import receipt_of

from hardset.pipeline.cluster.actors import Setup
from hardset.pipeline.cluster.messages import Order, Ready
from hardset.schemas.records.run import Receipt


class NoopActor:
    """Answers at once, as if the shard had been there already."""

    def __init__(self, setup: Setup) -> None:
        pass

    def prepare(self) -> Ready:
        """Nothing to build."""
        return Ready()

    def make(self, order: Order) -> Receipt:
        """The receipt of a shard that nobody made."""
        return receipt_of(order.shard)
