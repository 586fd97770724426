"""A no-op actor, in its own module so that other processes can import it."""

from __future__ import annotations

from benchmarks.records import receipt_of

from hardset.pipeline.cluster.actors import ActorSetup
from hardset.pipeline.cluster.messages import Order, Ready
from hardset.schemas.records.run import Receipt


class NoopActor:
    """Answers at once, as if the shard were already committed."""

    def __init__(self, setup: ActorSetup) -> None:
        pass

    def prepare(self) -> Ready:
        """Ready at once: there is nothing to build."""
        return Ready()

    def make(self, order: Order) -> Receipt:
        """Receipt of a shard that was not made."""
        return receipt_of(order.shard)
