"""URLs of the Hugging Face Hub with a revision, and the same without one: `hf://datasets/ORG/NAME[@REVISION][/PATH]`."""

from __future__ import annotations

import re

HUB = re.compile(
    r"(?P<repository>hf://(?:(?P<kind>datasets|models|spaces)/)?(?P<id>[^/@]+/[^/@]+))"
    r"(?:@(?P<revision>refs/(?:pr|convert)/[^/]+|[^/]+))?(?P<path>/.*)?"
)


def pinned(url: str, commit: str) -> str:
    """The same place at a commit; any other URL as it is. `commit`: empty leaves the revision as it is."""
    found = HUB.fullmatch(url) if commit else None
    return url if found is None else f"{found['repository']}@{commit}{found['path'] or ''}"


def without_revision(url: str) -> str:
    """The place whatever its revision: rows of files that two commits share keep their keys."""
    found = HUB.fullmatch(url)
    return url if found is None else f"{found['repository']}{found['path'] or ''}"
