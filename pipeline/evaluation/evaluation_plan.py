"""Plans an evaluation: its parts, each under a key that hashes everything that determines the part's result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from hardset.pipeline.attacks.declared import attack_text
from hardset.pipeline.attacks.l0 import check_budget
from hardset.pipeline.attacks.regions import check_region
from hardset.pipeline.augment.table import operation_text, settled
from hardset.pipeline.evaluation.measure import evaluated
from hardset.pipeline.evaluation.training_data import dataset_digest
from hardset.pipeline.models.loading import model_digests
from hardset.pipeline.models.roles import VICTIM
from hardset.pipeline.sources.base import SourceReader, has_text_labels
from hardset.pipeline.sources.table import open_source, reading, version_of
from hardset.schemas.digests import digest, run_id
from hardset.schemas.errors import JobError
from hardset.schemas.job.evaluation import EvaluationJob
from hardset.schemas.job.operations.corruptions import CORRUPTIONS, Corruption
from hardset.schemas.job.worst_of import DECLARATION
from hardset.schemas.records.run import Image, SourceRange

CODE_VERSION = 1
"""Code version, raised when the same settings give other figures; part of every key."""
_LATER = ("picked", "unreadable")
"""Fields of a range that keys leave out while they are empty, because there are keys from before them."""
_OUTSIDE: Any = {"name", "weights", "hardened_from", "last_of", "trained_on"}
"""Settings of a model that do not change its logits; the weights' digest stands for the file."""


@dataclass(frozen=True)
class EvaluationPart:
    """A part: the unit of work and of resuming."""

    key: str
    """Hash of everything that determines the part, 64 hex digits."""
    kind: Literal["clean", "corruption", "shifts", "worst_of", "attack", "transfer", "shards"]
    model: int
    """Position of the evaluated model."""
    range: int = 0
    """Position of the source range."""
    condition: int = 0
    """Position of the corruption, or of the entry of `worst_of`."""
    attack: int = 0
    source: int = 0
    """Position of the model that the rows were made on, for a transfer part."""
    needs: str = ""
    """Key of the part whose rows a transfer part reads."""
    dataset: str = ""
    """Dataset folder, for a part over training shards."""


@dataclass(frozen=True)
class EvaluationPlan:
    """All parts of an evaluation, and the facts that they were derived from."""

    evaluation_id: str
    classes: tuple[str, ...]
    image: Image
    models: tuple[str, ...]
    """SHA-256 of each model's weights."""
    commit: str
    """Version of the source that is read: a commit of the Hugging Face Hub, or a version of a table; or empty."""
    ranges: tuple[SourceRange, ...]
    parts: tuple[EvaluationPart, ...]


def make_plan(job: EvaluationJob) -> EvaluationPlan:
    """Plan of `job`. Reads listings, row counts and digests; writes nothing.

    Raises JobError if source, weights, training datasets or class counts cannot be used.
    """
    commit = version_of(job.source)
    source = open_source(job.source, commit=commit)
    image, classes = source.probe(), _classes(job, source)
    for position, threat in enumerate(job.threats):
        check_budget(threat.norm, threat.eps, image, at=f"threats.{position}.eps")
    for position, attack in enumerate(job.attacks):
        try:
            if attack.region is not None:
                check_region(attack.region, (image.height, image.width))
        except ValueError as error:
            raise JobError(f"attacks.{position}.region: a {error}; make it smaller or move it") from None
    for position, one in enumerate(job.worst_of):
        for number, spec in enumerate(one.ops):
            at = f"worst_of.{position}.ops.{number}"
            try:
                settled(spec, at=at).check_image(image.height, image.width, image.channels)
            except ValueError as error:
                raise JobError(f"{at}.{error}") from None
    ranges = tuple(source.plan(job.output.part_rows))
    if not ranges:
        raise JobError(f"source: {source.name} has no rows")
    models = tuple(
        model_digests(model.model(job.classes), at=f"models.{position}")[VICTIM]
        for position, model in enumerate(job.models)
    )
    fixed = {
        "version": CODE_VERSION,
        "seed": job.seed,
        "source": source.name,
        "reading": reading(job.source, {"path", "splits", "limit", "classes", "numeric"}),
        **({"names": classes} if _are_numbered_by_names(job, source) else {}),
        "image": image.model_dump(),
        "classes": job.classes,
        "batch": job.run.batch,
        "stochastic": job.stochastic,
        **({"judged": "twice"} if job.stochastic else {}),
    }
    parts = tuple(_parts(job, ranges, models, fixed))
    named = [[model.name, model.hardened_from, model.last_of] for model in job.models]
    identity = digest([job.name, named, job.labels, [part.key for part in parts]])
    return EvaluationPlan(run_id(identity), classes, image, models, commit, ranges, parts)


def _are_numbered_by_names(job: EvaluationJob, source: SourceReader) -> bool:
    """Whether the class names fix the labels of rows; elsewhere they are left out of keys, as they always were."""
    return getattr(job.source, "classes", None) is not None or has_text_labels(source)


def _classes(job: EvaluationJob, source: SourceReader) -> tuple[str, ...]:
    names = source.class_names()
    if names is None:
        return tuple(str(number) for number in range(job.classes))
    if len(names) != job.classes:
        raise JobError(f"classes: got {job.classes}, but {source.name} has {len(names)} classes; they must be the same")
    return names


Condition = Literal["clean", "corruption", "shifts", "worst_of"]


def _conditions(job: EvaluationJob) -> Iterator[tuple[Condition, int, Any]]:
    """Natural conditions: kind, position, and what fixes the condition beside rows and model.

    Each is a part of its own, so that a fix of one corruption, or a further one, measures no other again.
    """
    yield "clean", 0, None
    for position, name in enumerate(job.corruptions):
        yield (
            "corruption",
            position,
            [name, CORRUPTIONS[name].code, job.severities, job.strengths, Corruption.code],
        )
    if job.shifts:
        yield "shifts", 0, job.shifts
    for position, one in enumerate(job.worst_of):
        ops = [operation_text(operation) for operation in one.ops]
        yield "worst_of", position, [ops, one.tries, DECLARATION.code]


def _parts(
    job: EvaluationJob, ranges: tuple[SourceRange, ...], models: tuple[str, ...], fixed: dict[str, Any]
) -> Iterator[EvaluationPart]:
    asked = [
        digest([model.model_dump(mode="json", exclude=_OUTSIDE), sha256])
        for model, sha256 in zip(job.models, models, strict=True)
    ]
    rows = [item.model_dump(exclude={name for name in _LATER if not getattr(item, name)}) for item in ranges]
    conditions = tuple(_conditions(job))
    search = [job.run.precision, job.run.compile]
    attacks = [attack_text(evaluated(attack, job.classes)) for attack in job.attacks]
    made: dict[tuple[int, int, int], str] = {}
    for model, answer in enumerate(asked):
        for number, item in enumerate(rows):
            for kind, position, what in conditions:
                key = digest([fixed, kind, answer, item, what])
                yield EvaluationPart(key, kind, model, number, condition=position)
        for attack, text in enumerate(attacks):
            for number, item in enumerate(rows):
                key = made[model, attack, number] = digest([fixed, "attack", answer, item, text, search])
                yield EvaluationPart(key, "attack", model, number, attack=attack)
        for dataset in job.models[model].trained_on:
            key = digest([fixed, "shards", answer, dataset_digest(dataset), job.threats[0].model_dump(mode="json")])
            yield EvaluationPart(key, "shards", model, dataset=dataset)
    for (source, attack, number), needed in made.items():
        for target, answer in enumerate(asked):
            if target != source:
                key = digest([fixed, "transfer", answer, needed])
                yield EvaluationPart(key, "transfer", target, number, attack=attack, source=source, needs=needed)
