"""User columns, which follow the columns of the row contract in every data file of a dataset."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pyarrow as pa

from hardset.schemas.errors import JobError, RunError
from hardset.schemas.rows.contract import COLUMNS, Column

USER_TYPES: tuple[pa.DataType, ...] = (
    pa.string(),
    pa.bool_(),
    pa.int32(),
    pa.int64(),
    pa.float32(),
    pa.float64(),
    pa.date32(),
    pa.timestamp("us"),
)
"""Types that every reader of the contract supports; a nested value is stored as a JSON string."""
_BY_NAME = {str(kind): kind for kind in USER_TYPES}
_NAME = re.compile(r"\w[\w-]*")  # Delta refuses spaces and brackets; a dot would mean a field of a struct


def user_columns(types: Mapping[str, pa.DataType]) -> tuple[Column, ...]:
    """User columns with these names and types, null where a row has no value.

    Raises JobError, naming the column and the remedy, for a name that is taken or unsupported by a reader, and for a
    type outside `USER_TYPES`. Names that differ only in case clash, because SQL engines treat them as equal.
    """
    taken = {name.lower(): f"{name} is a column of the row contract" for name in _contract_names()}
    for name, kind in types.items():
        if not _NAME.fullmatch(name):
            raise JobError(
                f"source.keep: got the column {name!r}; wants letters, digits, _ and -; give it another name"
            )
        if reason := taken.get(name.lower()):
            raise JobError(f"source.keep: got the column {name!r}, but {reason}; give it another name")
        if kind not in USER_TYPES:
            wanted = ", ".join(map(str, USER_TYPES))
            raise JobError(f"source.keep: the column {name!r} holds {kind} values; wants one of {wanted}")
        taken[name.lower()] = f"{name} is kept already"
    return tuple(Column(name, kind, "", "the user's own, as the source has it") for name, kind in types.items())


def recorded_columns(types: Mapping[str, str]) -> tuple[Column, ...]:
    """User columns as a plan or a manifest records them: names and the types' own names, such as `timestamp[us]`.

    Raises RunError for a type that is unknown here.
    """
    unknown = sorted(set(types.values()) - set(_BY_NAME))
    if unknown:
        raise RunError(f"user columns hold {unknown[0]} values, which a later version of hardset wrote")
    return user_columns({name: _BY_NAME[kind] for name, kind in types.items()})


def _contract_names() -> list[str]:
    """Names of all columns, including those that the SQL view adds."""
    return [column.name for column in COLUMNS] + [f"{c.name}_name" for c in COLUMNS if c.is_class] + ["attacked"]
