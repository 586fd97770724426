"""Inputs of a run, as its records name them: the source and the weight files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hardset.pipeline.models.roles import VICTIM, transfer_role


def source_uri(job: Mapping[str, Any]) -> str:
    """URI of the source of a public job."""
    source = job["source"]
    return uri_of(source["path"]) if source.get("path") else f"urn:hardset:source:{source['format']}"


def uri_of(place: str) -> str:
    """URI of a public path or URL. A relative path stays as declared: records tell nothing of the machine."""
    if "://" in place:
        return quote(place, safe=":/%*@+,;=")
    return f"file://{quote(place)}" if Path(place).is_absolute() else f"urn:hardset:path:{quote(place)}"


def weights_of(job: Mapping[str, Any], models: Mapping[str, str]) -> Iterator[tuple[str, str | None, str]]:
    """Role, weight file (None: the factory starts with its own) and SHA-256 of each network, ensembles by member."""
    for role, network, sha256 in networks_of(job, models):
        if not (role == VICTIM and f"{VICTIM}:0" in models):  # the digest of a whole ensemble is no file's
            yield role, network.get("weights"), sha256


def networks_of(job: Mapping[str, Any], models: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Role, section of the job and SHA-256 of each network of a run."""
    model = job.get("model") or {}
    members = [model, *model.get("members", ())]
    held_out = {transfer_role(network["name"]): network for network in job.get("transfer_to", ())}
    for role, sha256 in sorted(models.items()):
        kind, _, which = role.partition(":")
        if kind == VICTIM:
            yield role, members[int(which or 0)], sha256
        elif role in held_out:
            yield role, held_out[role], sha256
        else:
            yield role, job["recipes"][int(which)]["generator"], sha256
