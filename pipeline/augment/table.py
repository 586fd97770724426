"""Operations by name, built in or a user's own.

To add one: declare its settings in `schemas.job.operations`, write its `draw` and `change` in a file beside this one,
and list it in the tables of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from hardset.pipeline.augment.colour import COLOUR
from hardset.pipeline.augment.compression import COMPRESSION
from hardset.pipeline.augment.corruptions import CORRUPTION
from hardset.pipeline.augment.geometry import GEOMETRY
from hardset.pipeline.augment.inner import apply_entries, draw_entries
from hardset.pipeline.augment.kernels import KERNELS
from hardset.pipeline.augment.mixing import MIXERS
from hardset.pipeline.augment.noise import NOISE
from hardset.pipeline.augment.operation import AnyOperation, LevelOperation, Operation
from hardset.pipeline.augment.policies import policies
from hardset.pipeline.augment.regions import REGIONS
from hardset.pipeline.augment.tables import TABLES
from hardset.pipeline.augment.warps import WARPS
from hardset.pipeline.augment.weather import WEATHER
from hardset.pipeline.extensions import declarations
from hardset.schemas.job.operations.base import OperationSettings, UserOperation
from hardset.schemas.job.operations.corruptions import CORRUPTIONS, Corruption
from hardset.schemas.job.operations.policies import Choosing, Published

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


def operation(name: str, *, at: str = "ops") -> AnyOperation:
    """The operation of that name or import path. Raises JobError, which begins with `at`."""
    return OPERATIONS.get(name) or declarations.find(name, Operation, at=at)


OPERATIONS: Mapping[str, LevelOperation] = MappingProxyType(
    {
        str(one.settings.model_fields["name"].default): one
        for one in (*_BUILT_IN, *MIXERS, *policies(partial(draw_entries, operation), partial(apply_entries, operation)))
    }
)
"""Built-in operations by the `name` of their settings."""
FIRST_VERSION = 1
"""Code version that recipe texts do not name, so that recipes keep their ids."""


def settled(spec: OperationSettings | UserOperation, *, at: str = "ops") -> OperationSettings:
    """The settings as the operation itself declares them; `name` is the import path of a user's own.

    Raises JobError, one line per fault, each beginning with `at`: no such code, or settings that it does not take.
    """
    if isinstance(spec, Choosing):
        ops = tuple(settled(one, at=f"{at}.ops.{number}") for number, one in enumerate(spec.ops))
        return spec if ops == spec.ops else spec.model_copy(update={"ops": ops})
    if isinstance(spec, OperationSettings):
        return spec
    kind = operation(spec.name, at=f"{at}.name").settings
    return declarations.settled(kind, spec.model_dump(mode="json"), at=at)


def written_out(spec: OperationSettings | UserOperation, *, at: str = "ops") -> OperationSettings | UserOperation:
    """The operation with its settings given, as records hold it. Raises as `settled` does."""
    if isinstance(spec, Choosing):
        ops = tuple(written_out(one, at=f"{at}.ops.{number}") for number, one in enumerate(spec.ops))
        return spec if ops == spec.ops else spec.model_copy(update={"ops": ops})
    if isinstance(spec, OperationSettings):
        return spec
    return UserOperation.model_validate(settled(spec, at=at).recorded())


def code_version(name: str, *, at: str = "ops") -> int | dict[str, str]:
    """Code version of an operation by name or import path. Raises JobError where there is none of that name."""
    found = operation(name, at=at).settings
    return found.code if name in OPERATIONS else declarations.code_version(name, found)


def operation_text(spec: OperationSettings | UserOperation) -> dict[str, Any]:
    """Part of a recipe text that an operation makes: its settings, and code versions where they are not the first.

    Those of the operations that it draws from stand in `ops`, or by name in `uses`. Raises JobError where a user's own
    cannot be found.
    """
    found = settled(spec)
    inside = {"ops"} if isinstance(found, Choosing) else set()
    text, code = found.recorded(without=inside), code_version(found.name)
    if isinstance(found, Choosing):
        text["ops"] = [operation_text(one) for one in found.ops]
    used = {name: version for name, version in _used(found).items() if version != FIRST_VERSION}
    return text | ({"uses": used} if used else {}) | ({"code": code} if code != FIRST_VERSION else {})


def _used(found: OperationSettings) -> dict[str, Any]:
    """Code versions of what an operation draws from without its being in the job."""
    if isinstance(found, Corruption):
        return {name: CORRUPTIONS[name].code for name in found.names}
    return {name: code_version(name) for name in found.uses} if isinstance(found, Published) else {}


def code_versions(text: Mapping[str, Any]) -> Iterator[tuple[str, object, object]]:
    """The code behind a recorded operation and those that it draws from: name, version as recorded, version now.

    Raises JobError where code of the user's is missing.
    """
    yield text["name"], text.get("code", FIRST_VERSION), code_version(text["name"])
    for inner in text.get("ops", ()):
        yield from code_versions(inner)
    if text["name"] in OPERATIONS:
        now = _used(OPERATIONS[text["name"]].settings.model_validate(_settings(text)))
        for name, version in now.items():
            yield name, text.get("uses", {}).get(name, FIRST_VERSION), version


def _settings(text: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a recorded operation, without code versions."""
    inner = {"ops": [_settings(one) for one in text["ops"]]} if "ops" in text else {}
    return {name: value for name, value in text.items() if name not in ("code", "uses")} | inner
