"""The norms are declared once: every table that a norm leads into has exactly these."""

from __future__ import annotations

import pytest

from hardset.pipeline.attacks.pieces import GEOMETRIES
from hardset.schemas.norms import NORMS, STORED_NORMS, norm_of


def test_every_norm_has_a_word_in_the_column_and_a_geometry_of_its_name() -> None:
    assert tuple(STORED_NORMS) == tuple(GEOMETRIES) == NORMS
    assert [geometry.name for geometry in GEOMETRIES.values()] == list(NORMS)
    assert [norm_of(STORED_NORMS[norm]) for norm in NORMS] == list(NORMS)


def test_what_the_column_has_stored_since_contract_1_0_stays() -> None:
    assert dict(STORED_NORMS) == {"linf": "Linf", "l2": "L2", "l1": "L1", "l0": "L0"}
    with pytest.raises(KeyError):
        norm_of("linf")
