"""Image folders: one folder per class, with or without folders of splits above."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from hardset.pipeline.sources import ranges
from hardset.pipeline.sources.base import RawRow
from hardset.pipeline.sources.digest_cache import digest_cache
from hardset.pipeline.sources.files import Place, SourceFile, resolve
from hardset.pipeline.sources.fingerprints import content_digest, tag_digest
from hardset.pipeline.sources.splits import TRAINING_SPLIT, selected, split_of_folder
from hardset.pipeline.sources.stored import StoredSource
from hardset.schemas.digests import digest
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ImageFolderSource
from hardset.schemas.records import run as records

_FETCHED_AT_ONCE = 64
_SHORT = 16  # hex digits of a member's own digest, which only tells whether it changed
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2")
_WANTED = "wants CLASS/FILE, or SPLIT/CLASS/FILE with split folders named as train, validation or test"


class _ClassFolder(NamedTuple):
    split: str
    folder: str
    """Relative to the source."""
    files: list[SourceFile]

    @property
    def class_name(self) -> str:
        return self.folder.rpartition("/")[2]


@dataclass(frozen=True)
class ImageFolderReader(StoredSource):
    """Reads `<class>/<file>` or `<split>/<class>/<file>`.

    Every file in a class folder is a row, save hidden ones; what is no image becomes a reject. Classes are numbered in
    the sorted order of their names over all splits. A range never spans class folders, so a new file touches only
    ranges of its class, from its place on.
    """

    spec: ImageFolderSource

    def class_names(self) -> tuple[str, ...]:
        """Names of the class folders. Raises JobError: no class folders, or files outside of them."""
        return tuple(sorted({folder.class_name for folder in self._folders}))

    @cached_property
    def _place(self) -> Place:
        place = resolve(self.spec.path)
        if place.kind != "folder":
            raise JobError(f"source.path: {place.name} is no folder; {_WANTED}")
        return place

    @cached_property
    def _folders(self) -> list[_ClassFolder]:
        return _class_folders(self._place.files(), self.name)

    def _ranges(self, shard_rows: int) -> Iterator[records.SourceRange]:
        labels = {name: label for label, name in enumerate(self.class_names())}
        for split, folder in selected(self._folders, lambda folder: folder.split, self.spec.splits):
            names = [file.name[len(folder.folder) + 1 :] for file in folder.files]
            for start, stop in ranges.cut(0, len(names), shard_rows):
                yield records.SourceRange(
                    split=split,
                    file=folder.folder,
                    start=start,
                    stop=stop,
                    digest="",
                    members=tuple(names[start:stop]),
                    label=labels[folder.class_name],
                )

    def fixed(self, parts: list[records.SourceRange]) -> list[records.SourceRange]:
        """Ranges with the digests of their files."""
        found = self._file_digests({f"{part.file}/{member}" for part in parts for member in part.members})

        def fix(part: records.SourceRange) -> records.SourceRange:
            listed = [[name, found[name]] for name in (f"{part.file}/{member}" for member in part.members)]
            short = tuple(one[:_SHORT] for _, one in listed)
            return part.model_copy(update={"digest": digest([part.label, listed]), "member_digests": short})

        return [fix(part) for part in parts]

    def _file_digests(self, names: set[str]) -> dict[str, str]:
        files = [file for folder in self._folders for file in folder.files if file.name in names]
        tags = {file.name: tag for file in files if (tag := tag_digest(file.info)) is not None}
        with digest_cache(self._place) as cache:
            rest = {file.name: file.path for file in files if file.name not in tags}
            return tags | cache.digests(rest, lambda path: content_digest(self._place.fs, path))

    def _rows(self, source_range: records.SourceRange) -> Iterator[RawRow]:
        keys = [f"{source_range.file}/{member}" for member in source_range.members]
        for start in range(0, len(keys), _FETCHED_AT_ONCE):
            some = keys[start : start + _FETCHED_AT_ONCE]
            # Not fs.cat: it takes brackets in file names for patterns.
            contents = self._place.fs.cat_ranges([self._place.path_of(key) for key in some], None, None)
            for key, content in zip(some, contents, strict=True):
                if isinstance(content, Exception):
                    raise content
                yield RawRow(key, 0, source_range.label, content)


def _class_folders(files: list[SourceFile], name: str) -> list[_ClassFolder]:
    """Files by class folder, in the order of their paths. Raises JobError for files that fit no layout."""
    split_folders = {top for top, _, rest in (f.name.partition("/") for f in files) if "/" in rest}
    if unknown := sorted(top for top in split_folders if split_of_folder(top) is None):
        example = next(f.name for f in files if f.name.startswith(f"{unknown[0]}/") and f.name.count("/") > 1)
        raise JobError(f"source.path: {name} holds {example}, and {unknown[0]} is no split; {_WANTED}")
    found: dict[tuple[str, str], list[SourceFile]] = defaultdict(list)
    for file in files:
        folder, _, base = file.name.rpartition("/")
        depth = file.name.count("/")
        if depth == (2 if file.name.partition("/")[0] in split_folders else 1):
            split = split_of_folder(folder.partition("/")[0]) if depth == 2 else TRAINING_SPLIT
            found[split or TRAINING_SPLIT, folder].append(file)
        elif depth > 2 or base.lower().endswith(_IMAGE_SUFFIXES):
            raise JobError(f"source.path: {name} holds {file.name}, which lies in no class folder; {_WANTED}")
    if not found:
        raise JobError(f"source.path: {name} holds no class folders with files; {_WANTED}")
    return [_ClassFolder(split, folder, members) for (split, folder), members in found.items()]
