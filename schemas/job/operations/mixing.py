"""Settings of the operations that mix in a partner: another row of the same split, from a pool that the plan fixes."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hardset.schemas.job.operations.base import OperationSettings, check_at_most

Alpha = Annotated[float, Field(gt=0, le=100)]


class Mixing(OperationSettings):
    """Mixes in a partner, whose class is stored in label_2, and the share of the row's own class in label_weight."""

    @property
    def needs_partner(self) -> bool:
        """Always."""
        return True


class MixUp(Mixing):
    """Adds row and partner, weighed by a share that is drawn from a Beta distribution."""

    reference: ClassVar[str] = "Zhang et al.: mixup. https://arxiv.org/abs/1710.09412"
    flattens: ClassVar[bool] = True

    name: Literal["mixup"] = "mixup"
    alpha: Alpha = 0.2
    """Both parameters of the Beta distribution: 0.2 is usual for ImageNet, 1 for CIFAR."""


class CutMix(Mixing):
    """Puts a rectangle of the partner in the same place of the row; label_weight is what is left of the row's area."""

    reference: ClassVar[str] = "Yun et al.: CutMix. https://arxiv.org/abs/1905.04899"
    flattens: ClassVar[bool] = True

    name: Literal["cutmix"] = "cutmix"
    alpha: Alpha = 1.0
    """Both parameters of the Beta distribution that the row's share is drawn from, before the rectangle is cut at the
    rim."""


class PatchMix(Mixing):
    """Puts drawn squares of a grid over the partner in the same places of the row."""

    flattens: ClassVar[bool] = True

    name: Literal["patch_mix"] = "patch_mix"
    alpha: Alpha = 1.0
    """Both parameters of the Beta distribution that the row's share of the squares is drawn from."""
    cells: Annotated[int, Field(ge=2, le=32)] = 4
    """Number of squares along each side."""

    def check_image(self, height: int, width: int, channels: int) -> None:
        """Refuses squares smaller than a pixel."""
        check_at_most("cells", self.cells, min(height, width), height, width)


MIXING: tuple[type[Mixing], ...] = (MixUp, CutMix, PatchMix)
