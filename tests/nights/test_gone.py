"""An output that is removed while a run is at work on it: told as such, and not made anew behind its owner's back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from hardset.pipeline.run.generation import generate
from hardset.schemas.errors import GoneError
from tests.nights.conftest import Night, in_process
from tests.support import hardset


def removing(files: Night, part: str, monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Removes a part of the output once so many shards are made."""

    def results(*arguments: Any, **settings: Any) -> Iterator[Any]:
        for number, result in enumerate(in_process(*arguments, **settings), 1):
            yield result
            if number == after:
                shutil.rmtree(files.out / part)

    monkeypatch.setattr("hardset.pipeline.run.generation.results", results)


@pytest.mark.parametrize("after", [1, 4])
@pytest.mark.parametrize("part", ["", "_hardset", "data"])
def test_an_output_that_is_removed_is_gone(
    files: Night, part: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        removing(files, part, patch, after=after)
        with pytest.raises(GoneError, match=r"the output is gone: .* start the same command again"):
            generate(files.job())
    written = {path.name for path in files.out.rglob("*") if path.is_file()}
    assert not written & {"manifest.json", "README.md"}
    if part != "data":
        assert not written & {"plan.json", "openlineage.jsonl", "00000001.json"}
    files.run()
    files.check()


def test_the_command_ends_with_1_and_says_so(files: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    job = files.source.parent / "job.yaml"
    job.write_text(json.dumps(files.job().model_dump(mode="json")))
    removing(files, "", monkeypatch, after=2)
    done = hardset("generate", job)
    assert done.returncode == 1
    assert "the output is gone" in done.stderr
    assert "fault of hardset" not in done.stderr
