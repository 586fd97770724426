"""Table of the sources: settings bound to readers.

To add a source: declare its settings in `schemas.job.sources`, write its reader in a file beside this one, and list it
in the tables of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any

from hardset.pipeline.extensions import declarations
from hardset.pipeline.sources import delta, hub, iceberg
from hardset.pipeline.sources.base import Source, SourceReader, Versions
from hardset.pipeline.sources.delta import DeltaReader
from hardset.pipeline.sources.digits import DigitsReader
from hardset.pipeline.sources.hold_out import HeldOutReader
from hardset.pipeline.sources.iceberg import IcebergReader
from hardset.pipeline.sources.imagefolder import ImageFolderReader
from hardset.pipeline.sources.manifest import ManifestReader
from hardset.pipeline.sources.npz import NpzReader
from hardset.pipeline.sources.parquet import ParquetReader
from hardset.pipeline.sources.webdataset import WebDatasetReader
from hardset.schemas.digests import digest
from hardset.schemas.job.sources import (
    DeltaSource,
    DigitsSource,
    IcebergSource,
    ImageFolderSource,
    ImageSource,
    ManifestSource,
    NpzSource,
    ParquetSource,
    StoredSource,
    UserSource,
    WebDatasetSource,
)

_BUILT_IN = (
    Source(DigitsSource, DigitsReader),
    Source(ParquetSource, ParquetReader),
    Source(ImageFolderSource, ImageFolderReader),
    Source(NpzSource, NpzReader),
    Source(WebDatasetSource, WebDatasetReader),
    Source(ManifestSource, ManifestReader),
    Source(DeltaSource, DeltaReader, delta.VERSIONS),
    Source(IcebergSource, IcebergReader, iceberg.VERSIONS),
)
SOURCES: Mapping[str, Source] = MappingProxyType(
    {str(one.settings.model_fields["format"].default): one for one in _BUILT_IN}
)
"""Built-in sources by the `format` of their settings."""
_FIRST_VERSION = 1
"""Code version that keys do not name, so that shards keep theirs."""

NOT_READING = frozenset(
    {
        *("path", "include", "exclude", "unreadable", "version", "splits", "limit"),
        *("catalog", "table", "snapshot"),
        *("changed", "vanished", "classes", "numeric"),
    }
)
"""Settings that decide which rows there are, and not how one is read."""


def source(name: str) -> Source:
    """The source of that format or import path. Raises JobError."""
    return SOURCES.get(name) or declarations.find(name, Source, at="source.format")


def settled(spec: ImageSource) -> ImageSource:
    """The settings as the source itself declares them; `format` is the import path of a user's own. Raises JobError."""
    if not isinstance(spec, UserSource):
        return spec
    return declarations.settled(source(spec.format).settings, spec.model_dump(mode="json"), at="source")


def open_source(spec: ImageSource, classes: Sequence[str] | None = None, commit: str = "") -> SourceReader:
    """The reader of a job's `source` section. Touches no storage yet. Raises JobError where there is no such source.

    `classes`: names that a plan has settled on, so that no reader looks for them again. `commit`: the version that
    the plan reads, as `version_of` gave it.
    """
    own = settled(at_version(spec, commit))
    if classes is not None and isinstance(own, StoredSource):
        own = own.model_copy(update={"classes": tuple(classes)})
    reader = source(own.format).reader(own)
    return reader if own.hold_out is None else HeldOutReader(reader, own.hold_out)


def version_of(spec: ImageSource) -> str:
    """Version that the settings of a source stand for now: a commit of the Hub, a number of a table; or empty.

    Raises JobError where it cannot be found.
    """
    own = settled(spec)
    return _versions(own).now(own)


def at_version(spec: ImageSource, version: str) -> ImageSource:
    """The settings that read one version, whatever is newest when they are opened; as they are where it is empty.

    `version`: as `version_of` gave it for these settings. Raises JobError where a user's own cannot be found.
    """
    own = settled(spec)
    if not version or not isinstance(own, StoredSource):
        return spec
    found: StoredSource = _versions(own).at(own, version)
    if not isinstance(spec, UserSource):
        return found
    before = own.model_dump(mode="json")
    pinned = {name: value for name, value in found.model_dump(mode="json").items() if value != before[name]}
    return UserSource.model_validate({**spec.model_dump(mode="json"), **pinned})


def as_of_now(spec: ImageSource) -> ImageSource:
    """The settings that read the version which is newest now, whenever they are opened. Raises JobError."""
    return at_version(spec, version_of(spec))


def _versions(own: ImageSource) -> Versions:
    return source(own.format).versions or hub.COMMITS


def reading(spec: ImageSource, without: Set[str]) -> dict[str, Any]:
    """Reading of rows as keys tell it: the settings but some, and the code version if that is not the first.

    Raises JobError where a user's own cannot be found.
    """
    own = settled(spec)
    code = declarations.code_version(spec.format, type(own)) if isinstance(spec, UserSource) else own.code
    text = {name: value for name, value in own.model_dump(mode="json").items() if name not in without}
    text = {
        name: value for name, value in text.items() if name not in own.later or getattr(own, name) != _unset(own, name)
    }
    return text if code == _FIRST_VERSION else {**text, "code": code}


def _unset(spec: ImageSource, name: str) -> Any:
    return type(spec).model_fields[name].get_default(call_default_factory=True)


def reading_id(spec: ImageSource) -> str:
    """Digest of all that a range of rows is read by, wherever the rows lie. Raises JobError as `reading` does."""
    return digest(reading(spec, NOT_READING))
