"""Provenance section of a report: origin of the rows, and how to make them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hardset.pipeline.reporting.content import Content, numbered
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.tables import facts
from hardset.pipeline.reporting.wording import clipped, duration, seconds_between


def provenance(content: Content) -> Markup:
    """Origin of the rows, and how to make them again."""
    manifest = content.statistics.manifest
    job = manifest.job
    source, model = job.get("source") or {}, job.get("model") or {}
    size = manifest.image
    rows: list[tuple[str, Child]] = [
        ("Run", _code(manifest.run_id)),
        ("Job", str(job.get("name", ""))),
        ("Seed", str(job.get("seed", ""))),
        ("Source", " ".join(str(source[key]) for key in ("format", "path") if source.get(key))),
        ("Images", f"{size.height} x {size.width} pixels, {'grey' if size.channels == 1 else 'RGB'}"),
        ("Classes", _class_list(manifest.classes)),
        ("Model", _model(model)),
        ("Held out", ", ".join(f"{other['name']} ({other['factory']})" for other in job.get("transfer_to", ()))),
        *((f"Weights: {role}", _code(f"sha256 {digest}")) for role, digest in sorted(manifest.models.items())),
        ("Content digest", _code(f"sha256 {manifest.content_sha256}")),
        ("Row contract", manifest.contract),
        ("Started", _moment(manifest.started)),
        ("Finished", join(_moment(manifest.finished), _took(manifest.started, manifest.finished))),
        ("Versions", ", ".join(f"{name} {value}" for name, value in manifest.environment.items())),
    ]
    texts = [
        element("h3", numbered(recipe), " ", element("span", recipe.recipe_id, class_="code soft"))
        + element("pre", json.dumps(recipe.text, indent=2, ensure_ascii=False), tabindex=0)
        for recipe in content.statistics.recipes
    ]
    return join(
        facts("The run", rows),
        element("details", element("summary", "Resolved recipes, with their ids"), map(Markup, texts)),
        element(
            "details",
            element("summary", "Resolved job"),
            element("pre", json.dumps(job, indent=2, ensure_ascii=False), tabindex=0),
        ),
    )


def _model(model: Mapping[str, Any]) -> str:
    """The model as `a:b`, an ensemble as `mean logits of a:b, c:d`."""
    names = [str(network["factory"]) for network in (model, *model.get("members", ())) if "factory" in network]
    return f"mean {model.get('combine')} of {', '.join(names)}" if len(names) > 1 else "".join(names)


def _code(value: str) -> Markup:
    return element("code", value)


def _class_list(names: tuple[str, ...]) -> str:
    shown = ", ".join(clipped(name, 40) for name in names[:20])
    return f"{len(names):,}: {shown}{', …' if len(names) > 20 else ''}"


def _moment(iso: str) -> Markup:
    return element("time", iso.replace("T", " ").replace("+00:00", " UTC"), datetime=iso)


def _took(started: str, finished: str) -> str | None:
    seconds = seconds_between(started, finished)
    return None if seconds is None else f" ({duration(seconds)})"
