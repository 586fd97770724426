"""Image folders: one folder per class, with or without folders of splits above."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from hardset.pipeline.sources import classes
from hardset.pipeline.sources.files import SourceFile
from hardset.pipeline.sources.labels import comparable
from hardset.pipeline.sources.members import MemberFiles, Members
from hardset.pipeline.sources.names import Names
from hardset.pipeline.sources.splits import TRAINING_SPLIT, split_of_folder
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ImageFolderSource

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif")
METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
"""Tables of images as `datasets` knows them."""
_WANTED = "CLASS/FILE, or SPLIT/CLASS/FILE with split folders named as train, validation or test"


class _ClassFolder(NamedTuple):
    split: str
    folder: str
    """Relative to the source."""
    files: list[SourceFile]

    @property
    def class_name(self) -> str:
        return self.folder.rpartition("/")[2]


class _Dunder(Names):
    """Folders such as __background__; those that macOS and Python make count as litter."""

    def enters(self, folder: str) -> bool:
        base = folder.rpartition("/")[2]
        return base.startswith("__") and base not in ("__MACOSX", "__pycache__")


@dataclass(frozen=True)
class ImageFolderReader(MemberFiles):
    """Reads `<class>/<file>` or `<split>/<class>/<file>`.

    Every file in a class folder is a row, save hidden ones; what is no image becomes a reject. Classes are numbered in
    the order that the job lists them in, or the sorted order of their names over all splits; an empty folder counts.
    """

    spec: ImageFolderSource
    named_by_folders = True
    folder_wanted = _WANTED

    def own_names(self) -> tuple[str, ...]:
        """Names of the class folders. Raises JobError: no class folders, or files outside of them."""
        names = {folder.class_name for folder in self._folders} | set(self._empty)
        return classes.ordered(names, numeric=self.spec.numeric)

    def members(self) -> Iterator[Members]:
        """The class folders of all splits. Raises JobError: no class folders, or files outside of them."""
        self.check_listed()
        for split, folder, files in self._folders:
            yield Members(split, folder, self.numbering.number(folder.rpartition("/")[2]), files)

    def warnings(self) -> tuple[str, ...]:
        """Sentences about class folders that are hidden or hold no files, and about names that are numbers."""
        hidden = ", ".join(self._hidden)
        left = f"source.path: left out the folder {hidden}, as names that begin with __ are hidden; rename a class"
        told = (*((left,) if hidden else ()), *super().warnings())
        if not self._empty:
            return told
        folders, numbers = ", ".join(self._empty), ", ".join(str(self.numbering.number(name)) for name in self._empty)
        empty = f"source.path: no file in the class folder {folders}; it keeps its class number {numbers}"
        if len(self._empty) > 1:
            empty = f"source.path: no files in the class folders {folders}; they keep their class numbers {numbers}"
        return (empty, *told)

    @cached_property
    def _empty(self) -> list[str]:
        """Names of class folders that hold no file in any split."""
        full = {comparable(folder.class_name) for folder in self._folders}
        found = self._below_splits(self.names_that_count())
        return sorted({comparable(name): name for name in found if comparable(name) not in full}.values())

    @cached_property
    def _hidden(self) -> list[str]:
        """Names of folders at the place of classes that are hidden, though no program is known to make them."""
        return sorted(set(self._below_splits(_Dunder())))

    def _below_splits(self, names: Names) -> list[str]:
        """Names of the folders at the place of classes, of all splits."""
        tops = {folder.folder.partition("/")[0] for folder in self._folders if "/" in folder.folder}
        return [name for top in sorted(tops) or [""] for name in self._place.folders(top, names)]

    @cached_property
    def _folders(self) -> list[_ClassFolder]:
        return _class_folders(self._place.files(names=self.names_that_count()), self.name)


def _split(folder: str) -> str | None:
    """Split that a folder above class folders stands for, in any case: no class can be meant there."""
    return split_of_folder(folder.lower())


def _class_folders(files: list[SourceFile], name: str) -> list[_ClassFolder]:
    """Files by class folder, in the order of their paths. Raises JobError for files that fit no layout."""
    listed = next((file.name for file in files if file.name.rpartition("/")[2] in METADATA), None)
    if listed is not None:
        raise JobError(
            f"source.path: {name} holds {listed}, which lists images with their labels; write format: manifest to read "
            "it, or leave it out with source.exclude"
        )
    split_folders = {top for top, _, rest in (f.name.partition("/") for f in files) if "/" in rest}
    if unknown := sorted(top for top in split_folders if _split(top) is None):
        example = next(f.name for f in files if f.name.startswith(f"{unknown[0]}/") and f.name.count("/") > 1)
        raise JobError(f"source.path: {name} holds {example}, and {unknown[0]} is no split; wants {_WANTED}")
    found: dict[tuple[str, str], list[SourceFile]] = defaultdict(list)
    for file in files:
        folder, _, base = file.name.rpartition("/")
        depth = file.name.count("/")
        if depth == (2 if file.name.partition("/")[0] in split_folders else 1):
            split = _split(folder.partition("/")[0]) if depth == 2 else TRAINING_SPLIT
            found[split or TRAINING_SPLIT, folder].append(file)
        elif depth > 2 or base.lower().endswith(IMAGE_SUFFIXES):
            raise JobError(f"source.path: {name} holds {file.name}, which lies in no class folder; wants {_WANTED}")
    if not found:
        raise JobError(f"source.path: {name} holds no class folders with files; wants {_WANTED}")
    return [_ClassFolder(split, folder, members) for (split, folder), members in found.items()]
