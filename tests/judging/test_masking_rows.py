"""Rows of real attacks on models that mask their gradients: what they are flagged with, and what the run says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hardset.jobs.api.generation import ended
from hardset.jobs.terminal.console import Exit
from hardset.pipeline.batches import CleanRows
from hardset.pipeline.dataset.files.parquet import rows_table
from hardset.pipeline.dataset.files.png import decode_png
from hardset.pipeline.dataset.provenance.card import write_card
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.judging.masking import signal_faults, warnings_of
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.run.commit import make_manifest
from hardset.pipeline.run.generation import RunOutcome
from hardset.pipeline.shards.judgement import MadeShard
from hardset.pipeline.shards.make import make_shard, run_shard
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.rows.flags import flags_of
from tests.reporting.dataset import linear_model

CPU = torch.device("cpu")
SCALE = 1000.0
"""Makes logits so large that the softmax of a digit is 1 to the last bit of a float32."""


class Linear(nn.Module):
    """The linear model of the digits, its logits times `scale`, with normal noise of `noise` on top.

    `levels`: pixels are rounded to so many steps first, which hides all gradients and changes little else.
    """

    def __init__(self, scale: float = 1.0, noise: float = 0.0, levels: int = 0) -> None:
        super().__init__()
        weights, biases = linear_model()
        self.layer = nn.Linear(64, 10)
        self.layer.load_state_dict({"weight": torch.from_numpy(weights.T), "bias": torch.from_numpy(biases)})
        self.scale, self.noise, self.levels = scale, noise, levels

    def forward(self, images: Tensor) -> Tensor:
        if self.levels:
            images = (images * self.levels).round() / self.levels
        logits: Tensor = self.scale * self.layer(images.flatten(1))
        return logits + self.noise * torch.randn_like(logits) if self.noise else logits


def job(out: Path, *recipes: dict[str, Any], arguments: dict[str, Any] | None = None, **changes: Any) -> Any:
    model = {"factory": f"{__name__}:Linear", "arguments": arguments or {}, "classes": 10}
    document = {
        "name": "signals",
        "seed": 3,
        "source": {"format": "digits", "limit": 60},
        "model": model,
        "recipes": [{"kind": "attack", **recipe} for recipe in recipes],
        "output": {"path": str(out), "shard_rows": 60},
        "run": {"actors": 1, "batch": 32},
    }
    return parse_job(document | changes)


def shard_of(job: Any) -> tuple[MadeShard, CleanRows, Worker]:
    """The first shard of a job, made in this process, and the clean rows it was made from."""
    plan = make_plan(job)
    worker, shard = Worker(job, plan, CPU), plan.shards[0]
    assert shard.range is not None
    clean, _ = worker.source.read(plan.ranges[shard.range], plan.image, len(plan.classes))
    made = make_shard(shard, plan.ranges[shard.range], worker)
    if made.counts.rows_out and not made.counts.dropped:
        assert list(signal_faults(rows_table(made.columns, plan.classes), made.counts)) == []
    return made, clean, worker


def margins(clean: CleanRows) -> NDArray[np.float64]:
    """Margins of the linear model in float64, worked out beside torch."""
    weights, biases = linear_model()
    logits = clean.pixels.reshape(len(clean), 64) / 255 @ weights + biases
    own = logits[np.arange(len(clean)), clean.labels]
    logits[np.arange(len(clean)), clean.labels] = -np.inf
    return np.asarray(own - logits.max(axis=1))


def flagged(made: MadeShard, name: str) -> NDArray[np.bool_]:
    return np.array([name in flags_of(text) for text in made.columns["flags"]])


RECIPE = {"kind": "attack", "name": "pgd", "norm": "linf"}
PGD = {"name": "pgd", "eps": "40/255", "steps": 5, "random_start": False}


@pytest.mark.parametrize("averaged", [{}, {"eot": 3}])
def test_saturated_logits_are_flagged_row_by_row_and_warned_of(tmp_path: Path, averaged: dict[str, Any]) -> None:
    """exp(-104) is 0 in float32, so a row that is 104 logits ahead gives cross-entropy no gradient at all."""
    made, clean, _ = shard_of(job(tmp_path, {**PGD, **averaged}, arguments={"scale": SCALE}))
    dead, alive = margins(clean) * SCALE > 110, margins(clean) < 0
    assert dead.sum() > 40
    np.testing.assert_array_equal(flagged(made, "zero_gradient") & dead, dead)
    np.testing.assert_array_equal(flagged(made, "unmoved") & dead, dead)
    assert not flagged(made, "zero_gradient")[alive].any()
    assert np.asarray(made.columns["linf_levels"])[dead].max() == 0
    assert made.counts.signals["flag:zero_gradient"] >= dead.sum()
    assert "the gradient was zero for half or more of the steps of" in " ".join(warnings_of(made.counts, RECIPE))


@pytest.mark.parametrize("remedy", [{"objective": "margin"}, {"name": "apgd_dlr"}, {"name": "pma"}])
def test_the_remedies_that_the_warning_names_work(tmp_path: Path, remedy: dict[str, Any]) -> None:
    saturated, _, _ = shard_of(job(tmp_path, PGD, arguments={"scale": SCALE}))
    cured, _, _ = shard_of(job(tmp_path, {**PGD, **remedy, "steps": 10}, arguments={"scale": SCALE}))
    assert not flagged(cured, "zero_gradient").any()
    assert not flagged(cured, "no_rise").any()
    assert cured.counts.success > saturated.counts.success + 20
    assert warnings_of(cured.counts, RECIPE) == []


def test_square_beats_gradients_that_lead_nowhere(tmp_path: Path) -> None:
    """The second of the signs of gradient masking in Athalye et al. 2018, on a model that rounds its input."""
    ensemble = {"name": "standard", "eps": "60/255"}
    few: dict[str, Any] = {"format": "digits", "limit": 12}
    made, _, _ = shard_of(job(tmp_path, ensemble, arguments={"levels": 8}, source=few))
    found = made.counts.signals["found_by:square"]
    assert found == (np.asarray(made.columns["success"]) & (np.asarray(made.columns["found_by"]) == "square")).sum() > 3
    warned = " ".join(warnings_of(made.counts, {**RECIPE, "name": "standard"}))
    assert f"square, which uses no gradients, broke {found} of {made.counts.attacked} attacked rows" in warned
    honest, _, _ = shard_of(job(tmp_path, ensemble, source=few))
    assert honest.counts.success >= made.counts.success
    assert warnings_of(honest.counts, {**RECIPE, "name": "standard"}) == []


def test_a_plain_model_gives_no_warning(tmp_path: Path) -> None:
    made, _, _ = shard_of(job(tmp_path, PGD))
    assert made.counts.success > 10
    assert warnings_of(made.counts, RECIPE) == []


def test_an_unsure_model_is_flagged_where_another_seed_says_another_class(tmp_path: Path) -> None:
    made, _, worker = shard_of(job(tmp_path, {**PGD, "eot": 4}, arguments={"noise": 2.0}))
    stored = torch.from_numpy(np.stack([decode_png(image["bytes"]) for image in made.columns["image"]])).reshape(
        -1, 1, 8, 8
    )
    preds = []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            answers = []
            for image in stored:
                torch.manual_seed(seed)
                answers.append(int(worker.model.module(image[None].float() / 255).argmax()))
        preds.append(np.array(answers))
    np.testing.assert_array_equal(made.columns["pred"], preds[0])
    np.testing.assert_array_equal(flagged(made, "stochastic"), preds[0] != preds[1])
    assert flagged(made, "stochastic").any()
    assert "changed its mind" in " ".join(warnings_of(made.counts, RECIPE))


def test_rows_whose_label_is_the_target_are_stored_flagged_and_never_counted(tmp_path: Path) -> None:
    made, clean, _ = shard_of(job(tmp_path, {**PGD, "target": 3}))
    own = clean.labels == 3
    assert 0 < own.sum() < len(own)
    np.testing.assert_array_equal(flagged(made, "target_is_label"), own)
    assert not made.rejects
    assert made.counts.attacked == (~own).sum()
    assert not np.asarray(made.columns["success"])[own].any()
    assert (np.asarray(made.columns["linf_levels"])[own] == 0).all()


def test_rows_without_a_budget_are_flagged_and_warned_of(tmp_path: Path) -> None:
    made, clean, _ = shard_of(job(tmp_path, {**PGD, "eps": ["0.5/255", "8/255"]}))
    small = np.asarray(made.columns["variant"]) == 0
    np.testing.assert_array_equal(flagged(made, "no_budget"), small)
    assert made.counts.attacked == 2 * (margins(clean) > 0).sum()
    half = made.counts.attacked // 2
    assert f"{half} of {2 * half} attacked rows (50.0%)" in " ".join(warnings_of(made.counts, RECIPE))


def test_a_run_tells_its_warnings_and_exits_as_without_them(tmp_path: Path) -> None:
    asked = job(tmp_path / "out", PGD, arguments={"scale": SCALE})
    plan, folder = make_plan(asked), Folder(asked.output.path)
    (shard,), (part,) = plan.shards, plan.ranges
    receipt = run_shard(shard, part, Worker(asked, plan, CPU), Ledger(folder, plan.run_id))
    manifest = make_manifest(asked, plan, {shard.key: receipt.output(shard)}, [], receipt.started)
    (warning,) = [text for text in manifest.warnings if "gradient was zero" in text]
    assert warning.startswith("Recipe 1 (pgd, linf): the gradient was zero")
    write_card(folder, manifest)
    assert warning in folder.read("README.md").decode()
    outcome = RunOutcome("complete", plan, receipt.counts, 1, manifest)
    assert warning in ended(outcome).warnings
    assert ended(outcome).exit_code == Exit.DONE
