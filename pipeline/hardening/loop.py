"""The hardening loop: its start, its rounds and its outcome. A second start continues where the first one stopped."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

from hardset.pipeline.augment.table import operation_text
from hardset.pipeline.cluster.deadlines import Stop
from hardset.pipeline.cluster.place import ClusterPlace
from hardset.pipeline.cluster.work_place import on_ray, refuse_unused
from hardset.pipeline.compute.devices import driver_device
from hardset.pipeline.dataset.provenance.environment import versions
from hardset.pipeline.dataset.records.lease import hold_lease
from hardset.pipeline.dataset.records.seals import now
from hardset.pipeline.hardening.home import Home
from hardset.pipeline.hardening.loop_warnings import loop_warnings
from hardset.pipeline.hardening.measuring import figures, measuring_attacks
from hardset.pipeline.hardening.rounds import Loop, Maker, run_round
from hardset.pipeline.models.loading import is_saved, load_network, model_digests
from hardset.pipeline.planning.plan import public_job
from hardset.pipeline.run.generation import RunOutcome, generate
from hardset.pipeline.sources.table import open_source, reading
from hardset.pipeline.storage.folder import Folder
from hardset.pipeline.training.epochs import weights_of
from hardset.pipeline.training.inner import inner_attack
from hardset.pipeline.training.methods import check_method, method_code, method_of
from hardset.pipeline.training.split_rows import Splits, read_splits
from hardset.schemas.digests import digest, run_id
from hardset.schemas.errors import JobError
from hardset.schemas.job.hardening import Harden
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipes import is_attack
from hardset.schemas.job.training import Train
from hardset.schemas.records.hardening import Figures, Hardening, LoopStart, Round

EndedBy = Literal["rounds", "gradients", "rows", "minutes"]


@dataclass(frozen=True)
class HardeningOutcome:
    """Outcome of one start of a loop."""

    status: Literal["complete", "stopped", "nothing to do"]
    home: Home
    rounds_made: int
    """Rounds made by this start."""
    record: Hardening | None
    """Record of the loop; None if it was stopped."""


def harden(
    job: Job,
    *,
    address: str | None = None,
    stop: Stop | None = None,
    make: Maker | None = None,
    on_phase: Callable[[str], None] = lambda _: None,
    on_round: Callable[[LoopStart | Round, int], None] = lambda *_: None,
    on_warning: Callable[[str], None] = lambda _: None,
) -> HardeningOutcome:
    """Hardens the model of `job` by running the rounds that its output lacks.

    `make` makes the dataset of a round, by default with the same run as `hardset generate`. `on_phase` is told what
    begins, such as "round 1: training". `on_round` is called with the start and with each finished round, and the total
    number of rounds. Raises JobError for faults of the job, before anything is made; RunError for failures of storage,
    workers or training.
    """
    stop = stop or Stop()
    settings, train = _checked(job)
    if job.run.here and not train.workers:
        refuse_unused(ClusterPlace(address))
    on_phase("reading the source")
    splits = read_splits(job, settings.validation)
    home = Home(Folder(job.output.path), loop_id(job, splits))
    record = home.hardening()
    if record is not None:
        return HardeningOutcome("nothing to do", home, 0, record)
    for warning in _before(settings, train, splits):
        on_warning(warning)
    home.folder.check_writable()

    def made(part: Job) -> RunOutcome:
        return generate(part, stop=stop, on_warning=on_warning)

    with ExitStack() as cluster, hold_lease(Folder(home.url(home.path)), home.loop_id) as lease:
        loop = Loop(job, settings, train, splits, home, driver_device(job.run), make or made, on_phase)
        on_phase("measuring the model as it is")
        start, rounds = _start(loop), home.rounds()
        on_round(start, settings.rounds)
        for done in rounds:
            on_round(done, settings.rounds)
        already = len(rounds)
        ended_by = spent(settings, start, rounds)
        if ended_by is None and (train.workers or (make is None and loop.method.made_rows and not job.run.here)):
            on_phase("starting Ray")
            cluster.enter_context(on_ray(job.run, ClusterPlace(address)))  # for all rounds: starting it takes seconds
        while ended_by is None:
            if stop.is_set():
                return HardeningOutcome("stopped", home, len(rounds) - already, None)
            if not lease.held():
                lease.check()
            found = run_round(loop, start, rounds)
            if found is None:
                return HardeningOutcome("stopped", home, len(rounds) - already, None)
            rounds.append(found)
            on_round(found, settings.rounds)
            ended_by = spent(settings, start, rounds)
        on_phase("measuring the best round")
        return HardeningOutcome("complete", home, len(rounds) - already, _finish(loop, start, rounds, ended_by))


def loop_id(job: Job, splits: Splits) -> str:
    """UUID of the loop, from everything that determines its figures; budgets, actors and weight paths are excluded."""
    assert job.model is not None and job.harden is not None and job.train is not None
    told = {
        "name": job.name,
        "seed": job.seed,
        "source": reading(job.source, {"path", "splits"}),
        "rows": [digest(sorted(rows.sha256)) for rows in (splits.train, splits.validation)],
        "model": job.model.model_dump(mode="json", exclude={"weights"}),
        "weights": model_digests(job.model),
        "recipes": [recipe.model_dump(mode="json") for recipe in job.recipes],
        "train": _training_text(job.train),
        "harden": job.harden.model_dump(mode="json", exclude={"budget", "weights"}),
        "batch": job.run.batch,
    }
    return run_id(digest(told))


def _training_text(train: Train) -> dict[str, Any]:
    """What of a training determines its figures: settings, and versions of the code that they name."""
    text = train.model_dump(mode="json", exclude={"workers", "compile"})
    if not isinstance(train.augment, str):
        text["augment"] = [operation_text(spec) for spec in train.augment]
    return {**text, **method_code(train)}


def _checked(job: Job) -> tuple[Harden, Train]:
    if job.harden is None:
        raise JobError("harden: missing; add the section, such as harden: {rounds: 8, validation: {fraction: 0.1}}")
    if job.model is None:
        raise JobError("model: missing; name the classifier that is to be hardened")
    if is_saved(job.model):
        raise JobError(
            f"model.format: got {job.model.format}, whose files hold the network whole; rounds are trained and kept as "
            "state dicts of a network that model.factory builds: name the code that builds yours"
        )
    if job.model.members:
        raise JobError("model.members: one network is hardened at a time; remove them")
    train = job.train or Train()
    method = method_of(train).declaration
    if method.made_rows and not any(map(is_attack, job.recipes)):
        raise JobError("recipes: none attacks the model, so there are no rows to harden it with; add an attack recipe")
    measuring_attacks(job)
    check_method(train)
    if method.on_the_fly:
        inner_attack(job, train, job.model.classes)
    open_source(job.source)
    return job.harden, train


def _before(settings: Harden, train: Train, splits: Splits) -> list[str]:
    found = []
    if method_of(train).declaration.made_rows and settings.rounds < 4:
        found.append(
            f"harden.rounds: {settings.rounds} harden little: a model learns to know the rows of one round, and falls "
            "to a fresh attack as before; 8 or more are advised"
        )
    if splits.twins:
        found.append(f"source: {splits.twins} training rows are left out, since validation or test holds their pixels")
    if len(splits.validation) < 100:
        found.append(
            f"harden.validation: {len(splits.validation)} rows choose the round, which is a coarse measure; hold out "
            "more"
        )
    return found


def _start(loop: Loop) -> LoopStart:
    """The loop's start, measured once."""
    record = loop.home.start()
    if record is not None:
        return record
    job = loop.job
    assert job.model is not None
    model = load_network(
        job.model, at="model", classes=job.model.classes, channels=loop.splits.image.channels, device=loop.device
    )
    start = LoopStart(
        loop_id=loop.home.loop_id,
        weights=loop.home.keep_weights(0, weights_of(model.module)),
        validation=figures(model.module, loop.splits.validation, measuring_attacks(job), job, loop.device),
    )
    loop.home.keep(start)
    return start


def spent(settings: Harden, start: LoopStart, rounds: list[Round]) -> EndedBy | None:
    """Why the loop ends before another round, or None; a round that would exceed a budget is not started."""
    if len(rounds) >= settings.rounds:
        return "rounds"
    budget = settings.budget
    last = rounds[-1] if rounds else None
    spent: dict[EndedBy, tuple[float | None, float, float]] = {
        "gradients": (
            budget.gradients,
            total_gradients(start, rounds),
            last.training_gradients + last.validation.gradients if last else 0,
        ),
        "rows": (budget.rows, sum(one.rows_made for one in rounds), last.rows_made if last else 0),
        "minutes": (budget.minutes, sum(one.seconds for one in rounds) / 60, last.seconds / 60 if last else 0),
    }
    for name, (limit, so_far, more) in spent.items():
        if limit is not None and so_far + more > limit:
            return name
    return None


def total_gradients(start: LoopStart, rounds: list[Round]) -> int:
    """Number of attack gradients so far, of training and of measuring."""
    return start.validation.gradients + sum(one.training_gradients + one.validation.gradients for one in rounds)


def best_round(start: LoopStart, rounds: list[Round]) -> LoopStart | Round:
    """The most robust round on the validation rows; ties go to higher clean accuracy, then to the earlier round."""
    found: list[LoopStart | Round] = [start, *rounds]
    return max(found, key=lambda one: (one.validation.robust.rows, one.validation.clean.rows))


def _finish(loop: Loop, start: LoopStart, rounds: list[Round], ended_by: EndedBy) -> Hardening:
    """Evaluates the best round and the start on the test split, if there is one, and writes the final record."""
    best = best_round(start, rounds)
    rows, name = loop.splits.test, "test"
    if rows is None or not len(rows):
        rows, name = loop.splits.validation, "validation"

    def judged(one: LoopStart | Round) -> Figures:
        if name == "validation":
            return one.validation
        return figures(loop.load(one.weights).module, rows, measuring_attacks(loop.job), loop.job, loop.device)

    before = judged(start)
    after = before if best is start else judged(best)
    spent = 0 if name == "validation" else before.gradients + (0 if best is start else after.gradients)
    record = Hardening(
        loop_id=loop.home.loop_id,
        job=public_job(loop.job),
        ended_by=ended_by,
        rounds=len(rounds),
        best=best.number if isinstance(best, Round) else 0,
        last=len(rounds),
        weights=best.weights,
        start=start.weights,
        before=before,
        after=after,
        judged_on=name,
        commit=loop.splits.commit,
        gradients=total_gradients(start, rounds) + spent,
        warnings=loop_warnings(start, rounds, best),
        environment=versions(),
        finished=now(),
    )
    loop.home.keep(record)
    return record
