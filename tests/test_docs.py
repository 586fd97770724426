"""Tables in the docs are those of the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs.job_keys import SECTIONS, Section
from docs.tables import WRITERS, names, pages, written
from pydantic import TypeAdapter

from hardset.extending import AttackDeclaration
from hardset.pipeline.attacks.pieces import LOSSES, SCHEDULES
from hardset.schemas.job.sources import Source
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.rows.documentation import flag_table

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", list(pages()), ids=lambda page: page.name)
def test_the_tables_of_a_page_are_those_of_the_code(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert written(text) == text, "make docs writes them"


def test_every_table_has_its_place_and_every_place_its_table() -> None:
    placed = [name for page in pages() for name in names(page.read_text(encoding="utf-8"))]
    assert sorted(placed) == sorted(WRITERS)


def test_a_stale_table_is_written_anew_and_its_surroundings_kept() -> None:
    stale = "before\n<!-- table: flags -->\n\n| old |\n\n<!-- end of table -->\nafter <!-- end of table -->"
    new = written(stale)
    assert new == stale.replace("| old |\n", flag_table())
    assert written(new) == new


def test_the_job_of_an_ensemble_is_a_job() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "models.md").read_text(encoding="utf-8"), re.DOTALL)
    job = parse_job(yaml.safe_load(block))
    assert job.model is not None
    assert (len(job.model.members), [model.name for model in job.transfer_to]) == (1, ["rival"])


def test_the_attack_of_the_page_on_extending_can_be_put_together() -> None:
    text = (DOCS / "extending.md").read_text(encoding="utf-8")
    space: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], space)
    walk = space["MARGIN_WALK"]
    assert isinstance(walk, AttackDeclaration)
    assert {walk.loss} < set(LOSSES) and {walk.schedule} < set(SCHEDULES)
    assert all(f"`{name}`" in text for name in (*LOSSES, *SCHEDULES))


def test_the_sources_of_the_page_on_sources_are_sources() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Source)
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / "sources.md").read_text(encoding="utf-8"), re.DOTALL)
    found = [adapter.validate_python(yaml.safe_load(block)["source"]) for block in blocks]
    assert len(found) >= 5


KEYS = [(section, key) for section in SECTIONS for key in section.kind.model_fields]


@pytest.mark.parametrize(("section", "key"), KEYS, ids=[f"{one.kind.__name__}.{key}" for one, key in KEYS])
def test_the_example_of_a_key_is_taken(section: Section, key: str) -> None:
    assert getattr(section.taken(key), key) is not None
    assert set(yaml.safe_load(section.examples)) == set(section.kind.model_fields)
