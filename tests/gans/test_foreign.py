"""Generators of others: what they make is stored as it is, and what cannot be is refused in one sentence."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from hardset.pipeline.batches import CleanRows, Pixels
from hardset.pipeline.dataset.files.png import decode_png
from hardset.pipeline.gans.generator import Generator
from hardset.pipeline.gans.recipe import SampleRecipe
from hardset.pipeline.recipes.foreign_generators import Noise
from hardset.pipeline.recipes.generator_files import declared_generator, generator_digest
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipes import GeneratorFile
from tests.support import make_here

CPU = torch.device("cpu")
AT = "recipes.0.generator"
LATENT, CLASSES, BATCH = 6, 3, 8


FAULTS: dict[str, Callable[[Tensor], Any]] = {
    "flat": lambda images: images.flatten(1),
    "wide": lambda images: images * 3,
    "nan": lambda images: images / 0 * 0,
    "batch": lambda images: images - images.mean(0) * 0.1,
    "chance": lambda images: images * torch.rand(len(images), 1, 1, 1),
    "dict": lambda images: {"images": images},
}


class Net(nn.Module):
    """A small conditional generator that ends in tanh; `fault`: what is wrong with it."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.embed, self.body, self.fault = nn.Embedding(CLASSES, LATENT), nn.Linear(2 * LATENT, 3 * 8 * 12), fault

    def forward(self, z: Tensor, y: Tensor) -> Any:
        images = torch.tanh(self.body(torch.cat((z, self.embed(y)), 1))).view(-1, 3, 8, 12)
        return FAULTS[self.fault](images) if self.fault else images


class Noisy(Net):
    """Draws twice more on its way, as diffusion models do."""

    def sample(self, z: Tensor, y: Tensor, noise: Noise) -> Tensor:
        first: Tensor = self(z, y)
        return torch.tanh(first + noise((3, 8, 12)) - noise((3, 1, 1)))


class Plain(nn.Module):
    """Takes latents alone."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(LATENT, 64)

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.body(z)).view(-1, 1, 8, 8)


def build(kind: str = "Net", **settings: Any) -> nn.Module:
    found: nn.Module = globals()[kind](**settings)
    return found


def declared(folder: Path, kind: str = "Net", settings: dict[str, Any] | None = None, **changes: Any) -> GeneratorFile:
    path, arguments = folder / "gan.safetensors", {"kind": kind, **(settings or {})}
    torch.manual_seed(0)
    safetensors.torch.save_file(build(**arguments).state_dict(), path)
    text = {"weights": str(path), "format": "factory", "factory": f"{__name__}:build", "arguments": arguments}
    return GeneratorFile.model_validate({**text, "latent": LATENT, "range": [-1, 1], **changes})


def sampled(generator: Generator, numbers: list[int]) -> Pixels:
    recipe = SampleRecipe(generator, classes=CLASSES, batch=BATCH, device=CPU)
    labels = np.asarray(numbers, np.int64) % CLASSES
    rows = CleanRows(np.zeros((0, 0, 0, 1), np.uint8), labels, tuple(map(str, numbers)), labels)
    return recipe.make(rows, np.asarray(numbers, np.int64)[:, None] * 7_919).pixels


@pytest.mark.parametrize("kind", ["Net", "Noisy"])
def test_a_row_is_the_same_alone_and_in_any_batch(kind: str, tmp_path: Path) -> None:
    generator = declared_generator(declared(tmp_path, kind), device=CPU, at=AT)
    whole = sampled(generator, list(range(1, 22)))
    assert whole.shape == (21, 8, 12, 3)
    assert len({image.tobytes() for image in whole}) == 21
    for number in (1, 9, 21):
        assert np.array_equal(sampled(generator, [number])[0], whole[number - 1])
    assert np.array_equal(sampled(generator, [12, 3, 20, 5, 1, 2, 4, 6, 7])[[0, 1, 2]], whole[[11, 2, 19]])


def test_black_and_white_are_what_the_range_says(tmp_path: Path) -> None:
    spec = declared(tmp_path)
    found = sampled(declared_generator(spec, device=CPU, at=AT), [5])[0]
    wide = spec.model_copy(update={"range": (-3.0, 1.0)})
    brighter = sampled(declared_generator(wide, device=CPU, at=AT), [5])[0]
    assert np.abs(brighter - (127.5 + found / 2)).max() <= 1


@pytest.mark.slow  # exporting takes seconds
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_programs_of_torch_make_the_same_rows(tmp_path: Path) -> None:
    spec = declared(tmp_path)
    wanted = sampled(declared_generator(spec, device=CPU, at=AT), [1, 2, 3])
    module = build()
    module.load_state_dict(safetensors.torch.load_file(spec.weights))
    example = (torch.zeros(4, LATENT), torch.zeros(4, dtype=torch.int64))
    script, rows = tmp_path / "gan.pt", torch.export.Dim("rows", min=2, max=4096)
    torch.jit.trace(module, example).save(str(script))
    program = tmp_path / "gan.pt2"
    torch.export.save(torch.export.export(module.eval(), example, dynamic_shapes=({0: rows}, {0: rows})), program)
    for form, path in (("torchscript", script), ("export", program)):
        told = {"format": form, "weights": str(path), "latent": LATENT, "range": [-1, 1], "trust": True}
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        found = GeneratorFile.model_validate({**told, "sha256": sha256})
        assert np.array_equal(sampled(declared_generator(found, device=CPU, at=AT), [1, 2, 3]), wanted)
        with pytest.raises(JobError, match=r"recipes\.0\.generator\.sha256: the file has"):
            other = GeneratorFile.model_validate({**told, "sha256": "0" * 64})
            declared_generator(other, device=CPU, at=AT)
        with pytest.raises(ValueError, match="files are programs"):
            GeneratorFile.model_validate({**told, "trust": False})


REFUSED = {
    "flat": r"recipes\.0\.generator: the generator makes \(8, 288\) from 8 latents; wants images N x C x H x W",
    "wide": r"recipes\.0\.generator\.range: the generator makes values from -\S+ to \S+, outside \[-1, 1\]",
    "nan": r"recipes\.0\.generator: the generator makes NaN",
    "batch": "depends on its neighbours in the batch",
    "chance": "or on chance of its own",
    "dict": "it returns a dict; wants one tensor of images",
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_stored_is_refused_in_one_sentence(fault: str, tmp_path: Path) -> None:
    spec = declared(tmp_path, settings={"fault": fault})
    with pytest.raises(JobError, match=REFUSED[fault]) as caught:
        generator_digest(spec, at=AT)
    assert "\n" not in str(caught.value)


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="check latent, conditional"):
        generator_digest(declared(tmp_path, latent=5), at=AT)
    with pytest.raises(JobError, match="check latent, conditional"):
        generator_digest(declared(tmp_path, conditional=False), at=AT)
    with pytest.raises(JobError, match=r"weights: are not those of"):
        generator_digest(declared(tmp_path).model_copy(update={"arguments": {"kind": "Plain"}}), at=AT)
    for changes in ({"latent": None}, {"factory": None}, {"range": [1, 1]}, {"format": "hardset"}):
        with pytest.raises(ValueError, match=r"latent: |factory: |range: "):
            declared(tmp_path, **changes)


def test_what_fixes_the_rows_is_in_the_digest_and_the_path_is_not(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = generator_digest(declared(tmp_path), at=AT)
    assert generator_digest(declared(tmp_path / "other"), at=AT) == first
    assert generator_digest(declared(tmp_path, law="uniform"), at=AT) != first
    assert generator_digest(declared(tmp_path, range=[-2, 2]), at=AT) != first


def test_latents_may_be_uniform_and_classes_left_out(tmp_path: Path) -> None:
    spec = declared(tmp_path, "Plain", conditional=False, range=[0, 1])
    normal = sampled(declared_generator(spec, device=CPU, at=AT), [1, 2])
    uniform = sampled(declared_generator(spec.model_copy(update={"law": "uniform"}), device=CPU, at=AT), [1, 2])
    assert normal.shape == (2, 8, 8, 1) and not np.array_equal(normal, uniform)


def test_a_pickle_is_refused_with_the_way_to_convert_it(tmp_path: Path) -> None:
    (tmp_path / "stylegan.pkl").write_bytes(b"\x80\x04}.")
    with pytest.raises(JobError, match=r"pickles, such as those of StyleGAN.*G_ema.state_dict\(\).*format: factory"):
        generator_digest(GeneratorFile(weights=str(tmp_path / "stylegan.pkl")), at=AT)


def test_the_samples_of_a_sequential_generator_of_keras_are_stored(tmp_path: Path) -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((100,)),
            layers.Dense(8 * 7 * 7),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Reshape((7, 7, 8)),
            layers.Conv2DTranspose(8, 4, strides=2, padding="same"),
            layers.BatchNormalization(),
            layers.Conv2DTranspose(8, 4, strides=2, padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2D(1, 7, padding="same", activation="sigmoid"),
        ]
    )
    model.save(tmp_path / "generator.keras")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "rows.npz", x=rng.integers(0, 256, (20, 28, 28), np.uint8), y=np.arange(20) % 2)
    generator = {"format": "keras", "weights": str(tmp_path / "generator.keras"), "latent": 100, "conditional": False}
    job = Job.model_validate(
        {
            "name": "keras",
            "source": {
                "format": "npz",
                "path": str(tmp_path / "rows.npz"),
                "images": "x",
                "labels": "y",
                "classes": ["a", "b"],
            },
            "recipes": [{"kind": "sample", "generator": generator, "per_class": 3, "admit": "unmeasured"}],
            "output": {"path": str(tmp_path / "out")},
            "run": {"batch": 4},
        }
    )
    manifest = make_here(job)
    (file,) = manifest.data_files
    rows = pq.read_table(tmp_path / "out" / file.path).to_pylist()
    assert len(rows) == 6
    made = declared_generator(job.recipes[0].generator, device=CPU)  # type: ignore[union-attr]
    for row in rows:
        stored = decode_png(row["image"]["bytes"])
        assert stored.shape == (28, 28, 1) and stored.std() > 0
        recipe = SampleRecipe(made, classes=2, batch=4, device=CPU)
        one = CleanRows(np.zeros((0, 0, 0, 1), np.uint8), np.asarray([row["label"]]), ("s",), np.zeros(1, np.int64))
        assert np.array_equal(recipe.make(one, np.asarray([[row["seed"]]])).pixels[0], stored)
