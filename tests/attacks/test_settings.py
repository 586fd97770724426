"""Settings of attacks: who takes what, what unset ones stand for, what is refused or warned of before anything runs."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from hardset.schemas.errors import JobError
from hardset.schemas.job.attack_recipe import Attack
from hardset.schemas.job.attacks import ATTACKS, takers
from hardset.schemas.job.job import Job
from hardset.schemas.job.warnings import job_warnings
from hardset.schemas.reading.json_schema import job_schema
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.reading.wording import one_of

NAMES = list(ATTACKS)
ENSEMBLES = ("standard", "fast")
MINIMAL = ("fmn", "ddn", "sigma_zero", "fab", "fab_t")
TRANSFER = ("mi_fgsm", "ni_fgsm", "di_fgsm", "ti_fgsm")

SET: dict[str, Any] = {
    "step_size": "1/255",
    "steps": 1,
    "restarts": 2,
    "random_start": True,
    "target": "next",
    "targets": 3,
    "objective": "margin",
    "step_rule": "cosine",
    "eot": 4,
    "momentum": 0.9,
    "nesterov": False,
    "diversity": 0.25,
    "translation": 5,
    "scales": 3,
    "region": {"height": 2, "width": 3, "place": [1, 0]},
    "misclassified": "skip",
    "stop": {"after_success": 3},
}
"""A value for every setting, which no attack has by default."""


def document(classes: int = 10, **attack: Any) -> dict[str, Any]:
    return {
        "name": "a",
        "source": {"format": "digits"},
        "model": {"factory": "hardset.pipeline.models.zoo:small_cnn", "classes": classes},
        "recipes": [{"kind": "attack", "eps": 8 if attack.get("norm") == "l0" else "8/255", **attack}],
        "output": {"path": "out/"},
    }


def job(classes: int = 10, **attack: Any) -> Job:
    return parse_job(document(classes, **attack))


def attack(classes: int = 10, **given: Any) -> Attack:
    (made,) = job(classes, **given).attacks
    return made


def complaint(classes: int = 10, **given: Any) -> str:
    with pytest.raises(JobError) as caught:
        job(classes, **given)
    assert caught.value.exit_code == 2
    text = str(caught.value)
    assert text.startswith("job: recipes.0.") and "\n" not in text
    return text.removeprefix("job: recipes.0.")


def test_the_table_and_the_job_file_name_the_same_attacks() -> None:
    named = job_schema()["$defs"]["Attack"]["properties"]["name"]["anyOf"][0]["enum"]
    assert named == list(ATTACKS)
    for facts in ATTACKS.values():
        assert set(facts.stages) <= set(ATTACKS) and "\n" not in facts.summary
        assert facts.paper.authors and facts.paper.venue[-4:].isdigit()


@pytest.mark.parametrize("setting", SET)
@pytest.mark.parametrize("name", NAMES)
def test_a_setting_is_taken_or_refused_with_the_attacks_that_take_it(name: str, setting: str) -> None:
    given = {"name": name, "norm": ATTACKS[name].norms[0], setting: SET[setting]}
    if not ATTACKS[name].takes(setting):
        text = complaint(**given)
        assert text.startswith(f"{setting}: {name} takes no {setting}")
        assert text.endswith(f": {', '.join(takers(setting))}") and takers(setting)
    elif name in MINIMAL and setting == "stop":
        assert complaint(**given).startswith(f"stop: {name} goes on after success")
    else:
        dumped = attack(**given).model_dump(mode="json")[setting]
        assert dumped == ("1/255" if setting == "step_size" else SET[setting])


TAKEN = [
    ("objective", {"fgsm", "bim", "pgd", *TRANSFER, "apgd_ce"}),
    ("step_rule", {"bim", "pgd"}),
    ("momentum", {"bim", "pgd", *TRANSFER}),
    ("scales", {"bim", "pgd", *TRANSFER}),
    ("targets", {"apgd_t", "fab_t", *ENSEMBLES}),
    ("steps", set(NAMES) - set(ENSEMBLES)),
    ("step_size", set(NAMES) - {"square", *MINIMAL, *ENSEMBLES}),
    ("eot", set(NAMES) - {"square"}),
    ("region", set(NAMES)),
]


@pytest.mark.parametrize(("setting", "names"), TAKEN, ids=[s for s, _ in TAKEN])
def test_who_takes_what(setting: str, names: set[str]) -> None:
    assert set(takers(setting)) == names


NORMS = [
    ("linf", set(NAMES) - {"ddn", "sigma_zero"}),
    ("l2", set(NAMES) - {"sigma_zero"}),
    ("l1", {"fgsm", "bim", "pgd", "apgd_ce", "apgd_dlr", "apgd_t", "fmn", "fab", "fab_t", *ENSEMBLES}),
    ("l0", {"fmn", "sigma_zero", *ENSEMBLES}),
]


@pytest.mark.parametrize(("norm", "names"), NORMS, ids=[n for n, _ in NORMS])
def test_norms(norm: str, names: set[str]) -> None:
    for name in NAMES:
        if name in names:
            assert attack(name=name, norm=norm).norm == norm
        else:
            wanted = one_of(ATTACKS[name].norms)
            assert complaint(name=name, norm=norm).startswith(f"norm: got {norm}; {name} wants {wanted}; {norm} suits")


EPS = Fraction(8, 255)
DEFAULTS: list[tuple[str, dict[str, Any]]] = [
    ("fgsm", {"steps": 1, "step_size": EPS, "random_start": False, "objective": "cross_entropy", "momentum": None}),
    ("bim", {"steps": 10, "step_size": Fraction(1, 255), "random_start": False, "step_rule": "fixed", "momentum": 0.0}),
    ("pgd", {"steps": 10, "step_size": EPS / 4, "random_start": True, "stop": "never", "diversity": 0.0, "scales": 1}),
    ("mi_fgsm", {"steps": 10, "step_size": EPS / 10, "random_start": False, "momentum": 1.0, "nesterov": False}),
    ("ni_fgsm", {"momentum": 1.0, "nesterov": True, "scales": 5, "diversity": 0.0, "translation": 1}),
    ("di_fgsm", {"momentum": 1.0, "nesterov": False, "scales": 1, "diversity": 0.5, "translation": 1}),
    ("ti_fgsm", {"momentum": 1.0, "nesterov": False, "scales": 1, "diversity": 0.0, "translation": 7}),
    ("apgd_ce", {"steps": 100, "step_size": 2 * EPS, "random_start": True, "objective": "cross_entropy"}),
    ("apgd_dlr", {"steps": 100, "step_size": 2 * EPS, "random_start": True, "objective": None}),
    ("apgd_t", {"steps": 100, "step_size": 2 * EPS, "targets": 9, "stop": "never"}),
    ("pma", {"steps": 100, "step_size": 2 * EPS, "random_start": True, "targets": None}),
    ("square", {"steps": 5000, "step_size": None, "random_start": None}),
    ("fmn", {"steps": 100, "step_size": None, "random_start": None}),
    ("ddn", {"norm": "l2", "steps": 100, "step_size": None, "random_start": None}),
    ("sigma_zero", {"norm": "l0", "steps": 100, "step_size": None, "restarts": 1}),
    ("fab", {"steps": 100, "step_size": None, "random_start": False, "targets": None}),
    ("fab_t", {"steps": 100, "step_size": None, "random_start": False, "targets": 9}),
    ("standard", {"steps": None, "step_size": None, "targets": 9, "stop": "success"}),
    ("fast", {"steps": None, "step_size": None, "targets": 5, "stop": "success"}),
]


@pytest.mark.parametrize(("name", "defaults"), DEFAULTS, ids=[n for n, _ in DEFAULTS])
def test_unset_settings_are_the_papers(name: str, defaults: dict[str, Any]) -> None:
    made = attack(name=name, norm=ATTACKS[name].norms[0])
    assert {setting: getattr(made, setting) for setting in defaults} == defaults


def test_every_default_is_pinned() -> None:
    assert [name for name, _ in DEFAULTS] == NAMES


def test_unset_steps_follow_steps_norm_and_eps() -> None:
    assert attack(name="pgd", steps=40).step_size == EPS / 16
    assert attack(name="pgd", steps=1, eps="1").step_size == 1, "a sign step needs no more than the pixel range"
    assert attack(name="pgd", steps=1, eps="2", norm="l2").step_size == 5
    assert attack(name="apgd_ce", norm="l1", eps="12").step_size == 12
    assert attack(name="pgd", eps="0").step_size is None
    assert attack(name="pgd", eps={"min": "1/255", "max": "2/255"}).step_size is None
    assert ATTACKS["pgd"].step_size(10, "linf") == Fraction(1, 4)
    assert ATTACKS["standard"].step_size is None


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "pgd", "eps": "-1/255"}, "eps: got -1/255; wants 0 or more"),
    ({"name": "pgd", "eps": "9/8"}, "eps: got 9/8; wants at most 1"),
    ({"name": "pgd", "eps": ["1/255", -1]}, "eps: got -1; wants 0 or more"),
    ({"name": "pgd", "eps": [8, "1/255"]}, "eps: got 8; wants at most 1, pixels lie in [0, 1] (write 8/255, not 8)"),
    ({"name": "pgd", "eps": ["8/255", "16/510"]}, "eps: has 8/255 twice; each budget makes a row of its own"),
    ({"name": "pgd", "eps": []}, "eps: got an empty list; wants a number such as 8/255 or 0.03, or a range"),
    ({"name": "pgd", "eps": ["1/255", {"min": 0, "max": 1}]}, "eps.1: got a mapping; wants a number such as 8/255"),
    ({"name": "pgd", "eps": ["1/255", True]}, "eps: got ['1/255', True]; wants a number such as 8/255"),
    ({"name": "pgd", "eps": [f"{n}/255" for n in range(65)]}, "eps: got ['0/255', '1/255', '2/255', '3/255', ...]"),
    ({"name": "fmn", "eps": ["1/255", "2/255"]}, "eps: fmn finds each row's smallest change by itself; wants one"),
    ({"name": "fmn", "stop": "success"}, "stop: fmn goes on after success, to find a smaller change; wants never"),
    ({"name": "pgd", "steps": 0}, "steps: got 0; wants a whole number from 1 to 100000"),
    ({"name": "pgd", "restarts": 0}, "restarts: got 0; wants a whole number from 1 to 1000"),
    ({"name": "pgd", "eot": 0}, "eot: got 0; wants a whole number from 1 to 1000"),
    ({"name": "fgsm", "steps": 2}, "steps: got 2; fgsm takes one step, use bim or pgd for more"),
    ({"name": "pgd", "translation": 4}, "translation: got 4; wants an odd number"),
    ({"name": "pgd", "nesterov": True}, "nesterov: looks ahead along the momentum, which is 0; set momentum"),
    ({"name": "ni_fgsm", "momentum": 0}, "nesterov: looks ahead along the momentum, which is 0; set momentum, or"),
    ({"name": "pgd", "momentum": 1, "step_rule": "cosine"}, "step_rule: the steps along a momentum are all of one"),
    ({"name": "pgd", "momentum": -1}, "momentum: got -1; wants a number of 0 or more"),
    ({"name": "pgd", "diversity": 2}, "diversity: got 2; wants a number from 0 to 1"),
    ({"name": "fgsm", "momentum": 0.5}, "momentum: fgsm takes no momentum; those that do: bim, pgd, mi_fgsm"),
    ({"name": "square", "eot": 2}, "eot: square takes no eot, it uses no gradients; those that do: fgsm"),
    ({"name": "fmn", "step_size": 1}, "step_size: fmn takes no step_size, it adapts its steps itself; those that do"),
    (
        {"name": "standard", "steps": 9},
        "steps: standard takes no steps, its attacks and their budgets are fixed; those",
    ),
    ({"name": "apgd_dlr", "objective": "dlr"}, "objective: apgd_dlr takes no objective, its own is what it is named"),
    ({"name": "pgd", "objective": "hinge"}, "objective: got 'hinge'; wants cross_entropy, margin, dlr or probability"),
    ({"name": "pgd", "stop": "late"}, "stop: got 'late'; wants success or never, or a mapping {after_success: 5}"),
    ({"name": "pgd", "stop": {"after_success": 0}}, "stop.after_success: got 0; wants a whole number from 1 to"),
    ({"name": "pgd", "stop": {"after_success": 1, "x": 1}}, "stop.x: unknown key (allowed: after_success)"),
    (
        {"name": "pgd", "region": {"height": 0, "width": 1}},
        "region.height: got 0; wants a whole number from 1 to 16384",
    ),
    ({"name": "pgd", "region": {"height": 1}}, "region.width: missing; it is required: columns of pixels"),
    ({"name": "pgd", "region": {"height": 1, "width": 1, "place": "top"}}, "region.place: got 'top'; wants center or"),
    ({"name": "pgd", "target": 10}, "target: got 10; wants a class from 0 to 9, as model.classes says"),
    ({"name": "apgd_t", "targets": 12}, "targets: got 12; wants at most 9, as model.classes is 10"),
    ({"name": "apgd_t", "targets": 3, "target": 1}, "targets: stands beside target; keep target to reach one class"),
    ({"name": "pdg"}, "name: got 'pdg'; wants fgsm, bim, pgd, mi_fgsm"),
    ({"name": "autoattack"}, "name: got 'autoattack'; wants fgsm, bim, pgd"),
]


@pytest.mark.parametrize(("given", "sentence"), REFUSED, ids=[json.dumps(g)[:60] for g, _ in REFUSED])
def test_what_cannot_be_is_one_sentence(given: dict[str, Any], sentence: str) -> None:
    assert complaint(**given).startswith(sentence)


NEAR = [("pdg", "pgd"), ("apgd", "apgd_t"), ("mifgsm", "mi_fgsm"), ("PGD", "pgd")]


@pytest.mark.parametrize(("typed", "meant"), NEAR)
def test_unknown_attacks_name_their_neighbours(typed: str, meant: str) -> None:
    assert meant in complaint(name=typed).partition("did you mean ")[2]


def test_targets_are_cut_to_the_classes_there_are_unless_they_were_asked_for() -> None:
    assert attack(classes=3, name="apgd_t").targets == 2
    assert attack(classes=2, name="standard").targets == 1
    assert attack(classes=1000, name="fast").targets == 5
    assert attack(classes=1000, name="apgd_t", targets=999).targets == 999
    assert attack(name="apgd_t", target="next").targets is None
    assert complaint(classes=3, name="fast", targets=3).startswith("targets: got 3; wants at most 2")


def test_several_budgets_are_one_row_each_smallest_first() -> None:
    made = attack(name="pgd", eps=["8/255", "2/255", 0, "4/255"])
    assert made.eps == (0, Fraction(2, 255), Fraction(4, 255), Fraction(8, 255))
    assert made.variants == 4
    assert attack(name="pgd", eps=["8/255"]) == attack(name="pgd", eps="8/255"), "a list of one is no list"
    assert attack(name="pgd", eps={"min": 0, "max": "1/255"}).variants == 1
    assert attack(name="pgd", eps=[f"{n}/255" for n in range(64)]).variants == 64


def test_an_import_path_is_an_objective() -> None:
    assert attack(name="pgd", objective="my.losses:hinge").objective == "my.losses:hinge"


def test_a_budget_of_zero_is_no_error() -> None:
    assert all(attack(name=name, norm=ATTACKS[name].norms[0], eps=0).eps == 0 for name in NAMES)


def chosen(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Settings that the attack takes, some of them set."""
    facts = ATTACKS[name]
    several = st.lists(st.integers(0, 255), min_size=1, max_size=5, unique=True).map(lambda v: [f"{n}/255" for n in v])
    ranges = st.tuples(st.integers(0, 255), st.integers(0, 255)).map(
        lambda v: {"min": f"{min(v)}/255", "max": f"{max(v)}/255"}
    )
    eps = st.integers(0, 255).map(lambda n: f"{n}/255") | ranges
    taken = {
        key: st.just(value)
        for key, value in SET.items()
        if facts.takes(key) and not (name in MINIMAL and key == "stop")
    }
    if facts.momentum is not None:
        taken |= {"momentum": st.sampled_from([0, 0.5]), "nesterov": st.booleans()}
    return (
        st.fixed_dictionaries(
            {
                "name": st.just(name),
                "eps": eps if name in MINIMAL else eps | several,
                "norm": st.sampled_from(facts.norms),
            },
            optional=taken,
        )
        .map(lambda given: given | {"eps": 8} if given["norm"] == "l0" else given)
        .filter(lambda given: not {"target", "targets"} <= set(given))
    )


SCHEMA = Draft202012Validator(job_schema())


@given(given=st.sampled_from(NAMES).flatmap(chosen), classes=st.integers(4, 12))
@settings(max_examples=80, deadline=None)
def test_what_is_taken_survives_the_round_trip_and_the_schema(given: dict[str, Any], classes: int) -> None:
    written = document(classes, **given)
    SCHEMA.validate(written)
    try:
        made = parse_job(written)
    except JobError as error:
        assert str(error).startswith(("job: recipes.0.nesterov: ", "job: recipes.0.step_rule: "))
        assert "momentum" in given or given["nesterov"]
        return
    dumped = made.model_dump(mode="json")
    SCHEMA.validate(dumped)
    assert parse_job(json.loads(json.dumps(dumped))) == made
    assert parse_job(yaml.safe_load(yaml.safe_dump(dumped))).model_dump(mode="json") == dumped
    (one,) = made.attacks
    assert one.resolved(classes) == one, "what is resolved stays as it is"


WARNED: list[tuple[int, dict[str, Any], str | None]] = [
    (10, {"name": "pgd", "eps": "1/255"}, None),
    (10, {"name": "pgd", "eps": 0.5}, None),
    (
        10,
        {"name": "pgd", "eps": "0.5/255"},
        "recipes.0.eps: 1/510 is less than one 8-bit level (1/255), so no pixel can move: every row will be stored "
        "unchanged and not successful",
    ),
    (10, {"name": "pgd", "eps": 0}, "recipes.0.eps: 0 is no budget, so no pixel can move: every row will be stored"),
    (10, {"name": "pgd", "norm": "l2", "eps": "0.003"}, "recipes.0.eps: 3/1000 is less than one 8-bit level"),
    (
        10,
        {"name": "pgd", "eps": {"min": "1/510", "max": "8/255"}},
        "recipes.0.eps: the range starts at 1/510, less than one 8-bit level (1/255), so no pixel can move: rows that "
        "draw less than one will be stored unchanged and not successful",
    ),
    (10, {"name": "pgd", "eps": {"min": 0, "max": "1/510"}}, "recipes.0.eps: the range starts at 0, no budget"),
    (
        10,
        {"name": "pgd", "eps": ["0.1/255", "0.5/255", "2/255"]},
        "recipes.0.eps: 1/510 is less than one 8-bit level (1/255), so no pixel can move: every row made with 1/2550, "
        "1/510 will be",
    ),
    (3, {"name": "apgd_dlr"}, None),
    (2, {"name": "apgd_dlr"}, "recipes.0.name: apgd_dlr wants 3 classes or more; the model has 2, so its loss falls"),
    (3, {"name": "apgd_dlr", "target": "next"}, "recipes.0.name: apgd_dlr wants 4 classes or more, since it aims"),
    (3, {"name": "apgd_t"}, "recipes.0.name: apgd_t wants 4 classes or more"),
    (4, {"name": "standard"}, None),
    (3, {"name": "standard"}, "recipes.0.name: standard wants 4 classes or more"),
    (3, {"name": "fast"}, "recipes.0.name: fast wants 4 classes or more"),
    (2, {"name": "pgd", "objective": "dlr"}, "recipes.0.objective: dlr wants 3 classes or more; the model has 2"),
    (2, {"name": "pma"}, None),
]


@pytest.mark.parametrize(("classes", "given", "warning"), WARNED, ids=[f"{c} {g}" for c, g, _ in WARNED])
def test_what_will_hardly_work_is_said_before(classes: int, given: dict[str, Any], warning: str | None) -> None:
    told = job_warnings(job(classes, **given))
    assert len(told) == (warning is not None)
    assert all(text.startswith(str(warning)) for text in told)
