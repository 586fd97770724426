"""A forger: changes what a dataset says, and makes every digest, receipt, count, statement and card anew to fit."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hardset.pipeline.dataset.files.parquet import FOOTER_KEY, read_footer
from hardset.pipeline.dataset.files.png import decode_png, encode_png
from hardset.pipeline.dataset.files.quarantine import encode_quarantine, quarantine_table
from hardset.pipeline.dataset.provenance.card import write_card
from hardset.pipeline.dataset.provenance.lineage import end_event
from hardset.pipeline.dataset.provenance.signature import envelope_path, is_signed
from hardset.pipeline.dataset.provenance.statement import write_statement
from hardset.pipeline.dataset.records.ledger import RUNS, Ledger, data_file, latest_manifest, quarantine_file
from hardset.pipeline.dataset.records.seals import sealed
from hardset.pipeline.judging.masking import run_warnings, signals_of
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import (
    canonical_json,
    content_sha256,
    digest,
    image_sha256,
    row_id,
    row_seed,
)
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Manifest, Plan
from hardset.schemas.rows.contract import ADVERSARIAL, schema_sha256
from hardset.schemas.rows.success import attacked, succeeded

Row = dict[str, Any]


@dataclass
class Forger:
    """A dataset that is being changed; `finish` writes it as hardset would have written what it says then."""

    out: Path
    rows: dict[int, list[Row]] = field(default_factory=dict)
    """Rows of each shard."""
    lost: dict[int, list[Row]] = field(default_factory=dict)
    """Quarantine records of each shard."""
    counts: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Counts that are told instead of what the rows give."""
    footers: dict[int, dict[str, Any]] = field(default_factory=dict)
    """What footers of shards are told instead."""

    def __post_init__(self) -> None:
        self.folder = Folder(str(self.out))
        manifest = latest_manifest(self.folder)
        assert manifest is not None
        self.manifest: Manifest = manifest
        self.ledger = Ledger(self.folder, manifest.run_id)
        if is_signed(self.folder, manifest.run_id):  # which takes the key to do again
            self.folder.delete(envelope_path(manifest.run_id))
        plan = self.ledger.plan()
        assert plan is not None
        self.plan: Plan = plan
        self.files = {}
        for number, output in enumerate(manifest.outputs):
            if output.data is not None:
                self.files[number] = self.folder.read(output.data.path)
                self.rows[number] = pq.read_table(io.BytesIO(self.files[number])).to_pylist()
            if output.quarantine is not None:
                path = output.quarantine.path
                self.lost[number] = quarantine_table(path, self.folder.read(path)).to_pylist()
        self._before = {number: json.dumps(rows, default=str) for number, rows in self.rows.items()}
        self._lost_before = json.dumps(self.lost)

    def shard(self, kind: str, *, at: int = 0) -> int:
        """Number of the first shard of a kind of rows, or a later one."""
        return [number for number, rows in self.rows.items() if rows[0]["kind"] == kind][at]

    def set_pixels(self, row: Row, pixels: Any) -> None:
        """Gives a row another image, with its digest."""
        row["image"] = {"bytes": encode_png(pixels[None])[0], "path": row["image"]["path"]}
        row["image_sha256"] = image_sha256(pixels)

    def rename(self, row: Row) -> None:
        """Makes id, seed and path of a row follow from its columns."""
        row["row_id"] = row_id(
            recipe=row["recipe_id"],
            source_sha256=row["source_sha256"] or "",
            source_key=row["source_key"],
            variant=row["variant"],
        )
        row["seed"] = row_seed(
            run_seed=self.manifest.job["seed"],
            recipe=row["recipe_id"],
            source_key=row["source_key"],
            variant=row["variant"],
        )
        row["image"] = {"bytes": row["image"]["bytes"], "path": f"{row['row_id']}.png"}

    def tell(self, **changes: Any) -> None:
        """Changes a field of plan and manifest alike."""
        self.manifest = self.manifest.model_copy(update=changes)
        self.plan = self.plan.model_copy(update={k: v for k, v in changes.items() if k in Plan.model_fields})

    def finish(self) -> None:
        """Writes everything."""
        outputs = [self._written(number) for number in range(len(self.manifest.outputs))]
        told = {
            "outputs": tuple(outputs),
            "totals": sum((output.counts for output in outputs), Counts()),
            "content_sha256": digest([output.content_sha256 for output in outputs]),
            "schema_sha256": schema_sha256(self.manifest.classes, self.manifest.contract),
            "warnings": (*self.plan.warnings, *run_warnings(self.plan.job["recipes"], outputs)),
        }
        self.manifest = self.manifest.model_copy(update=told)
        self.seal()

    def seal(self) -> None:
        """Writes the records as they are told now: plan, events, statement, manifest, summary and card."""
        self.folder.write(f"{RUNS}/{self.manifest.run_id}/plan.json", sealed(self.plan))
        (path,) = self.folder.list(f"{RUNS}/{self.manifest.run_id}/openlineage")
        start = self.folder.read(path).splitlines(keepends=True)[0]
        end = canonical_json(end_event(self.plan, self.folder.name, self.manifest)) + "\n"
        self.folder.write(path, start + end.encode())
        self.restate()
        write_card(self.folder, self.manifest)

    def restate(self) -> None:
        """Writes statement, manifest and summary over the other files as they are."""
        self.manifest = write_statement(self.folder, self.plan, self.manifest)
        self.ledger.write_manifest(self.manifest)

    def _written(self, number: int) -> Any:
        output = self.manifest.outputs[number]
        rows, lost = self.rows.get(number, []), self.lost.get(number, [])
        counts = self._counts(output.counts, rows, lost).model_copy(update=self.counts.get(number, {}))
        changes: dict[str, Any] = {"counts": counts}
        shard = self.plan.shards[number]
        if json.dumps(rows, default=str) != self._before.get(number) or number in self.footers:
            data = self._encoded(number, rows)
            changes["data"] = data_file(output.run_id, shard, data)
            changes["content_sha256"] = _content(rows)
            self.folder.delete(output.data.path)
            self.folder.write(changes["data"].path, data)
        if json.dumps(self.lost) != self._lost_before and (lost or output.quarantine):
            content = encode_quarantine(lost) if lost else None
            changes["quarantine"] = quarantine_file(output.run_id, shard, content)
            if output.quarantine:
                self.folder.delete(output.quarantine.path)
            if content is not None:
                self.folder.write(changes["quarantine"].path, content)
        output = output.model_copy(update=changes)
        receipt = self.ledger.receipts()[output.key]
        told = {name: getattr(output, name) for name in ("data", "content_sha256", "quarantine", "counts")}
        told |= {"excluded": output.excluded, "device_batch": output.device_batch}
        (path,) = self.folder.list(f"{RUNS}/{output.run_id}/receipts/{output.index:06d}-")
        self.folder.write(path, sealed(receipt.model_copy(update=told)))
        return output

    def _encoded(self, number: int, rows: list[Row]) -> bytes:
        schema = pq.read_schema(io.BytesIO(self.files[number]))
        footer = read_footer(self.files[number]) | {"rows": len(rows), "content_sha256": _content(rows)}
        footer |= self.footers.get(number, {})
        metadata = {**(schema.metadata or {}), FOOTER_KEY: canonical_json(footer).encode()}
        target = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema).replace_schema_metadata(metadata), target)
        return target.getvalue()

    def _counts(self, counts: Counts, rows: list[Row], lost: list[Row]) -> Counts:
        told: dict[str, Any] = {"rows_out": len(rows), "quarantined": len(lost)}
        if rows and rows[0]["kind"] == ADVERSARIAL:
            columns = {name: [row[name] for row in rows] for name in rows[0]}
            labels = np.asarray(columns["label"])
            targets = None if None in columns["target_label"] else np.asarray(columns["target_label"])
            counted = attacked(np.asarray(columns["clean_pred"]), labels, targets)
            # The one held-out model has the weights of the model under attack.
            fooled = sum(row["transferred"] for row, one in zip(rows, counted, strict=True) if one)
            transfer = {"transfer_counted:twin": int(counted.sum()), "transfer_fooled:twin": fooled}
            transfer = {name: number for name, number in transfer.items() if number}
            told |= {"success": sum(columns["success"]), "attacked": int(counted.sum())}
            told["signals"] = signals_of(columns, counted) | transfer
        return counts.model_copy(update=told)


def honest_success(row: Row) -> bool:
    """Success as the row's own predictions have it."""
    one = (np.asarray([row[name]]) for name in ("clean_pred", "pred", "label"))
    target = None if row["target_label"] is None else np.asarray([row["target_label"]])
    return bool(succeeded(*one, target)[0])


def pixels_of(row: Row) -> Any:
    """Pixels (H, W, C) of a row, to be changed."""
    return decode_png(row["image"]["bytes"]).copy()


def _content(rows: Iterable[Row]) -> str:
    return content_sha256((row["row_id"], row["image_sha256"]) for row in rows)
