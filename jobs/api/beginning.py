"""A job file from what somebody has: images at a path or URL, a model and its weights, each looked at first."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from hardset.pipeline.extensions.imports import by_path
from hardset.pipeline.judging.judge import Judge
from hardset.pipeline.models.clean_accuracy import diagnosed
from hardset.pipeline.models.finding import Finding
from hardset.pipeline.models.loading import LoadedModel, load_network
from hardset.pipeline.models.normalisers import NormalisationError
from hardset.pipeline.sources.base import SourceReader, warnings_of
from hardset.pipeline.sources.cleaning import SizesDifferError
from hardset.pipeline.sources.recognise import recognise
from hardset.pipeline.sources.sampling import sample
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.storage.folder import Folder, public_name
from hardset.schemas.errors import JobError, UserError, one_line
from hardset.schemas.job.job import Job
from hardset.schemas.job.network import Network
from hardset.schemas.reading.loading import parse_job
from hardset.schemas.records.clean import CleanAccuracy
from hardset.schemas.records.run import Image, SourceRange

_ROWS = 256
"""Number of rows that the model is tried on: the interval of its accuracy is 13 points wide at most."""
_SIZES = (224, 160, 128, 96, 64, 32)
"""Sides in pixels that rows of mixed sizes are brought to: the largest that enlarges none of the first."""
_CPU = torch.device("cpu")
_FACTORY = re.compile(r"[\w.]+:[\w.]+")
_FITTED: Mapping[str, tuple[str, ...]] = {
    "classes": ("classes", "num_classes", "n_classes"),
    "channels": ("channels", "in_channels", "in_chans"),
    "side": ("side", "image_size", "img_size"),
}
"""Parameters of factories that say what a network is built for, by what they mean."""

Ask = Callable[[str, int], int]
"""Asks for a number, given a question and the answer that is taken where nobody is there to ask."""


@dataclass(frozen=True)
class Looked:
    """What was found of images and model."""

    source: dict[str, Any]
    """The `source` section."""
    what: str
    """What the source is, in a few words."""
    image: Image
    rows: int
    splits: tuple[str, ...]
    classes: int | None
    """Number of classes; None where neither the source nor a model tells them."""
    names: tuple[str, ...] | None
    """Class names in label order; None where the source has none."""
    model: dict[str, Any] | None = None
    """The `model` section without `classes`; None without a model."""
    clean: CleanAccuracy | None = None
    """Accuracy on a sample, with the settings that were found; None where it was not measured."""
    found: dict[str, tuple[Any, str]] = field(default_factory=dict)
    """Settings of the model that were found, which `model` has already, each with how; None for one that it must not
    have."""
    notes: tuple[str, ...] = ()
    """What was taken for granted or looks wrong, one sentence each."""


def look_at(
    data: str,
    model: str | None,
    weights: str | None,
    *,
    settings: Mapping[str, Any],
    ask: Ask = lambda _, usual: usual,
) -> Looked:
    """Looks at images and model: format, size, channels, classes, checkpoint, accuracy, normalisation.

    `data`, `model`, `weights`: as of `hardset init`. `settings`: of `source` and `model`, by section, that go before
    what is found. `ask`: for a size where the rows have several. Reads listings and a sample of the rows, runs the
    model on the CPU. Raises JobError for what cannot be used.
    """
    given = settings.get("source", {})
    found = recognise(data, given)
    source = {**found.settings, **given}
    reader, image = _opened(source, ask)
    ranges = reader.plan(2048)
    names = reader.class_names()
    notes = (*found.notes, *warnings_of(reader))
    looked = Looked(
        source=source,
        what=found.why,
        image=image,
        rows=sum(part.rows for part in ranges),
        splits=tuple(dict.fromkeys(part.split for part in ranges)),
        classes=None if names is None else len(names),
        names=names,
        notes=notes,
    )
    if model is None:
        if weights is not None:
            raise JobError("--weights: needs --model package.module:function, which builds the network they belong to")
        return looked
    section = {**_section(model, weights, looked), **settings.get("model", {})}
    return _with_model(looked, section, reader, ranges)


def _opened(source: dict[str, Any], ask: Ask) -> tuple[SourceReader, Image]:
    """The reader and the shape of its rows; a size is added to the section where they differ in theirs."""
    reader = open_source(_job(source).source)
    try:
        return reader, reader.probe()
    except SizesDifferError as differ:
        usual = next((side for side in _SIZES if side <= differ.side), _SIZES[-1])
        source["size"] = ask("The images differ in size. Pixels a side that all are brought to", usual)
    reader = open_source(_job(source).source)
    return reader, reader.probe()


def _job(source: dict[str, Any]) -> Job:
    """The smallest job that reads a source, which validates the section."""
    recipes = [{"kind": "augment", "ops": [{"name": "hflip"}]}]
    return parse_job({"name": "look", "source": source, "recipes": recipes, "output": {"path": "out"}}, name="--data")


_FILES = {".keras": "keras", ".h5": "keras", ".onnx": "onnx"}
"""Formats by the suffix of their files."""


def _section(model: str, weights: str | None, looked: Looked) -> dict[str, Any]:
    """The `model` section of what `--model` names."""
    suffix = PurePosixPath(model).suffix.lower()
    if suffix in _FILES:
        return {"format": _FILES[suffix], "weights": model}
    if suffix in (".pt2", ".ts", ".torchscript"):
        raise JobError(
            f"--model {model}: is a program that runs when it is loaded, which needs your word: write format, weights, "
            "sha256 and trust into a job file (docs/models.md)"
        )
    if suffix in (".pt", ".pth", ".safetensors", ".bin", ".ckpt"):
        raise JobError(
            f"--model {model}: holds weights alone; name what builds the network with --model package.module:function, "
            f"and this file with --weights {model}"
        )
    if _FACTORY.fullmatch(model) and not Path(model).exists():
        arguments = _arguments(model, looked)
        section: dict[str, Any] = {"factory": model}
        return section | ({"arguments": arguments} if arguments else {}) | ({"weights": weights} if weights else {})
    if weights is not None:
        raise JobError(f"--weights: {model} holds its weights itself; leave --weights out")
    if not Folder(model).exists("config.json"):
        raise JobError(
            f"--model {public_name(model)}: wants package.module:function, a folder of Hugging Face or timm "
            "(config.json and safetensors), or a .keras or .onnx file"
        )
    own = b'"pretrained_cfg"' in Folder(model).read("config.json")
    return {"format": "timm" if own else "huggingface", "weights": model}


def _arguments(factory: str, looked: Looked) -> dict[str, int]:
    """Arguments that fit a factory to the rows, as far as its parameters tell what they mean by their names."""
    try:
        there = inspect.signature(by_path(factory)).parameters
    except (ImportError, AttributeError) as error:
        raise JobError(f"--model {factory}: {error}") from None
    except (TypeError, ValueError):
        return {}  # some builtins have no signature
    values = {"classes": looked.classes, "channels": looked.image.channels, "side": looked.image.height}
    named = {meaning: next((one for one in names if one in there), None) for meaning, names in _FITTED.items()}
    return {
        name: value
        for meaning, name in named.items()
        if name is not None and (value := values[meaning]) is not None and there[name].default != value
    }


def _with_model(looked: Looked, section: dict[str, Any], reader: SourceReader, ranges: list[SourceRange]) -> Looked:
    """The same with a model, its classes, and its accuracy with the settings that a sample shows to be needed."""
    carried: dict[str, Any] = {}
    try:
        model = _load(section, 2, looked)
    except NormalisationError as error:
        carried = {"normalize": error.normalize}
        section = {**section, **carried}
        model = _load(section, 2, looked)
    outputs = _outputs(model, looked)
    if looked.classes not in (None, outputs):
        raise JobError(
            f"--model: returns {outputs} logits, and the source has {looked.classes} classes; give the factory the "
            f"number, such as --set model.arguments.num_classes={looked.classes}, or take another model"
        )
    pixels, labels = sample(reader, ranges, looked.image, outputs, _ROWS)
    if not len(labels):
        raise JobError("--data: none of the sampled rows can be read with a label that the model has")

    def measured(section: dict[str, Any]) -> tuple[CleanAccuracy | None, tuple[Finding, ...]]:
        model = _load(section, outputs, looked)
        judge = Judge(model.module, 64, _CPU)
        return diagnosed(model, (_network(section),), judge, pixels, labels) or (None, ())

    clean, findings = measured(section)
    tried = findings[0].settings if findings else {}
    if tried:
        section = {key: value for key, value in {**section, **tried}.items() if value is not None}
        clean, findings = measured(section)
    found = {
        **{key: (value, "carried by the checkpoint") for key, value in carried.items()},
        **{key: (value, "found by trying: far more rows are right with it") for key, value in tried.items()},
    }
    return Looked(
        **{**vars(looked), "classes": outputs, "model": section, "clean": clean, "found": found}
        | {"notes": (*looked.notes, *(one.text for one in findings))}
    )


def _load(section: Mapping[str, Any], classes: int, looked: Looked) -> LoadedModel:
    return load_network(
        _network(section),
        at="model",
        classes=classes,
        channels=looked.image.channels,
        device=_CPU,
        class_names=looked.names,
    )


def _network(section: Mapping[str, Any]) -> Network:
    try:
        return Network.model_validate(dict(section))
    except ValueError as error:
        raise JobError(f"--model: {one_line(error, 300)}") from None


def _outputs(model: LoadedModel, looked: Looked) -> int:
    """Number of logits that a model gives."""
    image = looked.image
    rows = torch.zeros(2, image.channels, image.height, image.width)
    try:
        with torch.no_grad():
            return int(model.module(rows).shape[1])
    except UserError:
        raise
    except Exception as error:  # the model is the user's code
        raise JobError(
            f"--model: fails on images of {image.height} x {image.width} with {image.channels} channels: "
            f"{type(error).__name__}: {one_line(error, 200)}; set the size it wants, such as --set "
            "source.size=224, or --set source.channels=3"
        ) from None
