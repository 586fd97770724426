"""The job file of an evaluation: what unset settings stand for, and one sentence for each fault."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from hardset.schemas.errors import JobError
from hardset.schemas.job.evaluation import EvaluationJob, Threat, parse_evaluation


def document(**changes: Any) -> dict[str, Any]:
    base = {
        "name": "digits",
        "source": {"format": "digits", "splits": ["test"]},
        "classes": 10,
        "models": [{"name": "plain", "factory": "hardset.pipeline.models.zoo:small_cnn"}],
        "threats": [{"eps": "8/255"}],
        "output": {"path": "out"},
    }
    return base | changes


def parsed(**changes: Any) -> EvaluationJob:
    return parse_evaluation(document(**changes))


L2 = {"norm": "l2", "eps": 0.5}


def test_a_job_without_attacks_gets_the_suite_of_every_threat():
    assert parsed().labels == ("fgsm", "pgd", "fast", "square")
    both = parsed(threats=[{"eps": "8/255"}, L2])
    assert both.labels == (
        *("fgsm linf", "pgd linf", "fast linf", "square linf"),
        *("fgsm l2", "pgd l2", "fast l2", "square l2"),
    )
    assert {both.threat_of(attack).norm for attack in both.attacks[4:]} == {"l2"}


def test_attacks_of_one_name_are_numbered():
    assert parsed(attacks=[{"name": "pgd"}, {"name": "fgsm"}, {"name": "pgd", "objective": "margin"}]).labels == (
        *("pgd #1", "fgsm", "pgd #2"),
    )


def test_unset_budgets_lie_around_the_threats_and_reach_where_accuracy_must_vanish():
    one_step, several = parsed().attacks[:2]
    assert one_step.eps == Fraction(8, 255), "where one step ends is no start for a longer one"
    assert [float(eps * 255) for eps in several.eps] == [2, 4, 8, 16, 32, 128]
    assert [eps * 255 for eps in Threat(eps=Fraction(1, 255)).curve] == [1, 2, 4, 128]
    assert [eps * 255 for eps in Threat(eps=Fraction("0.3")).curve] == [19, 38, 76.5, 153, 255]
    assert [float(eps) for eps in Threat(norm="l2", eps=Fraction(1, 2)).curve] == [0.125, 0.25, 0.5, 1, 2, 8]
    minimal = parsed(attacks=[{"name": "fmn"}, {"name": "pgd", "eps": ["8/255", "1/255"]}])
    assert minimal.attacks[0].eps == Fraction(8, 255)
    assert minimal.attacks[1].eps == (Fraction(1, 255), Fraction(8, 255))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"threats": [{"eps": 8}]}, "threats.0.eps: got 8; wants at most 1, pixels lie in [0, 1] (write 8/255, not 8)"),
        ({"threats": [{"eps": 0}]}, "threats.0.eps: got 0; wants more than 0"),
        ({"threats": [{"eps": 0.1}, {"eps": 0.2}]}, "threats.1.norm: got linf, as threats.0 has"),
        ({"threats": [L2], "attacks": [{"name": "pgd"}]}, "threats.0.norm: no attack has the norm l2"),
        (
            {"attacks": [{"name": "pgd"}, {"name": "pgd", "norm": "l2"}]},
            "attacks.1.norm: there is no threat of the norm l2",
        ),
        ({"attacks": [{"name": "pgd", "eps": [0.1]}]}, "attacks.0.eps: lacks 8/255, the budget of the threat linf"),
        ({"attacks": [{"name": "pgd", "eps": {"min": 0, "max": 1}}]}, "attacks.0.eps: got a range"),
        ({"attacks": [{"name": "pgd", "target": 10}]}, "attacks.0.target: got 10; wants a class from 0 to 9"),
        ({"attacks": [{"name": "pdg"}]}, "attacks.0.name: got 'pdg'"),
        ({"models": []}, "models: "),
        (
            {"models": [{"name": "a", "factory": "m:f"}, {"name": "a", "factory": "m:g"}]},
            "models.1.name: got 'a', which is the name of models.0 too; wants another",
        ),
        (
            {"models": [{"name": "a", "factory": "m:f", "hardened_from": "b"}, {"name": "c", "factory": "m:g"}]},
            "models.0.hardened_from: got 'b'; wants the name of another model: c",
        ),
        ({"severities": [0]}, "severities.0: got 0; wants a whole number from 1 to 5"),
        ({"corruptions": ["smog"]}, "corruptions.0: got 'smog'"),
        ({"recipes": []}, "recipes: unknown key"),
    ],
)
def test_faults_are_told_by_key(changes, told):
    with pytest.raises(JobError) as error:
        parsed(**changes)
    assert str(error.value).startswith(f"job: {told}")
    assert "\n" not in str(error.value)
