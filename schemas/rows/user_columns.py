"""User columns, which follow the columns of the row contract in every data file of a dataset."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pyarrow as pa

from hardset.schemas.errors import JobError
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


def _contract_names() -> list[str]:
    """Names of all columns, including those that the SQL view adds."""
    return [column.name for column in COLUMNS] + [f"{c.name}_name" for c in COLUMNS if c.is_class] + ["attacked"]
