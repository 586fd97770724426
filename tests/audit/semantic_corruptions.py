"""Lies that a dataset may tell, each told by a forger who makes all digests and records fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from hardset.pipeline.dataset.records.ledger import RUNS
from hardset.pipeline.dataset.records.seals import sealed
from hardset.schemas.digests import recipe_id
from hardset.schemas.records.counts import Counts
from tests.audit.forger import Forger, Row, honest_success, pixels_of

Lie = Callable[[Forger], None]
FAR = "0" * 64
A, U, G = "adversarial", "augmented", "generated"


def value(kind: str, name: str, told: Any, *, at: int = 0) -> Lie:
    """One row's column holds `told`, or what a function makes of its value."""

    def lie(forger: Forger) -> None:
        row = forger.rows[forger.shard(kind, at=at)][2]
        row[name] = told(row[name]) if callable(told) else told
        forger.finish()

    return lie


def row_of(kind: str, change: Callable[[Forger, Row], None], *, at: int = 0) -> Lie:
    """One row is changed in several columns."""

    def lie(forger: Forger) -> None:
        change(forger, forger.rows[forger.shard(kind, at=at)][2])
        forger.finish()

    return lie


def rows_of(kind: str, change: Callable[[Forger, int, list[Row]], None]) -> Lie:
    """The rows of a shard are changed."""

    def lie(forger: Forger) -> None:
        number = forger.shard(kind)
        change(forger, number, forger.rows[number])
        forger.finish()

    return lie


def records(change: Callable[[Forger], None], *, finish: bool = True) -> Lie:
    """Records are changed, and all that follows from them is made to fit."""

    def lie(forger: Forger) -> None:
        change(forger)
        if finish:
            forger.finish()

    return lie


def count(kind: str, **told: Any) -> Lie:
    """Counts of a shard are told otherwise."""

    def change(forger: Forger) -> None:
        number = forger.shard(kind)
        before = forger.manifest.outputs[number].counts
        forger.counts[number] = {k: v(before) if callable(v) else v for k, v in told.items()}

    return records(change)


def file(path: str, change: Callable[[bytes], bytes]) -> Lie:
    """A file beside the rows is changed, and the statement made over it."""

    def lie(forger: Forger) -> None:
        name = path.replace("RUN", f"{RUNS}/{forger.manifest.run_id}")
        (name,) = forger.folder.list(name) if name.endswith("-") else (name,)
        forger.folder.write(name, change(forger.folder.read(name)))
        forger.restate()
        if path in ("RUN/summary.json",):
            forger.folder.write(name, change(forger.folder.read(name)))

    return lie


def _false_fall(forger: Forger, row: Row) -> None:
    row["clean_pred"], row["clean_margin"] = row["label"], abs(row["clean_margin"])
    row["pred"], row["margin"] = (row["label"] + 1) % 10, -2.0
    row["confidence"], row["success"] = 0.7, True


def _other_label(forger: Forger, row: Row) -> None:
    """The label of another class, with verdicts that do not contradict it."""
    row["label"] = (row["label"] + 1) % 10
    for pred, margin in (("pred", "margin"), ("clean_pred", "clean_margin"), ("float_pred", "float_margin")):
        if row[margin] is not None:
            row[margin] = abs(row[margin]) * (1 if row[pred] == row["label"] else -1)
    if row["success"] is not None:
        row["success"] = honest_success(row)


def _all_labels(forger: Forger, number: int, rows: list[Row]) -> None:
    key = rows[2]["source_key"]
    for row in rows:
        if row["source_key"] == key:
            _other_label(forger, row)


def _other_key(forger: Forger, row: Row) -> None:
    row["source_key"] = "elsewhere.parquet#3"
    forger.rename(row)


def _other_source(forger: Forger, number: int, rows: list[Row]) -> None:
    key = rows[2]["source_key"]
    for row in rows:
        if row["source_key"] == key:
            row["source_sha256"] = FAR
            forger.rename(row)


def _parents(forger: Forger, number: int, rows: list[Row]) -> None:
    key = rows[2]["source_key"]
    for row in rows:
        if row["source_key"] == key:
            row["parent_row_id"] = "0" * 32


def _other_variant(forger: Forger, row: Row) -> None:
    row["variant"] = 7
    forger.rename(row)


def _noise(forger: Forger, row: Row) -> None:
    pixels = pixels_of(row)
    pixels[0, 0, 0] ^= 1
    forger.set_pixels(row, pixels)


def _other_image(forger: Forger, row: Row) -> None:
    forger.set_pixels(row, 255 - pixels_of(row))


def _params(forger: Forger, row: Row) -> None:
    told = json.loads(row["params"])
    told[0]["applied"] = not told[0]["applied"]
    row["params"] = json.dumps(told, separators=(",", ":"))


def _dropped(forger: Forger, number: int, rows: list[Row]) -> None:
    rows.pop(2)
    forger.counts[number] = {"dropped": 1}


def _due(forger: Forger, number: int, rows: list[Row]) -> None:
    rows.pop(2)
    forger.counts[number] = {"expected": forger.manifest.outputs[number].counts.expected - 1}


def _held_out(forger: Forger, number: int, rows: list[Row]) -> None:
    rows.pop(2)
    forger.counts[number] = {"held_out": 1}


def _lost(stage: str) -> Callable[[Forger, int, list[Row]], None]:
    def change(forger: Forger, number: int, rows: list[Row]) -> None:
        row = rows.pop(2)
        names = ("source_dataset", "source_split", "source_index", "source_key", "run_id", "recipe_id", "variant")
        record = {name: row[name] for name in names} | {"stage": stage, "error_class": "X", "message": "unlucky"}
        forger.lost.setdefault(number, []).append(record)

    return change


def _lost_twice(forger: Forger) -> None:
    number = next(iter(forger.lost))
    record = dict(forger.lost[number][0])
    row = forger.rows[number][0]
    record |= {"source_key": row["source_key"], "source_index": row["source_index"], "variant": row["variant"]}
    forger.lost[number][0] = record


def _lost_otherwise(forger: Forger) -> None:
    forger.lost[next(iter(forger.lost))][0]["error_class"] = "Harmless"


def _job(**changes: Any) -> Lie:
    def change(forger: Forger) -> None:
        forger.tell(job=forger.manifest.job | changes)

    return records(change)


def _recipe(forger: Forger) -> None:
    """Another budget in job and text, with the id that follows; rows keep theirs."""
    job = json.loads(json.dumps(forger.manifest.job))
    job["recipes"][0]["eps"] = "8/255"
    texts = {}
    for text in forger.manifest.recipes.values():
        told = {**text, "eps": "8/255"} if text.get("name") == "pgd" else text
        texts[recipe_id(told)] = told
    forger.tell(job=job, recipes=texts)
    forger.plan = forger.plan.model_copy(update={"recipes": tuple(texts)})


def _models(forger: Forger) -> None:
    forger.tell(models=forger.manifest.models | {"victim": FAR})


def _classes(forger: Forger) -> None:
    forger.tell(classes=(*forger.manifest.classes[1:], forger.manifest.classes[0]))


def _no_shard(forger: Forger) -> None:
    """The last shard is taken out of all records."""
    output = forger.manifest.outputs[-1]
    forger.finish()
    assert output.data is not None
    forger.folder.delete(output.data.path)
    (path,) = forger.folder.list(f"{RUNS}/{output.run_id}/receipts/{output.index:06d}-")
    forger.folder.delete(path)
    del forger.rows[len(forger.manifest.outputs) - 1]
    forger.manifest = forger.manifest.model_copy(update={"outputs": forger.manifest.outputs[:-1]})
    forger.plan = forger.plan.model_copy(update={"shards": forger.plan.shards[:-1]})
    forger.finish()


def _told(**changes: Any) -> Lie:
    """A field of the manifest alone."""

    def lie(forger: Forger) -> None:
        forger.finish()
        forger.manifest = forger.manifest.model_copy(update=changes)
        forger.seal()

    return lie


def _output(**changes: Any) -> Lie:
    def change(forger: Forger) -> None:
        number = forger.shard(A)
        outputs = list(forger.manifest.outputs)
        outputs[number] = outputs[number].model_copy(update=changes)
        forger.manifest = forger.manifest.model_copy(update={"outputs": tuple(outputs)})

    return records(change)


def _footer(**told: Any) -> Lie:
    def change(forger: Forger) -> None:
        forger.footers[forger.shard(A)] = told

    return records(change)


def _unsealed(name: str) -> Lie:
    def lie(forger: Forger) -> None:
        path = f"{RUNS}/{forger.manifest.run_id}/{name}"
        (path,) = forger.folder.list(path)[:1]
        content = forger.folder.read(path)
        forger.folder.write(path, content[: content.rindex(b',"seal"')] + b"}\n")

    return lie


def _receipt(forger: Forger) -> None:
    (path, *_) = forger.folder.list(f"{RUNS}/{forger.manifest.run_id}/receipts/")
    receipt = next(one for one in forger.ledger.receipts().values() if f"{one.index:06d}-" in path)
    forger.folder.write(path, sealed(receipt.model_copy(update={"host": "elsewhere"})))
    forger.restate()


def _extra(path: str) -> Lie:
    def lie(forger: Forger) -> None:
        forger.folder.write(path.replace("RUN", f"{RUNS}/{forger.manifest.run_id}"), b"anything")

    return lie


def _text(before: bytes, after: bytes) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        assert before in content
        return content.replace(before, after, 1)

    return change


LIES: Mapping[str, Lie] = {
    "eps of a row": value(A, "eps", 8 / 255),
    "eps of a row with several budgets": value(A, "eps", 0.01, at=2),
    "op": value(A, "op", "apgd_ce_linf"),
    "norm": value(A, "norm", "L2"),
    "more steps than the recipe can spend": value(A, "steps", 99),
    "fewer steps": value(A, "steps", 1),
    "more queries than the recipe can spend": value(A, "queries", 99),
    "a query more": value(A, "queries", 1),
    "model_id": value(A, "model_id", "another:model@0123456789ab"),
    "model_sha256": value(A, "model_sha256", FAR),
    "verify_id": value(A, "verify_id", "fp32-tf32off-b1"),
    "verify_id of a generated row": value(G, "verify_id", "fp32-tf32off-b1"),
    "variant": row_of(U, _other_variant),
    "seed": value(A, "seed", 5),
    "row_id": value(A, "row_id", "0" * 32),
    "source_dataset": value(A, "source_dataset", "elsewhere"),
    "source_split": value(A, "source_split", "test"),
    "source_index": value(A, "source_index", 1),
    "source_key of another file": row_of(A, _other_key),
    "source_sha256": rows_of(A, _other_source),
    "parent_row_id": rows_of(U, _parents),
    "label of an attacked row": row_of(A, _other_label),
    "label of one augmented variant": row_of(U, _other_label),
    "label of all variants of a row": rows_of(U, _all_labels),
    "label of a generated row": row_of(G, _other_label),
    "target_label": value(A, "target_label", lambda target: (target + 3) % 10, at=2),
    "clean_pred": value(A, "clean_pred", lambda pred: (pred + 1) % 10),
    "clean_margin": value(A, "clean_margin", lambda margin: margin * 1.5),
    "float_pred": value(A, "float_pred", lambda pred: (pred + 1) % 10),
    "float_margin": value(A, "float_margin", lambda margin: margin * 1.5),
    "a false fall, in all verdict columns": row_of(A, _false_fall),
    "margin": value(A, "margin", lambda margin: margin * 1.01),
    "margin of a generated row": value(G, "margin", lambda margin: margin * 1.01),
    "pred of an augmented row": value(U, "pred", lambda pred: (pred + 1) % 10),
    "confidence": value(A, "confidence", lambda chance: chance * 0.98),
    "confidence that no margin allows": value(A, "confidence", 0.05),
    "success": value(A, "success", lambda success: not success),
    "linf_levels": value(A, "linf_levels", lambda levels: levels - 1),
    "l2": value(A, "l2", lambda l2: l2 * 0.99),
    "l1": value(A, "l1", lambda l1: l1 * 0.99),
    "found_by": value(A, "found_by", "square"),
    "a flag too many": value(A, "flags", "unmoved"),
    "transfer_pred of a model that the job lacks": value(A, "transfer_pred", '{"other":1}'),
    "transfer_pred": value(
        A, "transfer_pred", lambda text: json.dumps({k: (v + 1) % 10 for k, v in json.loads(text).items()})
    ),
    "transferred": value(A, "transferred", lambda models: 1 - models),
    "image of an attacked row": row_of(A, _other_image),
    "a level of an attacked row": row_of(A, _noise),
    "image of an augmented row": row_of(U, _other_image),
    "a level of an augmented row": row_of(U, _noise),
    "image of a generated row": row_of(G, _other_image),
    "a level of a generated row": row_of(G, _noise),
    "params": row_of(U, _params),
    "a budget in an augmented row": value(U, "eps", 8 / 255),
    "width": value(A, "width", 9),
    "image_sha256": value(A, "image_sha256", FAR),
    "recipe_id": value(A, "recipe_id", "0" * 16),
    "run_id": value(A, "run_id", "0" * 36),
    "order of rows": rows_of(U, lambda forger, number, rows: rows.reverse()),
    "a row gone, told as dropped": rows_of(A, _dropped),
    "a row gone, told as never due": rows_of(A, _due),
    "a row gone, told as held out": rows_of(A, _held_out),
    "a row gone, told as unreadable": rows_of(A, _lost("read")),
    "a row gone, told as failed": rows_of(A, _lost("make")),
    "a stored row in quarantine": records(_lost_twice),
    "why a row is in quarantine": records(_lost_otherwise),
    "count of attacked rows": count(A, attacked=lambda counts: counts.attacked - 1),
    "count of successes": count(A, success=lambda counts: max(0, counts.success - 1)),
    "counted signals": count(A, signals={"flag:no_rise": 1}),
    "counted transfer": count(A, signals=lambda counts: {**counts.signals, "transfer_fooled:twin": 0}),
    "seed in the job": _job(seed=8),
    "batch in the job": _job(run={"actors": 1, "batch": 7}),
    "source in the job": _job(source={"format": "digits"}),
    "budget in job and recipe": records(_recipe),
    "digest of the model": records(_models),
    "class names": records(_classes),
    "a shard out of all records": records(_no_shard, finish=False),
    "status": _told(status="incomplete"),
    "warnings": _told(warnings=("All is well.",)),
    "totals": _told(totals=Counts()),
    "excluded rows": _output(excluded=(3,)),
    "batches told as divided": _output(device_batch=4096),
    "recipes in a footer": _footer(recipes={}),
    "digests of models in a footer": _footer(models={"victim": FAR}),
    "rows in the summary": file("RUN/summary.json", _text(b'"rows_out":', b'"rows_out":1')),
    "rows in the events": file("RUN/openlineage.jsonl", _text(b'"rowCount":', b'"rowCount":1')),
    "run in the events": file("RUN/openlineage.jsonl", _text(b'"runId":"', b'"runId":"0')),
    "accuracy in the card": file("README.md", _text(b"%", b"9%")),
    "licence in the card": file("README.md", _text(b"license: unknown", b"license: mit")),
    "digest in Croissant": file("croissant.json", _text(b'"sha256": "', b'"sha256": "0')),
    "files in rows.sql": file("rows.sql", _text(b".parquet", b".other")),
    "files in files.txt": file("files.txt", lambda content: content.partition(b"\n")[2]),
    "manifest without seal": _unsealed("manifest.json"),
    "plan without seal": _unsealed("plan.json"),
    "receipt without seal": _unsealed("receipts/"),
    "a file among the data": _extra("data/more.parquet"),
    "a file in the run's folder": _extra("RUN/notes.json"),
    "a receipt of no shard": _extra("RUN/receipts/000099-0123456789ab.json"),
    "host in a receipt": records(_receipt, finish=False),
    "versions of libraries": _told(environment={"hardset": "9.9.9"}),
}
"""What is told, by what it is about."""
