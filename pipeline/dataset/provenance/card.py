"""The dataset card, README.md with the head that `datasets` and the Hugging Face Hub read, and what is written with it.

All are renderings of the newest manifest, written after it. The head repeats the features, because a file that another
tool rewrites loses those in its footer.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Any

import yaml

from hardset.pipeline.dataset.provenance.croissant import croissant
from hardset.pipeline.dataset.provenance.inputs import networks_of
from hardset.pipeline.models.roles import VICTIM
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Manifest
from hardset.schemas.records.summary import Summary
from hardset.schemas.rows.contract import card_features
from hardset.schemas.rows.sql import rows_view
from hardset.schemas.rows.user_columns import recorded_columns
from hardset.schemas.text import markdown

FILES, VIEW = "files.txt", "rows.sql"
"""List of the data files, one path a line, relative to the dataset folder; DuckDB's view of them."""
CARD_FILES = ("croissant.json", "README.md", FILES, VIEW)
_USAGE = "In this folder: duckdb -init rows.sql; from elsewhere: SET file_search_path = 'path/to/this/folder'; first."


def write_card(folder: Folder, manifest: Manifest) -> None:
    """Writes README.md, croissant.json, files.txt and rows.sql, which tell of `manifest`; the same bytes every time.

    All name the manifest's files one by one: a glob would take in what a run at work writes beside them.
    """
    for path, content in card_files(manifest).items():
        folder.write(path, content)


def card_files(manifest: Manifest) -> dict[str, bytes]:
    """What `write_card` writes, by path and in this order: the last one says that the others are there."""
    every = [file.path for file in manifest.data_files]
    view = rows_view(every, manifest.classes, manifest.contract, recorded_columns(manifest.user_columns))
    return {
        "croissant.json": (json.dumps(croissant(manifest), indent=1, ensure_ascii=False) + "\n").encode(),
        "README.md": f"---\n{_head(manifest)}---\n\n{_body(manifest)}".encode(),
        FILES: "".join(f"{path}\n" for path in every).encode(),
        VIEW: f"{_title(manifest)}\n{view}".encode(),
    }


def tells_of(folder: Folder, run: Manifest | Summary) -> bool:
    """Whether the files of `write_card` are there as they were written of this run."""
    try:
        return folder.read(VIEW).startswith(_title(run).encode())
    except FileNotFoundError:
        return False


def _title(run: Manifest | Summary) -> str:
    return f"-- The rows of run {run.run_id}, finished {run.finished}. {_USAGE}"


def data_files(manifest: Manifest) -> dict[str, list[str]]:
    """The manifest's data files by split, whose names are made such as `datasets` takes."""
    listed: dict[str, list[str]] = defaultdict(list)
    for output in manifest.outputs:
        if output.data is not None:
            listed[re.sub(r"\W+", "_", output.split)].append(output.data.path)
    return dict(sorted(listed.items()))


def _head(manifest: Manifest) -> str:
    # Without an entry, or without files in it, `datasets` would look for files by itself and find those of all runs.
    entries = [{"split": split, "path": paths} for split, paths in data_files(manifest).items()]
    head: dict[str, Any] = {
        "pretty_name": manifest.job["name"],
        "license": _license(manifest) or "unknown",
        "task_categories": ["image-classification"],
        "tags": ["hardset", "adversarial-examples", "robustness"],
        "dataset_info": {
            "config_name": "default",
            "features": card_features(manifest.classes, manifest.contract, recorded_columns(manifest.user_columns)),
        },
        "configs": [{"config_name": "default", "default": True, "data_files": entries}],
    }
    return yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1000)


def _body(manifest: Manifest) -> str:
    licence = _license(manifest)
    sections = [
        f"# {manifest.job['name']}",
        _summary(manifest),
        *_warnings(manifest),
        "## Recipes\n\n" + _recipes(manifest),
        "## Models\n\n" + _models(manifest),
        "## Intended use\n\n" + _USE,
        "## How to load\n\n" + _LOADING,
        "## Limits\n\n" + _LIMITS,
        "## Licence\n\n" + (f"{markdown(licence)}. " if licence else _UNLICENSED) + _INHERITED,
    ]
    return "\n\n".join(sections) + "\n"


def _summary(manifest: Manifest) -> str:
    totals, image = manifest.totals, manifest.image
    source = manifest.job.get("source", {})
    lines = [
        "A hardened image training set made by hardset. Every row says what it was made from, how, and whether it "
        "fools the model it was made against. This card is rewritten at the end of every run.",
        "",
        f"* {totals.rows_out:,} rows of {image.height} x {image.width} pixels, {image.channels} channel(s), "
        f"{len(manifest.classes)} classes",
        f"* source: {markdown(source.get('path', source.get('format', 'unknown')))}",
        f"* {totals.quarantined:,} rows could not be made; {totals.dropped:,} resisting rows were left out",
        f"* run {manifest.run_id}, finished {manifest.finished}, {manifest.status}",
        f"* content SHA-256 {manifest.content_sha256}",
    ]
    if manifest.failures:
        lines.append(f"* **{len(manifest.failures)} shards failed and are missing**; start the job again to make them")
    return "\n".join(lines)


def _warnings(manifest: Manifest) -> list[str]:
    """A section that says what casts doubt on the attacks; none where nothing does."""
    return (
        ["## Warnings\n\n" + "\n".join(f"* {markdown(text)}" for text in manifest.warnings)]
        if manifest.warnings
        else []
    )


def _recipes(manifest: Manifest) -> str:
    counts = _counts(manifest)
    lines = ["| recipe | settings | rows | fooled | of attacked | quarantined |", "|---|---|---:|---:|---:|---:|"]
    for position, recipe in enumerate(manifest.job.get("recipes", [])):
        these = counts[position]
        share = "-" if these.success_rate is None else f"{these.success_rate:.1%}"
        settings = _settings(recipe)
        name = recipe.get("name", recipe["kind"])
        lines.append(
            f"| {name} | {settings} | {these.rows_out:,} | {share} | {these.attacked:,} | {these.quarantined:,} |"
        )
    return "\n".join(lines)


def _counts(manifest: Manifest) -> list[Counts]:
    """Table of what became of the rows, by recipe."""
    counts = [Counts() for _ in manifest.job.get("recipes", [])]
    for output in manifest.outputs:
        counts[output.recipe] += output.counts
    return counts


def _license(manifest: Manifest) -> str | None:
    name: str | None = manifest.job.get("output", {}).get("license")
    return name


_NEUTRAL = {"restarts": 1, "eot": 1, "misclassified": "attack", "momentum": 0, "nesterov": False}
_NEUTRAL |= {"diversity": 0, "translation": 1, "scales": 1}
"""Settings of attacks that change nothing, which the table of recipes leaves out."""


def _settings(recipe: dict[str, Any]) -> str:
    shown = {
        key: value
        for key, value in recipe.items()
        if key not in ("kind", "name") and value is not None and value != _NEUTRAL.get(key)
    }
    if "ops" in shown:
        shown["ops"] = "+".join(operation["name"] for operation in shown["ops"])
    shown.pop("generator", None)
    texts = (f"{key} {_range(value)}" for key, value in shown.items())
    return ", ".join(texts).replace("|", "\\|")


def _range(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " and ".join(map(str, value))
    if isinstance(value, dict) and {"min", "max"} <= set(value):
        return f"{value['min']} to {value['max']}"
    return " ".join(f"{key} {_range(item)}" for key, item in value.items()) if isinstance(value, dict) else str(value)


def _models(manifest: Manifest) -> str:
    if not manifest.models:
        return "None: no row was made against a model."
    lines = ["| role | model | SHA-256 of the weights |", "|---|---|---|"]
    for role, network, sha256 in networks_of(manifest.job, manifest.models):
        members = len(network.get("members", ()))
        name = network.get("factory") or (network.get("weights") or "-").rpartition("/")[2]
        name += f" and {members} more" if role == VICTIM and members else ""
        lines.append(f"| {role} | {name} | `{sha256}` |")
    return "\n".join([*lines, *_accuracies(manifest), *_sampled(manifest)])


def _sampled(manifest: Manifest) -> list[str]:
    """The clean accuracy, and the figures of generators, that were measured before the run."""
    clean, lines = manifest.clean, []
    if clean is not None:
        lines += [
            "",
            f"Clean accuracy on {clean.judged:,} rows sampled from the source: {clean}, 95 % confidence interval.",
        ]
    for one in manifest.admitted:
        lines += [
            "",
            f"The generator of recipe {one.recipe + 1} was admitted on {one.rows:,} sampled rows against {one.real:,} "
            f"real ones: {one}.",
        ]
    return lines


def _accuracies(manifest: Manifest) -> list[str]:
    """A table of the victim's accuracy by attack; nothing where no untargeted attack made a row."""
    lines = []
    for position, (recipe, counts) in enumerate(zip(manifest.job["recipes"], _counts(manifest), strict=True), 1):
        judged = counts.rows_out + counts.dropped
        if recipe["kind"] == "attack" and recipe.get("target") is None and judged:
            clean, attacked = counts.attacked / judged, (counts.attacked - counts.success) / judged
            lines.append(f"| {position}. {recipe['name']} | {judged:,} | {clean:.1%} | {attacked:.1%} |")
    if not lines:
        return []
    head = "| attack | rows judged | clean accuracy | accuracy under the attack |\n|---|---:|---:|---:|"
    return ["", "The model under attack, on the clean rows and on what each attack stored of them:", "", head, *lines]


_LOADING = """```python
from datasets import load_dataset
rows = load_dataset("path/to/this/folder", split="train")
rows[0]["image"], rows[0]["label"], rows[0]["success"]
```

```sql
-- in this folder: duckdb -init rows.sql
SELECT op, eps, avg(success::int) AS success FROM rows WHERE attacked GROUP BY ALL ORDER BY ALL;
```

Images are PNG files inside the `image.bytes` column. Every file carries its recipes, model digests and class names in
its footer (key `hardset`). `files.txt` lists the files of the newest run, which is what this card and `rows.sql` show;
`data/**` holds those of all runs that are kept. `hardset verify` checks all of it; `hardset replay` makes a single row
again."""

_LIMITS = """* "Fooled" is a verdict in float32 on the stored 8-bit pixels, for the model above and no other. It is
  counted over attacked rows: those the model had right before, or for targeted attacks those with another target than
  their label.
* A share of fooled rows is no robust accuracy: that takes a fresh attack on the model in question.
* The label of a generated row is the class that was asked for; nobody has looked at the image.
* The accuracy under an attack is that of this attack at this budget: a stronger one may leave less.
* Rows are those of the source, with its biases and its wrong labels."""

_USE = """* Training classifiers that withstand such rows: mix them with clean rows of the source and keep the labels.
* Testing the model above, and finding the rows it fails on (`margin`, `success`).
* Not for claims about other models, and not for deceiving systems that people rely on.

Rows that succeed show how to mislead the model above, and may mislead others that nobody attacked. Keep rows against a
model in use as private as the model, and tell its owner before they are published."""

_UNLICENSED = "Not stated: set `output.license` in the job file. "
_INHERITED = "The licences of the source images and of the models carry over to the rows."
