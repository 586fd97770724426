"""What a submitted job takes along: the code of hardset, and the modules beside the job file that it names.

The cluster needs the libraries, not hardset itself. The code goes as unpacked packages: Ray would give a wheel to
`pip install`, which resolves its dependencies anew and fetches torch for every job (Ray 2.60, `install_wheel_package`).
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from modulefinder import ModuleFinder
from pathlib import Path, PurePosixPath
from typing import Any

from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job

PACKAGE = "hardset"
"""The one import package of the distribution."""
ROOMS = ("pipeline", "jobs", "schemas")
"""Folders of the package; in a checkout they are symbolic links, the only ones that are followed."""
_SOURCE = (".py", ".pyi")
_IMPORT_PATH = re.compile(r"([A-Za-z_]\w*(?:\.\w+)*):[\w.]+")
_NAMED_BY = ("factory", "objective", "name", "format", "method", "augment", "optimiser")
"""Keys of a job file that hold an import path."""


@dataclass(frozen=True)
class Parcel:
    """What goes to the cluster beside the job file."""

    ship: bool = True
    """Whether the code of hardset goes along; else the cluster has it installed."""
    wheel: Path | None = None
    """The wheel whose code goes along; None for the code that runs here."""
    modules: tuple[Path, ...] = ()
    """Modules (files) and packages (folders) of the user's own; of packages the Python source files go."""
    data: tuple[str, ...] = ()
    """Patterns of further files of these packages, such as `nets/*.json`; `*` matches any part of a path."""

    def pack(self, working: Path, code: Path) -> list[str]:
        """Puts modules into `working` and code below `code`. Returns the folders that the import path needs there.

        Symbolic links are never followed. Raises JobError for a file that is no wheel of hardset, a module that is a
        link, and a pattern that no file matches.
        """
        matched: set[str] = set()
        for module in self.modules:
            for file, name in _files_of(module):
                patterns = {pattern for pattern in self.data if fnmatchcase(name, pattern)}
                if patterns or PurePosixPath(name).suffix in _SOURCE or name.endswith("/py.typed"):
                    (working / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, working / name)
                matched |= patterns
        for pattern in self.data:
            if pattern not in matched:
                raise JobError(
                    f"--data {pattern}: matches no file of the modules that go along "
                    f"({', '.join(sorted(module.name for module in self.modules)) or 'none'})"
                )
        if not self.ship:
            return []
        if self.wheel is None:
            _copy_code(code)
        else:
            _unpack(self.wheel, code)
        return sorted(str(folder) for folder in code.iterdir() if folder.is_dir())


def _files_of(module: Path) -> Iterator[tuple[Path, str]]:
    """Regular files of a module or package, and their paths from the folder that holds it."""
    if module.is_symlink():
        raise JobError(f"{module}: is a symbolic link, which is not followed; put the module itself there")
    if module.is_file():
        yield module, module.name
        return
    for place, folders, names in os.walk(module):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        for name in sorted(names):
            file = Path(place, name)
            if file.is_file() and not file.is_symlink():
                yield file, file.relative_to(module.parent).as_posix()


def _copy_code(folder: Path) -> None:
    """The code that runs here, and of its metadata what tells version and licence: never where it is installed."""
    spec = find_spec(PACKAGE)
    assert spec is not None and spec.submodule_search_locations
    source = Path(next(iter(spec.submodule_search_locations)))
    shutil.copytree(source, folder / PACKAGE, ignore=_left_behind)
    for room in ROOMS:
        shutil.copytree((source / room).resolve(), folder / PACKAGE / room, ignore=_left_behind)
    try:
        installed = distribution("hardset")
    except PackageNotFoundError:
        return
    home = folder / f"hardset-{installed.version}.dist-info"
    home.mkdir()
    (home / "METADATA").write_text(installed.read_text("METADATA") or "", encoding="utf-8")


def _left_behind(folder: str, names: list[str]) -> list[str]:
    """What does not go along: caches, links to elsewhere, and rooms, which are copied by themselves."""
    inside = Path(folder)
    rooms = ROOMS if inside.name == PACKAGE else ()
    return [name for name in names if name == "__pycache__" or name in rooms or (inside / name).is_symlink()]


def _unpack(wheel: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise JobError(f"--wheel {wheel}: cannot be read as a wheel: {error}") from None
    if not (folder / PACKAGE / "__init__.py").is_file() or not list(folder.glob("hardset-*.dist-info")):
        raise JobError(f"--wheel {wheel}: is not a wheel of hardset; `pip wheel --no-deps .` in its checkout makes one")


def modules_beside(job: Job, folders: Sequence[Path]) -> tuple[Path, ...]:
    """Modules and packages in `folders` that hold what the job names by import path, and what these import from there.

    The first folder that has a module counts. What is in none of them is left for the cluster to have.
    """
    found: dict[str, Path] = {}
    paths = map(_IMPORT_PATH.fullmatch, _import_paths(job.model_dump(mode="json")))
    for name in sorted({path[1] for path in paths if path}):
        top = name.partition(".")[0]
        home = next((folder for folder in folders if _module(folder, top)), None)
        if home is not None and not _installed(top, folders):
            found |= {top: place for top, place in _with_imports(home, name).items() if not _installed(top, folders)}
    return tuple(found[name] for name in sorted(found))


def _import_paths(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _import_paths(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in _NAMED_BY and isinstance(value, str):
                yield value
            elif key != "arguments":  # what a factory takes is its own affair
                yield from _import_paths(value)


def _installed(name: str, folders: Sequence[Path]) -> bool:
    """Whether Python finds the module outside `folders`: that one counts, as the folder comes last on the path."""
    if name in sys.builtin_module_names:
        return True
    elsewhere = [place for place in sys.path if Path(place or ".").resolve() not in {f.resolve() for f in folders}]
    return PathFinder.find_spec(name, elsewhere) is not None


def _module(folder: Path, name: str) -> Path | None:
    """The module or package `name` of a folder."""
    if (folder / name / "__init__.py").is_file():
        return folder / name
    return file if (file := folder / f"{name}.py").is_file() else None


def _with_imports(folder: Path, name: str) -> dict[str, Path]:
    """A module of `folder` and all that it imports, at any depth, from the same folder; by name. Runs none of them."""
    finder = ModuleFinder(path=[str(folder)])
    with suppress(ImportError, SyntaxError):  # the driver says it better
        finder.import_hook(name)
    tops = {module.partition(".")[0] for module in [name, *finder.modules]}
    return {top: place for top in tops if (place := _module(folder, top)) is not None}
