"""`hardset.open_dataset`: the rows of one run, in the form that the next tool takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hardset.jobs.api.inputs import Place, place_of
from hardset.pipeline.browse.query import ask
from hardset.pipeline.dataset.files.scan import UnreadableFileError, batches
from hardset.pipeline.dataset.records.chosen import chosen_manifest
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.records.run import Manifest
from hardset.schemas.rows.contract import arrow_schema, huggingface_features
from hardset.schemas.rows.user_columns import recorded_columns

if TYPE_CHECKING:
    import datasets
    import polars
    from torch import Tensor

    from hardset.pipeline.loading.datasets import Rows


@dataclass(frozen=True)
class Dataset:
    """The rows of one finished run: those that its manifest lists, and no file beside them."""

    folder: Folder
    manifest: Manifest
    """The record of the run."""

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self.manifest.run_id

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; labels are positions in it."""
        return self.manifest.classes

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns, the user's own last; `hardset schema --rows` says what the others hold."""
        return tuple(self._schema.names)

    @property
    def files(self) -> tuple[str, ...]:
        """Paths or URLs of the run's Parquet files, as any reader takes them."""
        return tuple(f"{self.folder.place}/{file.path}" for file in self.manifest.data_files)

    def __len__(self) -> int:
        return self.manifest.totals.rows_out

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows in memory, with the columns in this order; None: all of them.

        Raises JobError for a column that there is not, RunError where a file cannot be read.
        """
        names = self._known(columns)
        schema = pa.schema([self._schema.field(name) for name in names])
        parts = []
        try:
            for file in self.manifest.data_files:
                for part in batches(self.folder, file, names):
                    parts.append(part.columns.select(names).cast(schema))
        except UnreadableFileError as error:
            raise RunError(f"{self.folder.name}: {error}; `hardset verify` names every fault") from error
        return pa.Table.from_batches(parts, schema)

    def to_torch(
        self, columns: Sequence[str] = ("label",), *, transform: Callable[[Tensor], Any] | None = None
    ) -> Rows:
        """A map-style `torch.utils.data.Dataset` of (image, *columns): float32 (C, H, W) in [0, 1], and plain values.

        `transform`: what is done to every image. Empty values are -1, NaN, False and "". Images are read when they are
        asked for; `hardset.torch` has batches and a loader for training.
        """
        from hardset.pipeline.loading.datasets import Rows  # noqa: PLC0415 - torch takes seconds to import

        return Rows(self, columns, transform=transform)

    def to_huggingface(self, columns: Sequence[str] | None = None) -> datasets.Dataset:
        """A `datasets.Dataset` whose images and class labels are features. Needs `pip install datasets`."""
        library = _library("datasets", "datasets")
        names = self._known(columns)
        features = huggingface_features(self.classes, user=recorded_columns(self.manifest.user_columns))
        chosen = library.Features.from_dict({name: features[name] for name in names})
        return library.Dataset(self.to_arrow(names), info=library.DatasetInfo(features=chosen))

    def to_polars(self, columns: Sequence[str] | None = None) -> polars.DataFrame:
        """A `polars.DataFrame`. Needs `pip install polars`."""
        library = _library("polars", "polars")
        frame: polars.DataFrame = library.from_arrow(self.to_arrow(columns))
        return frame

    def sql(self, query: str) -> pa.Table:
        """The answer to a query in DuckDB's SQL over the table `rows`: all columns but the image.

        Only the columns that it names are read, and it reaches nothing else. Needs `pip install 'hardset[inspect]'`.
        Raises JobError for what is no such query, RunError where a file cannot be read.

        >>> import hardset
        >>> dataset = hardset.open_dataset("demo/out")
        >>> table = dataset.sql("SELECT op, avg(success::int) AS rate FROM rows WHERE success IS NOT NULL GROUP BY op")
        >>> table.column_names
        ['op', 'rate']
        """
        return ask(self.folder, self.manifest, query)

    @property
    def _schema(self) -> pa.Schema:
        return arrow_schema(self.classes, user=recorded_columns(self.manifest.user_columns))

    def _known(self, columns: Sequence[str] | None) -> list[str]:
        if columns is None:
            return list(self.columns)
        if isinstance(columns, str):
            raise JobError(f"columns: got the text {columns!r}; wants a list of names")
        unknown = [name for name in columns if name not in self.columns]
        if unknown:
            raise JobError(f"columns: no column {', '.join(map(repr, unknown))}; there are {', '.join(self.columns)}")
        return list(columns)


def open_dataset(path: Place, *, run: str | None = None) -> Dataset:
    """The rows of the newest finished run in the folder at `path`, or of another one.

    `path`: a local path or any fsspec URL. `run`: a finished run by its id, how that starts, or the date
    that it stands for.

    Raises JobError where there is no such run, RunError where its manifest cannot be believed.

    >>> import hardset
    >>> dataset = hardset.open_dataset("demo/out")
    >>> len(dataset) == dataset.to_arrow(["label"]).num_rows
    True
    >>> image, label = dataset.to_torch()[0]
    >>> image.shape
    torch.Size([1, 8, 8])
    """
    folder = Folder(place_of(path))
    return Dataset(folder, chosen_manifest(folder, run))


def _library(name: str, package: str) -> Any:
    from importlib import import_module  # noqa: PLC0415

    try:
        return import_module(name)
    except ImportError as error:
        raise JobError(f"{name}: is not installed ({error}): pip install {package}") from None
