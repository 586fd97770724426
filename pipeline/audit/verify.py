"""The audit of a dataset: files against manifest, rows against contract, and rows judged again from the source."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hardset.pipeline.audit.card_checks import check_card, check_events
from hardset.pipeline.audit.expected import Expected, claims_of
from hardset.pipeline.audit.file_checks import check_shard
from hardset.pipeline.audit.findings import Findings
from hardset.pipeline.audit.record_checks import record_faults
from hardset.pipeline.audit.remaking import Lot, make_again
from hardset.pipeline.audit.source_checks import source_faults
from hardset.pipeline.audit.trust import NO_TRUST, Trust
from hardset.pipeline.audit.verdict_checks import RunWorkers, judge_again
from hardset.pipeline.dataset.provenance.card import CARD_FILES
from hardset.pipeline.dataset.provenance.signature import envelope_path, holds, is_signed, signature_fault
from hardset.pipeline.dataset.records.chosen import chosen_manifest
from hardset.pipeline.dataset.records.ledger import RUNS, Ledger
from hardset.pipeline.storage.folder import Folder
from hardset.pipeline.storage.remembered import RememberedFolder
from hardset.schemas.records.run import Output


def verify(
    folder: Folder,
    *,
    sample: int | None = 1000,
    replay: int | None = 0,
    trust: Trust = NO_TRUST,
    run: str | None = None,
    public_key: Path | None = None,
) -> Findings:
    """Audits the run in `folder` whose id starts with `run`, by default the newest.

    `sample`: rows to judge again, `replay`: rows to make again; None for all, 0 for none. `trust`: what the operator
    brings; where the records alone name code or files, neither is done, and a note says so. With `trust.source`
    all rows are held against the source there. Raises JobError where there is no such run, RunError where its manifest
    cannot be believed. `public_key`: PEM file of the key that the run is to be signed with.
    """
    folder = RememberedFolder(folder, (f"{RUNS}/", *CARD_FILES))  # several checks hold one record against others
    manifest, findings = chosen_manifest(folder, run), Findings()
    plan = Ledger(folder, manifest.run_id).plan()
    claims = {} if plan is None else claims_of(plan, manifest)
    for where, what in record_faults(folder, manifest, plan, claims):
        findings.add(where, what)
    _check_signature(folder, manifest.run_id, public_key, findings)
    check_card(folder, manifest, findings)
    check_events(folder, manifest, plan, findings)
    seen, workers = _RowIds(folder), RunWorkers(folder, trust)
    budget, lot, before = _Budget(sample, manifest.totals.rows_out), Lot(replay, manifest.totals.rows_out), 0
    for output in manifest.outputs:
        expected = Expected(
            output=output,
            image=manifest.image,
            classes=len(manifest.classes),
            seed=_seed(manifest.job),
            recipes=manifest.recipes,
            contract=manifest.contract,
            claims=claims.get(output.key),
        )
        checked = check_shard(folder, manifest, expected, findings)
        if checked is not None:
            table, sound = checked
            seen.add(table, output)
            if sample != 0:
                judge_again(workers, output, table.take(budget.chosen(table["row_id"].to_pylist(), sound)), findings)
            chosen = np.intersect1d(lot.of(before, table.num_rows), sound).tolist() if replay != 0 else ()
            make_again(folder, manifest, workers, output, table, chosen, findings)
        before += output.counts.rows_out
    for where, what in seen.twice():
        findings.add(where, what)
    sources = partial(trust.source_of, folder=folder)
    for where, what in source_faults(folder, manifest, sources) if trust.source is not None else ():
        findings.add(where, what)
    return findings


def _check_signature(folder: Folder, run_id: str, public_key: Path | None, findings: Findings) -> None:
    if public_key is None:
        findings.signature = "unchecked" if is_signed(folder, run_id) else "none"
        if findings.signature == "unchecked" and not holds(folder, run_id):
            findings.add(envelope_path(run_id), "holds another statement than the run has")
        return
    fault = signature_fault(folder, run_id, public_key)
    findings.signature = "valid" if fault is None else "invalid"
    if fault is not None:
        findings.add(envelope_path(run_id), fault)


@dataclass(frozen=True)
class _RowIds:
    """Row ids of a dataset, 8 bytes each, so that millions fit in memory."""

    folder: Folder
    _found: list[tuple[str, NDArray[np.uint64]]] = field(default_factory=list)

    def add(self, table: pa.Table, output: Output) -> None:
        """Notes the ids of a file."""
        assert output.data is not None
        self._found.append((output.data.path, _short(table["row_id"].to_pylist())))

    def twice(self) -> Iterator[tuple[str, str]]:
        """Rows whose id is not unique: file and row, and where else it is."""
        every = [ids for _, ids in self._found]
        short, times = np.unique(np.concatenate(every) if every else np.zeros(0, np.uint64), return_counts=True)
        suspects = short[times > 1]
        places: dict[str, list[str]] = {}
        for path, ids in self._found:
            if len(suspects) and np.isin(ids, suspects).any():
                names = pq.read_table(io.BytesIO(self.folder.read(path)), columns=["row_id"])["row_id"].to_pylist()
                for i in map(int, np.flatnonzero(np.isin(ids, suspects))):
                    places.setdefault(names[i], []).append(path)
        for row, paths in places.items():
            if len(paths) > 1:
                others = " and ".join(sorted({*paths[1:]}))
                yield f"{paths[0]} row {row}", f"its row id appears {len(paths)} times, also in {others}"


def _short(ids: list[str | None]) -> NDArray[np.uint64]:
    digests = (hashlib.blake2b((row or "").encode(), digest_size=8).digest() for row in ids)
    return np.frombuffer(b"".join(digests), np.uint64)


@dataclass(frozen=True)
class _Budget:
    """Number of rows to judge again, spread evenly over row ids, which are hashes."""

    sample: int | None
    rows: int

    def chosen(self, ids: list[str], sound: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions of the chosen rows among the `sound` ones."""
        if self.sample is None or self.sample >= self.rows:
            return sound
        share = self.sample / max(1, self.rows)
        return np.asarray([i for i in sound.tolist() if int(ids[i][:8], 16) < share * 2**32], np.int64)


def _seed(job: Mapping[str, Any]) -> int:
    """The seed that the recorded job tells; 0 where it tells none, which the comparison of jobs finds."""
    seed = job.get("seed")
    return seed if isinstance(seed, int) else 0
