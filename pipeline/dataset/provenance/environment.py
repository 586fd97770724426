"""Environment that a run was made with: versions of Python, platform and libraries."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from hardset.schemas.records.run import Manifest

LIBRARIES = (
    "hardset",
    "torch",
    "numpy",
    "pyarrow",
    "pillow",
    "opencv-python-headless",
    "safetensors",
    "ray",
    "fsspec",
    "pydantic",
)
"""Distributions that touch the rows or move them."""


def is_of_this_version(manifest: Manifest) -> bool:
    """Whether a run was made by the version of hardset that is at work here."""
    return manifest.environment.get("hardset") == version("hardset")


def versions() -> dict[str, str]:
    """Version of Python, of the platform and of every library in `LIBRARIES` that is installed; no host, no paths.

    torch's version says which CUDA it was built for, such as `2.13.0+cu130`.
    """
    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
