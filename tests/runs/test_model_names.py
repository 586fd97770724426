"""A model whose file names the source's classes in another order is refused wherever the model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hardset.jobs.api.planning import plan
from hardset.pipeline.evaluation.evaluation_plan import make_plan as make_evaluation_plan
from hardset.pipeline.evaluation.evaluation_worker import EvaluationWorker
from hardset.pipeline.evaluation.parts import PartStore
from hardset.pipeline.models.formats import FORMATS, Format
from hardset.pipeline.models.saved import SavedNetwork
from hardset.pipeline.models.zoo import small_cnn
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.run.precheck import check_before
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import sha256_hex
from hardset.schemas.errors import JobError
from tests.evaluation.conftest import job_of as evaluation_of
from tests.support import job_of

CPU = torch.device("cpu")
SAVED = {"format": "keras", "weights": "m.keras"}
REFUSED = r"\.output_order: the model names the source's classes in another order; set it to \[9, 8, 7, 6, 5, 4, 3, 2, "


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of one format hold a network of digits whose outputs are named from nine to zero."""

    def load(data: bytes, url: str, at: str) -> SavedNetwork:
        return SavedNetwork(small_cnn(), class_names=tuple("9876543210"))

    monkeypatch.setitem(FORMATS, "keras", Format(load, lambda url, at: url.encode(), sha256_hex, copied=False))


@pytest.mark.parametrize(
    ("at", "changes"),
    [
        ("model", {"model": {**SAVED, "classes": 10}}),
        ("transfer_to.0", {"transfer_to": [{"name": "rival", **SAVED}]}),
    ],
)
def test_by_a_plan_and_a_run(weights: dict[str, str], tmp_path: Path, at: str, changes: dict[str, Any]) -> None:
    job = job_of(weights, tmp_path, recipes=[{"kind": "attack", "name": "fgsm", "eps": "8/255"}], **changes)
    with pytest.raises(JobError, match=f"^{at}{REFUSED}"):
        plan(job)
    with pytest.raises(JobError, match=f"^{at}{REFUSED}"):
        check_before(job, make_plan(job))


def test_by_an_evaluation(weights: dict[str, str], tmp_path: Path) -> None:
    job = evaluation_of({"plain": weights["victim"]}, tmp_path, models=[{"name": "plain", **SAVED}])
    worker = EvaluationWorker(job, make_evaluation_plan(job), CPU, PartStore(Folder(str(tmp_path))))
    with pytest.raises(JobError, match=f"^models.0{REFUSED}"):
        worker.model(0)
