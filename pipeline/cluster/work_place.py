"""What runs the actors of a job: this process, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hardset.pipeline.cluster.actors import ActorSetup
from hardset.pipeline.cluster.backend import Backend
from hardset.pipeline.cluster.here import HereBackend
from hardset.pipeline.cluster.place import ClusterPlace
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Run


@contextmanager
def at_work(setup: ActorSetup, place: ClusterPlace) -> Iterator[Backend]:
    """The backend of a run while the block runs; Ray is imported, and started or joined, only where the job has actors.

    Raises as `connected` does.
    """
    run = setup.job.run
    if run.here:
        backend = HereBackend(setup)
        try:
            yield backend
        finally:
            backend.close()
        return
    from hardset.pipeline.cluster.ray_backend import RayBackend  # noqa: PLC0415 - half a second for Ray

    with on_ray(run, place):
        actors = RayBackend(setup)
        try:
            yield actors
        finally:
            actors.close()


@contextmanager
def on_ray(run: Run, place: ClusterPlace) -> Iterator[None]:
    """One session of Ray while the block runs, which all work inside it shares. Raises as `connected` does."""
    from hardset.pipeline.cluster.connection import connected  # noqa: PLC0415

    with connected(run, place):
        yield


def refuse_unused(place: ClusterPlace) -> None:
    """Raises JobError for an address or a port that nothing uses, as this process does the work."""
    for option, given in (("--address", place.address), ("--metrics-port", place.metrics_port)):
        if given is not None:
            raise JobError(f"{option}: only counts where Ray does the work, and run.actors is 0; raise run.actors")
