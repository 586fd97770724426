"""Checks that the records of a run agree: manifest, plan, receipts, statement, and the files that they list."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from hardset.pipeline.audit.agreement import agreement_faults
from hardset.pipeline.audit.count_checks import count_faults
from hardset.pipeline.audit.expected import Claims
from hardset.pipeline.audit.gc import orphans
from hardset.pipeline.audit.statement_checks import read, statement_faults
from hardset.pipeline.dataset.provenance.statement import manifest_path, statement_path
from hardset.pipeline.dataset.records.ledger import RUNS, Ledger
from hardset.pipeline.dataset.records.seals import SEALED_CONTRACTS, is_sealed
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import digest, plan_digest, recipe_id, run_id
from hardset.schemas.errors import RunError
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Manifest, Output, Plan, Receipt, Shard
from hardset.schemas.records.summary import Summary
from hardset.schemas.rows.contract import CONTRACT_VERSION, schema_sha256
from hardset.schemas.rows.user_columns import recorded_columns

_Fault = tuple[str, str]


_OWN = re.compile(
    r"(plan|manifest|summary)\.json|statement\.(intoto|dsse)\.json|openlineage(-\d+)?\.jsonl|report\.html"
    r"|receipts/\d+-[0-9a-f]{12}\.json"
)
"""Names of the files that a run has in its folder."""


def record_faults(
    folder: Folder, manifest: Manifest, plan: Plan | None, claims: Mapping[str, Claims]
) -> Iterator[_Fault]:
    """Fault: the place and a sentence. `plan`: None where it is gone. `claims`: by shard key."""
    yield from _manifest_faults(manifest)
    yield from _plan_faults(manifest, plan)
    if plan is not None:
        yield from count_faults(manifest, plan, claims, manifest_path(manifest.run_id))
    for check in (_receipt_faults, _summary_faults, _unlisted, _strange):
        yield from check(folder, manifest)
    yield from ((statement_path(manifest.run_id), fault) for fault in statement_faults(folder, manifest, plan))


def _manifest_faults(manifest: Manifest) -> Iterator[_Fault]:
    """Contradictions inside the manifest. Byte flips never come so far: they break its seal."""
    path = manifest_path(manifest.run_id)
    for output in manifest.outputs:
        counts = output.counts
        if counts.expected != counts.rows_out + counts.quarantined + counts.dropped + counts.held_out:
            what = f"{counts.expected} rows are due, {counts.rows_out} stored, {counts.quarantined} quarantined"
            more = f"{counts.dropped} dropped, {counts.held_out} held out"
            yield f"shard {output.index}", f"its counts do not add up: {what}, {more}"
        if counts.rows_in and counts.expected % counts.rows_in:
            yield f"shard {output.index}", f"{counts.expected} rows are due from {counts.rows_in}; wants a multiple"
    if sum((output.counts for output in manifest.outputs), Counts()) != manifest.totals:
        yield path, "its totals are not the sums over its shards"
    if digest([output.content_sha256 for output in manifest.outputs]) != manifest.content_sha256:
        yield path, "its content_sha256 is not that of its shards"
    user = recorded_columns(manifest.user_columns)
    if schema_sha256(manifest.classes, manifest.contract, user) != manifest.schema_sha256:
        yield path, f"its schema_sha256 is not that of row contract {manifest.contract} with its classes"
    for name, text in manifest.recipes.items():
        if recipe_id(text) != name:
            yield path, f"recipe {name} has another text than the one its id was made from"
    if manifest.failures:
        yield path, f"{len(manifest.failures)} shards failed; the run is incomplete"


def _plan_faults(manifest: Manifest, plan: Plan | None) -> Iterator[_Fault]:
    path = f"{RUNS}/{manifest.run_id}/plan.json"
    if plan is None:
        yield path, "is missing"
        return
    names = ("contract", "run_id", "logical_date", "classes", "image", "models", "changes", "user_columns")
    for name in (name for name in names if getattr(plan, name) != getattr(manifest, name)):
        yield path, f"has another {name} than the manifest"
    for number, what in agreement_faults(plan, manifest):
        yield path if number is None else f"shard {number}", what
    keys = (shard.key for shard in plan.shards)
    if run_id(plan_digest(plan.job["name"], keys, plan.logical_date)) != manifest.run_id:
        yield path, "its shards are not those that the run id was made from"
    yield from _shard_faults(path, plan, manifest)


def _shard_faults(path: str, plan: Plan, manifest: Manifest) -> Iterator[_Fault]:
    planned: dict[str, Shard] = {shard.key: shard for shard in plan.shards}
    listed = {output.key: output for output in manifest.outputs}
    failed = {failure.key for failure in manifest.failures}
    for key, shard in planned.items():
        output = listed.get(key)
        if output is None and key not in failed:
            yield f"shard {shard.index}", "is planned, but the manifest does not list it"
        elif output is not None and (output.index, output.split) != (shard.index, shard.split):
            yield f"shard {shard.index}", "has another number or split in the manifest than in the plan"
        elif output is not None and output.counts.rows_in != shard.rows:
            yield f"shard {shard.index}", f"{output.counts.rows_in} rows went in; {shard.rows} were planned"
    if len(listed) != len(manifest.outputs) or not listed.keys() <= planned.keys():
        yield path, "the manifest lists shards that were not planned, or lists one twice"


def _receipt_faults(folder: Folder, manifest: Manifest) -> Iterator[_Fault]:
    """Shards whose receipt is gone or says something else than the manifest."""
    for run in sorted({output.run_id for output in manifest.outputs}):
        home = f"{RUNS}/{run}/receipts"
        try:
            receipts = Ledger(folder, run).receipts()
        except RunError as error:
            yield home, str(error)
            continue
        for output in (output for output in manifest.outputs if output.run_id == run):
            receipt = receipts.get(output.key)
            if receipt is None:
                yield home, f"the receipt of shard {output.index} is missing"
            elif _of_receipt(receipt) != _of_output(output):
                yield home, f"the receipt of shard {output.index} says something else than the manifest"


def _as_written(summary: Summary, contract: str) -> Summary:
    """A summary as the version of hardset that wrote the contract wrote it: before 1.2 it told no size."""
    return summary if contract == CONTRACT_VERSION else summary.model_copy(update={"bytes": None})


def _summary_faults(folder: Folder, manifest: Manifest) -> Iterator[_Fault]:
    path = f"{RUNS}/{manifest.run_id}/summary.json"
    try:
        summary = Ledger(folder, manifest.run_id).summary()
    except RunError as error:
        yield path, str(error)
        return
    if summary is None and manifest.contract in SEALED_CONTRACTS:
        yield path, "is missing"
    elif summary is not None and summary != _as_written(Summary.of(manifest), manifest.contract):
        yield path, "says something else than the manifest"


def _strange(folder: Folder, manifest: Manifest) -> Iterator[_Fault]:
    """Files in the folder of the run that no run writes, receipts of other shards, and records without a seal."""
    home = f"{RUNS}/{manifest.run_id}/"
    keys = {output.key[:12] for output in manifest.outputs} | {failure.key[:12] for failure in manifest.failures}
    for path in folder.list(home):
        name = path[len(home) :]
        if _OWN.fullmatch(name) is None:
            yield path, "no run writes such a file"
        elif name.startswith("receipts/"):
            if name[-17:-5] not in keys:
                yield path, "is the receipt of a shard that was not planned"
            elif manifest.contract in SEALED_CONTRACTS and not is_sealed(read(folder, path) or b""):
                yield path, "has lost its seal"


def _of_receipt(receipt: Receipt) -> tuple[object, ...]:
    output = (receipt.run_id, receipt.data, receipt.content_sha256, receipt.quarantine, receipt.counts)
    return (*output, receipt.excluded, receipt.device_batch)


def _of_output(output: Output) -> tuple[object, ...]:
    receipt = (output.run_id, output.data, output.content_sha256, output.quarantine, output.counts)
    return (*receipt, output.excluded, output.device_batch)


def _unlisted(folder: Folder, manifest: Manifest) -> Iterator[_Fault]:
    """Files that nothing needs; `hardset gc` removes the same."""
    try:
        yield from ((orphan.path, orphan.why) for orphan in orphans(folder))
    except RunError as error:
        yield RUNS, f"which files no record lists cannot be told: {error}"
