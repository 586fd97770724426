"""The version of a cluster's Ray, held against what hardset asks for, before anything is sent."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement

from hardset.jobs.cluster.client import Client
from hardset.schemas.errors import RunError


def check_ray(client: Client) -> None:
    """Raises RunError where the cluster's Ray is another than hardset works with. Nothing where neither is told."""
    found, wanted = client.ray_version(), _wanted()
    if found is not None and wanted is not None and not wanted.specifier.contains(found, prereleases=True):
        raise RunError(
            f"{client.address}: runs Ray {found}, and hardset wants ray{wanted.specifier}; nothing was sent; "
            "update Ray on the cluster"
        )


def _wanted() -> Requirement | None:
    try:
        lines = [Requirement(line) for line in requires("hardset") or ()]
    except PackageNotFoundError:
        return None
    return next((line for line in lines if line.name == "ray" and line.marker is None), None)
