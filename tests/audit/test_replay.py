"""What `hardset replay` says of a row that was made again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hardset.pipeline.audit.replay
import hardset.pipeline.audit.replay as replaying
from hardset.pipeline.audit.replay import DIFFERS, EQUAL, NEARLY, PixelDifference, place_of, replay, result_of
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.dataset.files.png import encode_png
from hardset.pipeline.dataset.records.ledger import Ledger, latest_manifest
from hardset.pipeline.dataset.records.seals import sealed
from hardset.pipeline.storage.folder import Folder
from tests.support import hardset, job_of, last_json, make_here


def _difference(*changes: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.int16]]:
    """20 x 20 values, of which some differ: (how many, by how many levels)."""
    flat, at = np.zeros(400, np.int16), 0
    for number, levels in changes:
        flat[at : at + number] = levels
        at += number
    return flat.reshape(20, 20, 1)


@pytest.mark.parametrize(
    ("difference", "columns", "elsewhere", "result"),
    [
        (_difference(), (), (), EQUAL),
        (_difference(), ("margin",), ("device cuda",), EQUAL),
        (_difference((1, 1)), (), (), DIFFERS),
        (_difference((400, 1)), ("margin",), ("device cuda",), NEARLY),
        (_difference((4, 16)), ("margin", "l2"), ("torch 2.9.0",), NEARLY),
        (_difference((5, 16)), (), ("device cuda",), DIFFERS),
        (_difference((1, 1)), ("success",), ("device cuda",), DIFFERS),
        (_difference((1, 1)), ("pred",), ("device cuda",), DIFFERS),
    ],
)
def test_a_tolerance_is_for_what_was_made_elsewhere(
    difference: Any, columns: tuple[str, ...], elsewhere: tuple[str, ...], result: str
) -> None:
    assert result_of(difference, columns, elsewhere) == result


def test_the_place_of_a_difference() -> None:
    stored = np.zeros((5, 6, 3), np.uint8)
    again = stored.copy()
    assert place_of(stored, again) is None
    again[1, 4, 2], again[3, 2, 0] = 7, 9
    assert place_of(stored, again) == PixelDifference(1, 4, 2, 0, 7, (1, 2, 4, 5))


@pytest.fixture(scope="module")
def made(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("replay") / "out"
    augment = {"kind": "augment", "ops": [{"name": "rotate", "degrees": 15}]}
    make_here(job_of(weights, out, recipes=[augment], source={"format": "digits", "limit": 10}))
    return out


def _elsewhere(out: Path) -> None:
    """The receipt says that a GPU made the shard, the manifest that another torch did."""
    folder = Folder(str(out))
    manifest = latest_manifest(folder)
    assert manifest is not None
    ledger = Ledger(folder, manifest.run_id)
    (receipt,) = ledger.receipts().values()
    (path,) = folder.list(f"_hardset/runs/{manifest.run_id}/receipts/")
    folder.write(path, sealed(receipt.model_copy(update={"device": "cuda"})))
    changed = manifest.model_copy(update={"environment": manifest.environment | {"torch": "2.9.0"}})
    folder.write(f"_hardset/runs/{manifest.run_id}/manifest.json", sealed(changed))


def _one_level_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that rounds the first value of each image otherwise stands for another one, which no test has."""
    own = replaying.make_shard

    def other(*given: Any, **settings: Any) -> Any:
        shard = own(*given, **settings)
        for image in shard.columns["image"]:
            pixels = replaying.decode_png(image["bytes"]).copy()
            pixels[2, 3, 0] ^= 1
            image["bytes"] = encode_png(pixels[None])[0]
        return shard

    monkeypatch.setattr(replaying, "make_shard", other)


def test_equal_rows_are_equal_whoever_made_them(made: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(made, tmp_path / "out"))
    row = last_json(hardset("show", out, "--json"))["rows"][0]["row_id"]
    assert replay(Folder(str(out)), row, trust=Trust(records=True)).elsewhere == ()
    _elsewhere(out)
    done = replay(Folder(str(out)), row, trust=Trust(records=True))
    assert (done.result, done.elsewhere) == (EQUAL, ("device cuda", "torch 2.9.0"))


def test_a_row_that_differs_says_where(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Path(shutil.copytree(made, tmp_path / "out"))
    row = last_json(hardset("show", out, "--json"))["rows"][0]["row_id"]
    _one_level_off(monkeypatch)
    done = hardset("replay", out, row, "--trust-code", "--json")
    assert (done.returncode, last_json(done)["result"]) == (1, DIFFERS)
    assert "differs in 1 value, by 1 level at most" in done.stdout
    assert "First at row 2, column 3, channel 0: " in done.stdout
    assert "all in rows 2 to 2, columns 3 to 3" in done.stdout
    _elsewhere(out)
    done = hardset("replay", out, row, "--trust-code", "--json")
    assert (done.returncode, last_json(done)["result"]) == (0, NEARLY)
    assert "It was made with device cuda, torch 2.9.0" in done.stdout


def test_rows_that_mix_a_partner_in_are_made_again_to_the_last_column(weights: dict[str, str], tmp_path: Path) -> None:
    mix = [{"kind": "augment", "ops": [{"name": name}], "variants": 2} for name in ("mixup", "cutmix")]
    job = job_of(weights, tmp_path / "out", source={"format": "digits", "limit": 12}, recipes=mix)
    make_here(job)
    folder = Folder(job.output.path)
    for number, made in ((5, 5), (None, 48)):
        findings = verify(folder, sample=0, replay=number, trust=Trust(job=job))
        assert (findings.faults, findings.remade) == ([], made)
    row = last_json(hardset("show", folder.url, "--json"))["rows"][0]["row_id"]
    assert replay(folder, row, trust=Trust(job=job)).columns_differing == ()
