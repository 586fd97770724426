"""A file that cannot be read costs that file: one row in quarantine, with the reason; names are taken and left."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.sources import row_files
from hardset.pipeline.sources.names import Names, matches_any
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.sources.unreadable import unreadable_warnings
from hardset.schemas.errors import JobError, UserError
from hardset.schemas.job.job import Job
from hardset.schemas.job.sources import HoldOut, ImageFolderSource, ImageSource, NpzSource, ParquetSource
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.run import Image
from tests.sources.making import npz_bytes, parquet_bytes, pixels, png, write
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


MATCHES = [
    (["*.txt"], "cat/x.txt", True),
    (["*.txt"], "x.txt.png", False),
    (["thumbs"], "cat/thumbs/x.png", True),
    (["cat/*.png"], "cat/x.png", True),
    (["cat/*.png"], "cat/deep/x.png", False),
    (["cat/**"], "cat/deep/x.png", True),
    (["**/x.png"], "x.png", True),
    (["train/cat"], "train/cat/x.png", True),
    (["[ab]?.png"], "a1.png", True),
    (["[!ab]?.png"], "a1.png", False),
    (["a.png"], "axpng", False),
    (["new\nline*"], "new\nline.png", True),
    ([], "x.png", False),
]


@pytest.mark.parametrize(("patterns", "name", "matches"), MATCHES)
def test_patterns_are_those_of_gitignore(patterns: list[str], name: str, matches: bool) -> None:
    assert matches_any(patterns, name) is matches


def test_patterns_take_and_leave_and_litter_is_never_looked_into(tmp_path: Path) -> None:
    for name in ("cat/a.png", "cat/a.txt", "cat/a.json", "dog/b.png", "@eaDir/b.png/T.jpg", "lost+found/x"):
        write(tmp_path / name, png(0))

    def taken(**patterns: Any) -> list[str]:
        plan = open_source(ImageFolderSource(path=str(tmp_path), **patterns)).plan(9)
        return [f"{part.file}/{member}" for part in plan for member in part.members]

    assert taken() == ["cat/a.json", "cat/a.png", "cat/a.txt", "dog/b.png"]
    assert taken(exclude=["*.txt", "*.json"]) == taken(include=["*.png"]) == ["cat/a.png", "dog/b.png"]
    assert taken(include=["dog"]) == ["dog/b.png"]
    with pytest.raises(JobError, match="holds no class folders"):
        taken(include=["*.jpeg"])
    assert not Names().enters("deep/lost+found") and Names().enters("label=3")


def test_names_that_writers_hide_are_hidden_in_tables(tmp_path: Path) -> None:
    names = ["part-0.parquet", "_metadata.parquet", "_temporary/0/part-1.parquet", ".x/part-2.parquet"]
    for name in [*names, "_day=1/part-3.parquet"]:
        write(tmp_path / name, good())
    assert [part.file for part in open_source(ParquetSource(path=str(tmp_path))).plan(9)] == [
        "_day=1/part-3.parquet",
        "part-0.parquet",
    ]
    named = open_source(ParquetSource(path=str(tmp_path / "_metadata.parquet")))
    assert [part.file for part in named.plan(9)] == ["_metadata.parquet"]


@pytest.mark.parametrize("path", ["", "/*.parquet", "/**/*.parquet"])
@pytest.mark.parametrize("place", ["", "inner"])
def test_roots_of_tables_are_refused(path: str, place: str, tmp_path: Path) -> None:
    if place and path == "/*.parquet":
        pytest.skip("matches no file")
    root = tmp_path / "lake" / place
    write(root / "a.parquet", good())
    spec = ParquetSource(path=f"{tmp_path}/lake{path}")
    assert open_source(spec).plan(9)
    write(root / "_delta_log" / "00000000000000000000.json", b"{}")
    with pytest.raises(JobError, match=r"^source\.path: .* is a Delta table, whose folder holds files of deleted rows"):
        open_source(spec).plan(9)
    (root / "_delta_log" / "00000000000000000000.json").unlink()
    (root / "_delta_log").rmdir()
    write(root / "metadata" / "00000-abc.metadata.json", b"{}")
    if not (place and path):
        with pytest.raises(JobError, match="is an Iceberg table"):
            open_source(spec).plan(9)
    assert open_source(ParquetSource(path=str(root / "a.parquet"))).plan(9)


def npz_of(member: bytes, *, folded: bool = True) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if folded else zipfile.ZIP_STORED) as archive:
        archive.writestr("images.npy", member)
        archive.writestr("labels.npy", npy(np.zeros(4, np.int64)))
    return buffer.getvalue()


def npy(array: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": array.dtype.str, "fortran_order": False, "shape": shape or array.shape}
    )
    return buffer.getvalue() + array.tobytes()


BOMBS = {
    "says more than it holds": (lambda: npz_of(npy(pixels(0)[None], (4, 10**6, 10**6))), r"says \(4, .*and it holds"),
    "unfolds to too much": (lambda: npz_of(npy(np.zeros((4, 512, 1024), np.uint8))), "unfolds to .* HARDSET_ARRAY_GIB"),
    "has huge rows": (lambda: npz_of(npy(np.zeros((1, 2048, 2048), np.uint8)), folded=False), "HARDSET_VALUE_MIB"),
    "less than nothing": (lambda: npz_of(npy(pixels(0)[None], (-4, 6, 5, 3))), "is no array"),
}


@pytest.mark.parametrize("case", BOMBS)
def test_arrays_are_bounded_before_they_are_unfolded(case: str, tmp_path: Path, monkeypatch) -> None:
    made, message = BOMBS[case]
    monkeypatch.setenv("HARDSET_VALUE_MIB", "2")
    monkeypatch.setenv("HARDSET_ARRAY_GIB", "0.001")
    write(tmp_path / "x.npz", made())
    monkeypatch.setattr("zipfile.ZipExtFile.read1", None)
    with pytest.raises(JobError, match=message):
        open_source(NpzSource(path=str(tmp_path / "x.npz"))).plan(9)


def test_an_array_of_objects_is_not_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    np.savez(tmp_path / "x.npz", images=np.array([Bomb()] * 4, dtype=object), labels=np.zeros(4, np.int64))
    with pytest.raises(JobError, match="it holds Python objects, which would have to be unpickled"):
        open_source(NpzSource(path=str(tmp_path / "x.npz"))).plan(9)
    assert not (tmp_path / "ran").exists()


def test_large_members_are_quarantined_without_being_read_whole(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HARDSET_VALUE_MIB", "0.001")
    write(tmp_path / "a" / "big.png", png(0) + bytes(10**6))
    write(tmp_path / "a" / "small.png", png(1))
    reader = open_source(ImageFolderSource(path=str(tmp_path)))
    (part,) = reader.plan(9)
    rows, (reject,) = reader.read(part, SHAPE, 1)
    assert rows.keys == ("a/small.png",)
    assert (reject.key, reject.error_class) == ("a/big.png", "ImageTooLargeError")
    assert "HARDSET_VALUE_MIB" in reject.message


@pytest.mark.parametrize(
    "source", [{"size": 10**9}, {"size": [8, 10**20]}, {"limit": 10**20}, {"max_pixels": 10**12}], ids=str
)
def test_numbers_beyond_sense_are_refused(source: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"source\.{next(iter(source))}"):
        job_of(tmp_path, tmp_path / "out", **source)


def test_the_whole_array_of_a_good_file_is_read(tmp_path: Path) -> None:
    images = np.stack([pixels(i) for i in range(4)])
    write(tmp_path / "x.npz", npz_bytes(np.asfortranarray(images), np.arange(4) % 3, compressed=True))
    spec: ImageSource = NpzSource(path=str(tmp_path / "x.npz"))
    reader = open_source(spec)
    (part,) = reader.plan(9)
    np.testing.assert_array_equal(reader.read(part, SHAPE, 3)[0].pixels, images)
