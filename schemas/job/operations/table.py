"""The augmentation operations there are, and the union of their settings in job files."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from hardset.schemas.extensions import open_union
from hardset.schemas.job.operations.base import OperationSettings, UserOperation
from hardset.schemas.job.operations.leaves import LEAVES
from hardset.schemas.job.operations.mixing import MIXING
from hardset.schemas.job.operations.policies import POLICIES

DECLARED: tuple[type[OperationSettings], ...] = (*LEAVES, *POLICIES, *MIXING)
"""Settings of the built-in operations; each is bound to its code in `pipeline.augment.table`."""
BY_NAME = {str(one.model_fields["name"].default): one for one in DECLARED}
"""The same by name, in the order of the documentation."""


def needs_partner(spec: object) -> bool:
    """Whether an operation shows another row, from the pool that a plan fixes; one of a user's own never does."""
    return isinstance(spec, OperationSettings) and spec.needs_partner


if TYPE_CHECKING:
    Operation: TypeAlias = OperationSettings | UserOperation
else:
    Operation = open_union(DECLARED, UserOperation)
