"""Finding a source's files at any fsspec URL: one file, a folder, or a glob."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import has_magic
from typing import Any

import fsspec

from hardset.pipeline.sources.braces import expanded, has_braces
from hardset.pipeline.sources.fingerprints import is_local
from hardset.pipeline.sources.names import Names
from hardset.pipeline.sources.revisions import without_revision
from hardset.pipeline.storage.folder import public_name
from hardset.pipeline.storage.retrying import PatientFiles
from hardset.schemas.errors import JobError, UserError

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}
_EXTRAS["hf"] = "hf"
ALL = Names()
_URL = re.compile(r"""[A-Za-z][\w+.:-]*://[^\s'"<>()]+""")


@dataclass(frozen=True)
class SourceFile:
    """A file of a source."""

    name: str
    """Relative to the source's root, with forward slashes; no credentials, no query."""
    path: str
    """Path that the file system takes."""
    info: dict[str, Any]
    """Entry of the listing, such as an entity tag; may be empty."""


@dataclass(frozen=True)
class Place:
    """Place of a source's files. Their names are relative to `root`."""

    fs: Any
    """fsspec file system without a listings cache: a stale listing would hide last night's files."""
    path: str
    root: str
    kind: str
    """file, folder or glob."""
    name: str
    """URL without credentials and query."""

    def path_of(self, name: str) -> str:
        """Path of a file from its relative name."""
        return self.path if self.kind == "file" else f"{self.root}/{name}"

    def files(self, suffix: str | tuple[str, ...] = "", names: Names = ALL) -> list[SourceFile]:
        """The files that count, in the order of their names; of a folder only those that end in `suffix`.

        A file that is named itself always counts. Raises JobError.
        """
        with storage_faults(self.name):
            found = [self._named(*entry) for entry in self._listed(names)]
            if names.tables and self.kind != "file" and ".parquet" in suffix:
                self._refuse_tables(found)
        if self.kind != "file":
            found = [f for f in found if names.takes(f.name)]
        if self.kind == "folder":
            found = [f for f in found if f.name.lower().endswith(suffix)]
        return sorted(found, key=lambda f: f.name)

    def folders(self, below: str = "", names: Names = ALL) -> list[str]:
        """Names of the folders right below one of the place's, empty ones too where the store keeps such; sorted."""
        with storage_faults(self.name):
            found = self.fs.ls(self.path_of(below) if below else self.root, detail=True)
            inner = [str(entry["name"]).rstrip("/").rpartition("/")[2] for entry in found if _is_folder(self.fs, entry)]
        return sorted(name for name in inner if names.enters(f"{below}/{name}".lstrip("/")))

    def _listed(self, names: Names) -> Iterator[tuple[str, dict[str, Any]]]:
        if self.kind == "file":
            yield self.path, {}
        elif self.kind == "glob":
            for pattern in expanded(self.path):
                if not has_magic(pattern):
                    yield pattern, self.fs.info(pattern)
                    continue
                for path, info in self.fs.glob(pattern, detail=True).items():
                    if info["type"] == "file" or (info["type"] != "directory" and not self.fs.isdir(path)):
                        yield path, info
        elif is_local(self.fs):
            yield from _walk(self.path, names)
        else:
            for path, info in self.fs.find(self.path, detail=True).items():
                if info["type"] == "file" and not path.endswith("/"):
                    yield path, info

    def _refuse_tables(self, files: list[SourceFile]) -> None:
        """Raises JobError where a table format keeps files of deleted rows beside those that count."""
        names = [file.name for file in files]
        folders = {"/".join(parts[:n]) for parts in (name.split("/") for name in names) for n in range(len(parts))}
        records = {name.rpartition("/")[0] for name in names if name.endswith(".metadata.json")}
        for folder in sorted(folders | {""}):
            kind = self._table_in(folder, folders, records)
            if kind is not None:
                where = f"{self.name}: {folder}" if folder else self.name
                mend = "write the rows elsewhere" if "Hudi" in kind else f"write format: {kind.split()[1].lower()}"
                raise JobError(
                    f"source.path: {where} is {kind} table, whose folder holds files of deleted rows, too; only its "
                    f"log tells which count, so {mend}"
                )

    def _table_in(self, folder: str, folders: set[str], records: set[str]) -> str | None:
        """Kind of the table whose root a folder is. `records`: folders with files that Iceberg's metadata are like."""
        above = f"{folder}/".lstrip("/")
        asks = not folder or is_local(self.fs)  # hidden folders are not listed locally; elsewhere requests cost
        for kind, marker in (("a Delta", "_delta_log"), ("a Hudi", ".hoodie")):
            if above + marker in folders or (asks and self.fs.isdir(f"{self.root}/{above}{marker}")):
                return kind
        found = above + "metadata" in records
        if not found and self.kind == "glob" and asks:
            found = bool(self.fs.glob(f"{self.root}/{above}metadata/*.metadata.json"))
        return "an Iceberg" if found else None

    def _named(self, path: str, info: dict[str, Any]) -> SourceFile:
        name = _without_query(self.fs, path)[len(self.root) :].lstrip("/")
        try:
            name.encode()
        except UnicodeEncodeError:
            raise JobError(f"source.path: the name of file {name!r} in {self.name} is not UTF-8; rename it") from None
        return SourceFile(name, path, info)


def resolve(url: str, *, at: str = "source.path") -> Place:
    """Place behind `url`. Raises JobError, begun with `at`: no driver, nothing there, not allowed, unreachable."""
    if not url.strip():
        raise JobError(f"{at}: is empty; wants a file, folder or glob")
    name = without_revision(public_name(url))
    fs, path = opened(url, name, at)
    with storage_faults(name, at=at):
        try:
            kind = "folder" if path.endswith("/") or fs.info(path)["type"] == "directory" else "file"
        except FileNotFoundError:
            if not (has_magic(_without_query(fs, path)) or has_braces(path)):
                raise
            kind = "glob"
    root = path.rstrip("/")
    if kind == "file":
        root = _without_query(fs, path).rpartition("/")[0]
    elif kind == "glob":
        parts = path.split("/")
        root = "/".join(parts[: next(i for i, part in enumerate(parts) if has_magic(part) or has_braces(part))])
    return Place(fs, path, root, kind, name)


def start_of(path: str, most: int) -> bytes:
    """The first `most` bytes of a local file, and one more if there is one. Raises OSError.

    A buffer of `most` bytes for each file, as fsspec reads it, costs more than the file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        wanted = min(os.fstat(descriptor).st_size, most) + 1
        data = os.read(descriptor, wanted)
        while len(data) < wanted and (more := os.read(descriptor, wanted - len(data))):  # a read has a limit of its own
            data += more
        return data
    finally:
        os.close(descriptor)


@contextmanager
def storage_faults(name: str, *, at: str = "source.path") -> Iterator[None]:
    """Turns any fault of storage inside the block into a JobError that names `at` and `name`, without credentials."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        where = f" ({error.filename})" if error.filename and "://" not in str(error.filename) else ""
        raise JobError(f"{at}: {name}: no such file or folder{where}; check the path") from error
    except PermissionError as error:
        raise JobError(f"{at}: {name}: reading is not allowed ({redacted(error)}); check credentials") from error
    except Exception as error:  # every driver raises exceptions of its own
        raise JobError(
            f"{at}: {name} cannot be reached: {type(error).__name__}: {redacted(error)}; check address and credentials"
        ) from error


def redacted(error: Exception) -> str:
    """An exception's message on one line, its URLs without credentials and query."""
    return " ".join(_URL.sub(lambda match: public_name(match[0]), str(error)).split())[:200]


def opened(url: str, name: str, at: str) -> tuple[Any, str]:
    protocol = url.partition("://")[0].split("::")[0] if "://" in url else "file"
    try:
        fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError:
        extra = _EXTRAS.get(protocol)
        mend = f"pip install hardset[{extra}]" if extra else f"install the fsspec driver for {protocol}://"
        raise JobError(f"{at}: {name}: the driver for {protocol}:// is not installed; {mend}") from None
    except Exception as error:
        raise JobError(f"{at}: {name} cannot be opened: {redacted(error)}") from error
    return (fs if is_local(fs) else PatientFiles(fs)), path


def _walk(folder: str, names_that_count: Names) -> Iterator[tuple[str, dict[str, Any]]]:
    """Files below a local folder through links to folders, each real folder once per path that is not a loop.

    Folders whose files do not count are not looked into: they need not be readable.
    """
    above: dict[str, frozenset[str]] = {folder: frozenset()}
    for here, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        real = os.path.realpath(here)
        if real in above[here]:
            folders.clear()
            continue
        inner = here[len(folder) :].lstrip("/")
        folders[:] = [child for child in folders if names_that_count.enters(f"{inner}/{child}".lstrip("/"))]
        above.update({f"{here}/{child}": above[here] | {real} for child in folders})
        yield from ((f"{here}/{name}", {}) for name in names)


def _raise(error: OSError) -> None:
    raise error


def _is_folder(fs: Any, entry: dict[str, Any]) -> bool:
    return bool(entry["type"] == "directory" or (entry.get("islink") and fs.isdir(entry["name"])))


def _without_query(fs: Any, path: str) -> str:
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return path.partition("?")[0] if "http" in protocols or "https" in protocols else path
