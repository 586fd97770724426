"""Mixing: partners from the plan's pool, exact shares, columns, audits, and pools that stay from night to night."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from scipy import stats

from hardset import augment
from hardset.pipeline.audit.replay import replay
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.augment.mixing import box, mask
from hardset.pipeline.augment.recipe import AugmentRecipe, replay_params
from hardset.pipeline.augment.regions import rectangle
from hardset.pipeline.batches import CleanRows, Partners
from hardset.pipeline.planning.changes import Earlier
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.sources import partners as pools
from hardset.pipeline.sources.partners import read_partners
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipes import Augment
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.run import Manifest
from tests.support import make_here

OPS = ("mixup", "cutmix", "patch_mix")
ROWS = 600


def pool_of(shape: tuple[int, int, int], rows: int = 7) -> Partners:
    pixels = np.random.default_rng(2).integers(0, 256, (rows, *shape), np.uint8)
    keys = tuple(f"p{i}" for i in range(rows))
    return Partners(pixels, np.arange(rows) % 3, keys, tuple(map(image_sha256, pixels)))


def mixed(op: dict[str, Any], shape: tuple[int, int, int] = (9, 12, 3), rows: int = ROWS) -> tuple[Any, ...]:
    """Clean images, made rows, what was drawn, the pool and the seeds."""
    pixels = np.random.default_rng(1).integers(0, 256, (rows, *shape), np.uint8)
    clean = CleanRows(pixels, np.zeros(rows, np.int64), tuple(map(str, range(rows))), np.arange(rows), split="train")
    pool = pool_of(shape)
    spec = Augment.model_validate({"ops": [op]})
    recipe = AugmentRecipe(
        spec, batch=64, device=torch.device("cpu"), partners=lambda split: pool if split == "train" else None
    )
    seeds = np.arange(rows, dtype=np.int64)[:, None] * 7919
    made = recipe.make(clean, seeds)
    return pixels, made, [json.loads(text)[0] for text in made.columns["params"]], pool, seeds


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("shape", [(9, 12, 3), (4, 5, 1)], ids=str)
def test_images_weights_and_partners_are_what_was_drawn(name: str, shape: tuple[int, int, int]) -> None:
    pixels, made, drawn, pool, seeds = mixed({"name": name, "alpha": 1.0, "p": 0.8}, shape)
    columns = made.columns
    for row, one in enumerate(drawn):
        told = [columns[key][row] for key in ("label_2", "label_weight", "partner_key", "partner_sha256")]
        if not one["applied"]:
            assert told == [None] * 4 and np.array_equal(made.pixels[row], pixels[row])
            continue
        at = one["partner"] * len(pool) >> 31
        partner = pool.pixels[at]
        assert told[0] == pool.labels[at] and told[2:] == [pool.keys[at], image_sha256(partner)]
        if name == "mixup":
            wanted = one["share"] * pixels[row] + (1 - one["share"]) * partner
            assert np.abs(made.pixels[row] - wanted).max() <= 0.51 and told[1] == one["share"]
        else:
            theirs = np.zeros(shape[:2], bool)
            if name == "cutmix":
                theirs[box(shape, one)] = True
            else:
                theirs = mask(shape, one)
            assert np.array_equal(made.pixels[row], np.where(theirs[:, :, None], partner, pixels[row]))
            assert told[1] == pytest.approx(1 - theirs.mean(), abs=1e-12)
        if row % 50 == 0:
            again = replay_params(pixels[row], columns["params"][row], int(seeds[row, 0]), pool)
            assert np.array_equal(again, made.pixels[row])


def test_an_erased_rectangle_may_show_the_partner_and_leaves_the_label() -> None:
    shape = (9, 12, 3)
    pixels, made, drawn, pool, seeds = mixed({"name": "erase", "fill": "partner", "area": 0.3, "p": 0.8}, shape)
    for row, one in enumerate(drawn):
        columns = [made.columns[key][row] for key in ("label_2", "label_weight", "partner_key", "partner_sha256")]
        if not one["applied"]:
            assert columns == [None] * 4 and np.array_equal(made.pixels[row], pixels[row])
            continue
        at, wanted, part = one["partner"] * len(pool) >> 31, pixels[row].copy(), rectangle(shape, one)
        wanted[part] = pool.pixels[at][part]
        assert np.array_equal(made.pixels[row], wanted)
        assert columns == [None, None, pool.keys[at], image_sha256(pool.pixels[at])]
        if row % 50 == 0:
            again = replay_params(pixels[row], made.columns["params"][row], int(seeds[row, 0]), pool)
            assert np.array_equal(again, wanted)
    assert len({one["partner"] * len(pool) >> 31 for one in drawn if one["applied"]}) == len(pool)


def test_a_run_with_partners_in_erased_rectangles_replays_and_verifies(tmp_path: Path) -> None:
    manifest = make_here(job_of(tmp_path, {"name": "hflip"}, {"name": "erase", "fill": "partner"}))
    rows, folder = stored(tmp_path, manifest), Folder(str(tmp_path))
    keys = {row["source_key"]: row for row in rows}
    assert len(rows) == 60 and all(row["label_weight"] is row["label_2"] is None for row in rows)
    assert all(row["partner_sha256"] == keys[row["partner_key"]]["source_sha256"] for row in rows)
    assert replay(folder, rows[31]["row_id"], trust=Trust(records=True)).equal
    assert not verify(folder, sample=60, replay=None, trust=Trust(records=True)).faults


def test_shares_follow_their_beta_distribution_and_partners_are_drawn_evenly() -> None:
    _, _, drawn, pool, _ = mixed({"name": "mixup", "alpha": 0.4}, rows=2000)
    assert stats.kstest([one["share"] for one in drawn], "beta", (0.4, 0.4)).pvalue > 1e-4
    places = [one["partner"] * len(pool) >> 31 for one in drawn]
    assert stats.chisquare(np.bincount(places, minlength=len(pool))).pvalue > 1e-4


def test_a_box_has_the_drawn_area_where_the_rim_does_not_cut_it() -> None:
    rows, columns = box((100, 200), {"share": 0.75, "y": 0.5, "x": 0.5})
    assert (rows.stop - rows.start, columns.stop - columns.start) == (50, 100)
    rows, columns = box((100, 200), {"share": 0.75, "y": 0.0, "x": 0.999})
    assert (rows.start, rows.stop) == (0, 25) and columns.stop == 200


def job_of(out: Path, *ops: dict[str, Any], **changes: Any) -> Job:
    base = {
        "name": "mixed",
        "source": {"format": "digits", "limit": 60},
        "recipes": [{"kind": "augment", "ops": list(ops)}],
        "output": {"path": str(out), "shard_rows": 20},
    }
    return parse_job(base | changes)


def stored(out: Path, manifest: Manifest) -> list[dict[str, Any]]:
    files = [output.data.path for output in manifest.outputs if output.data is not None]
    folder = Folder(str(out))
    return [row for path in files for row in pq.read_table(io.BytesIO(folder.read(path))).to_pylist()]


@pytest.mark.parametrize("name", OPS)
def test_a_run_stores_replays_and_verifies_mixed_rows(name: str, tmp_path: Path) -> None:
    manifest = make_here(job_of(tmp_path, {"name": name}, {"name": "invert", "p": 0.5}))
    rows, folder = stored(tmp_path, manifest), Folder(str(tmp_path))
    assert len(rows) == 60 and all(0 <= row["label_weight"] <= 1 for row in rows)
    keys = {row["source_key"]: row for row in rows}
    assert all(row["partner_key"] in keys for row in rows)
    assert all(row["label_2"] == keys[row["partner_key"]]["label"] for row in rows)
    assert all(row["partner_sha256"] == keys[row["partner_key"]]["source_sha256"] for row in rows)
    assert replay(folder, rows[31]["row_id"], trust=Trust(records=True)).equal
    assert not verify(folder, sample=60).faults


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("label_weight", 0.123, "label_weight is 0.123; its params leave"),
        ("partner_key", "nobody", "partner_key is nobody, which its params do not draw from the plan's pool"),
        ("label_2", None, "are not those of a row with a partner"),
    ],
)
def test_a_changed_partner_is_named_by_the_checks_of_recipes(
    column: str, value: Any, sentence: str, tmp_path: Path
) -> None:
    from hardset.pipeline.audit.drawn_checks import _partners
    from hardset.pipeline.audit.expected import Claims

    job = job_of(tmp_path, {"name": "cutmix"})
    manifest, plan = make_here(job), make_plan(job)
    rows = stored(tmp_path, manifest)
    claims = Claims(job, plan.job, plan.shards[0], None, "", {}, {}, 10, plan.partners[0].keys)
    assert list(_partners(pa.Table.from_pylist(rows), claims, job.recipes[0].ops)) == []
    rows[3] |= {column: value}
    ((at, told),) = _partners(pa.Table.from_pylist(rows), claims, job.recipes[0].ops)
    assert at == 3 and sentence in told
    plain = job_of(tmp_path, {"name": "hflip"}).recipes[0].ops
    assert len(list(_partners(pa.Table.from_pylist(rows[:1]), claims, plain))) == 1


def folder_source(home: Path, classes: int = 3, each: int = 5, split: str = "train") -> dict[str, Any]:
    rng = np.random.default_rng(0)
    for label in range(classes):
        folder = home / split / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(each):
            picture = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
            picture.save(folder / f"{number:03}.png")
    return {"format": "imagefolder", "path": str(home)}


@pytest.mark.parametrize("shard_rows", [2, 100], ids=["several ranges of a class", "one range"])
def test_the_pool_has_rows_of_every_class_and_of_one_split(
    shard_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "MOST", 6)
    source = folder_source(tmp_path / "source", each=9)
    folder_source(tmp_path / "source", each=4, split="test")
    output = {"path": str(tmp_path / "out"), "shard_rows": shard_rows}
    plan = make_plan(job_of(tmp_path / "out", {"name": "mixup"}, source=source, output=output))
    assert [pool.split for pool in plan.partners] == ["train", "test"]
    for pool in plan.partners:
        assert len(pool.keys) == 6
        assert all(key.startswith(pool.split) for key in pool.keys)
        assert {key.split("/")[1] for key in pool.keys} == {"class0", "class1", "class2"}
        found = read_partners(open_source(parse_source(source), plan.classes), pool, plan.image, 3)
        assert found.keys == pool.keys and np.bincount(found.labels).tolist() == [2, 2, 2]


def parse_source(source: dict[str, Any]) -> Any:
    return job_of(Path("/nowhere"), {"name": "hflip"}, source=source).source


def test_a_large_source_is_looked_at_in_windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pools, "MOST", 40)
    monkeypatch.setattr(pools, "_WINDOW", 10)
    job = job_of(tmp_path, {"name": "mixup"}, source={"format": "digits", "limit": 1500})
    plan = make_plan(job)
    assert len(plan.partners) == 2
    pool = plan.partners[0]
    looked = sum(part.rows for part in pool.parts)
    assert 100 <= looked <= 170 and len(pool.keys) == 40
    assert max(part.stop for part in pool.parts) > 1300 and min(part.start for part in pool.parts) < 100
    found = read_partners(open_source(job.source, plan.classes), pool, plan.image, 10)
    counts = np.bincount(found.labels, minlength=10)
    assert counts.max() - counts.min() <= 1
    assert make_plan(job).partners == plan.partners


def test_only_shards_that_mix_depend_on_the_pool_which_stays_while_its_rows_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "MOST", 6)
    home, out = tmp_path / "source", tmp_path / "out"
    source = folder_source(home)
    recipes = [{"kind": "augment", "ops": [{"name": name}]} for name in ("cutmix", "hflip")]
    job = job_of(out, source=source, recipes=recipes)
    manifest, first = make_here(job), make_plan(job)

    def night() -> Any:
        return make_plan(job, Earlier(manifest, first, frozenset(shard.key for shard in first.shards)))

    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(home / "train" / "class1" / "999.png")
    assert night().partners == first.partners
    used = first.partners[0].keys[0]
    Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save(home / used)
    second = night()
    assert second.partners != first.partners
    changed = {shard.key for shard in second.shards} - {shard.key for shard in first.shards}
    of_recipe = [[shard.key in changed for shard in second.shards if shard.recipe == n] for n in (0, 1)]
    assert all(of_recipe[0]) and not all(of_recipe[1])
    with pytest.raises(RunError, match="the rows that mixing draws partners from have changed"):
        read_partners(open_source(job.source, first.classes), first.partners[0], first.image, 3)


@pytest.mark.parametrize(("classes", "each"), [(1, 5), (1, 1)])
def test_too_few_rows_or_classes_end_in_one_sentence(classes: int, each: int, tmp_path: Path) -> None:
    job = job_of(tmp_path / "out", {"name": "mixup"}, source=folder_source(tmp_path / "source", classes, each))
    with pytest.raises(JobError, match=rf"recipes: mixing needs rows of two classes .* has {each} rows? of 1; remove"):
        make_plan(job)


def test_what_cannot_be_mixed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"recipes\.0\.ops\.1: mixes in a partner, as ops\.0 does"):
        job_of(tmp_path, {"name": "mixup"}, {"name": "cutmix"})
    with pytest.raises(JobError, match=r"recipes\.0\.ops\.1: mixes in a partner, as ops\.0 does"):
        job_of(tmp_path, {"name": "mixup"}, {"name": "erase", "fill": "partner"})
    for op in ({"name": "mixup"}, {"name": "erase", "fill": "partner"}):
        with pytest.raises(JobError, match=rf"train\.augment: .*{op['name']} mixes another row in"):
            job_of(tmp_path, {"name": "hflip"}, train={"augment": [op]})
    with pytest.raises(JobError, match=r"recipes\.0\.ops\.0\.ops\.1\.fill: got partner, which a policy cannot draw"):
        job_of(tmp_path, {"name": "shuffle", "ops": [{"name": "hflip"}, {"name": "erase", "fill": "partner"}]})
    with pytest.raises(JobError, match="mixing draws partners and labels from a pool of a run"):
        augment(torch.rand(2, 3, 8, 8), ["cutmix"])
    with pytest.raises(JobError, match=r"ops\.0\.cells: got 9, and rows are 8 x 8"):
        make_plan(job_of(tmp_path, {"name": "patch_mix", "cells": 9}))
