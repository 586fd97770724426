"""`hardset augmentations` shows every operation and every setting, and names what it does not know."""

from __future__ import annotations

import io
import json
from fractions import Fraction

import pytest
import yaml
from rich.console import Console

from hardset.jobs.app import run
from hardset.jobs.telling.augmentations import show_all, show_one
from hardset.pipeline.augment.operation import Operation, nothing
from hardset.schemas.job.operations.amounts import NumberInterval, Numbers
from hardset.schemas.job.operations.base import OperationSettings
from hardset.schemas.job.operations.documentation import settings_of, summary_of
from hardset.schemas.job.operations.table import BY_NAME
from hardset.schemas.job.quantities import Rational
from tests.augment.images import document
from tests.augment.images import settings_of as validated
from tests.support import hardset, last_json


def shown(width: int, *name: str) -> str:
    text = io.StringIO()
    terminal = Console(file=text, width=width, highlight=False, soft_wrap=True)
    if name:
        show_one(*name, BY_NAME[name[0]], terminal)
    else:
        show_all(terminal)
    return text.getvalue()


@pytest.mark.parametrize("width", [80, 200])
def test_the_list_fits_the_terminal_and_leaves_nothing_out(width: int) -> None:
    text = shown(width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for name in BY_NAME:
        assert f"\n{name} " in text


def test_each_shows_every_setting_with_its_meaning() -> None:
    for name, operation in BY_NAME.items():
        text = shown(100, name)
        listed = [line.split()[0] for line in text.split("setting ", 1)[1].splitlines()[1:] if line[:1].strip()]
        assert listed == [s.name for s in settings_of(operation)]
        assert {*listed} == operation.model_fields.keys() - {"name"}
        assert all(s.meaning.endswith(".") and s.takes for s in settings_of(operation)), name
        assert summary_of(operation).endswith("."), name


def test_json_holds_what_a_job_file_may_say() -> None:
    done = hardset("augmentations", "--json")
    assert done.returncode == 0
    told = last_json(done)["augmentations"]
    assert [one["name"] for one in told] == list(BY_NAME)
    for one in told:
        defaults = {key: s["default"] for key, s in one["settings"].items() if not s["required"]}
        given = validated(one["name"], **{k: v for k, v in defaults.items() if v is not None})
        assert given == validated(**document(one["name"]))


def test_one_name_gives_one_operation() -> None:
    done = hardset("augmentations", "crop")
    assert done.returncode == 0
    assert "padding" in done.stdout and "elastic" not in done.stdout


class Own(OperationSettings):
    """An operation of a user's own, with a default of every kind."""

    std: Rational = Fraction(4, 255)
    """Fraction."""
    amount: Numbers = NumberInterval(min=0, max=0.5)
    """Range."""
    several: tuple[int, ...] = (1, 2)
    """List."""
    on: bool = True
    """Switch."""


OWN = Operation(Own, nothing, lambda images, parameters, stream: images)


def test_defaults_of_ones_own_are_shown_as_a_job_file_writes_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["augmentations", f"{__name__}:OWN", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["augmentations"][0]["settings"]
    defaults = {name: one["default"] for name, one in told.items()}
    assert defaults == {"std": "4/255", "amount": {"min": 0, "max": 0.5}, "several": [1, 2], "on": True, "p": 1}
    shown = {one.name: one.shown for one in settings_of(Own)}
    assert shown == {"std": "4/255", "amount": "{min: 0, max: 0.5}", "several": "[1, 2]", "on": "true", "p": "1"}
    assert yaml.safe_load(shown["amount"]) == defaults["amount"]


def test_an_unknown_operation_ends_in_one_sentence() -> None:
    done = hardset("augmentations", "rotat")
    assert done.returncode == 2
    assert "hardset: rotat: no such operation; did you mean rotate" in done.stderr
    assert "Traceback" not in done.stderr
