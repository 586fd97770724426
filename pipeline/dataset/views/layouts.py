"""Layouts of a view: from the rows of one data file to the files that hold them, and back for the check.

A layout is a function from rows to files and one that reads these back; `LAYOUTS` is the table of them.
"""

from __future__ import annotations

import io
import json
import math
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

Files = dict[str, bytes]
"""Files by their path in the view."""


@dataclass(frozen=True)
class Piece:
    """The rows of one data file."""

    stem: str
    """Name of the data file without its ending; no other data file of any run has it."""
    split: str
    """Split as a folder can be named."""
    classes: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    """Rows with all their columns; `image` holds the PNG file under `bytes`."""


@dataclass(frozen=True)
class Found:
    """What files of a piece hold of one row."""

    row_id: str
    image: bytes
    label: int


@dataclass(frozen=True)
class Layout:
    """One way to lay rows out."""

    files: Callable[[Piece], Files]
    read: Callable[[Files, Sequence[str]], Iterator[Found]]
    """Rows in the files of a piece, as a stranger finds them; the second argument is the class names."""


def _record(row: Mapping[str, Any], **more: Any) -> bytes:
    """All columns but the image that are filled, as one line of JSON."""
    filled = ((name, value) for name, value in row.items() if name != "image" and value is not None)
    kept = {name: value for name, value in filled if not (isinstance(value, float) and math.isnan(value))}
    return json.dumps({**more, **kept}, default=str, ensure_ascii=False).encode()


def _tar(piece: Piece) -> Files:
    """`<split>/<stem>.tar` with `<row id>.png`, `.cls` and `.json` for each row; the same bytes every time."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for row in piece.rows:
            parts = {"png": row["image"]["bytes"], "cls": str(_label(row)).encode(), "json": _record(row)}
            for suffix, content in parts.items():
                member = tarfile.TarInfo(f"{row['row_id']}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return {f"{piece.split}/{piece.stem}.tar": target.getvalue()}


def _from_tar(files: Files, _: Sequence[str]) -> Iterator[Found]:
    for content in files.values():
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            found: dict[str, dict[str, bytes]] = {}
            for member in tar:
                row_id, _dot, suffix = member.name.partition(".")
                part = tar.extractfile(member)
                found.setdefault(row_id, {})[suffix] = b"" if part is None else part.read()
        for row_id, parts in found.items():
            yield Found(row_id, parts["png"], int(parts["cls"]))


def _folders(piece: Piece) -> Files:
    """`<split>/<class>/<row id>.png` for each row, and their columns as a line each of `rows/<stem>.jsonl`."""
    files, lines = {}, []
    for row in piece.rows:
        path = f"{piece.split}/{folder_name(piece.classes[_label(row)])}/{row['row_id']}.png"
        files[path] = bytes(row["image"]["bytes"])
        lines.append(_record(row, file_name=path) + b"\n")
    return files | {f"rows/{piece.stem}.jsonl": b"".join(lines)}


def _from_folders(files: Files, classes: Sequence[str]) -> Iterator[Found]:
    labels = {folder_name(name): label for label, name in enumerate(classes)}
    for path, content in files.items():
        if path.endswith(".png"):
            _split, name, file = path.split("/")
            yield Found(file.removesuffix(".png"), content, labels[name])


def _label(row: Mapping[str, Any]) -> int:
    label = row["label"]
    if label is None:
        raise ValueError(f"row {row['row_id']} has no label")
    return int(label)


def folder_name(name: str) -> str:
    """A class name as a folder can bear it: characters that a path gives a meaning are percent-encoded."""
    safe = re.sub(r"[/\\%\x00-\x1f\x7f]", lambda found: quote(found[0], safe=""), name)
    return re.sub(r"^\.", "%2E", safe) or "%00"


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {"webdataset": Layout(_tar, _from_tar), "imagefolder": Layout(_folders, _from_folders)}
)
"""Layouts by name."""
