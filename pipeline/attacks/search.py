"""The input of a search, and its result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hardset.pipeline.attacks.geometries import Geometry
from hardset.pipeline.attacks.objectives import Objective
from hardset.pipeline.attacks.schedules import Schedule
from hardset.pipeline.attacks.transforms import InputTransform


@dataclass(frozen=True)
class Search:
    """The settings of a search."""

    objective: Objective
    geometry: Geometry
    schedule: Schedule
    steps: int
    """Steps per item: gradients, or queries of a schedule that needs none."""
    restarts: int = 1
    """Number of times that every target of a row is tried."""
    random_start: bool = True
    """Whether the first try of a row starts inside the ball; later ones always do."""
    targeted: bool = False
    """Whether a row falls when its target is predicted, rather than anything but its label."""
    after_success: int | None = None
    """Steps that a row still takes once it has fallen; None spends them all."""
    transforms: tuple[InputTransform, ...] = ()
    """Changes of the images that the model is shown when the gradient is asked for."""
    smoothing: int | None = None
    """Side of the Gaussian kernel that smooths the gradient, odd; None leaves it as it is."""
    repeats: int = 1
    """Number of passes that each gradient is averaged over, for models that answer at random."""
    on_grid: bool = True
    """Whether the model is asked about the 8-bit rounding of the iterate; false asks about the float iterate, as other
    libraries do, whose success may not survive storage."""

    @property
    def views(self) -> int:
        """Forward and backward passes behind one gradient."""
        copies = max((transform.copies for transform in self.transforms), default=1)
        return self.repeats * copies


@dataclass(frozen=True)
class SearchRows:
    """N rows to attack. Tensors live on the engine's device."""

    pixels: Tensor
    """Clean images, uint8 (N, C, H, W)."""
    labels: Tensor
    """True classes, int64 (N,)."""
    targets: Tensor
    """Classes to reach or to be guided by, int64 (N, T); T items per restart. Ignored by untargeted objectives."""
    seeds: Tensor
    """Row seeds, int64 (N,)."""
    radius: NDArray[np.float64]
    """Radius of the search ball on the [0, 1] scale (N,)."""
    budget: NDArray[np.int64]
    """Budget on the 8-bit grid (N,); rows with 0 are not searched."""
    step_size: NDArray[np.float64]
    """Step size on the [0, 1] scale (N,)."""
    mask: Tensor | None = None
    """Mask of the values that may change: 1, else 0; float32 (N, 1, H, W). None: all may."""
    follows: NDArray[np.int64] | None = None
    """Row whose end is this one's start: the same clean row at a smaller budget; -1 where there is none (N,).

    A search that stops at success takes its fall over, too.
    """
    start: Tensor | None = None
    """Images that the first try starts from, float32 (N, C, H, W), inside ball and box. None: clean, or drawn in the
    ball."""

    def __len__(self) -> int:
        return self.labels.shape[0]


@dataclass(frozen=True)
class Effort:
    """The cost of a search."""

    batches: int
    """Forward and backward passes over all slots."""
    gradients: int
    """Row gradients that belong to a row's result."""
    wasted: int
    """Row gradients spent on searches that a lower item of the same row made idle."""
    verdicts: int
    """Forward passes, without gradient, over all slots."""


@dataclass(frozen=True)
class SearchOutcome:
    """The results of N rows."""

    images: Tensor
    """Float result before storing, float32 (N, C, H, W): of each row the iterate of highest rank, then loss."""
    rank: NDArray[np.int8]
    """Rank of the result: CLEAN, MOVED or REACHED of `pipeline.attacks.slots`; negative where none was finite."""
    loss: NDArray[np.float64]
    """Objective at the result (less its distance, for a minimal search that reached); -inf where nothing was found."""
    gradients: NDArray[np.int32]
    """Gradients spent on each row."""
    queries: NDArray[np.int32]
    """Forward passes without gradient that the search asked for, per row."""
    flat: NDArray[np.int32]
    """Gradients of each row that were 0 everywhere before the goal was met."""
    nonfinite: NDArray[np.int64]
    """Components of each row's gradients that were NaN or infinite, taken for 0."""
    rose: NDArray[np.bool_]
    """Whether any search of the row found a loss above that of its start."""
    effort: Effort
