"""Whatever is done to a finished dataset, `hardset verify` notices it and says where."""

from __future__ import annotations

import io
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.dataset.files.png import decode_png, encode_png
from hardset.pipeline.dataset.provenance.statement import write_statement
from hardset.pipeline.dataset.records.ledger import Ledger, latest_manifest
from hardset.pipeline.dataset.records.seals import sealed
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import content_sha256, digest, image_sha256, sha256_hex
from hardset.schemas.errors import UserError
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import DataFile, Manifest, Output
from hardset.schemas.rows.contract import CONTRACT_VERSION
from tests.support import RECIPES, hardset, job_of, last_json, make_here

RECORDS = ("manifest.json", "plan.json")


@pytest.fixture(scope="module")
def whole(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of an attack and an augmentation over two blocks of digits; nothing is wrong with it."""
    out = tmp_path_factory.mktemp("whole") / "out"
    source, output = {"format": "digits", "limit": 80}, {"path": str(out), "shard_rows": 40}
    make_here(job_of(weights, out, source=source, output=output, recipes=[RECIPES[0], RECIPES[2]]))
    assert verify(Folder(str(out)), sample=None, trust=Trust(records=True)).faults == []
    return out


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    out = tmp_path / "copy"
    shutil.copytree(whole, out)
    return out


# 200 random corruptions.


def damage(out: Path, seed: int) -> str:
    """Does one thing to the dataset that `seed` chooses, and says what."""
    chance = random.Random(seed)
    data = sorted(out.glob("data/**/*.parquet"))
    run = next(out.glob("_hardset/runs/*"))
    records = [*(run / name for name in RECORDS), *sorted(run.glob("receipts/*"))]
    file = chance.choice(chance.choice([data, data, records]))
    one, other = chance.sample(data, 2)
    acts: list[tuple[str, Callable[[], object]]] = [
        (f"flip a bit of {file.name}", lambda: _flip(file, chance)),
        (f"cut {file.name}", lambda: file.write_bytes(file.read_bytes()[: chance.randrange(file.stat().st_size)])),
        (
            f"lengthen {file.name}",
            lambda: file.write_bytes(file.read_bytes() + chance.randbytes(chance.randint(1, 99))),
        ),
        (f"delete {file.name}", file.unlink),
        (f"swap {one.name} and {other.name}", lambda: _swap(one, other)),
        (f"overwrite {one.name} with {other.name}", lambda: shutil.copy(other, one)),
        (f"rename {one.name}", lambda: one.rename(one.with_name(f"train-{chance.randint(100, 999)}.parquet"))),
        (f"copy {one.name}", lambda: shutil.copy(one, one.with_name(f"train-{chance.randint(100, 999)}.parquet"))),
        *((f"edit rows of {one.name}", lambda: _edit(one, chance)) for _ in range(4)),
    ]
    what, act = chance.choice(acts)
    act()
    return what


def _flip(file: Path, chance: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def _swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def _edit(file: Path, chance: random.Random) -> None:
    """Takes, repeats or orders rows anew, or gives a column another row's values; the file stays valid Parquet."""
    table = pq.read_table(file)
    order = list(range(table.num_rows))
    how = chance.choice(["drop", "repeat", "order", "column", "column", "column"])
    if how == "drop":
        order.pop(chance.randrange(len(order)))
    elif how == "repeat":
        order.append(chance.choice(order))
    elif how == "order":
        order.reverse()
    if how != "column":
        pq.write_table(table.take(order), file, compression="zstd")
        return
    movable = [name for name in table.column_names if pc.count_distinct(_flat(table[name])).as_py() > 1]
    name = chance.choice(movable)
    values = table[name].to_pylist()
    at = chance.randrange(len(values))
    values[at] = chance.choice([value for value in values if value != values[at]])
    field = table.schema.field(name)
    edited = pa.array(values, type=field.type)
    pq.write_table(table.set_column(table.column_names.index(name), field, edited), file)


def _flat(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.struct_field(values, "bytes") if pa.types.is_struct(values.type) else values


def noticed(out: Path) -> bool:
    """Whether verify finds a fault, without the model; what stops it at once counts as well."""
    try:
        return bool(verify(Folder(str(out)), sample=0).faults)
    except UserError:
        return True


def _survivors(whole: Path, tmp_path: Path, seeds: range) -> Iterator[str]:
    for seed in seeds:
        out = tmp_path / str(seed)
        shutil.copytree(whole, out)
        what = damage(out, seed)
        if not noticed(out):
            yield f"{seed}: {what}"
        shutil.rmtree(out)


def test_40_random_corruptions_are_noticed(whole: Path, tmp_path: Path) -> None:
    assert list(_survivors(whole, tmp_path, range(40))) == []


@pytest.mark.slow
def test_200_random_corruptions_are_noticed(whole: Path, tmp_path: Path) -> None:
    assert list(_survivors(whole, tmp_path, range(1000, 1200))) == []


# Every fault by name: what is said of it, and of which file and row.


def test_a_whole_dataset_has_no_fault(whole: Path) -> None:
    done = hardset("verify", whole, "--all", "--against", "digits", "--trust-code", "--json")
    assert done.returncode == 0, done.stdout
    assert last_json(done) | {"faults": []} == last_json(done)


def said(out: Path, *options: str) -> str:
    """What verify says of a dataset that is not whole."""
    done = hardset("verify", out, *(options or ("--sample", "0")), "--json")
    assert done.returncode == 1, done.stdout
    found = last_json(done)
    return "\n".join(found.get("faults", [found.get("error")]))


def first(out: Path) -> Path:
    return min(out.glob("data/**/*.parquet"))


def test_a_flipped_byte(copy: Path) -> None:
    """The page checksum finds it, too, where the manifest lists the flipped file."""
    file = first(copy)
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 16
    file.write_bytes(content)
    name = file.relative_to(copy)
    assert f"{name}: its SHA-256 is not the one in the manifest" in said(copy)
    forge(copy, lambda columns: None, data=bytes(content))
    faults = said(copy)
    assert "cannot be read" in faults
    assert "SHA-256" not in faults


@pytest.mark.parametrize("how", ["missing", "extra", "renamed"])
def test_a_shard_that_is_not_where_it_was(copy: Path, how: str) -> None:
    file, other = first(copy), first(copy).with_name("train-00099-0123456789ab.parquet")
    if how == "missing":
        file.unlink()
    elif how == "extra":
        shutil.copy(file, other)
    else:
        file.rename(other)
    faults = said(copy)
    assert (f"{file.relative_to(copy)}: is missing" in faults) == (how != "extra")
    assert (f"{other.relative_to(copy)}: no record lists this file" in faults) == (how != "missing")


def test_a_file_beside_the_folders_of_runs(copy: Path) -> None:
    shutil.copy(first(copy), copy / "data" / "more.parquet")
    assert "data/more.parquet: no record lists this file" in said(copy)


def test_a_foreign_schema(copy: Path) -> None:
    table = pq.read_table(first(copy))
    pq.write_table(table.append_column("note", pa.nulls(table.num_rows)), first(copy))
    assert f"{first(copy).relative_to(copy)}: has another schema than row contract {CONTRACT_VERSION}" in said(copy)


@pytest.mark.parametrize("name", [*RECORDS, "receipts/000000-*.json"])
def test_a_changed_record(copy: Path, name: str) -> None:
    (file,) = copy.glob(f"_hardset/runs/*/{name}")
    file.write_text(file.read_text().replace('"run_id":"', '"run_id":"0', 1))
    faults = said(copy)
    assert file.name in faults
    assert "was changed after it was written" in faults


def test_counts_that_do_not_add_up(copy: Path) -> None:
    """Sealed again, so that nothing but the sum is wrong."""
    manifest = manifest_of(copy)
    counts = manifest.outputs[1].counts
    output = manifest.outputs[1].model_copy(update={"counts": counts.model_copy(update={"quarantined": 1})})
    commit(copy, manifest, {1: output})
    assert "shard 1: its counts do not add up: 40 rows are due, 40 stored, 1 quarantined, 0 dropped" in said(copy)


def test_a_row_id_that_appears_twice(copy: Path) -> None:
    """A row of one shard stands in another one as well, with all that follows from it."""
    donor = pq.read_table(copy / _path(copy, 0)).slice(3, 1).to_pylist()[0]

    def change(columns: dict[str, list[Any]]) -> None:
        for name, values in columns.items():
            values[5] = donor[name]

    forge(copy, change, shard=1)
    faults = said(copy)
    assert f"{_path(copy, 0)} row {donor['row_id']}: its row id appears 2 times, also in {_path(copy, 1)}" in faults


Change = Callable[[dict[str, list[Any]]], None]


def _over_budget(columns: dict[str, list[Any]]) -> None:
    """The image is moved too far and its digest follows; the told distances stay."""
    pixels = decode_png(columns["image"][4]["bytes"]).copy()
    pixels[:2] = 255 - pixels[:2]
    columns["image"][4] = {"bytes": encode_png(pixels[None])[0], "path": columns["image"][4]["path"]}
    columns["image_sha256"][4] = image_sha256(pixels)


def _told_over_budget(columns: dict[str, list[Any]]) -> None:
    columns["linf_levels"][4] = 41


def _success(columns: dict[str, list[Any]]) -> None:
    columns["success"][4] = not columns["success"][4]


def _consistent_success(columns: dict[str, list[Any]]) -> None:
    """A fall that the prediction and the margin claim as well."""
    label = columns["label"][4]
    columns["clean_pred"][4], columns["success"][4] = label, True
    columns["pred"][4], columns["margin"][4] = (label + 1) % 10, -9.5


def _no_image(columns: dict[str, list[Any]]) -> None:
    columns["image"][4]["bytes"] = columns["image"][4]["bytes"][:-20]


def _set(name: str, value: Any) -> Change:
    def change(columns: dict[str, list[Any]]) -> None:
        columns[name][4] = value

    return change


def _further(name: str) -> Change:
    """The same sign, so that the row does not contradict itself."""

    def change(columns: dict[str, list[Any]]) -> None:
        columns[name][4] *= 1.5

    return change


CASES: list[tuple[str, Change, str, bool]] = [
    ("over budget", _over_budget, "is outside its budget", True),
    ("over budget as told", _told_over_budget, "is outside its budget: linf_levels 41", False),
    ("false success", _success, "its own predictions say", False),
    ("false confidence", _set("confidence", 0.123), "confidence is ", True),
    ("false clean margin", _further("clean_margin"), "clean_margin is ", True),
    ("another source row", _set("source_index", 99), "source_index is 99; its source_key has", False),
    ("false success in all columns", _consistent_success, "when judged again, -9.5000 as stored", True),
    ("wrong image_sha256", _set("image_sha256", "0" * 64), "image_sha256 does not match the image", False),
    ("wrong source_sha256", _set("source_sha256", "0" * 64), "row_id does not follow from", False),
    ("wrong seed", _set("seed", 5), "seed does not follow from", False),
    ("wrong kind", _set("kind", "generated"), "kind is 'generated'; its shard has 'adversarial'", False),
    ("wrong norm", _set("norm", "L2"), "norm is 'L2'; its shard has 'Linf'", False),
    ("wrong model", _set("model_sha256", "0" * 64), "model_sha256 is '000", False),
    ("wrong width", _set("width", 9), "width is 9; its shard has 8", False),
    ("wrong label", _set("label", None), "label is empty", False),
    ("no image", _no_image, "cannot be decoded", False),
    ("unknown flag", _set("flags", "nonsense"), "flags holds 'nonsense'", False),
    ("wrong confidence", _set("confidence", 1.5), "confidence is 1.5", False),
]


@pytest.mark.parametrize(("change", "fault", "judged"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_forged_row_is_named(copy: Path, change: Change, fault: str, judged: bool) -> None:
    """All digests and records are made anew for the forged row, so that only the row itself tells."""
    row = forge(copy, change)
    faults = said(copy, "--all", "--trust-code") if judged else said(copy)
    assert any(line.startswith(f"{_path(copy, 0)} row {row}: ") and fault in line for line in faults.splitlines())


def forge(out: Path, change: Change, *, shard: int = 0, data: bytes | None = None) -> str:
    """Rewrites the file of a shard, or puts `data` in its place, and every record of it; returns the id of row 4."""
    manifest, folder = manifest_of(out), Folder(str(out))
    output = manifest.outputs[shard]
    assert output.data is not None
    if data is None:
        table = pq.read_table(io.BytesIO(folder.read(output.data.path)))
        columns = {name: table[name].to_pylist() for name in table.column_names}
        row = columns["row_id"][4]
        change(columns)
        target = io.BytesIO()
        pq.write_table(pa.Table.from_pydict(columns, schema=table.schema), target)
        data = target.getvalue()
        content = content_sha256(zip(columns["row_id"], columns["image_sha256"], strict=True))
        counts = output.counts.model_copy(update={"success": sum(columns["success"])})
    else:
        row, content, counts = "", output.content_sha256, output.counts
    file = DataFile(path=output.data.path, bytes=len(data), sha256=sha256_hex(data), rows=output.data.rows)
    folder.write(file.path, data)
    commit(
        out, manifest, {shard: output.model_copy(update={"data": file, "content_sha256": content, "counts": counts})}
    )
    return row


def commit(out: Path, manifest: Manifest, changed: dict[int, Output]) -> None:
    """Writes manifest, receipts and statement as a run with the `changed` shards would have."""
    folder, ledger = Folder(str(out)), Ledger(Folder(str(out)), manifest.run_id)
    receipts, plan = ledger.receipts(), ledger.plan()
    assert plan is not None
    for output in changed.values():
        told = {name: getattr(output, name) for name in ("data", "content_sha256", "counts")}
        receipt = receipts[output.key].model_copy(update=told)
        (path,) = folder.list(f"_hardset/runs/{manifest.run_id}/receipts/{output.index:06d}-")
        folder.write(path, sealed(receipt))
    outputs = tuple(changed.get(i, output) for i, output in enumerate(manifest.outputs))
    sums = {
        "outputs": outputs,
        "totals": sum((output.counts for output in outputs), Counts()),
        "content_sha256": digest([output.content_sha256 for output in outputs]),
    }
    ledger.write_manifest(write_statement(folder, plan, manifest.model_copy(update=sums)))


def manifest_of(out: Path) -> Manifest:
    """The manifest of the dataset's only run."""
    manifest = latest_manifest(Folder(str(out)))
    assert manifest is not None
    return manifest


def _path(out: Path, shard: int) -> str:
    data = manifest_of(out).outputs[shard].data
    assert data is not None
    return data.path
