"""Values of a user's own columns, as a source stores them and as rows carry them."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from hardset.pipeline.batches import RowError
from hardset.schemas.errors import JobError
from hardset.schemas.rows.user_columns import USER_TYPES

UserValue = str | bool | int | float | date | datetime | None

_LEAST, _MOST = -(2**63), 2**63 - 1
_STRINGS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BINARY = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
_TEXTS = (*_STRINGS, *_BINARY, pa.types.is_null, pa.types.is_decimal, pa.types.is_time, pa.types.is_nested)
_WIDER = {
    pa.int32(): (pa.int64(),),
    pa.float32(): (pa.float64(),),
}
"""Types that hold all values of another. Arrow writes no date into a column of timestamps."""


class UserValueError(RowError):
    """A value of a column that `source.keep` names cannot be carried."""


def carried_type(stored: pa.DataType, name: str) -> pa.DataType:
    """Type that rows carry the values of a column in. Raises JobError, which names the column, where there is none.

    Numbers, booleans and dates stay what they are, in the narrowest signed type of the contract that holds them;
    timestamps are microseconds, of UTC where they have a time zone. Text, decimals, times of day, bytes (in base64) and
    nested values (as JSON) are strings, and so is a column of nulls.
    """
    kind = stored.value_type if pa.types.is_dictionary(stored) else stored
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if any(is_text(kind) for is_text in _TEXTS):
        return pa.string()
    if pa.types.is_boolean(kind):
        return pa.bool_()
    if pa.types.is_integer(kind):
        narrow = kind.bit_width < 32 or kind == pa.int32()
        return pa.int32() if narrow else pa.int64()
    if pa.types.is_floating(kind):
        return pa.float64() if kind == pa.float64() else pa.float32()
    if pa.types.is_date(kind):
        return pa.date32()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us")
    wanted = ", ".join(map(str, USER_TYPES))
    raise JobError(f"source.keep: the column {name!r} is {stored}, which no row can carry; wants one of {wanted}")


def carried_types(
    keep: Mapping[str, str], files: Iterable[tuple[str, Mapping[str, pa.DataType]]], source: str
) -> dict[str, pa.DataType]:
    """Types that rows carry columns in, by their new names; `files`: stored types by file. A file may lack a column.

    Raises JobError where all files lack one, or two of them hold values that no type holds together.
    """
    found: dict[str, tuple[pa.DataType, str]] = {}
    there: set[str] = set()
    for file, types in files:
        there |= types.keys()
        for name in keep.keys() & {name for name, kind in types.items() if not pa.types.is_null(kind)}:
            kind, first = found.get(name, (carried_type(types[name], name), file))
            wide = common_type(kind, carried_type(types[name], name))
            if wide is None:
                raise JobError(
                    f"source.keep: the column {name!r} is {kind} in {first} and {types[name]} in {file}; "
                    "write it alike in all files"
                )
            found[name] = wide, first if wide == kind else file
    if lacking := [name for name in keep if name not in there]:
        told = f"it has: {', '.join(sorted(there))}" if there else "it has none beside image and label"
        raise JobError(f"source.keep: no column {lacking[0]!r} in {source}; {told}")
    return {new: found[old][0] if old in found else pa.string() for old, new in keep.items()}


def common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both; None where neither holds those of the other."""
    if one == other or other in _WIDER.get(one, ()):
        return other
    return one if one in _WIDER.get(other, ()) else None


def carried(value: Any) -> UserValue:
    """A stored value as rows carry it, by the rules of `carried_type`. Raises UserValueError for a number too large."""
    if isinstance(value, np.datetime64) and np.datetime_data(value.dtype)[0] in ("ns", "ps", "fs", "as"):
        value = value.astype("M8[us]")
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, int) and not _LEAST <= value <= _MOST:
        raise UserValueError(f"{value} is larger than 64-bit numbers are")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, datetime):
        return _naive(value)
    if isinstance(value, date):
        return value
    if isinstance(value, Decimal | time | bytes):
        return _text(value)
    return json.dumps(_plain(value), ensure_ascii=False, default=_text)


def _naive(moment: datetime) -> datetime:
    utc = moment.astimezone(UTC) if moment.tzinfo is not None else moment
    return utc.replace(tzinfo=None)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if isinstance(value, date | time) else str(value)


def _plain(value: Any) -> Any:
    """A nested value as JSON has it: NaN and infinities, which JSON does not know, are null."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
