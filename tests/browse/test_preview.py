"""`hardset show JOB --recipe N` makes the first rows of a recipe as a run would, and stores nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from hardset.schemas.reading.loading import parse_job
from tests.augment.test_mixing import stored
from tests.support import hardset, last_json, make_here


@pytest.fixture
def job(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    document = {
        "name": "preview",
        "source": {"format": "digits", "limit": 40},
        "recipes": [
            {"kind": "augment", "ops": [{"name": "rotate", "degrees": 20}], "variants": 2},
            {"kind": "augment", "ops": [{"name": "cutmix"}]},
        ],
        "output": {"path": str(tmp_path / "out")},
    }
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(document))
    return path, document


def test_the_first_rows_are_those_of_the_run(job: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    path, document = job
    for recipe, due in ((0, 6), (1, 3)):
        picture = tmp_path / f"{recipe}.png"
        done = hardset("show", path, "--recipe", str(recipe), "--rows", "3", "--png", picture, "--json")
        assert done.returncode == 0, done.stderr
        told = last_json(done)
        assert len(told["rows"]) == due and told["picture"] == str(picture)
        assert np.asarray(Image.open(picture)).std() > 1
        assert not (tmp_path / "out").exists()
        shown = {(row["source_key"], row["variant"]): row["params"] for row in told["rows"]}
        if recipe == 0:
            first = shown
    manifest = make_here(parse_job(document))
    of_first = [row for row in stored(tmp_path / "out", manifest) if row["partner_key"] is None]
    params = {(row["source_key"], row["variant"]): row["params"] for row in of_first}
    assert all(params[key] == value for key, value in first.items())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["job.yaml", "--recipe", "2"], "--recipe: got 2; the job has recipes 0 to 1"),
        (["nowhere.yaml", "--recipe", "0"], "nowhere.yaml: no such file; --recipe previews a recipe of a job file"),
    ],
)
def test_what_cannot_be_previewed_ends_in_one_sentence(
    arguments: list[str], sentence: str, job: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(job[0].parent)
    done = hardset("show", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr
