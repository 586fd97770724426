"""What an attack's settings make of it: the searches, setting by setting, as the engine is given them."""

from __future__ import annotations

from typing import Any

import pytest

from hardset.pipeline.attacks import objectives
from hardset.pipeline.attacks.apgd import AutoPgd
from hardset.pipeline.attacks.composition import Stage, in_floats, stages_of
from hardset.pipeline.attacks.geometries import L2, Linf
from hardset.pipeline.attacks.momentum import Momentum
from hardset.pipeline.attacks.schedules import Cosine, Fixed
from hardset.pipeline.attacks.transforms import Diversity, Scales
from hardset.schemas.job.recipes import Attack


def stage(classes: int = 10, **settings: Any) -> Stage:
    (only,) = stages_of(Attack(**{"name": "pgd", "eps": "8/255"} | settings).resolved(), classes)
    return only


@pytest.mark.parametrize(
    ("settings", "schedule"),
    [
        ({}, Fixed()),
        ({"step_rule": "cosine"}, Cosine()),
        ({"step_rule": "fixed"}, Fixed()),
        ({"momentum": 0.7}, Momentum(0.7)),
        ({"momentum": 0.7, "nesterov": True}, Momentum(0.7, nesterov=True)),
        ({"name": "mi_fgsm"}, Momentum()),
        ({"name": "ni_fgsm"}, Momentum(nesterov=True)),
        ({"name": "mi_fgsm", "momentum": 0}, Fixed()),
        ({"name": "mi_fgsm", "momentum": 0.5}, Momentum(0.5)),
        ({"name": "apgd_ce"}, AutoPgd()),
        ({"name": "pma"}, Cosine()),
    ],
)
def test_schedules(settings, schedule):
    assert stage(**settings).search.schedule == schedule


@pytest.mark.parametrize(
    ("settings", "field", "value"),
    [
        ({}, "steps", 10),
        ({"steps": 7}, "steps", 7),
        ({}, "geometry", Linf),
        ({"norm": "l2", "eps": 0.5}, "geometry", L2),
        ({}, "restarts", 1),
        ({"restarts": 3}, "restarts", 3),
        ({"name": "pma", "restarts": 3}, "restarts", 6),
        ({"name": "pma", "restarts": 3, "target": "next"}, "restarts", 3),
        ({}, "random_start", True),
        ({"random_start": False}, "random_start", False),
        ({"name": "bim"}, "random_start", False),
        ({"name": "bim", "random_start": True}, "random_start", True),
        ({}, "targeted", False),
        ({"target": 3}, "targeted", True),
        ({"stop": "never"}, "after_success", None),
        ({"stop": "success"}, "after_success", 0),
        ({"stop": {"after_success": 4}}, "after_success", 4),
        ({}, "transforms", ()),
        ({"diversity": 0.4}, "transforms", (Diversity(0.4),)),
        ({"scales": 1}, "transforms", ()),
        ({"scales": 2}, "transforms", (Scales(2),)),
        ({"diversity": 0.4, "scales": 3}, "transforms", (Diversity(0.4), Scales(3))),
        ({}, "smoothing", None),
        ({"translation": 1}, "smoothing", None),
        ({"translation": 3}, "smoothing", 3),
        ({"eot": 5}, "repeats", 5),
        ({}, "objective", objectives.cross_entropy),
        ({"target": "next"}, "objective", objectives.targeted_cross_entropy),
        ({"objective": "margin"}, "objective", objectives.margin),
        ({"name": "apgd_dlr"}, "objective", objectives.dlr),
        ({"name": "apgd_t"}, "objective", objectives.targeted_dlr),
        ({"name": "pma"}, "objective", objectives.probability_margin_in_turns),
        ({}, "on_grid", True),
    ],
)
def test_searches(settings, field, value):
    found = getattr(stage(**settings).search, field)
    assert isinstance(found, value) if isinstance(value, type) else found == value


@pytest.mark.parametrize(("settings", "classes", "targets"), [
    ({}, 10, 0),
    ({"name": "apgd_t"}, 10, 9),
    ({"name": "apgd_t"}, 1000, 9),
    ({"name": "apgd_t"}, 4, 3),
    ({"name": "apgd_t", "targets": 5}, 10, 5),
    ({"name": "apgd_t", "targets": 5}, 3, 2),
])  # fmt: skip
def test_targets_are_other_classes(settings, classes, targets):
    assert stage(classes, **settings).targets == targets


@pytest.mark.parametrize(("settings", "classes", "few"), [
    ({}, 2, False),
    ({"name": "apgd_dlr"}, 2, True),
    ({"name": "apgd_dlr"}, 3, False),
    ({"name": "apgd_t"}, 3, True),
    ({"name": "apgd_t"}, 4, False),
    ({"name": "apgd_dlr", "target": 1}, 3, True),
])  # fmt: skip
def test_too_few_classes_for_an_objective_are_told(settings, classes, few):
    assert stage(classes, **settings).few_classes is few


def test_ensembles_are_searches_in_turn_and_go_on_in_half_steps():
    stages = stages_of(Attack(name="standard", eps="8/255").resolved(), 10)
    assert [(each.name, each.search.steps, each.targets, each.goes_on) for each in stages] == [
        ("apgd_ce", 50, 0, False),
        ("apgd_t", 30, 9, False),
        ("square", 5000, 0, False),
        ("pma", 50, 0, True),
    ]
    assert [each.step_share for each in stages[:2] + stages[3:]] == [2.0, 2.0, 0.5]
    assert stages[-1].search.objective == objectives.probability_margin
    assert stages[-1].search.restarts == 1
    assert [each.search.on_grid for each in in_floats(stages)] == [False] * 4
    assert [each.search.steps for each in in_floats(stages)] == [each.search.steps for each in stages]
