"""The lineage of a row as a tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hardset.jobs.terminal.console import say
from hardset.schemas.digests import canonical_json

Branch = tuple[str, list[Any]]
"""A line of the tree, and the branches below it."""


def tell(found: Mapping[str, Any]) -> None:
    """Draws the tree."""
    for line in _lines(_branch(found)):
        say(line)


def _branch(found: Mapping[str, Any]) -> Branch:
    """The tree of a lineage."""
    if not found.get("found", True):
        return f"row {found['row_id']}: in neither this dataset nor its source", []
    run, shard, receipt, recipe = found["run"], found["shard"], found["receipt"], found["recipe"]
    by = f"{receipt['host']} on {receipt['device']}, {receipt['finished']}" if receipt else "its receipt is gone"
    branches: list[Branch] = [
        (
            f"run {run['run_id']} of job {run['job']}, seed {run['seed']}, hardset {run['hardset']}",
            [(f"shard {shard['index']}: {shard['file']} in {shard['dataset']}", [(f"made by {by}", [])])],
        ),
        (f"recipe {recipe['recipe_id']}: {canonical_json(recipe['text'])}", []),
    ]
    if found["model"]:
        branches.append((f"model {found['model']['model_id']}, SHA-256 {found['model']['sha256']}", []))
    source = found["source"]
    if source:
        place = f"{source['key']} of {source['dataset']}, {source['split']}"
        branches.append((f"source {place}, SHA-256 of its pixels {source['sha256']}", []))
    told = "params" if found["kind"] == "adversarial" else "drew"
    drawn = f", {told} {found['params']}" if found["params"] else ""
    branches.append((f"seed {found['seed']}, variant {found['variant']}{drawn}", []))
    for name in ("change", "verdict"):
        if found[name]:
            branches.append((f"{name}: {', '.join(_values(found[name]))}", []))
    if found["parent"]:
        text, below = _branch(found["parent"])
        branches.append((f"made from {text}", below))
    return f"row {found['row_id']}: {found['kind']}, {found['op']}", branches


def _values(columns: Mapping[str, Any]) -> Iterator[str]:
    for name, value in columns.items():
        if value != "":
            yield f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"


def _lines(branch: Branch) -> Iterator[str]:
    text, below = branch
    yield text
    for i, part in enumerate(below):
        last = i == len(below) - 1
        first, *others = _lines(part)
        yield ("└─ " if last else "├─ ") + first
        yield from (("   " if last else "│  ") + line for line in others)
