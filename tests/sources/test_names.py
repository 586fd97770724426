"""Names of files that count: patterns of the job, litter, what writers hide, and roots of tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hardset.pipeline.sources.names import Names, matches_any
from hardset.pipeline.sources.table import open_source
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ImageFolderSource, ParquetSource
from tests.sources.making import png, write
from tests.sources.test_unreadable import good

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
