"""Operations by name, built in or a user's own.

To add one: declare its settings in `schemas.job.operations`, write its `draw` and `apply` in a file beside this one,
and list it in the tables of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hardset.pipeline.augment.colour import COLOUR
from hardset.pipeline.augment.compression import COMPRESSION
from hardset.pipeline.augment.corruptions import CORRUPTION
from hardset.pipeline.augment.geometry import GEOMETRY
from hardset.pipeline.augment.kernels import KERNELS
from hardset.pipeline.augment.noise import NOISE
from hardset.pipeline.augment.operation import AnyOperation, LevelOperation, Operation
from hardset.pipeline.augment.regions import REGIONS
from hardset.pipeline.augment.tables import TABLES
from hardset.pipeline.augment.warps import WARPS
from hardset.pipeline.augment.weather import WEATHER
from hardset.pipeline.extensions import declarations
from hardset.schemas.job.operations.base import OperationSettings, UserOperation

_BUILT_IN: tuple[LevelOperation, ...] = (
    *GEOMETRY,
    *WARPS,
    *TABLES,
    *COLOUR,
    *KERNELS,
    *NOISE,
    *COMPRESSION,
    *REGIONS,
    *WEATHER,
    CORRUPTION,
)
OPERATIONS: Mapping[str, LevelOperation] = MappingProxyType(
    {str(one.settings.model_fields["name"].default): one for one in _BUILT_IN}
)
"""Built-in operations by the `name` of their settings."""
FIRST_VERSION = 1
"""Code version that recipe texts do not name, so that recipes keep their ids."""


def operation(name: str, *, at: str = "ops") -> AnyOperation:
    """The operation of that name or import path. Raises JobError, which begins with `at`."""
    return OPERATIONS.get(name) or declarations.find(name, Operation, at=at)


def settled(spec: OperationSettings | UserOperation, *, at: str = "ops") -> OperationSettings:
    """The settings as the operation itself declares them; `name` is the import path of a user's own.

    Raises JobError, one line per fault, each beginning with `at`: no such code, or settings that it does not take.
    """
    if isinstance(spec, OperationSettings):
        return spec
    kind = operation(spec.name, at=f"{at}.name").settings
    return declarations.settled(kind, spec.model_dump(mode="json"), at=at)


def written_out(spec: OperationSettings | UserOperation, *, at: str = "ops") -> OperationSettings | UserOperation:
    """The operation with every setting given, as records hold it. Raises as `settled` does."""
    if isinstance(spec, OperationSettings):
        return spec
    return UserOperation.model_validate(settled(spec, at=at).model_dump(mode="json"))


def code_version(name: str, *, at: str = "ops") -> int | dict[str, str]:
    """Code version of an operation by name or import path. Raises JobError where there is none of that name."""
    found = operation(name, at=at).settings
    return found.code if name in OPERATIONS else declarations.code_version(name, found)


def operation_text(spec: OperationSettings | UserOperation) -> dict[str, Any]:
    """Part of a recipe text that an operation makes: its settings, and its code version if that is not the first.

    Raises JobError where a user's own cannot be found.
    """
    found = settled(spec)
    text, code = found.model_dump(mode="json"), code_version(found.name)
    for name in found.added:
        if text[name] == type(found).model_fields[name].default:
            del text[name]
    return text if code == FIRST_VERSION else {**text, "code": code}
