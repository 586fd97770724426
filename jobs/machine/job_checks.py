"""The places that a job names, each tried: its source read, its weights read, its output written to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hardset.pipeline.models.loading import network_sha256
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.storage.folder import Folder, place_of, public_name
from hardset.schemas.errors import UserError, one_line
from hardset.schemas.job.evaluation import EvaluationJob
from hardset.schemas.job.job import Job
from hardset.schemas.job.network import Network
from hardset.schemas.job.recipes import Sample
from hardset.schemas.records.examination import Check


def place_checks(job: Job | EvaluationJob) -> Iterator[Check]:
    """A check of each place. Reads listings, one row and whole weight files; leaves nothing behind."""
    yield _tried("source", lambda: _source(job))
    for key, network in _networks(job).items():
        yield _tried(key, lambda key=key, network=network: _weights(network, key))  # type: ignore[misc]
    yield from _generators(job)
    yield _tried("output.path", lambda: _output(job))


def _tried(name: str, act: Callable[[], str]) -> Check:
    try:
        return Check(name=name, state="ok", told=act())
    except UserError as error:
        return Check(name=name, state="failed", told=" ".join(str(error).split()).removeprefix(f"{name}: "))
    except Exception as error:  # readers and factories may be the user's own code
        return Check(name=name, state="failed", told=f"{type(error).__name__}: {one_line(error, 200)}")


def _source(job: Job | EvaluationJob) -> str:
    reader = open_source(job.source)
    image = reader.probe()
    kind = "grey" if image.channels == 1 else "RGB"
    return f"{public_name(reader.name)}: the first row is {image.width} x {image.height} pixels, {kind}"


def _networks(job: Job | EvaluationJob) -> dict[str, Network]:
    """Networks of a job by their keys."""
    found: dict[str, Network] = {}
    if isinstance(job, EvaluationJob):
        for position, model in enumerate(job.models):
            networks = model.model(job.classes).networks()
            found |= {f"models.{position}{key.removeprefix('model')}": one for key, one in networks.items()}
        return found
    if job.model is not None:
        found |= job.model.networks()
    return found | {f"transfer_to.{position}": one for position, one in enumerate(job.transfer_to)}


def _weights(network: Network, key: str) -> str:
    sha256 = network_sha256(network, at=key)
    name = network.factory if network.weights is None else public_name(network.weights)
    return f"{name}: read, SHA-256 {sha256[:12]}"


def _generators(job: Job | EvaluationJob) -> Iterator[Check]:
    """Weights of generators, which another command may still have to make."""
    for position, recipe in enumerate(job.recipes if isinstance(job, Job) else ()):
        if not isinstance(recipe, Sample):
            continue
        key, place = f"recipes.{position}.generator.weights", recipe.generator.weights
        if place is None:
            continue
        try:
            folder, name = place_of(place)
            there = folder.exists(name)
        except UserError as error:
            yield Check(name=key, state="failed", told=str(error))
            continue
        if there:
            yield Check(name=key, state="ok", told=f"{public_name(place)}: is there")
        else:
            told = f"{public_name(place)}: is not there yet"
            yield Check(name=key, state="warning", told=told, remedy="hardset train-gan JOB trains it")


def _output(job: Job | EvaluationJob) -> str:
    folder = Folder(job.output.path)
    folder.check_writable()
    return f"{folder.name}: written, conditionally created and deleted"
