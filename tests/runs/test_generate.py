"""The main job end to end, by the real command line and real Ray actors."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest
import safetensors.torch
import torch
from PIL import Image

from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.models.zoo import small_cnn
from hardset.pipeline.sources.table import open_source
from hardset.schemas.records.run import SourceRange
from tests.support import digests, hardset, job_of, last_json

WriteJob = Callable[..., Path]


def rows_of(out: Path) -> list[dict[str, object]]:
    """All rows, as plain Python values."""
    table = ds.dataset(out / "data", format="parquet").to_table()
    rows: list[dict[str, object]] = table.to_pylist()
    return rows


def test_every_family_is_there_in_full(small_dataset: Path) -> None:
    rows = rows_of(small_dataset)
    kinds = [row["kind"] for row in rows]
    assert kinds.count("adversarial") == 2 * 300
    assert kinds.count("augmented") == 2 * 300
    assert kinds.count("generated") == 12 * 10
    assert len({row["row_id"] for row in rows}) == len(rows)


def test_every_success_holds_when_judged_by_independent_code(small_dataset: Path, weights: dict[str, str]) -> None:
    """Plain torch and Pillow: no judge, no reader of ours."""
    model = small_cnn()
    model.load_state_dict(safetensors.torch.load_file(weights["victim"]))
    model.eval()
    rows = [row for row in rows_of(small_dataset) if row["kind"] == "adversarial"]
    clean = clean_pixels()
    stored = np.stack([np.asarray(Image.open(io.BytesIO(row["image"]["bytes"]))) for row in rows])  # type: ignore[index]
    source = np.stack([clean[str(row["source_key"])] for row in rows])
    with torch.no_grad():
        predicted = model(torch.from_numpy(stored)[:, None].float() / 255).argmax(1).numpy()
        before = model(torch.from_numpy(source)[:, None].float() / 255).argmax(1).numpy()
    labels = np.asarray([row["label"] for row in rows])
    success = np.asarray([row["success"] for row in rows])
    assert success.sum() > 50
    np.testing.assert_array_equal(success, (before == labels) & (predicted != labels))
    levels = np.abs(stored.astype(int) - source.astype(int)).max(axis=(1, 2))
    allowed = np.asarray([int(float(row["eps"]) * 255 + 1e-6) for row in rows])  # type: ignore[arg-type]
    assert (levels <= allowed).all()
    np.testing.assert_array_equal(levels, [row["linf_levels"] for row in rows])


def clean_pixels() -> dict[str, np.ndarray]:
    """Clean digits by source key."""
    source = open_source(job_of({"victim": "", "generator": ""}, "unused").source)
    image = source.probe()
    clean = {}
    for part in source.plan(10_000):
        assert isinstance(part, SourceRange)
        rows, _ = source.read(part, image, 10)
        clean |= {key: rows.pixels[i, :, :, 0] for i, key in enumerate(rows.keys)}
    return clean


def test_verify_finds_nothing_and_then_what_was_done_to_it(small_dataset: Path, tmp_path: Path) -> None:
    import shutil

    assert hardset("verify", small_dataset, "--all", "--trust-code").returncode == 0
    for damage in ("flip", "remove", "swap"):
        copy = tmp_path / damage
        shutil.copytree(small_dataset, copy)
        files = sorted(copy.glob("data/**/*.parquet"))
        if damage == "flip":
            data = bytearray(files[0].read_bytes())
            data[len(data) // 2] ^= 1
            files[0].write_bytes(data)
        elif damage == "remove":
            files[0].unlink()
        else:
            first, second = files[0].read_bytes(), files[1].read_bytes()
            files[0].write_bytes(second)
            files[1].write_bytes(first)
        done = hardset("verify", copy, "--sample", "0", "--json")
        assert done.returncode == 1, damage
        assert files[0].name in done.stdout
        assert last_json(done)["faults"]


@pytest.mark.parametrize("op", ["pgd_linf", "fgsm_linf", "augment", "gan"])
def test_replay_gives_the_row_bit_for_bit(small_dataset: Path, op: str) -> None:
    from hardset.pipeline.audit.replay import replay
    from hardset.pipeline.storage.folder import Folder

    row = next(row for row in reversed(rows_of(small_dataset)) if row["op"] == op)
    done = replay(Folder(str(small_dataset)), str(row["row_id"]), trust=Trust(records=True))
    assert done.equal
    assert done.columns_differing == ()


@pytest.mark.parametrize("actors", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_the_bytes_do_not_depend_on_the_number_of_actors(
    small_dataset: Path, weights: dict[str, str], tmp_path: Path, actors: int
) -> None:
    from hardset.pipeline.run.generation import generate

    generate(job_of(weights, tmp_path / "out", sample=True, run={"actors": actors, "batch": 64}))
    assert digests(tmp_path / "out") == digests(small_dataset)


def test_a_second_start_does_nothing_and_says_so(
    small_dataset: Path, weights: dict[str, str], write_job: WriteJob
) -> None:
    before = digests(small_dataset)
    done = hardset("generate", write_job(out=small_dataset, sample=True), "--json", own_process=True)
    assert done.returncode == 0, done.stderr
    assert last_json(done)["status"] == "nothing to do"
    assert digests(small_dataset) == before


def test_a_changed_eps_makes_only_that_recipes_shards_anew(
    small_dataset: Path, weights: dict[str, str], tmp_path: Path
) -> None:
    import shutil

    from hardset.pipeline.run.run_state import look
    from hardset.schemas.reading.loading import parse_job
    from tests.support import document

    out = tmp_path / "out"
    shutil.copytree(small_dataset, out)
    state = look(parse_job(document(weights, out, sample=True), ["recipes.0.eps=10/255"]))
    missing = {shard.recipe for shard in state.plan.shards if shard.key not in state.done}
    assert missing == {0}
    assert not state.complete


def test_status_and_plan_say_how_far_it_is(small_dataset: Path, write_job: WriteJob) -> None:
    state = last_json(hardset("status", small_dataset, "--json"))["runs"][0]
    assert (state["state"], state["shards"], state["shards_done"]) == ("complete", 11, 11)
    plan = last_json(hardset("plan", write_job(out=small_dataset, sample=True), "--json"))
    assert (plan["shards"], plan["done"]) == (11, 11)
    fresh = last_json(hardset("plan", write_job(sample=True), "--json"))
    assert (fresh["shards"], fresh["done"]) == (11, 0)
