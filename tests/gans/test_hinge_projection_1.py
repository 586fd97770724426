"""Generators of the first architecture, which is trained no more: read, and sampled from bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from hardset.pipeline.batches import CleanRows
from hardset.pipeline.gans.architectures import ARCHITECTURES
from hardset.pipeline.gans.generator import Card
from hardset.pipeline.gans.recipe import SampleRecipe
from hardset.pipeline.gans.shape import Shape
from hardset.pipeline.recipes.generator_files import load_generator
from hardset.schemas.digests import image_sha256

TESTS = Path(__file__).parents[1]
CPU = torch.device("cpu")
FIRST = ARCHITECTURES["hinge-projection-1"]


@pytest.mark.parametrize("version", ["1_0", "1_1"])
def test_rows_of_old_datasets_are_made_again_bit_for_bit(version: str) -> None:
    home = TESTS / f"contract_{version}"
    generator = load_generator(str(home / "generator.safetensors"), device=CPU)
    assert isinstance(generator.card, Card)
    assert (generator.card.architecture, generator.card.training.loss) == ("hinge-projection-1", "hinge")
    tables = [pq.read_table(path) for path in sorted(home.glob("dataset/data/*/*.parquet"))]
    rows = [row for table in tables for row in table.to_pylist() if row["kind"] == "generated"]
    assert {row["model_sha256"] for row in rows} == {generator.sha256} and len(rows) == 3
    numbers = np.arange(len(rows), dtype=np.int64)
    labels = np.array([row["label"] for row in rows], np.int64)
    asked = CleanRows(np.zeros((0, 0, 0, 1), np.uint8), labels, tuple(row["source_key"] for row in rows), numbers)
    recipe = SampleRecipe(generator, classes=generator.card.classes, batch=4, device=CPU)
    made = recipe.make(asked, np.array([[row["seed"]] for row in rows], np.int64))
    assert [image_sha256(pixels) for pixels in made.pixels] == [row["image_sha256"] for row in rows]


@pytest.mark.parametrize("sides", [(8, 8), (12, 20), (28, 28), (24, 32)], ids=str)
def test_it_makes_the_sides_it_made(sides: tuple[int, int]) -> None:
    net = FIRST(Shape(4, *sides, 3, latent=5, features=8))
    assert net(torch.randn(2, 5), torch.tensor([0, 3])).shape == (2, 3, *sides)


@pytest.mark.parametrize("sides", [(8, 10), (36, 36)], ids=str)
def test_it_makes_no_others(sides: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="makes no images of"):
        FIRST(Shape(4, *sides, 3, latent=5, features=8))
