"""Attacks of a user's own: by import path and by entry point, held to what those of the table promise."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest
import yaml

from hardset.extending import AttackDeclaration, Loss, Schedule, Spec
from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.composition import stages_of
from hardset.pipeline.attacks.declared import attack_code, attack_text, resolved
from hardset.pipeline.audit.replay import replay
from hardset.pipeline.audit.trust import Trust
from hardset.pipeline.audit.verify import verify
from hardset.pipeline.evaluation.measure import evaluated
from hardset.pipeline.extensions.code_digest import code_digest
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.reporting.wording import recipe_details, recipe_title
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.statistics.recipe_statistics import gather
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import digest
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.attack_declaration import Part
from hardset.schemas.job.attack_recipe import Attack
from hardset.schemas.job.attacks import ATTACKS, FIRST_CODE
from hardset.schemas.job.job import Job
from hardset.schemas.reading.json_schema import job_schema
from hardset.schemas.reading.loading import parse_job
from tests.attacks.nets import CPU, conv_net, images, predictions, recipe, rows, seeds
from tests.support import document, hardset, job_of, last_json, make_here

EXAMPLE = Path(__file__).parents[2] / "examples" / "extending" / "attack.py"
WOBBLE = "attack:WOBBLE"
OWN = {"kind": "attack", "name": WOBBLE, "eps": "40/255", "steps": 4, "settings": {"period": 3}}


@pytest.fixture(autouse=True)
def _example_is_found(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(EXAMPLE.parent))
    yield
    for name in ("attack", "unnumbered"):
        sys.modules.pop(name, None)
    code_digest.cache_clear()


def own_job(weights: dict[str, str], out: Path | str = "memory://none", **changes: Any) -> Job:
    return job_of(weights, out, recipes=[OWN | changes], source={"format": "digits", "limit": 40})


class Amounts(Spec):
    """Settings of a loss."""

    power: float = 1.0
    """Power of the margin's size."""


def powered(settings: Amounts) -> Loss:
    """A margin that counts more, or less, the wider it is."""

    def free(logits, goal):
        margin = objectives.margin(logits, goal)
        return margin.sign() * margin.abs() ** settings.power

    return Loss(free, objectives.targeted_margin)


POWERED = AttackDeclaration(summary="a margin to a power", code=1, settings=Amounts, loss=powered, steps=3)
ENSEMBLE = AttackDeclaration(
    summary="two in turn", code=1, parts=(Part("fgsm", 1), Part(WOBBLE, 3)), stop="success", restarts=None, target=False
)
SAYS_MINIMAL = replace(POWERED, minimal=True)
NO_SCHEDULE = replace(POWERED, schedule=dict)
NO_PIECE = replace(POWERED, loss="marign")
BREAKS = replace(POWERED, schedule=lambda settings: 1 / 0)
NOT_ONE = Schedule()


def test_an_attack_of_ones_own_makes_rows_that_verify_and_are_replayed(weights, tmp_path: Path, monkeypatch) -> None:
    manifest = make_here(own_job(weights, tmp_path))
    folder = Folder(str(tmp_path))
    (text,) = manifest.recipes.values()
    assert text["settings"] == {"period": 3, "shortest": 0.25}
    assert (text["step_size"], text["stop"], text["code"]) == ("2/51", "never", {"version": 1, "hardset_code": 0})
    assert verify(folder, sample=None, trust=Trust(records=True)).faults == []
    assert recipe_title(text) == "attack:WOBBLE, Linf, eps 40/255"
    assert "period 3, shortest 0.25" in recipe_details(text)
    (told,) = gather(folder, manifest).recipes
    assert (told.op, told.tally.rows) == (f"{WOBBLE}_linf", 40)
    row_id = row_of(folder, WOBBLE)
    assert replay(folder, row_id, trust=Trust(records=True)).equal
    assert replay(folder, row_id, trust=Trust(job=own_job(weights, tmp_path))).equal
    raised = ATTACKS | {"fgsm": replace(ATTACKS["fgsm"], code=FIRST_CODE + 1)}
    monkeypatch.setattr("hardset.pipeline.attacks.declared.ATTACKS", raised)
    with pytest.raises(RunError, match=r"version 1, hardset_code 0 of the attack:WOBBLE code .* 1, hardset_code 1"):
        replay(folder, row_id, trust=Trust(records=True))


def pixels_made(**settings: Any) -> np.ndarray:
    net, pixels = conv_net(), images(20, seed=8)
    spec = resolved(Attack.model_validate({"eps": "6/255", **settings}), 10)
    clean = rows(pixels, predictions(net, pixels))
    return recipe(net, **spec.model_dump(exclude={"kind"})).make(clean, seeds(20)[:, None]).pixels


def test_its_schedule_moves_the_rows() -> None:
    own, alike = (
        {"name": WOBBLE, "steps": 6},
        {"name": "pgd", "objective": "margin", "steps": 6, "step_size": "1.5/255"},
    )
    even, uneven = pixels_made(**own, settings={"shortest": 1}), pixels_made(**own)
    np.testing.assert_array_equal(even, pixels_made(**alike), "steps of one length are pgd's")
    assert (even != uneven).mean() > 0.05


def test_reading_a_job_and_its_schema_run_no_code(weights: dict[str, str]) -> None:
    job = own_job(weights)
    assert Job.model_validate(job.model_dump(mode="json")) == job
    assert WOBBLE not in str(job_schema())
    assert "attack" not in sys.modules


def test_an_entry_point_stands_for_its_import_path(weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tmp_path / "acme-1.0.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n", encoding="utf-8")
    (found / "entry_points.txt").write_text(f"[hardset.attacks]\nwobble = {WOBBLE}\npgd = {WOBBLE}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert own_job(weights, name="wobble") == own_job(weights)
    assert own_job(weights, name="pgd", settings=None).attacks[0].name == "pgd", "a name of the table is the table's"
    named = job_schema()["$defs"]["Attack"]["properties"]["name"]["anyOf"][0]["enum"]
    assert named == [*ATTACKS, "wobble"]
    assert "From installed packages: wobble.\n" in hardset("attacks").stdout
    with pytest.raises(JobError, match="did you mean wobble"):
        own_job(weights, name="woble")
    assert "attack" not in sys.modules


REFUSED = [
    ({"name": "nowhere:X"}, r"^recipes\.0\.name: nowhere cannot be imported"),
    ({"name": "attack:WOBLE"}, r"^recipes\.0\.name: attack has no WOBLE; did you mean WOBBLE\?"),
    ({"name": f"{__name__}:NOT_ONE"}, r"^recipes\.0\.name: .* is a Schedule; wants a .*AttackDeclaration"),
    ({"settings": {"perid": 3}}, r"^recipes\.0\.settings\.perid: unknown key; did you mean period\?"),
    ({"settings": {"period": 1}}, r"^recipes\.0\.settings\.period: got 1; wants a whole number from 2 to 1000$"),
    ({"momentum": 1}, r"^recipes\.0\.momentum: attack:WOBBLE takes no momentum; those that do: bim, pgd, "),
    ({"name": f"{__name__}:ENSEMBLE", "settings": None}, r"^recipes\.0\.steps: .* takes no steps, its attacks and"),
]


@pytest.mark.parametrize(("changes", "sentence"), REFUSED, ids=[str(c) for c, _ in REFUSED])
def test_what_does_not_fit_is_refused_when_the_job_is_planned(weights, changes: dict[str, Any], sentence: str) -> None:
    job = own_job(weights, **changes)
    with pytest.raises(JobError, match=sentence):
        make_plan(job)


def test_the_table_takes_no_settings_of_an_extension() -> None:
    with pytest.raises(ValueError, match="pgd takes no settings of its own"):
        Attack(name="pgd", eps="8/255", settings={"period": 3})


BROKEN = [
    ("SAYS_MINIMAL", "declares gradient True and minimal True, and its schedule says True and False"),
    ("NO_SCHEDULE", "schedule: cannot be made: TypeError: 'Amounts' object is not iterable|schedule: is a dict"),
    ("NO_PIECE", "loss: got marign; wants cross_entropy, margin"),
    ("BREAKS", "schedule: cannot be made: ZeroDivisionError: division by zero"),
]


@pytest.mark.parametrize(("name", "sentence"), BROKEN, ids=[n for n, _ in BROKEN])
def test_a_declaration_that_cannot_be_put_together_is_refused_in_one_sentence(name: str, sentence: str) -> None:
    spec = resolved(Attack(name=f"{__name__}:{name}", eps="8/255"), 10)
    with pytest.raises(JobError, match=sentence):
        stages_of(spec, 10)


def test_a_loss_takes_the_settings() -> None:
    own, alike = (
        {"name": f"{__name__}:POWERED"},
        {"name": "pgd", "objective": "margin", "steps": 3, "step_size": "6/255"},
    )
    np.testing.assert_array_equal(pixels_made(**own), pixels_made(**alike, random_start=False))
    assert (pixels_made(**own, settings={"power": 0}) == pixels_made(name="pgd", eps=0)).all(), (
        "a constant has no slope"
    )


def test_an_ensemble_takes_attacks_from_anywhere() -> None:
    stages = stages_of(resolved(Attack(name=f"{__name__}:ENSEMBLE", eps="6/255"), 10), 10)
    assert [(stage.name, stage.search.steps) for stage in stages] == [("fgsm", 1), (WOBBLE, 3)]


def test_it_can_be_evaluated() -> None:
    spec = evaluated(Attack.model_validate(OWN), 10)
    assert (spec.stop, spec.settings) == ("success", {"period": 3, "shortest": 0.25})


def test_texts_of_the_table_are_those_of_before_code_versions_per_attack() -> None:
    """Another text would give every stored row another id, and so make every dataset anew."""
    document = {"name": "a", "source": {"format": "digits"}, "output": {"path": "memory://none"}}
    document["model"] = {"factory": "hardset.pipeline.models.zoo:small_cnn", "classes": 10}
    document["recipes"] = [{"kind": "attack", "name": name, "eps": "8/255"} for name in FIRST]
    texts = [{**attack_text(attack), "model": "0" * 64} for attack in parse_job(document).attacks]
    assert digest(texts) == "1e8206d44a83691c839d10e01202eccd16e0a2f25a6f2a2da69d6a4a1f463f11"


FIRST = (
    *("fgsm", "bim", "pgd", "mi_fgsm", "ni_fgsm", "di_fgsm", "ti_fgsm", "apgd_ce", "apgd_dlr", "apgd_t", "pma"),
    *("square", "fmn", "standard", "fast"),
)
"""The attacks of row contract 1.1, whose recipe ids are kept."""


def test_a_code_version_is_that_of_one_attack_and_of_the_ensembles_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: attack_code(name, "linf") for name in [*ATTACKS, WOBBLE]}
    raised = ATTACKS | {"apgd_ce": replace(ATTACKS["apgd_ce"], code=FIRST_CODE + 1)}
    monkeypatch.setattr("hardset.pipeline.attacks.declared.ATTACKS", raised)
    changed = {name for name, code in before.items() if attack_code(name, "linf") != code}
    assert changed == {"apgd_ce", "standard", WOBBLE}, "one from elsewhere may be made of any piece of hardset's"


def unnumbered(folder: Path) -> Path:
    """The example with no number for its code, as a module of its own."""
    path = folder / "unnumbered.py"
    text = EXAMPLE.read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("    code=1"))
    path.write_text(text.replace(f"{line}\n", ""), encoding="utf-8")
    return path


def test_edited_code_makes_its_rows_anew_and_no_others(
    weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = unnumbered(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    attacks = [OWN | {"name": "unnumbered:WOBBLE"}, {"kind": "attack", "name": "pgd", "eps": "8/255"}]
    job = job_of(weights, tmp_path / "out", recipes=attacks, source={"format": "digits", "limit": 20})
    before = make_plan(job)
    manifest = make_here(job)
    text = next(text for text in manifest.recipes.values() if text["name"] != "pgd")
    assert text["code"] == {**code_digest("unnumbered"), "hardset_code": 0}
    path.write_text(path.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    code_digest.cache_clear()  # as in the next process
    after = make_plan(job)
    same = [one.key == other.key for one, other in zip(before.shards, after.shards, strict=True)]
    assert same == [False, True]
    with pytest.raises(RunError, match=r"^recipes\.0: its code here is not that of the machine that planned the run"):
        Worker(job, before, CPU).recipe_id(0)
    assert Worker(job, before, CPU).recipe_id(1) == after.recipes[1]
    folder = Folder(str(tmp_path / "out"))
    wanted = f"version module unnumbered, sha256 {text['code']['sha256'][:12]}, hardset_code 0 of the unnumbered"
    with pytest.raises(RunError, match=wanted):
        replay(folder, row_of(folder, "unnumbered"), trust=Trust(records=True))
    assert replay(folder, row_of(folder, "pgd"), trust=Trust(records=True)).equal


def row_of(folder: Folder, op: str) -> str:
    found = ds.dataset(f"{folder.url}/data").to_table(columns=["row_id", "op"]).to_pylist()
    return next(row["row_id"] for row in found if row["op"].startswith(op))


def test_the_code_of_an_objective_is_part_of_the_recipe() -> None:
    own, plain = (attack_text(Attack(name="pgd", eps="8/255", objective=o)) for o in ("attack:wobble", "margin"))
    assert own["objective_code"] == code_digest("attack")
    assert "objective_code" not in plain


def test_the_command_line_tells_an_attack_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(EXAMPLE.parent)
    told = last_json(hardset("attacks", WOBBLE, "--json"))["attacks"][0]
    assert told["settings"]["settings.period"]["default"] == 5
    assert told["settings"]["settings.shortest"]["takes"] == "a number above 0 and at most 1"
    shown = hardset("attacks", WOBBLE)
    assert shown.returncode == 0
    assert "settings.period" in shown.stdout and "whose steps shorten and lengthen again" in shown.stdout
    missing = hardset("attacks", "attack:WOBLE")
    assert missing.returncode == 2
    assert "NAME: attack has no WOBLE; did you mean WOBBLE?" in missing.stderr


def test_a_job_file_beside_its_attack_is_planned_by_the_command_line(weights, tmp_path, monkeypatch) -> None:
    (tmp_path / "attack.py").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    job = document(weights, tmp_path / "out", recipes=[OWN], source={"format": "digits", "limit": 20})
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    done = hardset("plan", "job.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert last_json(done)["recipes"][0]["rows_out"] == 20
