"""User names, passwords and tokens in URLs reach nothing that is written, logged or said."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from fsspec.implementations.memory import MemoryFileSystem

from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.dataset.records.chosen import newest_manifest
from hardset.pipeline.dataset.tables.iceberg import publish_iceberg
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import UserError
from tests.support import document, hardset, job_of, make_here

SECRETS = ("sesame-user", "sesame-word", "sesame-token", "sesame-part")
URL = "memory://sesame-user:sesame-word@host/{}?token=sesame-token#sesame-part"
# fsspec's memory keeps credentials and query as part of a path, so they lead somewhere.


@pytest.fixture
def places(weights: dict[str, str]) -> Iterator[dict[str, str]]:
    """Source, weights and output at URLs that hold secrets, in a store of their own."""
    store = dict(MemoryFileSystem.store)
    files = fsspec.filesystem("memory")
    target = io.BytesIO()
    rng = np.random.default_rng(0)
    np.savez(target, images=rng.integers(0, 256, (12, 8, 8, 1), np.uint8), labels=np.arange(12) % 10)
    urls = {name: URL.format(name) for name in ("source", "victim.safetensors", "out")}
    files.pipe_file(f"{urls['source']}/train.npz", target.getvalue())
    files.pipe_file(urls["victim.safetensors"], Path(weights["victim"]).read_bytes())
    yield urls
    MemoryFileSystem.store.clear()
    MemoryFileSystem.store.update(store)


def _leaks(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return [secret for secret in SECRETS if secret.encode() in data]


def _texts(path: str, data: bytes) -> Iterator[str | bytes]:
    """What a file says, in the clear: Parquet compresses."""
    yield data
    if path.endswith(".parquet"):
        table = pq.read_table(io.BytesIO(data))
        yield json.dumps(table.drop_columns(["image"] if "image" in table.column_names else []).to_pylist())
        yield repr(pq.read_metadata(io.BytesIO(data)).metadata)


@pytest.fixture
def changes(places: dict[str, str]) -> dict[str, Any]:
    """The sections of a job at those places."""
    return {
        "source": {"format": "npz", "path": places["source"]},
        "model": {
            "factory": "hardset.pipeline.models.zoo:small_cnn",
            "weights": places["victim.safetensors"],
            "classes": 10,
        },
    }


def test_nothing_that_is_written_holds_a_secret(
    weights: dict[str, str],
    places: dict[str, str],
    changes: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = places["out"]
    with caplog.at_level(logging.DEBUG, "pipeline"):
        make_here(job_of(weights, out, **changes))
        folder = Folder(out)
        assert verify(folder, sample=0, trust=Trust(source=places["source"])).faults == []
        records = Trust(records=True)
        assert verify(folder, sample=None, trust=records).faults != []  # they no longer say how to log in
        said = [hardset("report", out), hardset("status", out), hardset("show", out, "--json"), hardset("verify", out)]
        said += [hardset("explain", out, "no-such-row"), hardset("diff", out, out)]
        with suppress(UserError):
            publish_iceberg(folder, newest_manifest(folder))
    written = folder.list()
    assert any(path.endswith("report.html") for path in written)
    assert {path.partition("/")[0] for path in written} >= {"README.md", "croissant.json", "data", "_hardset"}
    for path in written:
        for text in _texts(path, folder.read(path)):
            assert _leaks(text) == [], path
    for done in said:
        assert _leaks(done.stdout + done.stderr) == [], done.args
    shown = capfd.readouterr()
    assert _leaks(shown.out + shown.err + caplog.text) == []


@pytest.mark.parametrize("broken", ["source", "weights", "output"])
def test_no_error_holds_a_secret(
    broken: str,
    weights: dict[str, str],
    places: dict[str, str],
    changes: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(url: str) -> None:
        raise ConnectionRefusedError(f"no answer from {url}")

    if broken == "source":
        changes["source"]["path"] = URL.format("gone")
    elif broken == "weights":
        changes["model"]["weights"] = URL.format("gone.safetensors")
    else:
        monkeypatch.setattr("hardset.pipeline.storage.objects.MemoryStore.write", lambda *_: refuse(places["out"]))
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(document(weights, places["out"], **changes)))
    done = hardset("generate", path, "--json")
    assert done.returncode in (1, 2)
    assert _leaks(done.stdout + done.stderr) == [], done.stderr
