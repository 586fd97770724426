"""Ensembles and held-out models in a whole run, made in this process, and held against plain torch."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from hardset.jobs.api.generation import ended
from hardset.jobs.telling.generate import sentence
from hardset.pipeline.audit.replay import replay
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.dataset.records.chosen import newest_manifest
from hardset.pipeline.judging.transfer_counts import transfer_rates
from hardset.pipeline.models.fitting import fit_classifier
from hardset.pipeline.models.zoo import cnn_a, small_cnn
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.reporting.attack_sections import transfer
from hardset.pipeline.reporting.page import page, read_content
from hardset.pipeline.run.generation import RunOutcome
from hardset.pipeline.run.precheck import check_before
from hardset.pipeline.shards.make import make_shard
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.job import Job
from hardset.schemas.records.run import Manifest
from tests.runs.test_generate import clean_pixels
from tests.support import job_of, make_here

CPU = torch.device("cpu")
CNN_A = {"factory": "hardset.pipeline.models.zoo:cnn_a", "arguments": {"channels": 1, "side": 8}}
SMALL = {"factory": "hardset.pipeline.models.zoo:small_cnn"}
ATTACKS = [
    {"kind": "attack", "name": "pgd", "norm": "linf", "eps": "40/255", "steps": 5},
    {"kind": "attack", "name": "pgd", "norm": "linf", "eps": "60/255", "steps": 5, "target": "next"},
]
AUGMENT = {"kind": "augment", "ops": [{"name": "hflip"}]}


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths of two further classifiers of the digits, of other shapes and weights than the victim."""
    job = job_of({"victim": "", "generator": ""}, "unused")
    source = open_source(job.source)
    rows, _ = source.read(source.plan(2000)[0], source.probe(), 10)
    folder, paths = tmp_path_factory.mktemp("rivals"), {}
    for seed, (name, build) in enumerate({"member": cnn_a, "rival": cnn_a, "other": small_cnn}.items()):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 1)
            module = build(channels=1, side=8)
            fit_classifier(module, rows.pixels, rows.labels, epochs=12 if build is cnn_a else 3, seed=seed)
        paths[name] = str(folder / f"{name}.safetensors")
        safetensors.torch.save_file(module.state_dict(), paths[name])
    return paths


def job_for(weights: dict[str, str], rivals: dict[str, str], out: Path, **changes: Any) -> Job:
    """An ensemble of two under attack, and two models held out."""
    member = {**CNN_A, "weights": rivals["member"]}
    changes = {
        "source": {"format": "digits", "limit": 120},
        "model": {**SMALL, "weights": weights["victim"], "classes": 10, "members": [member]},
        "transfer_to": [
            {"name": "rival", **CNN_A, "weights": rivals["rival"]},
            {"name": "other", **SMALL, "weights": rivals["other"]},
        ],
        "recipes": [*ATTACKS, AUGMENT],
        "output": {"path": str(out), "shard_rows": 60},
    } | changes
    return job_of(weights, out, **changes)


@pytest.fixture(scope="module")
def made(weights: dict[str, str], rivals: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("transfer") / "out"
    make_here(job_for(weights, rivals, out))
    return out


def rows_of(out: Path, kind: str = "adversarial") -> list[dict[str, Any]]:
    rows = ds.dataset(out / "data", format="parquet").to_table().to_pylist()
    return [row for row in rows if row["kind"] == kind]


def logits(network: nn.Module, path: str, pixels: np.ndarray) -> np.ndarray:
    """Plain torch: no judge, no loader of ours."""
    network.load_state_dict(safetensors.torch.load_file(path))
    with torch.no_grad():
        found: np.ndarray = network.eval()(torch.from_numpy(pixels)[:, None].float() / 255).numpy()
    return found


def both(rows: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Stored and clean pixels, N x H x W."""
    clean = clean_pixels()
    stored = np.stack([np.asarray(Image.open(io.BytesIO(row["image"]["bytes"]))) for row in rows])
    return stored, np.stack([clean[row["source_key"]] for row in rows])


def test_the_attack_fools_the_mean_of_the_members(made: Path, weights: dict[str, str], rivals: dict[str, str]) -> None:
    rows = [row for row in rows_of(made) if row["target_label"] is None]
    labels = np.asarray([row["label"] for row in rows])
    pred, before = (
        (logits(small_cnn(), weights["victim"], pixels) + logits(cnn_a(10, 1, 8), rivals["member"], pixels)).argmax(1)
        for pixels in both(rows)
    )
    success = np.asarray([row["success"] for row in rows])
    assert success.mean() > 0.3
    np.testing.assert_array_equal(success, (before == labels) & (pred != labels))
    np.testing.assert_array_equal(pred, [row["pred"] for row in rows])
    assert {row["model_id"][:12] for row in rows} == {"mean_logits("}


@pytest.mark.parametrize("combine", ["logits", "loss"])
def test_an_attack_climbs_what_the_job_says(
    weights: dict[str, str], rivals: dict[str, str], tmp_path: Path, combine: str
) -> None:
    """FGSM of an ensemble, by plain autograd: the sign of the gradient of a loss of means, or of a mean of losses."""
    member = {**CNN_A, "weights": rivals["member"]}
    model = {**SMALL, "weights": weights["victim"], "classes": 10, "members": [member], "combine": combine}
    attack = {"kind": "attack", "name": "fgsm", "eps": "40/255"}
    job = job_for(weights, rivals, tmp_path, model=model, recipes=[attack], transfer_to=[])
    plan = make_plan(job)
    made = make_shard(plan.shards[0], plan.ranges[0], Worker(job, plan, CPU)).columns
    stored, clean = both([{key: values[i] for key, values in made.items() if values is not None} for i in range(60)])
    networks = small_cnn().eval(), cnn_a(10, 1, 8).eval()
    for network, path in zip(networks, (weights["victim"], rivals["member"]), strict=True):
        network.load_state_dict(safetensors.torch.load_file(path))
    images = (torch.from_numpy(clean)[:, None].float() / 255).requires_grad_()
    labels, given = torch.from_numpy(np.asarray(made["label"])), [network(images) for network in networks]
    losses = {
        "loss": sum(F.cross_entropy(logits, labels, reduction="sum") for logits in given),
        "logits": F.cross_entropy(sum(given) / 2, labels, reduction="sum"),
    }
    signs = {name: torch.autograd.grad(loss, images, retain_graph=True)[0].sign() for name, loss in losses.items()}
    moved = {name: np.clip(clean + 40 * sign[:, 0].numpy(), 0, 255) for name, sign in signs.items()}
    fell = np.asarray(made["success"])
    assert fell.sum() > 20
    assert (moved["loss"][fell] != moved["logits"][fell]).mean() > 0.02
    np.testing.assert_array_equal(stored[fell], moved[combine][fell])


def test_the_transfer_columns_are_those_of_plain_torch(made: Path, rivals: dict[str, str]) -> None:
    rows = rows_of(made)
    labels = np.asarray([row["label"] for row in rows])
    targets = np.asarray([-1 if row["target_label"] is None else row["target_label"] for row in rows])
    networks = {"rival": cnn_a(10, 1, 8), "other": small_cnn()}
    stored, clean = both(rows)
    fooled = np.zeros(len(rows), int)
    for name, network in networks.items():
        pred, before = (logits(network, rivals[name], pixels).argmax(1) for pixels in (stored, clean))
        np.testing.assert_array_equal(pred, [json.loads(row["transfer_pred"])[name] for row in rows])
        fooled += np.where(targets >= 0, pred == targets, (before == labels) & (pred != labels))
    np.testing.assert_array_equal(fooled, [row["transferred"] for row in rows])
    assert {0, 1, 2} <= set(fooled.tolist())
    assert all(list(json.loads(row["transfer_pred"])) == ["other", "rival"] for row in rows)
    assert {row["transfer_pred"] for row in rows_of(made, "augmented")} == {None}


def test_the_rates_are_over_attacked_rows_that_the_held_out_model_had_right(made: Path, rivals: dict[str, str]) -> None:
    rows = [row for row in rows_of(made) if row["target_label"] is None]
    labels = np.asarray([row["label"] for row in rows])
    pred, before = (logits(small_cnn(), rivals["other"], pixels).argmax(1) for pixels in both(rows))
    counted = (before == labels) & (np.asarray([row["clean_pred"] for row in rows]) == labels)
    expected = (int((counted & (pred != labels)).sum()), int(counted.sum()))
    content = read_content(Folder(str(made)), _manifest(made), lambda output, row: None)
    recipe = content.statistics.recipes[0]
    assert transfer_rates(recipe.counts.signals)["other"] == expected
    section = transfer(content)
    assert section is not None and section in page(content)
    assert f"{expected[0]:,} of {expected[1]:,}" in section


def _manifest(out: Path) -> Manifest:
    return newest_manifest(Folder(str(out)))


def test_verify_judges_them_again(made: Path) -> None:
    findings = verify(Folder(str(made)), sample=None, trust=Trust(records=True))
    assert findings.faults == []
    assert findings.rejudged == findings.rows


@pytest.mark.parametrize("targeted", [False, True])
def test_a_row_is_made_again_with_its_transfer_columns(made: Path, targeted: bool) -> None:
    row = next(row for row in reversed(rows_of(made)) if (row["target_label"] is not None) == targeted)
    done = replay(Folder(str(made)), row["row_id"], trust=Trust(records=True))
    assert done.equal and done.columns_differing == ()


def test_the_plan_names_every_model_and_its_digest(made: Path, weights: dict[str, str], rivals: dict[str, str]) -> None:
    def sha256(path: str) -> str:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()

    models = _manifest(made).models
    assert models.pop("victim") == rows_of(made)[0]["model_sha256"]
    assert models == {
        "victim:0": sha256(weights["victim"]),
        "victim:1": sha256(rivals["member"]),
        "transfer:rival": sha256(rivals["rival"]),
        "transfer:other": sha256(rivals["other"]),
    }


def test_held_out_from_itself_the_victim_falls_where_it_fell(weights: dict[str, str], tmp_path: Path) -> None:
    victim = {**SMALL, "weights": weights["victim"], "arguments": {}}
    held_out = [{"name": "itself", **victim}]
    job = job_of(weights, tmp_path, recipes=ATTACKS, transfer_to=held_out, source={"format": "digits", "limit": 60})
    plan = make_plan(job)
    for shard in plan.shards:
        made = make_shard(shard, plan.ranges[0], Worker(job, plan, CPU))
        np.testing.assert_array_equal(made.columns["transferred"], np.asarray(made.columns["success"]).astype(int))
        assert [json.loads(text)["itself"] for text in made.columns["transfer_pred"]] == list(made.columns["pred"])


def keys(job: Job) -> tuple[list[str], list[str]]:
    """Keys of attack shards, and of the others."""
    shards = make_plan(job).shards
    return [s.key for s in shards if s.recipe < 2], [s.key for s in shards if s.recipe == 2]


def test_held_out_models_change_attack_shards_alone_and_members_change_all(
    weights: dict[str, str], rivals: dict[str, str], tmp_path: Path
) -> None:
    attacks, others = keys(job_for(weights, rivals, tmp_path))
    rival = {"name": "rival", **CNN_A, "weights": rivals["rival"]}
    for changed in ([], [rival], [{**rival, "weights": rivals["member"]}], [{**rival, "name": "second"}]):
        again, same = keys(job_for(weights, rivals, tmp_path, transfer_to=changed))
        assert not set(again) & set(attacks) and same == others
    copy = tmp_path / "moved.safetensors"
    copy.write_bytes(Path(rivals["rival"]).read_bytes())
    moved = {**rivals, "rival": str(copy)}
    assert keys(job_for(weights, moved, tmp_path)) == (attacks, others)
    alone = {**SMALL, "weights": weights["victim"], "classes": 10}
    for model in (alone, {**alone, "members": [{**CNN_A, "weights": rivals["rival"]}]}):
        again, changed_too = keys(job_for(weights, rivals, tmp_path, model=model))
        assert not set(again) & set(attacks) and not set(changed_too) & set(others)


def test_weights_that_change_under_a_run_stop_it(
    weights: dict[str, str], rivals: dict[str, str], tmp_path: Path
) -> None:
    for role in ("rival", "member"):
        path = tmp_path / f"{role}.safetensors"
        path.write_bytes(Path(rivals[role]).read_bytes())
        job = job_for(weights, {**rivals, role: str(path)}, tmp_path / "out")
        plan = make_plan(job)
        safetensors.torch.save_file(cnn_a(channels=1, side=8).state_dict(), path)
        assert plan.shards[0].range is not None
        with pytest.raises(RunError, match=rf"{role}\.safetensors: changed since the run was planned"):
            make_shard(plan.shards[0], plan.ranges[plan.shards[0].range], Worker(job, plan, CPU))


@pytest.mark.parametrize(
    ("held_out", "sentence"),
    [
        (
            {"factory": "hardset.pipeline.models.zoo:no"},
            r"transfer_to\.0\.factory: hardset\..*zoo has no no",
        ),
        ({**CNN_A, "weights": "gone.pt"}, r"transfer_to\.0\.weights: gone.pt: no such file"),
        ({"factory": "tests.models.factories:probabilities"}, r"transfer_to\.0\.factory: the model returns probab"),
        ({**SMALL, "arguments": {"classes": 7}}, r"transfer_to\.0\.factory: the model returns 7 logits; wants 10"),
        ({**SMALL, "normalize": {"mean": [0.1] * 3, "std": [1] * 3}}, r"transfer_to\.0\.normalize: .* 3 values"),
        ({"factory": "tests.models.factories:noisy"}, r"transfer_to\.0\.factory: the model answers differently"),
    ],
)
def test_an_unfit_held_out_model_is_told_before_anything_runs(
    weights: dict[str, str], tmp_path: Path, held_out: dict[str, Any], sentence: str
) -> None:
    job = job_of(weights, tmp_path, transfer_to=[{"name": "a", **held_out}])
    with pytest.raises(JobError, match=f"^{sentence}"):
        check_before(job, make_plan(job))


def test_the_runs_summary_has_the_rates(made: Path, weights: dict[str, str], rivals: dict[str, str]) -> None:
    manifest = _manifest(made)
    outcome = RunOutcome("complete", make_plan(job_for(weights, rivals, made)), manifest.totals, 6, manifest)
    told = ended(outcome)
    assert list(told.transfer) == ["other", "rival"]
    assert all(0 < rate.fooled < rate.of <= 240 for rate in told.transfer.values())
    rate = told.transfer["rival"].fooled / told.transfer["rival"].of
    assert f"{rate:.1%} fooled rival" in sentence(told, "out")


def test_verify_finds_a_forged_verdict(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out"
    shutil.copytree(made, copy)
    file = sorted(copy.glob("data/**/*.parquet"))[0]
    table = pq.read_table(file)
    forged = [7 if i == 0 else value for i, value in enumerate(table["transferred"].to_pylist())]
    at = table.schema.get_field_index("transferred")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(forged, pa.int32())), file)
    faults = verify(Folder(str(copy)), sample=None, trust=Trust(records=True)).faults
    assert any("transferred is" in fault for fault in faults)
