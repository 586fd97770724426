"""Draws docs/augmentations.jpg: every operation, and every corruption at severity 3, on one photograph.

    python -m docs.pictures

The photograph is scikit-learn's flower.jpg, by dany13 (CC BY 2.0, https://www.flickr.com/photos/dany13/6205594411).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

from hardset.pipeline.augment.recipe import AugmentRecipe
from hardset.pipeline.batches import CleanRows, Partners, Pixels
from hardset.schemas.digests import image_sha256
from hardset.schemas.job.operations.corruptions import CORRUPTIONS
from hardset.schemas.job.operations.table import BY_NAME
from hardset.schemas.job.recipes import Augment

PICTURE = Path(__file__).parent / "augmentations.jpg"
SIDE, GAP, TEXT, COLUMNS = 112, 6, 14, 9
SHOWN: dict[str, dict[str, Any]] = {
    "rotate": {"degrees": [25]},
    "crop": {"padding": 24},
    "gaussian_noise": {"std": 0.1},
    "elastic": {"alpha": 9, "sigma": 7},
    "one_of": {"ops": [{"name": "invert", "p": 1}]},
    "some_of": {"ops": [{"name": "invert", "p": 1}, {"name": "hflip", "p": 1}, {"name": "solarize"}]},
    "shuffle": {"ops": [{"name": "grayscale", "p": 1}, {"name": "hflip", "p": 1}]},
    "rotate90": {"turns": 1},
    "mixup": {"alpha": 100},
    "patch_mix": {"alpha": 100},
}
"""Settings where the defaults would show little."""


def photograph() -> Pixels:
    """A square cut of the photograph."""
    cut = Image.fromarray(load_sample_image("flower.jpg")[60:400, 170:510])
    return np.asarray(cut.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def after(op: dict[str, Any], seed: int = 3) -> Pixels:
    """The photograph after an operation; its partner, where it mixes, is another photograph."""
    image = photograph()
    other = Image.fromarray(load_sample_image("china.jpg")[0:427, 100:527]).resize((SIDE, SIDE))
    partner = np.asarray(other)[None]
    pool = Partners(partner, np.array([1]), ("china",), (image_sha256(partner[0]),))
    spec = Augment.model_validate({"ops": [{"p": 1, **op}]})
    recipe = AugmentRecipe(spec, batch=1, device=torch.device("cpu"), partners=lambda split: pool)
    row = CleanRows(image[None], np.zeros(1, np.int64), ("flower",), np.zeros(1, np.int64))
    made: Pixels = recipe.make(row, np.array([[seed]], np.int64)).pixels[0]
    return made


def tiles() -> list[tuple[str, Pixels]]:
    """Names and images in the order of the documentation."""
    found = [("as it is", photograph())]
    found += [(name, after({"name": name, **SHOWN.get(name, {})})) for name in BY_NAME if name != "corruption"]
    corrupted = [{"name": "corruption", "corruption": name, "severity": 3} for name in CORRUPTIONS]
    return found + [(f"c: {op['corruption']}"[:22], after(op)) for op in corrupted]


def main() -> None:
    """Draws the picture."""
    found = tiles()
    rows = -(-len(found) // COLUMNS)
    canvas = Image.new("RGB", (COLUMNS * (SIDE + GAP) + GAP, rows * (SIDE + TEXT + GAP) + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for number, (name, image) in enumerate(found):
        left = GAP + number % COLUMNS * (SIDE + GAP)
        top = GAP + number // COLUMNS * (SIDE + TEXT + GAP)
        canvas.paste(Image.fromarray(image), (left, top))
        draw.text((left, top + SIDE + 1), name, fill="black")
    canvas.save(PICTURE, quality=82, optimize=True)
    print(f"wrote {PICTURE.name}: {len(found)} images")


if __name__ == "__main__":
    main()
