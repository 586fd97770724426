"""Shards of WebDataset: rows out of tar files, by an index of where their members lie."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import pyarrow as pa

from hardset.pipeline.batches import RowError
from hardset.pipeline.sources import ranges, tar_index
from hardset.pipeline.sources.cleaning import NoImageError
from hardset.pipeline.sources.files import SourceFile
from hardset.pipeline.sources.images import ImageTooLargeError, UnreadableImageError
from hardset.pipeline.sources.labels import LabelError, are_text
from hardset.pipeline.sources.row_files import RowFiles, StoredRow
from hardset.pipeline.sources.tar_index import Sample, Span
from hardset.pipeline.sources.unreadable import UnreadableFileError, what_lies_there
from hardset.schemas.job.sources import WebDatasetSource
from hardset.schemas.limits import MIB, Limits, variable

_HEAD = 256
_JSON = "json"
_OTHER_KEY = "label"
"""Key of the label in a row's .json that many writers use."""
_WHOLE = re.compile(r"[+-]?\d{1,18}")
_TYPED_ROWS = 100
"""Rows of each tar whose values tell the types of the columns to keep."""


@dataclass(frozen=True)
class WebDatasetReader(RowFiles):
    """Reads members by extension: an image, and a label in a `.cls` or in the `.json` that also has the columns."""

    suffix = ".tar"
    spec: WebDatasetSource

    def pieces(self, file: SourceFile, shard_rows: int) -> Iterator[tuple[int, int]]:
        """Pieces of the samples of a tar. Raises UnreadableFileError where it is none, or has no images."""
        samples = self._samples(file.name)
        if samples and not any(self._image(sample) for sample in samples):
            found = ", ".join(sorted({name for sample in samples for name in sample.members})[:10])
            raise UnreadableFileError(
                f"source.image: no member of {file.name} is one of {', '.join(self.spec.image)}; it has: {found}"
            )
        if samples and not any({self.spec.label, _JSON} & sample.members.keys() for sample in samples):
            found = ", ".join(sorted({name for sample in samples for name in sample.members})[:10])
            raise UnreadableFileError(
                f"source.label: no member of {file.name} is {self.spec.label} or {_JSON}, so nothing tells the "
                f"classes; it has: {found}; set source.label if one of these is the class"
            )
        shown = {sample.key for sample in samples if self._image(sample)}
        apart = sorted(sample.key for sample in samples if not self._image(sample) and sample.key in shown)
        if 2 * len(apart) >= len(samples) > 0:
            raise UnreadableFileError(
                f"source.path: {file.name} has the members of {apart[0]} in places apart, as of most rows; those of a "
                "row stand side by side in WebDataset: pack them sorted by name (tar --sort=name)"
            )
        return ranges.cut(0, len(samples), shard_rows)

    def rows(self, name: str, start: int, stop: int) -> Iterator[StoredRow]:
        """Rows of the tar, of each its image, label and JSON and no other member."""
        with self.open(name) as handle:
            for sample in self._samples(name)[start:stop]:
                values = self._json(handle, sample)
                yield StoredRow(
                    self._label_of(handle, sample, values),
                    self._image_of(handle, sample, values),
                    None,
                    values if isinstance(values, Mapping) else {},
                )

    def labels(self, file: SourceFile) -> Iterator[Any]:
        """Labels of a tar, of which no image is read."""
        with self.open(file.name) as handle:
            for sample in self._samples(file.name):
                yield self._label_of(handle, sample, self._json(handle, sample))

    def text_labels(self) -> bool:
        """Whether labels are names, by the first of each tar. Raises JobError where tars disagree."""
        kinds = (
            (file.name, isinstance(label, str))
            for file in self.readable_files
            for label in islice((one for one in self.labels(file) if isinstance(one, str | int)), 1)
        )
        return are_text(kinds, "source.label: labels are")

    def column_types(self) -> Iterator[tuple[str, dict[str, pa.DataType]]]:
        """Types of the values in the .json of the first rows of each tar."""
        for file in self.readable_files:
            with self.open(file.name) as handle:
                some = [self._json(handle, sample) for sample in self._samples(file.name)[:_TYPED_ROWS]]
            found = [values for values in some if isinstance(values, Mapping)]
            names = dict.fromkeys(name for values in found for name in values)
            yield file.name, {name: _type_of([values.get(name) for values in found]) for name in names}

    @cached_property
    def _indexes(self) -> dict[str, list[Sample]]:
        return {}

    def _samples(self, name: str) -> list[Sample]:
        digest = self._as_planned.digest(name)
        if digest not in self._indexes:
            found = tar_index.remembered(digest)
            if found is None:
                found = self._walked(name)
                tar_index.remember(digest, found)
            self._indexes[digest] = found
        return self._indexes[digest]

    def _walked(self, name: str) -> list[Sample]:
        with self.open(name) as handle:
            try:
                return tar_index.samples_of(handle)
            except (tarfile.TarError, EOFError, ValueError) as error:
                handle.seek(0)
                told = what_lies_there(handle.read(_HEAD)) or f"is no .tar file, or is truncated: {error}"
                raise UnreadableFileError(f"source.path: {name} {told}") from error

    def _image(self, sample: Sample) -> Span | None:
        return next((sample.members[name] for name in self.spec.image if name in sample.members), None)

    def _image_of(self, handle: Any, sample: Sample, values: Any) -> bytes | RowError:
        if isinstance(values, UnreadableImageError) and self.spec.keep:
            return values  # its columns cannot be had
        span = self._image(sample)
        if span is None:
            return NoImageError(f"{sample.key} has no member {' or '.join(self.spec.image)}")
        most = Limits.from_environment().value_mib
        if span.size > most * MIB:
            allowed = f"more than {variable('value_mib')} allows ({most:g})"
            return ImageTooLargeError(f"holds {span.size / MIB:,.0f} MiB, {allowed}")
        data = _read(handle, span)
        return data if len(data) == span.size else UnreadableImageError("the tar ends inside it")

    def _label_of(self, handle: Any, sample: Sample, values: Any) -> Any:
        span = sample.members.get(self.spec.label)
        if span is not None:
            text = _read(handle, Span(span.start, min(span.size, 10_000))).decode(errors="replace").strip()
            return int(text) if _WHOLE.fullmatch(text) else text or None
        if isinstance(values, RowError):
            return values
        found = values if isinstance(values, Mapping) else {}
        key = next((key for key in (self.spec.label, _OTHER_KEY) if key in found), None)
        if key is None:
            return LabelError(f"{sample.key} has no member {self.spec.label}, and no key of that name in its .json")
        return found[key]

    def _json(self, handle: Any, sample: Sample) -> Any:
        """The .json of a sample; an empty mapping where it has none; a fault where it cannot be read."""
        span = sample.members.get(_JSON)
        if span is None:
            return {}
        if span.size > Limits.from_environment().value_mib * MIB:
            return UnreadableImageError(f"its .json is larger than {variable('value_mib')} allows")
        try:
            return json.loads(_read(handle, span))
        except (ValueError, RecursionError) as error:
            return UnreadableImageError(f"its .json cannot be read: {error}")


def _read(handle: Any, span: Span) -> bytes:
    handle.seek(span.start)
    data: bytes = handle.read(span.size)
    return data


def _type_of(values: list[Any]) -> pa.DataType:
    """Type of a column of JSON values; text where they are of several types."""
    try:
        return pa.infer_type([value for value in values if value is not None])
    except pa.ArrowException:
        return pa.string()
