"""What a run read, as the records of it name it: the source and the weight files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.models.loading import VICTIM, transfer_role


def source_uri(job: Mapping[str, Any]) -> str:
    """URI of the source of a public job."""
    source = job["source"]
    return uri_of(source["path"]) if source.get("path") else f"urn:hardset:source:{source['format']}"


def uri_of(place: str) -> str:
    """URI of a public path or URL; local paths become absolute."""
    return quote(place, safe=":/%*@+,;=") if "://" in place else "file://" + quote(str(Path(place).absolute()))


def weights_of(job: Mapping[str, Any], models: Mapping[str, str]) -> Iterator[tuple[str, str | None, str]]:
    """Role, weight file (None: the factory starts with its own) and SHA-256 of each network, ensembles by member."""
    model = job.get("model") or {}
    members = [model, *model.get("members", ())]
    held_out = {transfer_role(network["name"]): network for network in job.get("transfer_to", ())}
    for role, sha256 in sorted(models.items()):
        kind, _, which = role.partition(":")
        if role == VICTIM and f"{VICTIM}:0" in models:
            continue  # the digest of the whole ensemble is no file's
        if kind == VICTIM:
            network = members[int(which or 0)]
        elif role in held_out:
            network = held_out[role]
        else:
            network = job["recipes"][int(which)]["generator"]
        yield role, network.get("weights"), sha256
