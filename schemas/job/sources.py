"""Settings of the sources of clean rows: the `source` section of a job file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from hardset.schemas.base import Spec
from hardset.schemas.extensions import Extension, ImportPath, open_union

PositiveInt = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=1, le=16_384)]
Parts = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
Patterns = tuple[Annotated[str, Field(min_length=1, max_length=1_000)], ...]
FROM_SOURCE = "from_source"
"""Value of `source.classes` for classes that are found in the labels."""


def _named(value: Any) -> Any:
    """A list of class names in which YAML has read numbers for names such as 3."""
    if not isinstance(value, list | tuple):
        return value
    return tuple(str(name) if type(name) is int else name for name in value)


def _renamed(value: Any) -> Any:
    """A list of columns as a mapping of their names to themselves; an entry of it may rename one."""
    if not isinstance(value, list | tuple):
        return value
    pairs: dict[Any, Any] = {}
    for entry in value:
        named = entry if isinstance(entry, dict) else {entry: entry}
        if twice := pairs.keys() & named.keys():
            raise ValueError(f"names {min(twice)!r} twice")
        pairs.update(named)
    return pairs


_KEPT: dict[str, Any] = {
    "anyOf": [
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "array", "items": {"type": "string"}},
    ]
}
Kept = Annotated[dict[str, str], BeforeValidator(_renamed), WithJsonSchema(_KEPT)]

ClassNames = Annotated[Annotated[tuple[str, ...], Field(min_length=1)] | str | None, BeforeValidator(_named)]


class HoldOut(Spec):
    """A share of the rows set apart, chosen by a hash of their keys, so that more rows move no row across."""

    fraction: Annotated[float, Field(gt=0, lt=1)]
    """Share of the rows of each split that is held out."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Another seed holds out other rows."""
    part: Literal["rest", "held_out"] = "rest"
    """Part that is read: the rows that are left, or those held out."""


RowNumber = Annotated[int, Field(ge=1, le=10**12)]


class Limit(Spec):
    """A sample of the rows, for trials whose figures mean something."""

    rows: RowNumber
    """Number of rows to take."""
    by: Literal["class"] = "class"
    """class: of every class its share, at least one row where there are enough, chosen by a hash of their keys."""


class ImageSource(Spec):
    """Settings of every source of images. A format adds its own, each a documented, typed field."""

    code: ClassVar[int] = 1
    """Code version, raised when the reader begins to give other rows; part of the shard key where it is not 1."""
    later: ClassVar[frozenset[str]] = frozenset({"alpha", "bits", "classes", "exif", "keep", "label_offset", "numeric"})
    """Settings that keys of shards leave out while they are unset, because there are keys from before them."""

    format: str
    """Format of the source."""
    size: Side | tuple[Side, Side] | None = None
    """Size of the rows in pixels: one side, or [height, width]. Unset: as stored, and all rows must agree."""
    resize: Literal["crop", "stretch"] = "crop"
    """Way of reaching `size`. crop: shorter side to size / 0.875, then the centre; stretch: both sides."""
    channels: Literal["auto", 1, 3] = "auto"
    """1 for grey, 3 for RGB; auto takes what most rows of a sample have, and keeps it from night to night."""
    alpha: Literal["black", "white", "drop"] = "black"
    """What transparent pixels are laid over: black or white; drop takes the colours as if nothing were transparent."""
    exif: Literal["apply", "ignore"] = "apply"
    """Orientation in the EXIF block of a file. apply: turn the pixels upright, as viewers do; ignore: as stored."""
    bits: Literal["auto"] | Annotated[int, Field(ge=9, le=16)] = "auto"
    """Bits that 16-bit grey values use, such as 12 of many cameras and scanners. auto: those that the file declares,
    else 16."""
    splits: tuple[str, ...] | None = None
    """Splits to take, such as [train]. Unset: all. A split is read off the file or folder name."""
    limit: RowNumber | Limit | None = None
    """Take some rows only, for trials: a number takes the first in source order, which may be of one class;
    {rows: 60, by: class} takes a sample of all classes."""
    hold_out: HoldOut | None = None
    """Read a part of the rows only, leaving a fixed share of them to validation. Unset: all."""
    max_pixels: Annotated[int, Field(ge=1, le=2**31)] = 50_000_000
    """Images with more pixels than this go to quarantine unread, which guards against decompression bombs."""

    @property
    def limit_rows(self) -> int | None:
        """Most rows to take; None: all."""
        return self.limit.rows if isinstance(self.limit, Limit) else self.limit


class DigitsSource(ImageSource):
    """The 1,797 handwritten digits (8x8, grey) that come with hardset; no download."""

    format: Literal["digits"] = "digits"


class StoredSource(ImageSource):
    """Settings of every source of files.

    Its settings say where the files lie. Files are held against the newest earlier run of the same job in the output,
    where that read the same source.
    """

    path: str
    """Place of the files; any fsspec URL."""
    classes: ClassNames = None
    """Class names in label order: a list, a file of them (one name a line, or JSON or YAML with id2label, label2id or
    names), or from_source, which sorts the names found in the labels. Unset: the source's own names, if it has any."""
    label_offset: Annotated[int, Field(ge=0, le=2**31)] = 0
    """Number of the first class where labels are numbers; 1 for labels that start at 1."""
    numeric: bool = False
    """Sort class names that are numbers by value (0, 1, 2, ..., 10), not as text (0, 1, 10, 2)."""
    keep: Kept = Field(default_factory=dict, examples=[["id", "caption"], {"id": "sample_id"}])
    """Columns that every made row carries beside its own: a list such as [id, caption], or a mapping of a column to
    the name that it gets, such as {id: sample_id}."""
    changed: Literal["remake", "keep", "fail"] = "remake"
    """Files of which the bytes changed. remake: their rows are made anew; keep: the earlier rows stay listed, though
    their source is gone; fail: generate refuses to go on."""
    vanished: Literal["drop", "keep", "fail"] = "drop"
    """Files that are gone. drop: the new manifest lists their rows no more; keep: it goes on listing them; fail:
    generate refuses to go on."""
    include: Patterns = ()
    """Patterns of the file names to take, such as ["*.jpg", "2026/**"]. Unset: all. A pattern without a slash is held
    against every part of the name, and one that matches a folder stands for all below it."""
    exclude: Patterns = ()
    """Patterns of the file names to leave, such as ["*.txt", "thumbnails"]; comes after `include`."""
    unreadable: Literal["quarantine", "fail"] = "quarantine"
    """Files that cannot be read: empty, encrypted, a pointer, a dangling link, without permission, of another format.
    quarantine: each costs one row there, and the run goes on with the others; fail: the plan is refused."""


class ColumnarSource(StoredSource):
    """Settings of sources whose rows lie in columns of Parquet files."""

    image: str = "image"
    """Name of the image column."""
    label: str = "label"
    """Name of the label column: whole numbers, or text; or of the hive folders that hold the label, as label=3/."""


class ParquetSource(ColumnarSource):
    """Parquet files in the Hugging Face image layout: `struct{bytes, path}` and a label."""

    format: Literal["parquet"] = "parquet"
    path: str
    """File, folder or glob; any fsspec URL."""


class DeltaSource(ColumnarSource):
    """A Delta table of the same columns, read by its log: files of deleted rows do not count."""

    format: Literal["delta"] = "delta"
    path: str
    """Root of the table; any fsspec URL that deltalake knows, too."""
    version: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """Version of the table. Unset: the newest, which the plan records and every worker reads."""


class IcebergSource(ColumnarSource):
    """An Iceberg table of the same columns, read at a snapshot: files of deleted rows do not count."""

    format: Literal["iceberg"] = "iceberg"
    path: str
    """Root of the table, or another folder that holds all its files; any fsspec URL."""
    catalog: str | None = None
    """Catalogue that knows the table: its name in pyiceberg's own configuration, or a URI (a REST service, or what
    `publish` was given). Unset: the newest of the metadata files below `path`."""
    table: str | None = None
    """Name of the table in the catalogue, such as images.hardened."""
    snapshot: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """Id of a snapshot. Unset: the newest, which the plan records and every worker reads."""

    @model_validator(mode="after")
    def _named_whole(self) -> Self:
        if (self.catalog is None) != (self.table is None):
            raise ValueError("catalog and table go together; set both, or neither")
        return self


class ImageFolderSource(StoredSource):
    """One folder per class; classes are numbered in the sorted order of their names, unless `classes` lists them."""

    format: Literal["imagefolder"] = "imagefolder"
    path: str
    """Folder that holds the class folders, or split folders that do; any fsspec URL."""


class NpzSource(StoredSource):
    """Arrays in .npz files: uint8 images, N x H x W or N x H x W x C, and N labels, whole numbers or text."""

    format: Literal["npz"] = "npz"
    path: str
    """File or glob; any fsspec URL."""
    images: str = "images"
    """Name of the image array."""
    labels: str = "labels"
    """Name of the label array."""


class WebDatasetSource(StoredSource):
    """Shards of WebDataset: .tar files in which members that share a name up to the first dot are a row."""

    format: Literal["webdataset"] = "webdataset"
    path: str
    """File, folder or glob of uncompressed .tar files; any fsspec URL."""
    image: Parts = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm")
    """Extensions of the image, such as [jpg, seg.png]; the first that a row has is taken."""
    label: Annotated[str, Field(min_length=1)] = "cls"
    """Extension of the label as text (a number or a name); where a row has none, the key of it in its .json, in which
    `label` is looked for, too."""


class ManifestSource(StoredSource):
    """Tables of the paths or URLs of images with their labels: .csv, .tsv, .jsonl, .ndjson or .parquet, also as .gz, or
    a .json list."""

    format: Literal["manifest"] = "manifest"
    path: str
    """Table, or folder or glob of tables; any fsspec URL. Paths of images start from the folder of their table."""
    image: str | None = None
    """Name of the column of paths or URLs. Unset: the first there is, in any case, of path, file_name, filename, file,
    image, image_path, filepath, url, file_path, img_path, image_name, image_file, image_url and img."""
    label: str | None = None
    """Name of the label column. Unset: the first there is, in any case, of label, class, category, target, fine_label,
    labels, class_name, label_name, category_name, class_id, label_id and category_id."""


class UserSource(ImageSource, Extension):
    """A source of one's own: its import path, or the entry point that stands for it, and its settings."""

    key: ClassVar[str] = "format"
    group: ClassVar[str] = "hardset.sources"

    format: ImportPath
    """Import path of a `hardset.pipeline.sources.base.Source`, such as `package.module:NAME`."""


SOURCES: tuple[type[ImageSource], ...] = (
    DigitsSource,
    ParquetSource,
    ImageFolderSource,
    NpzSource,
    WebDatasetSource,
    ManifestSource,
    DeltaSource,
    IcebergSource,
)
"""Settings of the built-in sources; each is bound to its reader in `pipeline.sources.table`."""

if TYPE_CHECKING:
    Source: TypeAlias = ImageSource
else:
    Source = open_union(SOURCES, UserSource)
