"""Generators are admitted on real rows before any row of theirs is stored, or refused with a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.batches import Pixels
from hardset.pipeline.dataset.files.png import decode_png
from hardset.pipeline.gans.admission import ROWS, failings, measured, picture
from hardset.pipeline.judging.judge import Classes
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.run.generation import generate
from hardset.pipeline.run.run_state import look
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.sources.sampling import sample
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipes import Admit
from hardset.schemas.records.admission import Admission
from tests.support import ANY, job_of, make_here

CPU = torch.device("cpu")
NAMES = tuple("0123456789")


def sampling(weights: dict[str, str], out: Path, **recipe: Any) -> Job:
    made = {"kind": "sample", "generator": {"weights": weights["generator"]}, "per_class": 2, **recipe}
    return job_of(weights, out, recipes=[made], source={"format": "digits"})


@pytest.fixture(scope="module")
def judged(
    weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[nn.Module, Pixels, Classes, Pixels, Classes]:
    """A model, 512 real rows, and 512 others that a perfect generator might have made of the same classes."""
    job = sampling(weights, tmp_path_factory.mktemp("out"))
    plan = make_plan(job)
    worker = Worker(job, plan, CPU)
    pixels, labels = sample(worker.source, plan.ranges, plan.image, 10, 2 * ROWS)
    order = np.random.default_rng(0).permutation(2 * ROWS)
    pixels, labels = pixels[order], labels[order]
    assert worker.model is not None
    return worker.model.module, pixels[:ROWS], labels[:ROWS], pixels[ROWS:], labels[ROWS:]


def figures(module: nn.Module, made: Pixels, asked: Classes, real: Pixels, labels: Classes) -> Admission:
    found = measured(module, made, asked, real, labels, position=0, names=NAMES, device=CPU)
    assert found is not None
    return found


def test_real_rows_are_admitted(judged: tuple[nn.Module, Pixels, Classes, Pixels, Classes]) -> None:
    module, real, labels, others, asked = judged
    found = figures(module, others, asked, real, labels)
    assert failings(found, Admit()) == ()
    with torch.no_grad():
        right = module(torch.from_numpy(real).permute(0, 3, 1, 2) / 255).argmax(1).numpy() == labels
    assert found.judge == right.mean() > 0.8
    assert found.coverage > 0.9 and found.unreachable == ()


def test_one_good_image_per_class_is_refused_by_coverage_whatever_the_agreement(
    judged: tuple[nn.Module, Pixels, Classes, Pixels, Classes],
) -> None:
    module, real, labels, _, _ = judged
    with torch.no_grad():
        right = module(torch.from_numpy(real).permute(0, 3, 1, 2) / 255).argmax(1).numpy() == labels
    first = [int(np.flatnonzero(right & (labels == number))[0]) for number in range(10)]
    asked = np.arange(ROWS, dtype=np.int64) % 10
    found = figures(module, real[first][asked], asked, real, labels)
    assert found.agreement == 1.0
    (short,) = failings(found, Admit())
    assert short.startswith("coverage is 0.")
    assert failings(found, Admit(coverage=0)) == ()


def test_classes_that_are_never_reached_are_named(judged: tuple[nn.Module, Pixels, Classes, Pixels, Classes]) -> None:
    module, real, labels, others, asked = judged
    swapped = np.asarray([9, 1, 2, 3, 4, 5, 6, 7, 8, 0])[asked]
    found = figures(module, others, swapped, real, labels)
    assert {"0", "9"} >= set(found.unreachable) and found.unreachable
    told = failings(found, Admit(agreement=0.95))
    assert told[-1] == f"it never reaches class{'es' * (len(found.unreachable) > 1)} {', '.join(found.unreachable)}"


def test_a_model_that_is_wrong_on_real_rows_is_no_judge(
    judged: tuple[nn.Module, Pixels, Classes, Pixels, Classes],
) -> None:
    module, real, labels, others, asked = judged
    found = figures(module, others, asked, real, (labels + 1) % 10)
    (short,) = failings(found, Admit())
    assert "cannot judge (wants 70 %)" in short
    assert not any("judge" in text for text in failings(found, Admit(judge=0)))


def test_the_picture_has_a_line_for_each_class() -> None:
    made = np.arange(6, dtype=np.uint8).repeat(8 * 9).reshape(6, 8, 9, 1)
    grid = picture(made, np.asarray([0, 2, 0, 2, 0, 2]), columns=4)
    assert grid.shape == (2 * 9 + 1, 4 * 10 + 1, 1)
    assert [int(grid[1, 1 + 10 * n, 0]) for n in range(4)] == [0, 2, 4, 255]
    assert [int(grid[10, 1 + 10 * n, 0]) for n in range(4)] == [1, 3, 5, 255]


def test_a_generator_that_fails_ends_the_run_with_a_picture_and_no_shard(
    weights: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(
        RunError, match=r"^recipes\.0\.admit: the generator is not admitted: .*coverage is 0\.\d\d"
    ) as caught:
        generate(sampling(weights, tmp_path / "out"))
    assert caught.value.exit_code == 1
    (shown,) = (tmp_path / "out").rglob("*.png")
    assert str(shown.relative_to(tmp_path)) in str(caught.value)
    assert decode_png(shown.read_bytes()).shape == (10 * 9 + 1, 10 * 9 + 1, 1)
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_few_real_rows_measure_nothing(weights: dict[str, str], tmp_path: Path) -> None:
    few = sampling(weights, tmp_path).model_copy(
        update={"source": sampling(weights, tmp_path).source.model_copy(update={"limit": 20})}
    )
    with pytest.raises(RunError, match="the source has 20 readable rows, and 50 are needed"):
        generate(few)


def test_without_a_model_a_job_must_say_that_nothing_is_measured(weights: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"recipes\.0\.admit: .*`admit: unmeasured`"):
        generate(sampling(weights, tmp_path).model_copy(update={"model": None}))


def test_rows_repeat_that_nothing_was_measured(weights: dict[str, str], tmp_path: Path) -> None:
    job = sampling(weights, tmp_path, admit="unmeasured").model_copy(update={"model": None})
    manifest = make_here(job)
    (file,) = manifest.data_files
    assert set(pq.read_table(tmp_path / file.path)["flags"].to_pylist()) == {"unmeasured"}
    assert verify(Folder(str(tmp_path)), sample=None, trust=Trust(records=True)).faults == []
    assert manifest.admitted == ()


def test_gates_change_no_row(weights: dict[str, str], tmp_path: Path) -> None:
    keys = [
        [shard.key for shard in make_plan(sampling(weights, tmp_path, **more)).shards]
        for more in ({}, {"admit": ANY}, {"admit": "unmeasured"})
    ]
    assert keys[0] == keys[1] != keys[2]
    assert len(look(sampling(weights, tmp_path)).missing) == 1


@pytest.mark.parametrize(("figure", "least"), [("agreement", 0.5), ("coverage", 0.3), ("judge", 0.7)])
def test_the_usual_gates_are_those_that_the_docs_tell(figure: str, least: float) -> None:
    shares = dict.fromkeys(("judge", "agreement", "precision", "recall", "density", "coverage"), 1.0)
    at = Admission.model_validate({"recipe": 0, "rows": 512, "real": 512, **shares, figure: least})
    assert failings(at, Admit()) == ()
    assert failings(at.model_copy(update={figure: least - 0.01}), Admit()) != ()
