"""What an extension is written with: one import for attacks, objectives, augmentations, sources and training methods.

docs/extending.md tells how; the files under `examples/extending/` are whole ones.
"""

from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.grid import per_row
from hardset.pipeline.attacks.objectives import Goal, Objective
from hardset.pipeline.attacks.passes import Scores
from hardset.pipeline.attacks.pieces import Loss
from hardset.pipeline.attacks.schedules import Memory, Pass, Schedule, Start, stepped
from hardset.pipeline.augment.operation import Operation, Parameters, nothing
from hardset.pipeline.augment.streams import Stream
from hardset.pipeline.batches import RowError
from hardset.pipeline.sources.base import Source
from hardset.pipeline.sources.files import SourceFile
from hardset.pipeline.sources.members import MemberFiles, Members
from hardset.pipeline.sources.ranges import cut
from hardset.pipeline.sources.row_files import RowFiles, StoredRow
from hardset.pipeline.training.methods import Batch, Method, Weighing
from hardset.schemas.base import Spec
from hardset.schemas.job.attack_declaration import AttackDeclaration, Paper, Part, StepShare
from hardset.schemas.job.operations.base import OperationSettings
from hardset.schemas.job.sources import ImageSource, StoredSource
from hardset.schemas.job.training_methods import MethodDeclaration

__all__ = [
    "AttackDeclaration",
    "Batch",
    "Geometry",
    "Goal",
    "ImageSource",
    "Loss",
    "MemberFiles",
    "Members",
    "Memory",
    "Method",
    "MethodDeclaration",
    "Objective",
    "Operation",
    "OperationSettings",
    "Paper",
    "Parameters",
    "Part",
    "Pass",
    "RowError",
    "RowFiles",
    "Schedule",
    "Scores",
    "Source",
    "SourceFile",
    "Spec",
    "Start",
    "StepShare",
    "StoredRow",
    "StoredSource",
    "Stream",
    "Weighing",
    "cut",
    "nothing",
    "per_row",
    "stepped",
]
