"""Names of places: what of a URL may be shown and stored."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


def public_name(url: str) -> str:
    """`url` without user, password, query or fragment: what may reach rows, records, logs and reports."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, host + port, parts.path, "", ""))
