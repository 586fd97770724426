"""What an extension is written with: one import for attacks, objectives and augmentations of one's own.

docs/extending.md tells how; the files under `examples/extending/` are whole ones.
"""

from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.grid import per_row
from hardset.pipeline.attacks.objectives import Goal, Objective
from hardset.pipeline.attacks.pieces import Loss
from hardset.pipeline.attacks.schedules import Memory, Pass, Schedule, Start, stepped
from hardset.pipeline.augment.operation import Operation, Parameters, nothing
from hardset.pipeline.augment.streams import Stream
from hardset.schemas.base import Spec
from hardset.schemas.job.attack_declaration import AttackDeclaration, Paper, Part, StepShare
from hardset.schemas.job.operations.base import OperationSettings

__all__ = [
    "AttackDeclaration",
    "Geometry",
    "Goal",
    "Loss",
    "Memory",
    "Objective",
    "Operation",
    "OperationSettings",
    "Paper",
    "Parameters",
    "Part",
    "Pass",
    "Schedule",
    "Spec",
    "Start",
    "StepShare",
    "Stream",
    "nothing",
    "per_row",
    "stepped",
]
