"""Writes the generated tables, and whole example files, into the pages: `make docs`.

A page holds a table between `<!-- table: NAME -->` and `<!-- end of table -->`; what stands there is replaced by what
the code says.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from docs.job_keys import job_key_tables

from hardset.pipeline.evaluation.doubt_table import DOUBTS
from hardset.pipeline.evaluation.reference import corruption_table, job_tables, setting_table_of, warning_table
from hardset.schemas.environment_documentation import environment_table
from hardset.schemas.job.attack_documentation import attack_table, ensemble_table, setting_table
from hardset.schemas.job.extras import EXTRAS
from hardset.schemas.job.gan_training import GanTraining
from hardset.schemas.job.operations.documentation import operation_table
from hardset.schemas.job.sources import SOURCES, StoredSource
from hardset.schemas.job.training_methods import method_table
from hardset.schemas.rows.documentation import column_table, flag_table, version_table

PAGES = Path(__file__).parent
EXAMPLES = tuple(f"examples/extending/{name}.py" for name in ("attack", "augmentation", "source", "training_method"))
"""Files that a page shows whole, from the root of the repository."""


def _shown(path: str) -> str:
    text = (PAGES.parent / path).read_text(encoding="utf-8")
    return f"```python\n{text}```\n"


def _nonfinite_table() -> str:
    """Shares of rows fooled on models with slopes that are not finite, as benchmarks/nonfinite.py measured them."""
    found = json.loads((PAGES / "benchmarks" / "nonfinite.json").read_text(encoding="utf-8"))
    names = ("plain loop", "`bim`", "plain loop, random start", "`pgd`", "`apgd_ce`", "rows flagged")
    head = f"| in front of the classifier | norm, eps | {' | '.join(names)} |"
    lines = [
        f"| {line['slope']} | {line['norm']}, {line['eps']:.3g} | "
        + " | ".join(
            f"{line[name]:.1%}" for name in ("plain_loop", "bim", "plain_loop_drawn", "pgd", "apgd_ce", "flagged")
        )
        + " |"
        for line in found["lines"]
    ]
    return "\n".join([head, "|---|---|---|---|---|---|---|---|", *lines]) + "\n"


def _source_tables() -> str:
    """Keys of all sources of files, and of each format what it has beside them."""
    common = setting_table_of(StoredSource, without={"format"})
    parts = [f"**Every format of files** (`digits` takes those down to `max_pixels`)\n\n{common}"]
    for kind in SOURCES:
        own = setting_table_of(kind, without={"format", *StoredSource.model_fields} - {"path"})
        if issubclass(kind, StoredSource):
            parts.append(f"**`format: {kind.model_fields['format'].default}`** {kind.__doc__}\n\n{own}")
    return "\n".join(parts)


def _lies() -> str:
    """Modes of `hardset verify` that find each lie of a forger, as tests/audit/grid.py found them."""
    found = json.loads((PAGES / "benchmarks" / "corruptions.json").read_text(encoding="utf-8"))
    modes = found["modes"]
    head = f"| what is told falsely | {' | '.join(mode if mode == 'always' else f'`{mode}`' for mode in modes)} |"
    lines = [
        f"| {name} | {' | '.join('found' if mode in by else '' for mode in modes)} |"
        for name, by in found["found"].items()
    ]
    return "\n".join([head, f"|---{'|---' * len(modes)}|", *lines]) + "\n"


def _doubts() -> str:
    """What an evaluation tells of each model, as benchmarks/doubts found it."""
    found = json.loads((PAGES / "benchmarks" / "doubts.json").read_text(encoding="utf-8"))["models"]
    kinds = [doubt.kind for doubt in DOUBTS if any(doubt.kind in _kinds(one, "due") for one in found)]
    lines = [
        f"| model | eps | clean | robust | {' | '.join(f'`{kind}`' for kind in kinds)} |",
        f"|---|---|---|---|{'---|' * len(kinds)}",
    ]
    for one in found:
        due, told = (_kinds(one, key) for key in ("due", "told"))
        cells = [_verdict(kind in due, kind in told) for kind in kinds]
        figures = f"{one['clean']:.1%} | {one['robust']:.1%}"
        lines.append(f"| {one['what']} | {one['eps']} | {figures} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _trained() -> str:
    """Accuracies of networks trained with and without augmentation, as benchmarks/augment/training.py found them."""
    found = json.loads((PAGES / "benchmarks" / "augment_training.json").read_text(encoding="utf-8"))["training"]
    arms: dict[str, list[dict[str, float]]] = {}
    for name, line in found["lines"].items():
        arms.setdefault(name.rpartition(" #")[0], []).append(line)
    lines = ["| trained with | clean | ImageNet-C | ImageNet-C-bar | seeds |", "|---|---|---|---|---|"]
    for arm, seeds in arms.items():
        cells = [_mean([one[what] for one in seeds]) for what in ("clean", "c", "c_bar")]
        lines.append(f"| {arm} | {' | '.join(cells)} | {len(seeds)} |")
    return "\n".join(lines) + "\n"


def _mean(shares: list[float]) -> str:
    """Mean and standard deviation, in per cent."""
    spread = f" ± {100 * statistics.stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{100 * statistics.fmean(shares):.1f}{spread}"


def _kinds(model: Mapping[str, Any], key: str) -> set[str]:
    return {kind for kinds in model[key].values() for kind in kinds}


def _verdict(due: bool, told: bool) -> str:
    if due:
        return "told" if told else "**missed**"
    return "**false**" if told else ""


def _extras() -> str:
    """The extras and what each is for."""
    lines = ["| install | for |", "|---|---|"]
    return "\n".join([*lines, *(f"| `'hardset[{name}]'` | {what} |" for name, what in EXTRAS.items())]) + "\n"


WRITERS: Mapping[str, Callable[[], str]] = {
    "attacks": attack_table,
    "ensembles": ensemble_table,
    "attack settings": setting_table,
    "training methods": method_table,
    "augmentations": operation_table,
    "columns": column_table,
    "contract versions": version_table,
    "flags": flag_table,
    "lies": _lies,
    "non-finite gradients": _nonfinite_table,
    "evaluation settings": job_tables,
    "job keys": job_key_tables,
    "extras": _extras,
    "evaluation warnings": warning_table,
    "warnings by model": _doubts,
    "corruptions": corruption_table,
    "augmented training": _trained,
    "source settings": _source_tables,
    "environment variables": environment_table,
    "generator training": partial(setting_table_of, GanTraining, without=()),
    **{path: partial(_shown, path) for path in EXAMPLES},
}
"""Each gives Markdown that ends in a line break."""
_TABLE = re.compile(r"(<!-- table: (?P<name>[^>]*) -->\n\n?)(?P<text>.*?)(\n?<!-- end of table -->)", re.DOTALL)


def pages() -> Iterator[Path]:
    """The pages that hold tables."""
    return (page for page in sorted(PAGES.glob("*.md")) if _TABLE.search(page.read_text(encoding="utf-8")))


def written(page: str) -> str:
    """The text of a page with all its tables as the code has them. Raises KeyError for a name that has no writer."""
    return _TABLE.sub(lambda found: f"{found[1]}{WRITERS[found['name']]()}{found[4]}", page)


def names(page: str) -> list[str]:
    """Names of the tables in a page."""
    return [found["name"] for found in _TABLE.finditer(page)]


def main() -> None:
    """Writes the pages that are not as the code has them, and names them."""
    for page in pages():
        before = page.read_text(encoding="utf-8")
        if (after := written(before)) != before:
            page.write_text(after, encoding="utf-8")
            print(f"wrote {page.relative_to(PAGES.parent)}")


if __name__ == "__main__":
    main()
