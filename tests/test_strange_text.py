"""Class names, licences and messages of strangers: escape sequences and markup in them do nothing."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import numpy as np
import pytest
import yaml
from PIL import Image

from hardset.jobs.terminal.console import complain, give, say
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.rows.sql import rows_view
from hardset.schemas.text import CONTROLS, markdown, printable
from tests.support import make_here

CLEAR = "\x1b[2J\x1b]0;owned\x07"
NAMES = ("plain", f"es{CLEAR}cape", "c1 \x9b31m", "turn \u202eed", "it's")


def test_a_terminal_is_told_no_escape_sequence(capsys: pytest.CaptureFixture[str]) -> None:
    for name in NAMES:
        say(name)
        complain(name)
        give({"name": name}, as_json=True)
    told = capsys.readouterr()
    assert not CONTROLS.search(told.out + told.err)
    answers = [json.loads(line)["name"] for line in told.out.splitlines() if line.startswith("{")]
    assert answers == list(NAMES)


def test_sql_holds_no_escape_sequence_and_gives_the_names_whole() -> None:
    text = rows_view(["data/*.parquet"], NAMES)
    assert not CONTROLS.search(text)
    connection = duckdb.connect()
    connection.execute(text.splitlines()[0])
    found = [connection.execute(f"select class_name({number})").fetchall()[0][0] for number in range(len(NAMES))]
    assert found == list(NAMES)


def test_markdown_makes_no_link_table_or_html() -> None:
    assert markdown("a | b\n# c <script> [x](y) `z`") == r"a \| b # c \<script\> \[x\](y) \`z\`"
    assert printable("two\nlines\tand") == "two\nlines\tand"


def test_a_dataset_of_strange_names_and_a_strange_licence_is_written_without_them(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        folder = tmp_path / "source" / name
        folder.mkdir(parents=True)
        Image.fromarray(np.full((8, 8), 40 * number, np.uint8)).save(folder / "0.png")
    licence = "mine <b>bold</b>\n\n# Heading\x1b[31m"
    job = parse_job(
        {
            "name": "strange",
            "source": {"format": "imagefolder", "path": str(tmp_path / "source")},
            "recipes": [{"kind": "augment", "ops": [{"name": "hflip"}]}],
            "output": {"path": str(tmp_path / "out"), "license": licence},
        }
    )
    make_here(job)
    out = Folder(str(tmp_path / "out"))
    card = out.read("README.md").decode()
    head, _, body = card.partition("\n---\n")
    assert not CONTROLS.search(body) and "<b>" not in body and "# Heading" not in body.splitlines()
    assert yaml.safe_load(head.removeprefix("---\n"))["license"] == licence
    assert not CONTROLS.search(out.read("rows.sql").decode())
