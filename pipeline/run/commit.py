"""End of a run: the manifest from its committed shards, and what others read of it."""

from __future__ import annotations

from collections.abc import Sequence

from hardset.pipeline.dataset.provenance.card import tells_of, write_card
from hardset.pipeline.dataset.provenance.environment import versions
from hardset.pipeline.dataset.provenance.lineage import Lineage
from hardset.pipeline.dataset.provenance.statement import write_statement
from hardset.pipeline.dataset.provenance.warnings import manifest_warnings
from hardset.pipeline.dataset.records.lease import hold_lease
from hardset.pipeline.dataset.records.ledger import Ledger, latest_manifest
from hardset.pipeline.dataset.records.places import present_files
from hardset.pipeline.dataset.records.seals import now
from hardset.pipeline.recipes.table import recipe_text, settled_job
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import digest, recipe_id
from hardset.schemas.errors import GoneError
from hardset.schemas.job.job import Job
from hardset.schemas.records.clean import CleanAccuracy
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Failure, Manifest, Output, Plan
from hardset.schemas.records.summary import Summary
from hardset.schemas.records.throughput import Throughput
from hardset.schemas.rows.contract import schema_sha256
from hardset.schemas.rows.user_columns import recorded_columns

_HOLDER = "card"
"""Run id in the lease while a card is renewed."""


def commit_run(ledger: Ledger, plan: Plan, manifest: Manifest, lineage: Lineage) -> Manifest:
    """Writes statement and manifest of the run, then card and events; returns the manifest as it was written.

    Each only while the ledger's fence lets it. Where it is cut off before the card, `renew_card` writes it later. The
    card is that of the newest run, which may stand for a later date. Raises GoneError where files that the manifest
    lists were removed.
    """
    folder = ledger.folder
    ledger.fence()
    _check_there(folder, manifest)
    manifest = write_statement(folder, plan, manifest, lineage.ending(manifest))
    ledger.write_manifest(manifest)
    ledger.fence()
    write_card(folder, latest_manifest(folder) or manifest)
    ledger.fence()
    lineage.finish()
    return manifest


def renew_card(folder: Folder, newest: Summary) -> None:
    """Writes the card of the newest run of a dataset folder, `newest`, under the lease, if it is none of that run.

    So it is where a run was cut off after its manifest, or ended with an earlier version. Raises RunError where
    storage refuses, and of those HeldError where a run is at work, which will write its own.
    """
    if tells_of(folder, newest):
        return
    with hold_lease(folder, _HOLDER, above=newest.lease) as lease:
        manifest = latest_manifest(folder)
        if manifest is not None and not tells_of(folder, manifest):
            lease.check()
            write_card(folder, manifest)


def _check_there(folder: Folder, manifest: Manifest) -> None:
    listed = {file.path for part in manifest.outputs for file in (part.data, part.quarantine) if file is not None}
    gone = sorted(listed - present_files(folder).keys())
    if gone:
        raise GoneError(
            f"{folder.name}: the output is gone: {len(gone)} of the {len(listed)} files of this run, such as "
            f"{gone[0]}, were removed while it was at work; start the same command again to make them anew"
        )


def make_manifest(
    job: Job,
    plan: Plan,
    done: dict[str, Output],
    failures: Sequence[Failure],
    started: str,
    throughput: Throughput | None = None,
    clean: CleanAccuracy | None = None,
) -> Manifest:
    """The record of the run from its committed shards. `clean`: clean accuracy of the model under attack."""
    outputs = tuple(
        done[shard.key].model_copy(
            update={
                "index": shard.index,
                "recipe": shard.recipe,
                "kept": plan.is_kept(shard),
            }
        )
        for shard in plan.shards
        if shard.key in done
    )
    texts = [recipe_text(recipe, position, plan.models) for position, recipe in enumerate(settled_job(job).recipes)]
    return Manifest(
        contract=plan.contract,
        status="incomplete" if failures else "complete",
        run_id=plan.run_id,
        logical_date=plan.logical_date,
        job=plan.job,
        classes=plan.classes,
        image=plan.image,
        models=plan.models,
        recipes={recipe_id(text): text for text in texts},
        user_columns=plan.user_columns,
        schema_sha256=schema_sha256(plan.classes, plan.contract, recorded_columns(plan.user_columns)),
        outputs=outputs,
        failures=tuple(sorted(failures, key=lambda failure: failure.index)),
        totals=sum((output.counts for output in outputs), Counts()),
        content_sha256=digest([output.content_sha256 for output in outputs]),
        started=started,
        finished=now(),
        environment=versions(),
        changes=plan.changes,
        warnings=manifest_warnings(job, plan, outputs, clean),
        throughput=throughput,
        clean=clean,
    )
