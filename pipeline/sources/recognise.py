"""What lies at a path or URL: the format of a source and the settings that it needs, told by the names there."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import fsspec

from hardset.pipeline.sources.imagefolder import IMAGE_SUFFIXES, METADATA
from hardset.pipeline.sources.lines import SUFFIXES
from hardset.pipeline.sources.names import Names
from hardset.pipeline.sources.splits import split_of_folder
from hardset.pipeline.storage.folder import Folder, public_name
from hardset.schemas.errors import JobError

FORMAT_OF = {
    ".parquet": "parquet",
    ".npz": "npz",
    ".tar": "webdataset",
    ".csv": "manifest",
    ".tsv": "manifest",
    ".jsonl": "manifest",
    ".ndjson": "manifest",
}
"""Formats by the suffix of their files."""
_WANTED = (
    "wants a folder of class folders (PLACE/cat/1.jpg), Parquet files with an image column, .npz arrays, .tar shards "
    "of WebDataset, a CSV or JSON-lines table of paths and labels, a Delta or Iceberg table, or digits"
)
_ARRAYS = {"images": ("x_train", "train_images", "x", "data"), "labels": ("y_train", "train_labels", "y", "targets")}
"""For each array of a .npz file the names that stand for it elsewhere; `images` and `labels` need no setting."""


@dataclass(frozen=True)
class Recognised:
    """A source that was recognised."""

    settings: dict[str, Any]
    """The `source` section of a job file."""
    why: str
    """What there is, such as "200 images in 10 class folders"."""
    notes: tuple[str, ...] = ()
    """What was taken for granted, one sentence each."""


def recognise(place: str, given: Collection[str] = ()) -> Recognised:
    """The source at a path, glob or fsspec URL, or `digits`. Lists names, opens at most one file.

    `given`: settings of the source that need not be found, such as `images`, the name of an array.

    Raises JobError where there is nothing that a source reads.
    """
    if place == "digits":
        return Recognised({"format": "digits"}, "1,797 handwritten digits that come with hardset")
    one = "manifest" if place.lower().endswith((".json", *SUFFIXES)) and ".parquet" not in place else _format_of(place)
    if one is not None or any(sign in place for sign in "*?"):
        if one is None:
            raise JobError(f"{public_name(place)}: {_WANTED}")
        kind = PurePosixPath(place).suffix
        return _tables(one, place, f"{kind} files of a glob" if "*" in place else f"a {kind} file", place, given)
    return _folder(place, given)


def _folder(place: str, given: Collection[str]) -> Recognised:
    folder = Folder(place)
    names = [name for name in folder.list() if _counts(name)]
    if any(name.startswith("_delta_log/") for name in names):
        return Recognised({"format": "delta", "path": place}, "a Delta table")
    if any(name.startswith("metadata/") and name.endswith(".metadata.json") for name in names):
        return Recognised({"format": "iceberg", "path": place}, "an Iceberg table")
    images = [name for name in names if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES]
    listed = next((name for name in names if PurePosixPath(name).name in METADATA), None)
    if images and listed is not None:
        several = sum(PurePosixPath(name).name in METADATA for name in names) > 1
        tables = f"**/{PurePosixPath(listed).name}" if several else listed
        return Recognised(
            {"format": "manifest", "path": f"{place.rstrip('/')}/{tables}"},
            f"{len(images):,} images, listed with their labels in {tables}",
        )
    formats = Counter(one for name in names if (one := _format_of(name)) is not None)
    most, files = formats.most_common(1)[0] if formats else (None, 0)
    if len(images) > files:
        return _class_folders(place, images, names)
    if most is None:
        raise JobError(f"{folder.name}: {_nothing(names) if names else _file_or_nothing(place)}; {_WANTED}")
    first = next(name for name in names if _format_of(name) == most)
    what = f"{files:,} {PurePosixPath(first).suffix} file{'s' * (files > 1)}"
    return _tables(most, place, what, f"{place.rstrip('/')}/{first}", given)


def _counts(name: str) -> bool:
    """Whether a file counts: nothing on its way is hidden or litter; the log of a Delta table does."""
    return name.startswith("_delta_log/") or Names(tables=_format_of(name) is not None).takes(name)


def _class_folders(place: str, images: Sequence[str], names: Iterable[str]) -> Recognised:
    flat = [name for name in images if "/" not in name]
    if len(flat) == len(images):
        raise JobError(
            f"{public_name(place)}: holds {len(images):,} images in no class folders, so nothing tells their labels; "
            f"move each into a folder named after its class ({public_name(place).rstrip('/')}/cat/{flat[0]}), or list "
            "them in a CSV there with the columns file_name and label"
        )
    tops = {name.partition("/")[0] for name in images}
    if len(tops) == 1 and (top := tops.pop()) and split_of_folder(top) is None and _deep(images):
        return _class_folders(f"{place.rstrip('/')}/{top}", [name.partition("/")[2] for name in images], ())
    settings: dict[str, Any] = {"format": "imagefolder", "path": place}
    notes = []
    others = Counter(
        PurePosixPath(name).suffix.lower() for name in names if PurePosixPath(name).suffix.lower() not in IMAGE_SUFFIXES
    )
    patterns = [f"*{suffix}" for suffix in sorted(others) if suffix]
    if patterns:
        settings["exclude"] = patterns
        notes.append(f"files that are no images are left out: {', '.join(patterns)}")
    classes = len({name.rpartition("/")[0].rpartition("/")[2] for name in images})
    return Recognised(settings, f"{len(images):,} images in {classes:,} class folders", tuple(notes))


def _deep(images: Sequence[str]) -> bool:
    return all(name.count("/") > 1 for name in images)


def _tables(kind: str, place: str, what: str, first: str, given: Collection[str]) -> Recognised:
    settings: dict[str, Any] = {"format": kind, "path": place}
    if kind == "npz" and "*" not in first:
        settings |= _array_names(first, given)
    return Recognised(settings, what)


def _array_names(file: str, given: Collection[str]) -> dict[str, str]:
    """Settings for the arrays of a .npz file that have other names than the usual ones and are not given."""
    try:
        with fsspec.open(file, "rb") as stream, zipfile.ZipFile(stream) as archive:
            there = {name.removesuffix(".npy") for name in archive.namelist()}
    except FileNotFoundError:
        raise JobError(f"{public_name(file)}: is not there") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise JobError(f"{public_name(file)}: cannot be read as .npz: {error}") from None
    found = {}
    for usual, others in _ARRAYS.items():
        if usual in given:
            continue
        other = next((name for name in others if name in there), None)
        if usual not in there and other is None:
            raise JobError(
                f"{public_name(file)}: no array {usual!r} in it; it has: {', '.join(sorted(there))}; name it: "
                f"--set source.{usual}=NAME"
            )
        if usual not in there and other is not None:
            found[usual] = other
    return found


def _format_of(name: str) -> str | None:
    return FORMAT_OF.get(PurePosixPath(name.partition("?")[0]).suffix.lower())


def _file_or_nothing(place: str) -> str:
    try:
        fs, path = fsspec.core.url_to_fs(place)
        is_file = fs.isfile(path)
    except (OSError, ValueError, ImportError):
        is_file = False
    kind = PurePosixPath(place).suffix or "file without a suffix"
    return f"is a {kind}, which is no format that is read; unpack it" if is_file else "is empty, or not there"


def _nothing(names: Sequence[str]) -> str:
    suffixes = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in names).most_common(3)
    told = ", ".join(f"{number:,} of {suffix}" for suffix, number in suffixes)
    return f"holds {len(names):,} files ({told}), none of a format that is known"
