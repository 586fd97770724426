"""Clean accuracy: measured before a run, told wherever the run is told of, and a gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from scipy.stats import binomtest
from torch import Tensor, nn

from hardset.pipeline.dataset.provenance.card import write_card
from hardset.pipeline.judging.judge import Judge
from hardset.pipeline.models.clean_accuracy import clean_accuracy
from hardset.pipeline.models.loading import load_model
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.run.precheck import check_before, check_gate
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.sources.sampling import sample
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.job import Job, Model
from hardset.schemas.job.sources import DigitsSource
from hardset.schemas.records.clean import CleanAccuracy
from tests.support import document, hardset, job_of, last_json, make_here

CPU = torch.device("cpu")
ROLLED = [9, *range(9)]


def job(weights: dict[str, str], out: Path | str = "memory://none", **model: Any) -> Job:
    settings = document(weights, out)["model"] | model
    return job_of(weights, out, model=settings, recipes=[{"kind": "attack", "name": "fgsm", "eps": "8/255"}])


@pytest.mark.parametrize(("right", "of"), [(0, 10), (97, 100), (5, 10), (10, 10), (1, 1)])
def test_the_interval_is_scipys(right: int, of: int) -> None:
    found, scipys = CleanAccuracy.of(right, of), binomtest(right, of).proportion_ci(0.95, method="wilson")
    assert (found.low, found.high) == (pytest.approx(scipys.low, abs=1e-9), pytest.approx(scipys.high, abs=1e-9))
    assert str(CleanAccuracy.of(97, 100)) == "97.0 % (91.5 to 99.0)"


def test_a_sound_model_passes_and_a_rolled_one_is_explained(weights: dict[str, str]) -> None:
    sound, rolled = job(weights), job(weights, output_order=ROLLED)
    clean = check_before(sound, make_plan(sound)).clean
    assert clean is not None
    assert clean.share > 0.9
    assert clean.findings == ()
    check_gate(clean, sound, 0.9)
    wrong = check_before(rolled, make_plan(rolled)).clean
    assert wrong is not None
    assert "set model.output_order: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" in wrong.findings[0]
    with pytest.raises(RunError, match=r"--min-clean-accuracy: the model is right on .* wants 50 %; model: the model"):
        check_gate(wrong, rolled, 0.5)


def test_so_many_rows_are_judged_that_the_interval_is_9_points_wide_at_most(weights: dict[str, str]) -> None:
    whole = job(weights).model_copy(update={"source": DigitsSource(format="digits")})
    clean = check_before(whole, make_plan(whole)).clean
    assert clean is not None
    assert clean.judged == 512
    widest = CleanAccuracy.of(256, 512)
    assert 0.08 < widest.high - widest.low < 0.09


def test_a_gate_without_a_figure_or_a_model_does_not_hold(weights: dict[str, str]) -> None:
    with pytest.raises(RunError, match="is not known"):
        check_gate(None, job(weights), 0.5)
    none = job_of(weights, "memory://none", model=None, recipes=[{"kind": "augment", "ops": [{"name": "hflip"}]}])
    with pytest.raises(JobError, match="names no model"):
        check_gate(None, none, 0.5)
    check_gate(None, none, None)


def test_the_gate_ends_the_command_before_anything_is_made(weights: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(job(weights, tmp_path / "out", output_order=ROLLED).model_dump(mode="json")))
    done = hardset("generate", file, "--min-clean-accuracy", "0.5", "--json")
    assert (done.returncode, last_json(done)["status"]) == (1, "failed")
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_the_card_tells_of_it(weights: dict[str, str], tmp_path: Path) -> None:
    manifest = make_here(job(weights, tmp_path))
    write_card(Folder(str(tmp_path)), manifest.model_copy(update={"clean": CleanAccuracy.of(97, 100)}))
    card = (tmp_path / "README.md").read_text()
    assert (
        "Clean accuracy on 100 rows sampled from the source: 97.0 % (91.5 to 99.0), 95 % confidence interval." in card
    )


def test_the_sample_lies_all_over_the_source(weights: dict[str, str]) -> None:
    spread = job(weights)
    plan = make_plan(spread)
    worker = Worker(spread, plan, CPU)
    pixels, labels = sample(worker.source, plan.ranges, plan.image, 10, 64)
    assert (len(pixels), len(labels)) == (64, 64)
    whole, _ = worker.source.read(plan.ranges[-1], plan.image, 10)
    last = {image.tobytes() for image in whole.pixels}
    assert sum(image.tobytes() in last for image in pixels) in range(16, 27)
    assert len(sample(worker.source, plan.ranges, plan.image, 10, 5000)[1]) == 300
    assert len(sample(worker.source, (), plan.image, 10, 64)[1]) == 0


class Moody(nn.Module):
    """Fails on any batch with a white image."""

    def forward(self, images: Tensor) -> Tensor:
        if bool((images.amin((1, 2, 3)) == 1).any()):
            raise RuntimeError("not this row")
        return images.flatten(1)[:, :10]


def moody() -> nn.Module:
    return Moody()


def test_batches_on_which_the_model_fails_are_left_to_the_run() -> None:
    spec = Model(factory="tests.runs.test_clean_accuracy:moody", classes=10)
    loaded = load_model(spec, channels=1, device=CPU)
    judge = Judge(module=loaded.module, batch=4, device=CPU)
    pixels, labels = np.zeros((12, 8, 8, 1), np.uint8), np.zeros(12, np.int64)
    pixels[2] = 255
    found = clean_accuracy(loaded, tuple(spec.networks().values()), judge, pixels, labels)
    assert found is not None
    assert (found.judged, found.right) == (8, 8)
    assert clean_accuracy(loaded, tuple(spec.networks().values()), judge, pixels[:4], labels[:4]) is None
