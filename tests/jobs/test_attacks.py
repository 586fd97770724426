"""`hardset attacks` shows every attack and every setting; `plan` says before the run what will hardly work."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from hardset.jobs.telling.attacks import show_all, show_one
from hardset.pipeline.attacks.composition import stages_of
from hardset.pipeline.attacks.pieces import LOSSES, SCHEDULES
from hardset.pipeline.attacks.schedules import Fixed
from hardset.pipeline.planning.plan import make_plan
from hardset.schemas.errors import JobError
from hardset.schemas.job.attack_documentation import LISTED, attack_table, setting_table, settings_of
from hardset.schemas.job.attack_recipe import Attack
from hardset.schemas.job.attacks import ATTACKS
from hardset.schemas.reading.loading import parse_job
from tests.support import hardset, last_json

NAMES = list(ATTACKS)


def shown(width: int, *name: str) -> str:
    text = io.StringIO()
    terminal = Console(file=text, width=width, highlight=False, soft_wrap=True)
    if name:
        show_one(*name, ATTACKS[name[0]], terminal)
    else:
        show_all(terminal)
    return text.getvalue()


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_list_fits_the_terminal_and_leaves_nothing_out(width: int) -> None:
    text = shown(width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    words = " ".join(text.split())
    for name, facts in LISTED.items():
        assert f"\n{name} " in text
        assert facts.paper.short in words


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", NAMES)
def test_one_attack_shows_every_setting_it_takes(name: str, width: int) -> None:
    text = shown(width, name)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    listed = [line.split()[0] for line in text.split("setting", 1)[1].splitlines()[1:] if line[:1].strip()]
    assert listed == [s for s in Attack.model_fields if s not in ("kind", "name") and ATTACKS[name].takes(s)]


def test_json_holds_what_a_job_file_may_say() -> None:
    done = hardset("attacks", "--json")
    assert done.returncode == 0
    told = last_json(done)["attacks"]
    assert [attack["name"] for attack in told] == [*NAMES, "worst_of"]
    assert told[-1]["norms"] == [] and list(told[-1]["settings"]) == ["ops", "tries", "misclassified"]
    for attack in told[:-1]:
        defaults = {key: s["default"] for key, s in attack["settings"].items() if not s["required"]}
        assert defaults.pop("norm") == ("linf" if "linf" in attack["norms"] else attack["norms"][0])
        step_size = defaults.pop("step_size", "")
        assert not step_size or "eps" in step_size
        short = {"kind": "attack", "name": attack["name"], "eps": 8 if attack["norms"] == ["l0"] else "8/255"}
        document = {**short, **defaults}
        (made,) = parse_job(job_document(document)).attacks
        assert made == parse_job(job_document(short)).attacks[0]


def test_one_name_gives_one_attack() -> None:
    told = last_json(hardset("attacks", "square", "--json"))["attacks"]
    assert [attack["name"] for attack in told] == ["square"]
    assert told[0]["settings"]["steps"]["default"] == 5000
    assert told[0]["gradient"] is False
    done = hardset("attacks", "square")
    assert "Andriushchenko" in done.stdout and "momentum" not in done.stdout


def test_an_unknown_attack_ends_in_one_sentence() -> None:
    done = hardset("attacks", "apdg_t")
    assert done.returncode == 2
    assert "hardset: apdg_t: no such attack; did you mean apgd_t" in done.stderr
    assert "Traceback" not in done.stderr


def job_document(attack: dict[str, Any], **run: Any) -> dict[str, Any]:
    return {
        "name": "a",
        "source": {"format": "digits", "limit": 20},
        "model": {"factory": "hardset.pipeline.models.zoo:small_cnn", "classes": 10},
        "recipes": [attack],
        "output": {"path": "memory://none"},
        "run": run,
    }


def attack(**settings: Any) -> dict[str, Any]:
    return {"kind": "attack", "name": "pgd", "eps": "8/255", **settings}


def test_a_plan_says_what_will_hardly_work(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job_document(attack(eps="0.5/255"))))
    done = hardset("plan", path, "--json", "--set", f"output.path={tmp_path / 'out'}")
    assert done.returncode == 0
    (warning,) = last_json(done)["warnings"]
    assert warning.startswith("recipes.0.eps: 1/510 is less than one 8-bit level (1/255)")
    assert f"Warning: {warning}" in done.stdout


def test_a_plan_counts_a_row_per_budget(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(job_document(attack(eps=["2/255", "4/255", "8/255"]))))
    told = last_json(hardset("plan", path, "--json", "--set", f"output.path={tmp_path / 'out'}"))
    assert told["recipes"][0]["rows_in"] == 20 and told["recipes"][0]["rows_out"] == 60
    assert told["warnings"] == []


def test_compiling_makes_other_shards() -> None:
    plain, same, compiled = (
        make_plan(parse_job(job_document(attack(), **run))) for run in ({}, {"actors": 1}, {"compile": True})
    )
    assert plain.shards == same.shards
    assert {s.key for s in plain.shards}.isdisjoint(s.key for s in compiled.shards)


REGIONS = [
    ({"height": 8, "width": 8}, None),
    ({"height": 2, "width": 3, "place": [6, 5]}, None),
    ({"height": 9, "width": 8}, "recipes.0.region: a region of 9 x 8 reaches beyond images of 8 x 8; make"),
    (
        {"height": 2, "width": 3, "place": [6, 6]},
        "recipes.0.region: a region of 2 x 3 at [6, 6] reaches beyond images of",
    ),
]


@pytest.mark.parametrize(("region", "sentence"), REGIONS, ids=[str(r) for r, _ in REGIONS])
def test_a_region_has_to_fit_the_rows(region: dict[str, Any], sentence: str | None) -> None:
    job = parse_job(job_document(attack(eps=1, region=region)))
    if sentence is None:
        assert make_plan(job).shards
    else:
        with pytest.raises(JobError) as caught:
            make_plan(job)
        assert str(caught.value).startswith(sentence)


def test_the_jobs_in_the_docs_are_jobs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "attacks.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in text.split("```yaml\n")[1:]]
    assert blocks
    for block in blocks:
        for recipe in yaml.safe_load(block):
            document = job_document(attack()) | {"recipes": [recipe]}
            assert [one.kind for one in parse_job(document).recipes] == ["attack"]


def test_every_setting_says_what_it_means() -> None:
    for name in NAMES:
        assert all(setting.meaning.endswith(".") and setting.takes for setting in settings_of(ATTACKS[name])), name
    assert json.dumps([attack_table(), setting_table()])


def test_the_engine_runs_what_the_table_says() -> None:
    for attack in ATTACKS.values():
        if attack.parts:
            assert set(attack.stages) <= set(ATTACKS)
            assert attack.targets == max(part.targets for part in attack.parts)
        else:
            schedule = SCHEDULES[attack.schedule]
            assert (schedule.needs_gradient, schedule.minimal) == (attack.gradient, attack.minimal)
            assert {attack.loss, attack.loss_going_on or attack.loss} <= set(LOSSES)
            assert attack.objective in (None, attack.loss)
    assert {attack.schedule for attack in ATTACKS.values()} == set(SCHEDULES)


def test_momentum_of_zero_is_none() -> None:
    (made,) = parse_job(job_document(attack(name="mi_fgsm", momentum=0))).attacks
    (stage,) = stages_of(made, 10)
    assert isinstance(stage.search.schedule, Fixed)
