"""Row contract: every column of the output with its type, its meaning and the kinds of row that must fill it.

The Arrow schema, the Hugging Face features of file and card, the Croissant fields, the SQL view and the table in the
docs are derived from `COLUMNS`, for every version of the contract: each column names the version that added it, and no
column was ever removed or changed its type, so a file of an older version only lacks columns.

Columns have plain nullable signed types, because each exception breaks one of the readers (a label that is not a
nullable int64 loses its class names in `datasets`; unsigned columns fail in Delta; float16 fails in Iceberg).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from hardset.schemas.digests import digest
from hardset.schemas.errors import RunError

VERSIONS = ("1.0", "1.1", "1.2")
"""Versions of the contract, oldest first. The footer of a file and the manifest that lists it name its version."""
CONTRACT_VERSION = VERSIONS[-1]
"""Version that is written. Part of every shard key, so that a run never reuses files of another version."""
OPEN_VERSION: str | None = "1.2"
"""Version that may still change, because it has not been released. Closing the release in the changelog freezes it;
then this is None until the next version is started."""

ADVERSARIAL, GENERATED, AUGMENTED = "adversarial", "generated", "augmented"
KINDS = {ADVERSARIAL: "A", GENERATED: "G", AUGMENTED: "U"}
"""Kinds of row, each with its letter in `Column.required`."""

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_CLASS = "class"  # int64 that indexes the class names


@dataclass(frozen=True)
class Column:
    """Column of the contract; `required` holds the letters of the kinds of row that must fill it (A, G, U)."""

    name: str
    type: pa.DataType
    required: str
    meaning: str
    feature: str = ""
    since: str = VERSIONS[0]
    """Version of the contract that added the column."""

    @property
    def is_class(self) -> bool:
        """Whether the values index the class names."""
        return self.feature == _CLASS

    def required_of(self, kind: str) -> bool:
        """Whether rows of the kind must fill the column."""
        return KINDS[kind] in self.required


OF_A_NORM = "eps"
"""Column that adversarial rows leave empty where their `norm` is none."""

_string, _i32, _i64, _f32, _f64 = pa.string(), pa.int32(), pa.int64(), pa.float32(), pa.float64()

COLUMNS: tuple[Column, ...] = (
    Column("image", IMAGE, "AGU", "8-bit PNG; path is `<row_id>.png`"),
    Column("label", _i64, "AU", "ground truth; of generated rows the class asked for", _CLASS),
    Column("row_id", _string, "AGU", "32 hex digits; the same after retries, resharding and re-runs"),
    Column("kind", _string, "AGU", "adversarial, generated or augmented"),
    Column("image_sha256", _string, "AGU", 'SHA-256 of `"u8:H:W:C:"` + the decoded HWC bytes of the image'),
    Column("width", _i32, "AGU", "pixels"),
    Column("height", _i32, "AGU", "pixels"),
    Column("source_dataset", _string, "AU", "where the clean row came from, without credentials or query"),
    Column("source_split", _string, "AU", "split of the clean row"),
    Column("source_index", _i64, "AU", "position of the clean row inside its source file"),
    Column("source_key", _string, "AU", "stable key of the clean row; of generated rows the sample's key"),
    Column("source_sha256", _string, "AU", "digest of the clean pixels, as image_sha256"),
    Column("parent_row_id", _string, "", "row_id in an earlier run's table, where rows are made from made rows"),
    Column("run_id", _string, "AGU", "UUID of the run that made the row"),
    Column("recipe_id", _string, "AGU", "16 hex digits; the recipe's text is in footer and manifest"),
    Column("op", _string, "AGU", "pgd_linf, augment, gan, ..."),
    Column("variant", _i32, "AGU", "which of the rows that one recipe makes from one source row"),
    Column("seed", _i64, "AGU", "all randomness of the row comes from it"),
    Column("params", _string, "U", "JSON of what was drawn for this row"),
    Column("model_id", _string, "AG", "model under attack, or generator"),
    Column("model_sha256", _string, "AG", "SHA-256 of its weights"),
    Column("norm", _string, "A", "Linf, L2, L1 or L0; none where drawn operations are the budget"),
    Column("eps", _f64, "A", "budget on the [0, 1] pixel scale; for L0 in pixels; empty where norm is none"),
    Column("target_label", _i64, "", "class a targeted attack aims at", _CLASS),
    Column("steps", _i32, "A", "gradient steps spent on the row"),
    Column("clean_pred", _i64, "A", "prediction on the clean pixels", _CLASS),
    Column("float_pred", _i64, "A", "prediction on the attack's result before it is stored as 8-bit", _CLASS),
    Column("pred", _i64, "A", "prediction on the stored image", _CLASS),
    Column(
        "clean_margin",
        _f32,
        "A",
        "logit of the label less the best other logit, clean pixels; < 0 is an error",
    ),
    Column("float_margin", _f32, "A", "the same before storing"),
    Column("margin", _f32, "A", "the same on the stored image"),
    Column("confidence", _f32, "A", "softmax probability of `pred` on the stored image"),
    Column("success", pa.bool_(), "A", "clean_pred = label and pred != label; targeted: pred = target_label != label"),
    Column("linf_levels", _i32, "A", "largest change of a value, in 8-bit levels"),
    Column("l2", _f32, "A", "Euclidean norm of the change, [0, 1] pixel scale"),
    Column("verify_id", _string, "A", "how the verdict was computed, such as fp32-tf32off-b256"),
    Column("l1", _f32, "A", "sum of the changes, [0, 1] pixel scale", since="1.1"),
    Column("queries", _i32, "A", "forward passes without gradient spent on the row", since="1.1"),
    Column("found_by", _string, "A", "the attack (of an ensemble, the member) that gave the image", since="1.1"),
    Column("flags", _string, "A", "signals about the row, comma-separated; empty where there are none", since="1.1"),
    Column(
        "transfer_pred", _string, "", "JSON object: held-out model -> predicted class of the stored image", since="1.1"
    ),
    Column("transferred", _i32, "", "held-out models that the stored image fools", since="1.1"),
    Column("label_2", _i64, "", "class of the partner that was mixed in", _CLASS, since="1.2"),
    Column(
        "label_weight",
        _f32,
        "",
        "share of `label` in a mixed row, in [0, 1]; the rest belongs to label_2; null means 1",
        since="1.2",
    ),
    Column("partner_key", _string, "", "source_key of the row that was mixed in", since="1.2"),
    Column("partner_sha256", _string, "", "digest of the partner's clean pixels, as image_sha256", since="1.2"),
    Column("pseudo_label", _i64, "", "class that the generator's judge predicts for the row", _CLASS, since="1.2"),
    Column("pseudo_confidence", _f32, "", "softmax probability of `pseudo_label`", since="1.2"),
    Column(
        "nearest_distance",
        _f32,
        "",
        "distance to the nearest training row, in the features that the recipe names",
        since="1.2",
    ),
    Column("kept_by", _string, "", "filters that the generated row has passed, comma-separated", since="1.2"),
    Column("l0_pixels", _i32, "", "pixels that differ from the clean row in any channel", since="1.2"),
)


def columns_of(version: str, user: Sequence[Column] = ()) -> tuple[Column, ...]:
    """Columns of a version of the contract, followed by the `user`'s columns as declared by `user_columns`.

    Raises RunError for an unknown version.
    """
    if version not in VERSIONS:
        known = ", ".join(VERSIONS)
        raise RunError(f"row contract {version} is not known here ({known} are); a later version of hardset wrote it")
    age = VERSIONS.index(version)
    return (*(column for column in COLUMNS if VERSIONS.index(column.since) <= age), *user)


def arrow_schema(class_names: Sequence[str], version: str = CONTRACT_VERSION, user: Sequence[Column] = ()) -> pa.Schema:
    """Arrow schema of a data file, with the Hugging Face features in its metadata."""
    info = {"info": {"features": huggingface_features(class_names, version, user)}}
    metadata = {"huggingface": json.dumps(info, ensure_ascii=False)}
    return pa.schema([pa.field(c.name, c.type) for c in columns_of(version, user)], metadata=metadata)


def described_schema(version: str, key: str, user: Sequence[Column] = ()) -> pa.Schema:
    """Arrow schema of a table, with the meaning of each column under `key` of the field's metadata.

    Iceberg reads the key `doc`, Delta and Spark read `comment`. Data files omit it, because each would repeat it.
    """
    return pa.schema([pa.field(c.name, c.type, metadata={key: c.meaning}) for c in columns_of(version, user)])


def schema_sha256(class_names: Sequence[str], version: str = CONTRACT_VERSION, user: Sequence[Column] = ()) -> str:
    """Digest of a data file's schema: column names, types and class names."""
    return digest([[[c.name, str(c.type), c.is_class] for c in columns_of(version, user)], list(class_names)])


def huggingface_features(
    class_names: Sequence[str], version: str = CONTRACT_VERSION, user: Sequence[Column] = ()
) -> dict[str, Any]:
    """Hugging Face features for a file's footer."""
    return {c.name: _feature(c, class_names) for c in columns_of(version, user)}


def _feature(column: Column, class_names: Sequence[str]) -> dict[str, Any]:
    if column.type == IMAGE:
        return {"_type": "Image"}
    if column.is_class:
        return {"_type": "ClassLabel", "names": list(class_names)}
    return {"_type": "Value", "dtype": _dtype(column.type)}


def card_features(
    class_names: Sequence[str], version: str = CONTRACT_VERSION, user: Sequence[Column] = ()
) -> list[dict[str, Any]]:
    """Hugging Face features for the YAML head of a dataset card."""
    listed: list[dict[str, Any]] = []
    for column in columns_of(version, user):
        dtype: Any = _dtype(column.type)
        if column.type == IMAGE:
            dtype = "image"
        elif column.is_class:
            dtype = {"class_label": {"names": {str(i): n for i, n in enumerate(class_names)}}}
        listed.append({"name": column.name, "dtype": dtype})
    return listed


def _dtype(arrow: pa.DataType) -> str:
    return {"double": "float64", "float": "float32", "date32[day]": "date32"}.get(str(arrow), str(arrow))


QUARANTINE_SCHEMA = pa.schema(
    [
        ("source_dataset", _string),
        ("source_split", _string),
        ("source_index", _i64),
        ("source_key", _string),
        ("run_id", _string),
        ("recipe_id", _string),
        ("variant", _i32),
        ("stage", _string),
        ("error_class", _string),
        ("message", _string),
    ]
)
"""Schema of quarantine files: one record per missing row; `stage` is read, make or judge."""
