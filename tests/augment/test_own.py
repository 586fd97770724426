"""Operations of a user's own: by import path and by entry point, held to what built-in ones promise."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from hardset.pipeline.audit.replay import replay
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.augment import table
from hardset.pipeline.augment.operation import Operation, nothing
from hardset.pipeline.augment.recipe import replay_params
from hardset.pipeline.extensions.code_digest import code_digest
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.recipes.table import recipe_text
from hardset.pipeline.statistics.recipe_statistics import gather
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import digest
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.job import Job
from hardset.schemas.job.operations.amounts import NumberInterval, Numbers
from hardset.schemas.job.operations.base import OperationSettings
from hardset.schemas.job.operations.warps import Rotate
from hardset.schemas.job.recipes import Augment
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.run import Manifest
from tests.augment.test_recipe import ALL, clean_rows, made, seeds_of
from tests.support import make_here

EXAMPLES = Path(__file__).parents[2] / "examples" / "extending"
VIGNETTE = "augmentation:VIGNETTE"


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


def job_of(out: Path, *ops: dict[str, Any]) -> Job:
    return parse_job(
        {
            "name": "own",
            "source": {"format": "digits", "limit": 40},
            "recipes": [{"kind": "augment", "ops": list(ops)}],
            "output": {"path": str(out), "shard_rows": 20},
        }
    )


def stored_rows(folder: Folder, manifest: Manifest) -> list[dict[str, Any]]:
    data = manifest.outputs[0].data
    assert data is not None
    return list(pq.read_table(io.BytesIO(folder.read(data.path))).to_pylist())


def test_texts_of_recipes_are_those_of_before_code_versions() -> None:
    """Another text would give every stored row another id, and so make every dataset anew."""
    exact = [op for op in ALL if op["name"] in ("hflip", "vflip", "crop")]
    text = recipe_text(Augment.model_validate({"ops": exact, "variants": 2}), 0, {})
    assert digest(text) == "b118fe7c51dce670fe9d5684f1975681b73ad265469123e08c2fa35d46970389"


def test_a_code_version_names_the_recipes_that_use_the_operation_and_no_other(monkeypatch) -> None:
    def texts() -> list[str]:
        return [digest(recipe_text(Augment.model_validate({"ops": [op]}), 0, {})) for op in ALL]

    before = texts()
    monkeypatch.setattr(Rotate, "code", Rotate.code + 1)
    changed = [one != other for one, other in zip(before, texts(), strict=True)]
    assert changed == [op["name"] == "rotate" for op in ALL]


def test_an_operation_of_ones_own_makes_rows_that_are_replayed(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    manifest = make_here(job_of(tmp_path, {"name": VIGNETTE, "strength": 0.9}, {"name": "hflip"}))
    (recipe,) = manifest.recipes.values()
    assert recipe["ops"][0] == {"name": VIGNETTE, "p": 1.0, "strength": 0.9}
    stored = stored_rows(folder, manifest)
    (told,) = gather(folder, manifest).recipes
    assert told.tally.rows == manifest.totals.rows_out
    assert all(VIGNETTE in row["params"] for row in stored)
    assert replay(folder, stored[3]["row_id"], trust=Trust(records=True)).equal


def test_its_rows_do_not_depend_on_their_batch_and_come_again_from_params_alone() -> None:
    rows, seeds, ops = clean_rows(30), seeds_of(30), [{"name": VIGNETTE}, {"name": "crop", "padding": 2}]
    whole, single = made(ops, rows, seeds), made(ops, rows, seeds, batch=1)
    assert np.array_equal(whole.pixels, single.pixels)
    assert whole.pixels.mean() < rows.pixels.mean()
    again = replay_params(rows.pixels[4], whole.columns["params"][4], int(seeds[4, 0]))
    assert np.array_equal(again, whole.pixels[4])


def test_policies_draw_it_and_its_settings_are_written_out(tmp_path: Path) -> None:
    policy = {"name": "one_of", "ops": [{"name": VIGNETTE, "strength": 0.9}, {"name": "hflip", "p": 1}]}
    folder, manifest = Folder(str(tmp_path)), make_here(job_of(tmp_path, policy))
    (recipe,) = manifest.recipes.values()
    assert recipe["ops"][0]["ops"][0] == {"name": VIGNETTE, "p": 1.0, "strength": 0.9}
    stored = stored_rows(folder, manifest)
    assert 0 < sum(VIGNETTE in row["params"] for row in stored) < len(stored)
    drawn = next(row for row in stored if VIGNETTE in row["params"])
    sys.modules.pop("augmentation")
    assert not verify(folder, sample=0).faults
    assert "augmentation" not in sys.modules  # an audit runs no code that records name
    assert replay(folder, drawn["row_id"], trust=Trust(records=True)).equal


def test_an_entry_point_stands_for_its_import_path(tmp_path: Path, monkeypatch) -> None:
    found = tmp_path / "acme-1.0.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n", encoding="utf-8")
    (found / "entry_points.txt").write_text(f"[hardset.augmentations]\nvignette = {VIGNETTE}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    by_name = job_of(tmp_path / "out", {"name": "vignette", "strength": 0.9})
    assert by_name == job_of(tmp_path / "out", {"name": VIGNETTE, "strength": 0.9})


def test_reading_a_job_runs_no_code(tmp_path: Path) -> None:
    sys.modules.pop("augmentation", None)
    job = job_of(tmp_path, {"name": VIGNETTE, "strength": 0.9})
    assert Job.model_validate(job.model_dump(mode="json")) == job
    assert "augmentation" not in sys.modules


def wrong_shape(images: torch.Tensor, parameters: object, stream: object) -> torch.Tensor:
    return images[..., 1:]


class Grown(OperationSettings):
    """Nothing, with settings that a later version added: a number, a list and a range."""

    added: ClassVar[tuple[str, ...]] = ("least", "several", "amount")

    factor: float = 1.0
    """First."""
    least: float = 0.0
    """Added."""
    several: tuple[int, ...] = (1, 2)
    """Added."""
    amount: Numbers = NumberInterval(min=0, max=1)
    """Added."""


GROWN = Operation(Grown, nothing, lambda images, parameters, stream: images)


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a policy"])
def test_settings_that_a_later_version_added_leave_its_recipes_as_they_were(tmp_path: Path, inside: bool) -> None:
    def records(**settings: Any) -> tuple[dict[str, Any], list[str]]:
        op = {"name": f"{__name__}:GROWN", **settings}
        manifest = make_here(job_of(tmp_path, {"name": "one_of", "ops": [op]} if inside else op))
        faults = [fault.message for fault in verify(Folder(str(tmp_path)), sample=0).faults]
        (text,) = (recipe["ops"][0] for recipe in manifest.recipes.values())
        return (text["ops"][0] if inside else text), faults

    text, faults = records(factor=2)
    assert text.keys() == {"name", "p", "factor", "code"} and not faults
    assert records(factor=2, least=0, several=[1, 2], amount={"min": 0, "max": 1}) == (text, [])
    text, faults = records(least=0.5)
    assert text["least"] == 0.5 and not {"several", "amount"} & text.keys() and not faults


class Plain(OperationSettings):
    """Nothing."""


CUTS = Operation(Plain, nothing, wrong_shape)
DRAWS = Operation(Plain, lambda spec, stream: {"x": torch.zeros(3)}, lambda images, parameters, stream: images)
GIVES = Operation(Plain, nothing, lambda images, parameters, stream: None)
NO_OPERATION = 3


@pytest.mark.parametrize(
    ("op", "message"),
    [
        ({"name": "augmentation:VIGNET"}, r"recipes\.0\.ops\.0\.name: augmentation has no VIGNET; did you mean"),
        ({"name": "nowhere:X"}, r"recipes\.0\.ops\.0\.name: nowhere cannot be imported"),
        ({"name": f"{__name__}:NO_OPERATION"}, r"ops\.0\.name: .* is a int; wants a .*operation\.Operation"),
        (
            {"name": VIGNETTE, "strength": 2},
            r"recipes\.0\.ops\.0\.strength: got 2; wants a number above 0 and at most 1",
        ),
        ({"name": VIGNETTE, "strenght": 1}, r"recipes\.0\.ops\.0\.strenght: unknown key; did you mean strength\?"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_plan(tmp_path: Path, op: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        make_plan(job_of(tmp_path, op))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("CUTS", r"CUTS returned a tensor of shape \(4, 1, 8, 7\); wants images of shape \(4, 1, 8, 8\)"),
        ("DRAWS", r"DRAWS draws a tensor of shape \(3,\) for x; wants one value per row"),
    ],
)
def test_what_an_operation_gives_back_is_checked(name: str, message: str) -> None:
    with pytest.raises(JobError, match=message):
        made([{"name": f"{__name__}:{name}"}], clean_rows(4), seeds_of(4))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("CUTS", r"^ops\.1: .*:CUTS returned a tensor of shape \(1, 1, 8, 7\); wants images of shape \(1, 1, 8, 8\)"),
        ("GIVES", r"^ops\.1: .*:GIVES returned a NoneType; wants images of shape \(1, 1, 8, 8\)"),
        ("DRAWS", r"^ops\.1: .*:DRAWS draws a tensor of shape \(3,\) for x; wants one value per row"),
    ],
)
def test_what_an_operation_gives_back_is_checked_inside_a_policy(name: str, message: str) -> None:
    policy = {"name": "one_of", "ops": [{"name": f"{__name__}:{name}"}]}
    with pytest.raises(JobError, match=message):
        made([{"name": "hflip"}, policy], clean_rows(4), seeds_of(4))


def test_an_edited_operation_makes_its_rows_anew_and_is_not_replayed(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "undeclared.py").write_text(
        (EXAMPLES / "augmentation.py").read_text(encoding="utf-8").replace("code: ClassVar[int] = 1", ""),
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    job = job_of(tmp_path / "out", {"name": "undeclared:VIGNETTE"})
    before = make_plan(job)
    manifest = make_here(job)
    (recipe_id,) = manifest.recipes
    with (tmp_path / "undeclared.py").open("a", encoding="utf-8") as file:
        file.write("# edited\n")
    code_digest.cache_clear()  # as in the next process
    assert {shard.key for shard in make_plan(job).shards}.isdisjoint({shard.key for shard in before.shards})
    assert table.code_version("undeclared:VIGNETTE") != manifest.recipes[recipe_id]["ops"][0]["code"]
    folder = Folder(str(tmp_path / "out"))
    row = stored_rows(folder, manifest)[0]
    with pytest.raises(RunError, match=r"version module undeclared, sha256 \w+ of the undeclared:VIGNETTE code"):
        replay(folder, row["row_id"], trust=Trust(records=True))
