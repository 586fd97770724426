"""`hardset.harden`: rounds of generate, train and measure, and a gate at their end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hardset.jobs.api.hearing import Warn, nothing, warner
from hardset.jobs.api.inputs import Document, Overrides, load_job
from hardset.pipeline.cluster.deadlines import Stop
from hardset.pipeline.evaluation.gates import failures, parse_gates, regressions
from hardset.pipeline.hardening.loop import harden as run_loop
from hardset.pipeline.hardening.promotion import KNOWN, baseline, promote
from hardset.pipeline.storage.folder import public_name
from hardset.schemas.job.job import Job
from hardset.schemas.records.hardening import LoopStart, Round
from hardset.schemas.records.results import Hardened


def harden(
    job: Document | Job,
    *,
    overrides: Overrides = (),
    address: str | None = None,
    fail_under: Sequence[str] = (),
    against: str | None = None,
    tolerance: float = 0.01,
    phase: Callable[[str], None] = nothing,
    progress: Callable[[LoopStart | Round, int], None] = nothing,
    on_warning: Warn | None = None,
    stop: Stop | None = None,
) -> Hardened:
    """Hardens the model of a job in rounds, and promotes the weights of the best: what `hardset harden` does.

    Ray is used as by `hardset.generate`. `fail_under`: gates such as `"robust=0.45"`; `against`: an earlier output or
    record, whose figures may fall by `tolerance`, a share in [0, 1]. Where a gate does not hold, nothing is promoted
    and `failed` says why. `phase` is called with what begins, `progress` with what the loop starts from and with each
    round, and with the number of rounds there will be; `on_warning` with each warning once; without it, they go to the
    logger `hardset`.

    Raises JobError for what is wrong with the job or a gate, RunError for what storage, workers or the training cannot
    do.

    >>> import hardset
    >>> hardened = hardset.harden({
    ...     "name": "tiny",
    ...     "source": {"format": "digits", "limit": 120},
    ...     "model": {
    ...         "factory": "hardset.pipeline.models.zoo:small_cnn",
    ...         "weights": "demo/model.safetensors",
    ...         "classes": 10,
    ...     },
    ...     "recipes": [{"kind": "attack", "name": "fgsm", "eps": "8/255"}],
    ...     "output": {"path": "hardened"},
    ...     "train": {"method": "fgsm_rs"},
    ...     "harden": {"rounds": 1, "validation": {"fraction": 0.5}},
    ... })
    >>> hardened.status, hardened.rounds
    ('complete', 1)
    """
    gates = parse_gates(fail_under, KNOWN)
    before = None if against is None else baseline(against)
    declared = load_job(job, overrides)
    outcome = run_loop(
        declared,
        address=address,
        stop=stop,
        on_phase=phase,
        on_round=progress,
        on_warning=warner(on_warning),
    )
    record = outcome.record
    if record is None:
        return Hardened(status="stopped", loop_id=outcome.home.loop_id, rounds=outcome.rounds_made, exit_code=4)
    figures = record.after.shares()
    failed = failures(figures, gates) + (regressions(figures, before, tolerance) if before is not None else [])
    return Hardened(
        status=outcome.status,
        loop_id=record.loop_id,
        rounds=record.rounds,
        ended_by=record.ended_by,
        best=record.best,
        judged_on=record.judged_on,
        before=record.before.shares(),
        after=figures,
        gradients=record.gradients,
        weights=None if failed else public_name(promote(declared, outcome.home, record)),
        sha256=record.weights.sha256,
        failed=tuple(failed),
        warnings=record.warnings,
        exit_code=1 if failed else 0,
    )
