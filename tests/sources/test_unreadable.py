"""A file that cannot be read costs that file: one row in quarantine, with the reason; names are taken and left."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.sources import row_files
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.sources.unreadable import unreadable_warnings
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.job.sources import HoldOut, ImageFolderSource, NpzSource, ParquetSource
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.run import Image
from tests.sources.making import parquet_bytes, png, write
from tests.support import hardset, make_here

SHAPE = Image(height=6, width=5, channels=3)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


def good(seed: int = 0, **options: Any) -> bytes:
    return parquet_bytes([png(seed + i) for i in range(4)], [0, 1, 2, 0], names="abc", **options)


def encrypted() -> bytes:
    import pyarrow.parquet.encryption as pe

    class Keys(pe.KmsClient):  # type: ignore[misc]  # pyarrow is not typed
        def __init__(self, config: Any) -> None:
            super().__init__()

        def wrap_key(self, key: bytes, name: str) -> str:
            return key.hex()

        def unwrap_key(self, key: str, name: str) -> bytes:
            return bytes.fromhex(key)

    factory = pe.CryptoFactory(Keys)
    config = pe.EncryptionConfiguration(footer_key="k", column_keys={"k": ["label"]})
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), config)
    table, buffer = pq.read_table(io.BytesIO(good())), io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def sidecar() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"license": ["cc0"]}), buffer)
    return buffer.getvalue()


BROKEN = {
    "empty": (lambda: b"", "is empty"),
    "encrypted": (encrypted, "is encrypted; hardset has no key to it"),
    "an LFS pointer": (lambda: LFS, "is a Git LFS pointer, not the file; `git lfs pull` fetches it"),
    "an annex pointer": (lambda: b"/annex/objects/SHA256E-s1234--abc\n", "is a git-annex pointer"),
    "a web page": (lambda: b"<!DOCTYPE html><html>404</html>", "is a web page"),
    "truncated": (lambda: good()[:-20], "is no Parquet file, or is truncated"),
    "a sidecar": (sidecar, "no column 'image' in b.parquet; it has: license"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_of_a_kind_costs_itself(case: str, tmp_path: Path) -> None:
    made, why = BROKEN[case]
    for name, data in (("a", good(0)), ("b", made()), ("c", good(9))):
        write(tmp_path / f"{name}.parquet", data)
    reader = open_source(ParquetSource(path=str(tmp_path)))
    assert (reader.class_names(), reader.probe()) == (("a", "b", "c"), SHAPE)
    plan = reader.plan(3)
    assert [(r.file[0], r.rows) for r in plan] == [("a", 3), ("a", 1), ("b", 1), ("c", 3), ("c", 1)]
    reads = [open_source(reader.spec).read(part, SHAPE, 3) for part in plan]
    assert sum(len(rows) for rows, _ in reads) == 8
    ((reject,),) = [rejects for _, rejects in reads if rejects]
    assert (reject.key, reject.error_class, reject.stage) == ("b.parquet#0", "FileError", "read")
    assert why in reject.message and "remove" not in reject.message
    (told,) = unreadable_warnings(plan)
    assert (
        told.startswith("source.unreadable: 1 file cannot be read and goes to quarantine: b.parquet ") and why in told
    )
    strict = reader.spec.model_copy(update={"unreadable": "fail"})
    with pytest.raises(JobError, match=r"^source\.\w+: .*b\.parquet"):
        open_source(strict).plan(3)


def test_a_mended_file_is_made_and_no_other_is_made_anew(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", good())
    write(tmp_path / "b.parquet", b"")
    before = open_source(ParquetSource(path=str(tmp_path))).plan(9)
    write(tmp_path / "b.parquet", good(9))
    after = open_source(ParquetSource(path=str(tmp_path))).plan(9)
    assert (before[0], before[1].digest == after[1].digest, after[1].unreadable) == (after[0], False, "")


@pytest.mark.parametrize("fmt", [ParquetSource, NpzSource])
def test_where_none_can_be_read_the_first_says_why(fmt: Any, tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / f"{name}{'.parquet' if fmt is ParquetSource else '.npz'}", b"junk")
    for ask in ("probe", "plan", "class_names") if fmt is ParquetSource else ("probe", "plan"):
        reader = open_source(fmt(path=str(tmp_path)))
        with pytest.raises(JobError, match=r"^source\.path: a\.\w+ is no"):
            getattr(reader, ask)(*([9] if ask == "plan" else []))


def test_a_link_that_leads_nowhere_and_a_file_without_permission(tmp_path: Path, monkeypatch) -> None:
    write(tmp_path / "in" / "a.parquet", good())
    (tmp_path / "in" / "b.parquet").symlink_to("/nowhere/cache/ab")
    locked = write(tmp_path / "in" / "c.parquet", good(9))
    locked.chmod(0)
    if os.geteuid() == 0:  # whom permissions do not hold
        from fsspec.implementations.local import LocalFileSystem

        real = LocalFileSystem.open

        def opened(self: Any, path: str, *rest: Any, **options: Any) -> Any:
            if path.endswith("c.parquet"):
                raise PermissionError(13, "Permission denied", path)
            return real(self, path, *rest, **options)

        monkeypatch.setattr(LocalFileSystem, "open", opened)
    for path in (tmp_path / "in", f"{tmp_path}/in/*.parquet"):
        plan = open_source(ParquetSource(path=str(path))).plan(9)
        assert [(r.file[0], r.unreadable) for r in plan] == [
            ("a", ""),
            ("b", "is a link to /nowhere/cache/ab, where nothing is"),
            ("c", "may not be read; mend its permissions"),
        ]


def test_members_without_bytes_cost_themselves(tmp_path: Path) -> None:
    write(tmp_path / "cat" / "x.png", png(0))
    (tmp_path / "cat" / "y.png").symlink_to("/nowhere/cache/ab")
    write(tmp_path / "dog" / "z.png", LFS)
    reader = open_source(ImageFolderSource(path=str(tmp_path)))
    assert reader.probe() == SHAPE
    plan = reader.plan(9)
    reads = [reader.read(part, SHAPE, 2) for part in plan]
    assert [key for rows, _ in reads for key in rows.keys] == ["cat/x.png"]
    assert [(r.key, r.message) for _, rejects in reads for r in rejects] == [
        ("cat/y.png", "the file cannot be read: is a link to /nowhere/cache/ab, where nothing is"),
        ("dog/z.png", "is a Git LFS pointer, not the file; `git lfs pull` fetches it"),
    ]
    assert "cat/y.png" in unreadable_warnings(plan)[0]
    (tmp_path / "cat" / "y.png").unlink()
    write(tmp_path / "cat" / "y.png", png(1))
    assert open_source(reader.spec).plan(9)[0].digest != plan[0].digest


def test_an_unreadable_file_is_lost_to_both_parts_of_a_hold_out(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", good())
    write(tmp_path / "b.parquet", b"")
    for part in ("rest", "held_out"):
        spec = ParquetSource(path=str(tmp_path), hold_out=HoldOut(fraction=0.5, part=part))  # type: ignore[arg-type]
        reader = open_source(spec)
        rows, rejects = reader.read(reader.plan(9)[1], SHAPE, 3)
        assert (len(rows), rows.held_out, len(rejects)) == (0, 0, 1)


def job_of(folder: Path, out: Path, **source: Any) -> Job:
    return parse_job(
        {
            "name": "unreadable",
            "source": {"format": "parquet", "path": str(folder), **source},
            "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}], "variants": 2}],
            "output": {"path": str(out)},
        }
    )


def test_a_run_quarantines_the_file_and_counts_it(tmp_path: Path) -> None:
    import yaml

    write(tmp_path / "in" / "a.parquet", good())
    write(tmp_path / "in" / "b.parquet", b"")
    job = job_of(tmp_path / "in", tmp_path / "out")
    manifest = make_here(job)
    assert (manifest.totals.rows_out, manifest.totals.quarantined, manifest.totals.expected) == (8, 2, 10)
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(job.model_dump(mode="json")))
    assert "1 file cannot be read and goes to quarantine: b.parquet is empty" in hardset("plan", file).stdout
    refused = hardset("plan", file, "--set", "source.unreadable=fail")
    assert refused.returncode == 2 and "b.parquet is empty" in refused.stderr
    left = hardset("plan", file, "--set", "source.exclude=[b.parquet]", "--set", "source.unreadable=fail")
    assert left.returncode == 0


def test_a_file_that_cannot_be_read_is_hashed_once_per_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "in" / "a.parquet", good())
    write(tmp_path / "in" / "b.parquet", good()[:-20])
    monkeypatch.setenv("HARDSET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("hardset.pipeline.sources.fingerprints.RACY_SECONDS", -60.0)
    hashed: list[str] = []
    original = row_files.fingerprint
    monkeypatch.setattr(row_files, "fingerprint", lambda fs, path: hashed.append(Path(path).name) or original(fs, path))
    plans = [open_source(ParquetSource(path=str(tmp_path / "in"))).plan(9) for _ in range(2)]
    assert plans[0] == plans[1]
    assert sorted(hashed) == ["a.parquet", "b.parquet"]


def test_which_files_are_chosen_is_in_no_key(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.parquet", good())
    plain = make_plan(job_of(tmp_path / "in", tmp_path / "out"))
    chosen = make_plan(job_of(tmp_path / "in", tmp_path / "out", include=["a*"], exclude=["b*"], unreadable="fail"))
    assert plain.shards == chosen.shards
