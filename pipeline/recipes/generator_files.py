"""Generator files on any storage: read, written and digested."""

from __future__ import annotations

from dataclasses import replace

import torch

from hardset.pipeline.gans.files import decode_generator, encode_generator
from hardset.pipeline.gans.generator import Generator, check_fit
from hardset.pipeline.recipes.foreign_generators import foreign_generator
from hardset.pipeline.storage.folder import place_of, public_name
from hardset.schemas.digests import sha256_hex
from hardset.schemas.errors import JobError
from hardset.schemas.job.recipes import GeneratorFile
from hardset.schemas.records.run import Image

_KEY = "generator.weights"


def save_generator(generator: Generator, weights: str) -> str:
    """Writes the generator to any fsspec URL, whole or not at all, and returns the file's SHA-256.

    The same generator gives the same bytes. Raises RunError where the storage refuses.
    """
    data = encode_generator(generator)
    folder, name = place_of(weights)
    folder.write(name, data)
    return sha256_hex(data)


def load_generator(weights: str, *, device: torch.device, key: str = _KEY) -> Generator:
    """The generator of a file at any fsspec URL, frozen and in eval mode.

    Raises JobError, naming `key`, where the file is missing, foreign or broken; RunError where the storage refuses.
    """
    generator = decode_generator(_read(weights, key), name=public_name(weights), key=key)
    return replace(generator, net=generator.net.to(device))


def declared_generator(spec: GeneratorFile, *, device: torch.device, at: str = "generator") -> Generator:
    """The generator that a recipe declares, of any format. Raises as `load_generator`, naming keys below `at`."""
    if spec.format == "hardset":
        return load_generator(spec.weights, device=device, key=f"{at}.weights")
    data = _read(spec.weights, f"{at}.weights", made_by=None)
    generator = foreign_generator(data, sha256_hex(data), spec, at)
    return replace(generator, net=generator.net.to(device))


def generator_digest(
    spec: GeneratorFile, *, at: str = "generator", classes: int | None = None, image: Image | None = None
) -> str:
    """SHA-256 of a generator that can be sampled from; of anybody's, also over the settings that fix what it makes.

    Raises as `declared_generator`, and JobError where the generator does not make `classes` or the shape `image`.
    """
    generator = declared_generator(spec, device=torch.device("cpu"), at=at)
    check_fit(generator.card, classes=classes, image=image, key=f"{at}.weights")
    return generator.sha256


def _read(weights: str, key: str, made_by: str | None = "`hardset train-gan JOB` makes it") -> bytes:
    folder, name = place_of(weights)
    try:
        return folder.read(name)
    except FileNotFoundError:
        raise JobError(f"{key}: no file at {public_name(weights)}; {made_by or 'check the path'}") from None
