"""Checks of the dataset card and of the events: they tell what the manifest tells, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from hardset.pipeline.audit.findings import Findings
from hardset.pipeline.audit.statement_checks import card_digests, has_statement, read
from hardset.pipeline.dataset.provenance.card import CARD_FILES, card_files, tells_of
from hardset.pipeline.dataset.provenance.environment import is_of_this_version
from hardset.pipeline.dataset.provenance.facets import input_datasets, output_dataset
from hardset.pipeline.dataset.records.ledger import RUNS, latest_manifest, manifests
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import sha256_hex
from hardset.schemas.records.run import Manifest, Plan

_ENDS = ("COMPLETE", "FAIL", "ABORT")


def check_card(folder: Folder, manifest: Manifest, findings: Findings) -> None:
    """Notes files of the card that do not tell of the newest run. It is looked at where `manifest` is the newest."""
    newest = latest_manifest(folder)
    if newest is None or newest.run_id != manifest.run_id:
        return
    if not has_statement(manifest):
        for path, fault in _older(folder, manifest):
            findings.add(path, fault)
        return
    told = [manifest]
    if not tells_of(folder, manifest):
        findings.notes.append("the card does not tell of this run yet: start its job again, which writes it")
        told = manifests(folder)
    contents = {path: content for path in CARD_FILES if (content := read(folder, path)) is not None}
    strange = set(contents)
    for one in reversed(told):
        if strange:  # what a card holds takes a while to write where a run has many files
            strange -= _written(folder, one, contents)
    for path in CARD_FILES:
        if path in strange:
            findings.add(path, "is not what its run wrote, nor what its manifest gives")
        elif path not in contents and len(told) == 1 and told[0] is manifest:
            findings.add(path, "is missing")


def _written(folder: Folder, manifest: Manifest, contents: Mapping[str, bytes]) -> set[str]:
    """Paths of the files that a run wrote so, with this version of hardset or its own."""
    files = card_files(manifest)
    found = {path for path, content in contents.items() if files[path] == content}
    if not is_of_this_version(manifest):
        digests = card_digests(folder, manifest)
        found |= {path for path, content in contents.items() if digests.get(path) == sha256_hex(content)}
    return found


def _older(folder: Folder, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Faults of the card of a version that named its files by patterns: files and digests in Croissant, run in both."""
    content = read(folder, "croissant.json")
    if content is not None:
        try:
            listed = json.loads(content)["distribution"]
            found = {one["contentUrl"]: one["sha256"] for one in listed if one.get("@type") == "cr:FileObject"}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            yield "croissant.json", "is no description of a dataset"
        else:
            if found != {file.path: file.sha256 for file in manifest.data_files}:
                yield "croissant.json", "lists other files or digests than the manifest"
    card = read(folder, "README.md")
    if card is not None and manifest.content_sha256.encode() not in card:
        yield "README.md", "tells of other rows than the manifest"


def check_events(folder: Folder, manifest: Manifest, plan: Plan | None, findings: Findings) -> None:
    """Notes faults of the events of a run, whose last word is that of the manifest."""
    if plan is None or not has_statement(manifest):
        return
    ended = waiting = False
    for path in folder.list(f"{RUNS}/{manifest.run_id}/openlineage"):
        events = _events(folder.read(path))
        if events is None:
            findings.add(path, "holds no events")
            continue
        for event in events:
            if event["run"].get("runId") != manifest.run_id or event["job"].get("name") != manifest.job["name"]:
                findings.add(path, "holds an event of another run or job")
        kinds = [event.get("eventType") for event in events]
        if kinds[0] != "START" or len(kinds) > 2 or (len(kinds) == 2 and kinds[1] not in _ENDS):
            findings.add(path, f"holds the events {', '.join(map(str, kinds))}; wants START and an end")
        waiting |= kinds == ["START"]
        ended |= kinds[-1] == ("FAIL" if manifest.failures else "COMPLETE") and _told(events[-1], manifest, plan)
    if waiting and not ended:
        findings.notes.append(
            "its events do not tell of its end: it was cut off after its manifest, or its last is gone"
        )
    elif not ended:
        where = f"{RUNS}/{manifest.run_id}/openlineage.jsonl"
        findings.add(where, "no event tells of the end that the manifest tells of")


def _told(event: dict[str, Any], manifest: Manifest, plan: Plan) -> bool:
    """Whether an end tells time, rows and files of the manifest; its place is that of the folder then."""
    if event.get("eventTime") != manifest.finished or len(event.get("outputs", ())) != 1:
        return False
    if not is_of_this_version(manifest):
        return True
    read = [one.get("inputFacets") for one in event.get("inputs", ())]
    if read != [one.get("inputFacets") for one in json.loads(json.dumps(input_datasets(plan, statistics=True)))]:
        return False
    output = event["outputs"][0]
    wanted = json.loads(json.dumps(output_dataset(plan, "/", manifest)))
    facets, told = output.get("facets", {}), wanted["facets"]
    same = ("schema", "version", "columnLineage")
    alike = all(facets.get(name) == told.get(name) for name in same)
    return bool(alike and output.get("outputFacets") == wanted["outputFacets"])


def _events(content: bytes) -> list[dict[str, Any]] | None:
    try:
        found = [json.loads(line) for line in content.splitlines()]
    except (ValueError, RecursionError):
        return None
    whole = all(
        isinstance(one, dict) and isinstance(one.get("run"), dict) and isinstance(one.get("job"), dict) for one in found
    )
    return found if found and whole else None
