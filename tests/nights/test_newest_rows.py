"""Readers see the newest rows, by the calls that the README shows: after every night, after gc, and during a run."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import duckdb
import pytest

import hardset
from hardset.pipeline.audit.gc import collect
from hardset.pipeline.run.generation import RunProgress, generate
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.run import Manifest
from tests.nights.conftest import Night

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
CALLS: dict[str, str] = dict(re.findall(r"^\| (\w[^|;,]*)[^|]* \| `(\w+\..*\))` \|$", README, re.MULTILINE))
"""One line of Python by reader, as the README's table has it."""
(LIST,) = re.findall(r"^files = (\[.*\])\n```$", README, re.MULTILINE)
IDS: dict[str, Callable[[Any], list[str]]] = {
    "Hugging Face datasets": lambda rows: rows["row_id"][:],
    "DuckDB": lambda rows: [row_id for (row_id,) in rows.select("row_id").fetchall()],
    "Polars": lambda rows: rows.collect()["row_id"].to_list(),
    "pandas": lambda rows: rows["row_id"].tolist(),
    "pyarrow": lambda rows: rows.to_table(["row_id"])["row_id"].to_pylist(),
    "Ray Data": lambda rows: [row["row_id"] for row in rows.select_columns(["row_id"]).take_all()],
}
RAY = """
import json, sys
import ray
for out in sys.argv[1:]:
    files = {files}
    print("ids", json.dumps([row["row_id"] for row in {call}.select_columns(["row_id"]).take_all()]))
"""


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`datasets` reaches for no network, and keeps a copy of each state of the folder apart."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))


def listed(out: Path) -> list[str]:
    found: list[str] = eval(LIST.replace("demo/out", str(out)))
    return found


def seen(reader: str, out: Path) -> Counter[str]:
    """Row ids that a reader sees by its call."""
    call = CALLS[reader].replace("demo/out", str(out))
    for module in dict.fromkeys((call.split(".")[0], call.split("(")[0].rpartition(".")[0])):
        importlib.import_module(module)
    space = {call.split(".")[0]: sys.modules[call.split(".")[0]], "files": listed(out)}
    return Counter(IDS[reader](eval(call, space)))


def by_view(out: Path) -> Counter[str]:
    with duckdb.connect() as connection:
        connection.execute(f"SET file_search_path = '{out}'")
        connection.execute((out / "rows.sql").read_text())
        return Counter(row_id for (row_id,) in connection.execute("SELECT row_id FROM rows").fetchall())


def truth(out: Path, manifest: Manifest) -> Counter[str]:
    """Row ids of the run, file by file as its manifest has them."""
    ids: Counter[str] = Counter()
    for file in manifest.data_files:
        ids.update(row_id for (row_id,) in duckdb.sql(f"SELECT row_id FROM '{out / file.path}'").fetchall())
    assert sum(ids.values()) == manifest.totals.rows_out > 0
    return ids


def all_see(out: Path, wanted: Counter[str], readers: tuple[str, ...]) -> None:
    for reader in readers:
        assert seen(reader, out) == wanted, reader
    assert by_view(out) == wanted
    assert listed(out) == list(hardset.open_dataset(out).files)


HERE = tuple(reader for reader in IDS if reader != "Ray Data")


def nights(files: Night) -> Iterator[Counter[str]]:
    """A dataset after each change, with the rows that readers should see."""
    out = files.out

    def after(run: Any) -> Counter[str]:
        assert run.manifest is not None
        return truth(out, run.manifest)

    yield after(files.run())
    files.put("b", 7)  # other rows in one file: its shards are made again
    second = after(files.run())
    yield second
    files.put("c", 3)
    files.put("a", 9)
    third = after(files.run())
    assert third != second
    yield third
    assert sum(Counter(duckdb.sql(f"SELECT row_id FROM '{out}/data/**/*.parquet'").fetchall()).values()) > len(third)
    collect(Folder(str(out)), keep_runs=1)
    yield third
    assert Counter(row for (row,) in duckdb.sql(f"SELECT row_id FROM '{out}/**/*.parquet'").fetchall()) == third
    # What an attempt of the newest run left behind, named as its files are.
    newest = hardset.open_dataset(out).manifest
    first = newest.data_files[-1].path
    (out / first.replace(first[-20:], "0" * 12 + ".parquet")).write_bytes((out / first).read_bytes())
    yield third


def test_the_readme_has_a_line_for_each_reader() -> None:
    assert CALLS.keys() == IDS.keys()
    assert "`data/**` means all nights" in README


def test_all_readers_see_the_newest_rows_after_every_night_and_after_gc(files: Night) -> None:
    for wanted in nights(files):
        all_see(files.out, wanted, HERE)


@pytest.mark.slow
def test_ray_data_sees_the_newest_rows_after_every_night_and_after_gc(files: Night, tmp_path: Path) -> None:
    """One Ray, which takes many seconds to start, looks at copies of the dataset."""
    wanted = []
    for number, rows in enumerate(nights(files)):
        wanted.append(rows)
        shutil.copytree(files.out, tmp_path / str(number))
    files_of_out = LIST.replace("demo/out", "{out}").replace("open(", "open(f")
    code = RAY.format(files=files_of_out, call=CALLS["Ray Data"])
    command = [sys.executable, "-c", code, *(str(tmp_path / str(number)) for number in range(len(wanted)))]
    settings = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, env=settings, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line[4:]) for line in done.stdout.splitlines() if line.startswith("ids ")]
    assert [Counter(ids) for ids in found] == wanted


def test_during_a_run_all_readers_see_the_rows_of_the_run_before(files: Night) -> None:
    """At every shard that is committed, also of a run that was there before: files come back to a folder of its own."""
    first = files.run().manifest
    files.put("b", 7)
    second = files.run().manifest
    assert first is not None and second is not None
    collect(Folder(str(files.out)), keep_runs=1)
    files.put("b", 2)  # as it was: the first run is made once more, whose rows of this file are gone
    wanted, looks = truth(files.out, second), 0

    def look(progress: RunProgress) -> None:
        nonlocal looks
        looks += 1
        all_see(files.out, wanted, HERE)

    outcome = generate(files.job(), on_progress=look)
    assert looks == 3  # at the start, and after each of two shards
    assert outcome.plan.run_id == first.run_id
    all_see(files.out, truth(files.out, first), HERE)
