"""Models that answer at random, in a whole run: judged, audited and made again like any other."""

from __future__ import annotations

import numpy as np
import pyarrow.dataset as ds
import pytest
import torch

from hardset.pipeline.audit.replay import replay
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.run.precheck import check_before
from hardset.pipeline.shards.make import make_shard
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from tests.support import job_of, make_here

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def random_job(tmp_path_factory: pytest.TempPathFactory, weights: dict[str, str]) -> Job:
    """A dropout that ignores eval mode, under an attack that averages over it."""
    model = {"factory": "tests.models.factories:always_dropping", "classes": 10}
    attack = {"kind": "attack", "name": "pgd", "eps": "40/255", "steps": 2, "eot": 3}
    out, source = tmp_path_factory.mktemp("random") / "out", {"format": "digits", "limit": 20}
    return job_of(weights, out, model=model, recipes=[attack], source=source, output={"path": str(out)})


def test_a_model_that_answers_at_random_gives_the_same_shard_again(random_job: Job) -> None:
    plan, made = make_plan(random_job), []
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made.append(make_shard(plan.shards[0], plan.ranges[0], Worker(random_job, plan, CPU)).columns)
    assert made[0]["image_sha256"] == made[1]["image_sha256"]
    for column in ("margin", "float_margin", "float_pred"):
        np.testing.assert_array_equal(made[0][column], made[1][column])
    assert set(made[0]["verify_id"]) == {"fp32-tf32off-b1-seeded"}


def test_its_rows_can_be_judged_and_made_again(random_job: Job) -> None:
    make_here(random_job)
    folder = Folder(random_job.output.path)
    findings = verify(folder, sample=None, trust=Trust(records=True))
    assert (findings.faults, findings.rejudged) == ([], 20)
    row = ds.dataset(f"{random_job.output.path}/data").to_table()["row_id"][-1].as_py()
    done = replay(folder, row, trust=Trust(records=True))
    assert done.equal and done.columns_differing == ()


def test_without_eot_it_is_refused(random_job: Job) -> None:
    once = random_job.model_copy(update={"recipes": tuple(r.model_copy(update={"eot": 1}) for r in random_job.attacks)})
    with pytest.raises(JobError, match=r"answers differently .* or set eot above 1"):
        check_before(once, make_plan(once))
