"""The attack without a norm: of several draws of natural changes, the one that the model errs on most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from hardset.schemas.base import Spec
from hardset.schemas.job.attack_declaration import AttackDeclaration, Paper
from hardset.schemas.job.attack_names import WORST_OF
from hardset.schemas.job.attack_recipe import Attack
from hardset.schemas.job.operations.table import Operation, needs_partner

DECLARATION = AttackDeclaration(
    summary="natural changes: of several draws of operations the one that the model errs on most; their ranges are the "
    "budget",
    paper=Paper(
        "Engstrom, Tran, Tsipras, Schmidt, Madry", "Exploring the landscape of spatial robustness", "ICML 2019"
    ),
    code=1,
    norms=(),
    gradient=False,
)
"""What lists tell of it. Its code version is raised when the choice among draws changes; operations have their own."""


class NaturalChanges(Spec):
    """Operations and the number of draws of which the worst counts."""

    ops: Annotated[tuple[Operation, ...], Field(min_length=1)]
    """Operations as of an augment recipe, policies among them, applied in this order. Their ranges are the budget."""
    tries: Annotated[int, Field(ge=1, le=1_000)] = 16
    """Draws of each row; each costs a forward pass."""

    @model_validator(mode="after")
    def _of_one_row(self) -> Self:
        for number, one in enumerate(self.ops):
            if needs_partner(one):
                raise ValueError(
                    f"ops.{number}.name: {one.name} mixes another row in, and an attack changes one row alone; "
                    "make such rows with an augment recipe"
                )
        return self


class WorstOf(NaturalChanges):
    """Adversarial rows by natural changes: of `tries` draws of the operations, the worst one for the model.

    That is the one of largest cross-entropy among those that the model errs on, or among all where it errs on none.
    """

    kind: Literal["attack"] = "attack"
    name: Literal["worst_of"] = "worst_of"
    """Which attack."""
    misclassified: Literal["attack", "skip"] = "attack"
    """Rows that the model gets wrong from the start: attacked like the others, or stored clean and flagged."""

    @property
    def variants(self) -> int:
        """Rows made from each source row."""
        return 1


@dataclass(frozen=True)
class ByAttack:
    """Tells this attack from those that have a norm, by the name."""

    __name__ = "by_attack"  # pydantic asks a discriminator for it
    key: ClassVar[str] = "name"

    def __call__(self, value: Any) -> str:
        """Name of the class that `value`, a document or a record, is meant for."""
        name = value.get(self.key) if isinstance(value, Mapping) else getattr(value, self.key, None)
        return WorstOf.__name__ if name == WORST_OF else Attack.__name__


AnyAttack = Annotated[
    Annotated[Attack, Tag(Attack.__name__)] | Annotated[WorstOf, Tag(WorstOf.__name__)], Discriminator(ByAttack())
]
"""An attack recipe, with a norm or without one."""
