"""The text of a job file for what was looked at: it runs as it is, and its comments name what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from hardset.jobs.api.beginning import Looked
from hardset.jobs.terminal.console import count
from hardset.schemas.job.purposes import Purpose

TRAINING_SPLIT, VALIDATION_SPLIT, TEST_SPLIT = "train", "validation", "test"
_COMMENT = 44
"""Column at which comments begin, where there is room."""
_TRIAL_ROWS = 1000
"""Rows of an evaluation: intervals of three points either way."""


COMMANDS = {
    Purpose.GENERATE: "generate",
    Purpose.HARDEN: "harden",
    Purpose.ROBUSTNESS: "evaluate",
    Purpose.AUGMENT: "generate",
}
"""Verb that runs a job file, by what it is for."""


def job_text(looked: Looked, purpose: Purpose, *, name: str, out: str, file: str, gpus: int = 0) -> str:
    """The job file. `name`: of the job; `out`: folder of its output; `file`: its own name; `gpus`: on this machine."""
    verb = COMMANDS[purpose]
    first = f"hardset plan {file} shows the work, hardset {verb} {file} does it"
    if purpose is Purpose.ROBUSTNESS:
        first = f"hardset evaluate {file} measures it"
    lines = [
        f"# Written by hardset init from what it found: {looked.what}.",
        f"# {first}; hardset schema prints every key.",
        "",
        *_pair("name", name, "names the job in records and reports"),
        *_pair("seed", 0, "same seed, same rows"),
        "",
        *_source(looked, purpose),
    ]
    if purpose is Purpose.ROBUSTNESS:
        lines += [*_pair("classes", looked.classes, _classes(looked)), "", *_evaluated(looked), *_threats(looked)]
    else:
        if looked.model is not None:
            lines += ["", *_section("model", {**looked.model, "classes": looked.classes}, _model_comments(looked))]
        lines += ["", *_recipes(looked, purpose)]
    lines += ["", *_section("output", {"path": out}, {"path": "any folder or URL, such as s3://bucket/out/"})]
    lines += ["", *_run(looked, gpus, actors=1 if purpose is Purpose.ROBUSTNESS else 2)]
    if purpose is Purpose.HARDEN:
        lines += ["", *_training(looked)]
    return "\n".join(lines) + "\n"


def _source(looked: Looked, purpose: Purpose) -> list[str]:
    image = looked.image
    values = dict(looked.source)
    wanted = TEST_SPLIT if purpose is Purpose.ROBUSTNESS else TRAINING_SPLIT
    comments = {"format": f"found: {looked.what}"}
    if len(looked.splits) > 1 and wanted in looked.splits and "splits" not in values:
        keep = [wanted]
        if purpose is Purpose.HARDEN and VALIDATION_SPLIT in looked.splits:
            keep.append(VALIDATION_SPLIT)
        values["splits"] = keep
        comments["splits"] = f"found: {', '.join(looked.splits)}"
    if purpose is Purpose.ROBUSTNESS and looked.rows > _TRIAL_ROWS and "limit" not in values:
        values["limit"] = {"rows": _TRIAL_ROWS, "by": "class"}
        comments["limit"] = f"of {looked.rows:,}; remove it to evaluate on all"
    if "size" in values:
        comments["size"] = "pixels a side; the images differ in size"
    kind = "grey" if image.channels == 1 else "RGB"
    shape = f"{count(looked.rows, 'row')} of {image.width} x {image.height} pixels, {kind}; {_classes(looked)}"
    return [f"# {shape}", *_section("source", values, comments)]


def _classes(looked: Looked) -> str:
    if looked.names is None:
        return f"classes without names; the model has {looked.classes}"
    shown = ", ".join(looked.names[:4]) + (", ..." if len(looked.names) > 4 else "")
    return f"{count(len(looked.names), 'class', 'classes')}: {' '.join(shown.split())}"


def _model_comments(looked: Looked) -> dict[str, str]:
    comments = {"classes": _classes(looked)}
    if looked.clean is not None:
        first = next(iter(looked.model or {}))
        comments[first] = f"right on {looked.clean} of {looked.clean.judged} sampled rows"
    comments |= {key: how for key, (_, how) in looked.found.items()}
    if looked.model is not None and "arguments" in looked.model:
        comments["arguments"] = "fitted to the rows above"
    return comments


def _evaluated(looked: Looked) -> list[str]:
    comments = {key: text for key, text in _model_comments(looked).items() if key != "classes"}
    rows = _section("", looked.model or {}, comments)[1:]
    return ["models:", "  - name: model", *(f"  {row}" for row in rows)]


def _threats(looked: Looked) -> list[str]:
    eps, why = _eps(looked)
    return [
        "",
        "threats:" + " " * (_COMMENT - 8) + "# what an adversary may do; the first is the headline",
        *_item({"norm": "linf", "eps": eps}, why),
        "# attacks: unset, fgsm, pgd, fast and square are run, so that every warning has its input",
    ]


def _recipes(looked: Looked, purpose: Purpose) -> list[str]:
    eps, why = _eps(looked)
    lines = ["recipes:"]
    if purpose is not Purpose.AUGMENT:
        lines += _item({"kind": "attack", "name": "pgd", "norm": "linf", "eps": eps, "steps": 10}, why)
    if purpose in (Purpose.GENERATE, Purpose.AUGMENT):
        shift = max(1, looked.image.height // 16)
        operations = [
            {"name": "rotate", "degrees": 10},
            {"name": "crop", "padding": shift},
            {"name": "gaussian_noise", "std": 0.02},
        ]
        lines += ["  - kind: augment", *_pair("ops", "", "hardset augmentations lists them all", indent=4)]
        lines += [f"      - {flow(operation)}" for operation in operations]
        lines += _pair("variants", 2, "rows made from each", indent=4)
    return lines


def _eps(looked: Looked) -> tuple[str, str]:
    """A usual budget for such images, and why."""
    side = min(looked.image.height, looked.image.width)
    if looked.image.channels == 1 and side <= 32:
        return "32/255", "budget on the [0, 1] scale; usual for small grey images are 25/255 to 76/255"
    if side <= 64:
        return "8/255", "budget on the [0, 1] scale, the usual one for small photographs"
    return "4/255", "budget on the [0, 1] scale, the usual one for photographs"


def _run(looked: Looked, gpus: int, *, actors: int) -> list[str]:
    large = min(looked.image.height, looked.image.width) > 64
    values: dict[str, Any] = {"actors": gpus or actors}
    comments = {"actors": "Ray actors"}
    if gpus:
        values["gpus_per_actor"] = 1
        comments["gpus_per_actor"] = f"found: {count(gpus, 'GPU')}"
    values["batch"] = 32 if large and not gpus else 128
    comments["batch"] = "rows in a forward pass; fewer need less memory"
    return _section("run", values, comments)


def _training(looked: Looked) -> list[str]:
    own = VALIDATION_SPLIT in looked.splits
    training = {"epochs": 2, "batch": 128, "rate": 0.003}
    harden: dict[str, Any] = {"rounds": 4}
    if not own:
        harden["validation"] = {"fraction": 0.1}
    comments = {"rounds": "of generate, train and measure", "validation": "training rows held out to choose the round"}
    return [
        *_section("train", training, {"epochs": "in each round", "rate": "highest learning rate"}),
        "",
        *_section("harden", harden, comments),
    ]


def _section(name: str, values: Mapping[str, Any], comments: Mapping[str, str]) -> list[str]:
    lines = [f"{name}:"]
    for key, value in values.items():
        lines += _pair(key, value, comments.get(key, ""), indent=2)
    return lines


def _item(values: Mapping[str, Any], comment: str) -> list[str]:
    return [f"  # {comment}", f"  - {flow(values)}"]


def _pair(key: str, value: Any, comment: str, *, indent: int = 0) -> list[str]:
    text = f"{' ' * indent}{key}:" + (f" {flow(value)}" if value != "" else "")
    if not comment:
        return [text]
    if len(text) < _COMMENT:
        return [f"{text:<{_COMMENT}}# {comment}"]
    return [f"{' ' * indent}# {comment}", text]


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
