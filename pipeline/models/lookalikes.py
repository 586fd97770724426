"""Files that bear the name of a checkpoint and are something else, told by their first bytes or table of contents."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What a file is that is no checkpoint."""

    told: str
    """With an article, such as "a page of HTML"."""
    remedy: str = ""
    """What to do; empty: save the state dict."""
    format: str | None = None
    """Format of a model that takes such files."""


_BEGINNINGS: tuple[tuple[bytes, Kind], ...] = (
    (
        b"version https://git-lfs",
        Kind("a pointer of Git LFS, and not the file that it points to", "fetch that with git lfs pull"),
    ),
    (b"<!doctype html", Kind("a page of HTML, such as an error's or a login's", "download the file itself")),
    (b"<html", Kind("a page of HTML, such as an error's or a login's", "download the file itself")),
    (b"<?xml", Kind("XML, such as a storage's error", "download the file itself")),
    (b"\x1f\x8b", Kind("compressed with gzip", "unpack it with gunzip, or tar xzf where it is an archive")),
    (b"BZh", Kind("compressed with bzip2", "unpack it with bunzip2, or tar xjf where it is an archive")),
    (b"\xfd7zXZ", Kind("compressed with xz", "unpack it with unxz, or tar xJf where it is an archive")),
    (b"\x28\xb5\x2f\xfd", Kind("compressed with zstd", "unpack it with unzstd")),
    (b"\x89HDF", Kind("an HDF5 file, as Keras writes them", format="keras")),
)
"""Kinds by what their files begin with, in lower case where it is text."""
_SHORTEST = 16


def other_kind(data: bytes) -> Kind | None:
    """What the content of a file is, where it cannot be what torch.save writes; None otherwise."""
    if len(data) < _SHORTEST:
        return Kind(f"empty or cut off ({len(data)} bytes)", "copy or download it anew")
    begin = data[:32].lstrip()
    for mark, kind in _BEGINNINGS:
        if begin.startswith(mark) or begin.lower().startswith(mark):
            return kind
    if data[4:8] == b"TFL3":
        return Kind("a TensorFlow Lite model")
    return _archive(data)


def _archive(data: bytes) -> Kind | None:
    """Kind of a zip archive that is no plain torch.save, by its table of contents."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            paths = archive.namelist()
    except zipfile.BadZipFile:
        if data.startswith(b"PK\x03\x04"):
            return Kind("cut off: its end is missing", "copy or download it anew")
        return None
    members = {path.partition("/")[2] for path in paths} | set(paths)
    return next((kind for holds, kind in _ARCHIVES if holds(members)), None)


_ARCHIVES: tuple[tuple[Callable[[set[str]], bool], Kind], ...] = (
    (
        lambda members: "constants.pkl" in members or any(member.startswith("code/") for member in members),
        Kind("TorchScript, which can run code", format="torchscript"),
    ),
    (
        lambda members: bool({"archive_format", "serialized_exported_program.json"} & members),
        Kind("an exported program (.pt2), which can run code", format="export"),
    ),
    (lambda members: {"config.json", "model.weights.h5"} <= members, Kind("a Keras model", format="keras")),
    (
        lambda members: any(members) and all(not name or name.endswith(".npy") for name in members),
        Kind("a file of arrays (.npz)"),
    ),
)
"""Kinds by the names of their members, with and without the folder that holds all."""
