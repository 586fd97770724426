"""How output rows are made: the entries of a job file's `recipes` list."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.base import Spec
from schemas.quantities import Amount, Rational, bounds

Probability = Annotated[float, Field(ge=0, le=1)]


class Attack(Spec):
    """Adversarial rows: each source row moved within a budget until the model errs."""

    kind: Literal["attack"] = "attack"
    name: Literal["fgsm", "pgd", "apgd_ce", "apgd_dlr"]
    """Which attack; `fgsm` is one step of the whole budget, `pgd` is Madry et al. 2018, `apgd_ce` and `apgd_dlr` are
    Auto-PGD (Croce and Hein 2020) on cross-entropy and on the scale-free difference of logits ratio."""
    norm: Literal["linf", "l2"] = "linf"
    """Norm that the budget is measured in."""
    eps: Amount
    """Budget on the [0, 1] pixel scale (for L2: of the whole image's Euclidean norm)."""
    step_size: Amount | None = None
    """Length of a step in the same norm and scale. Unset: 2.5 * eps / steps, eps for fgsm, and for apgd
    2 * eps, from which it halves."""
    steps: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Gradient steps per start. Unset: 10, 1 for fgsm, 100 for apgd."""
    restarts: Annotated[int, Field(ge=1, le=1_000)] = 1
    """Starts per row; the best is kept."""
    random_start: bool | None = None
    """Start uniformly inside the ball. Unset: true, and false for fgsm."""
    target: Literal["random", "least_likely", "next"] | Annotated[int, Field(ge=0)] | None = None
    """Class to reach: drawn per row, the least likely one, label + 1, or a class number. Unset: any error."""
    stop: Literal["success", "never"] = "never"
    """success: a row is done at its first fall (evaluation); never: all steps are spent, worst row kept (training)."""

    @model_validator(mode="after")
    def _sound(self) -> Attack:
        low, high = bounds(self.eps)
        if low < 0:
            raise ValueError(f"eps: got {low}; wants 0 or more")
        if self.norm == "linf" and high > 1:
            raise ValueError(f"eps: got {high}; {_too_large(high)}")
        smallest, largest = bounds(self.step_size) if self.step_size is not None else (1, 1)
        if smallest <= 0:
            raise ValueError(f"step_size: got {smallest}; wants more than 0")
        if self.norm == "linf" and largest > 1:
            raise ValueError(f"step_size: got {largest}; {_too_large(largest)}")
        if self.name == "fgsm" and self.steps not in (None, 1):
            raise ValueError(f"steps: got {self.steps}; fgsm takes one step, use pgd for more")
        return self

    def resolved(self) -> Attack:
        """The same attack with every unset setting written out, `step_size` excepted where eps is a range."""
        steps = self.steps or (1 if self.name == "fgsm" else 10 if self.name == "pgd" else 100)
        step_size = self.step_size
        if step_size is None and isinstance(self.eps, Fraction) and self.eps > 0:
            step_size = self.eps * self.step_share(steps)
            # A sign step of 1 already crosses the whole pixel range.
            step_size = min(step_size, Fraction(1)) if self.norm == "linf" else step_size
        start = self.name != "fgsm" if self.random_start is None else self.random_start
        return self.model_copy(update={"steps": steps, "step_size": step_size, "random_start": start})

    def step_share(self, steps: int) -> Fraction:
        """Length of an unset step, as a share of eps."""
        if self.name == "fgsm":
            return Fraction(1)
        return Fraction(5, 2 * steps) if self.name == "pgd" else Fraction(2)


def _too_large(amount: Fraction | int) -> str:
    hint = f" (write {amount}/255, not {amount})" if amount.denominator == 1 and amount <= 255 else ""
    return f"wants at most 1, pixels lie in [0, 1]{hint}"


class HorizontalFlip(Spec):
    """Mirrors left and right."""

    name: Literal["hflip"] = "hflip"
    p: Probability = 0.5
    """Share of the rows it is applied to."""


class VerticalFlip(Spec):
    """Mirrors top and bottom."""

    name: Literal["vflip"] = "vflip"
    p: Probability = 0.5
    """Share of the rows it is applied to."""


class Rotate(Spec):
    """Turns about the centre, bilinear, with zero fill."""

    name: Literal["rotate"] = "rotate"
    degrees: Annotated[float, Field(gt=0, le=180)]
    """Angles are drawn uniformly from [-degrees, degrees]."""
    p: Probability = 1.0
    """Share of the rows it is applied to."""


class Crop(Spec):
    """Pads all sides with zeros and cuts the original size out at a drawn place."""

    name: Literal["crop"] = "crop"
    padding: Annotated[int, Field(ge=1)]
    """Pixels added on each side, so the largest shift."""
    p: Probability = 1.0
    """Share of the rows it is applied to."""


class GaussianNoise(Spec):
    """Adds independent normal noise to every value."""

    name: Literal["gaussian_noise"] = "gaussian_noise"
    std: Rational
    """Standard deviation on the [0, 1] pixel scale."""
    p: Probability = 1.0
    """Share of the rows it is applied to."""

    @model_validator(mode="after")
    def _positive(self) -> GaussianNoise:
        if not 0 < self.std <= 1:
            raise ValueError(f"std: got {self.std}; wants more than 0 and at most 1")
        return self


Operation = Annotated[HorizontalFlip | VerticalFlip | Rotate | Crop | GaussianNoise, Field(discriminator="name")]


class Augment(Spec):
    """Augmented rows: operations applied in order, their parameters drawn per row and stored."""

    kind: Literal["augment"] = "augment"
    ops: Annotated[tuple[Operation, ...], Field(min_length=1)]
    """Operations, applied in this order."""
    variants: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Rows made from each source row."""


class GanTraining(Spec):
    """How `hardset train-gan` trains the generator (hinge loss, spectral norm, projection, EMA)."""

    steps: Annotated[int, Field(ge=1)] = 700
    """Generator steps. The default suits 8x8 digits: a quarter of a minute on one core. Photographs want many more."""
    batch: Annotated[int, Field(ge=2)] = 64
    """Real images per step."""
    latent: Annotated[int, Field(ge=1)] = 24
    """Size of the latent vector."""
    features: Annotated[int, Field(ge=8)] = 64
    """Channels of the widest layer."""
    generator_rate: Annotated[float, Field(gt=0)] = 4e-4
    """Adam learning rate of the generator."""
    discriminator_rate: Annotated[float, Field(gt=0)] = 8e-4
    """Adam learning rate of the discriminator."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.998
    """Decay of the generator's moving average, which is what is saved."""


class GeneratorFile(Spec):
    """The class-conditional generator that rows are sampled from."""

    weights: str
    """Path of the .safetensors file that `hardset train-gan` writes; any fsspec URL."""
    training: GanTraining = GanTraining()
    """Settings of `hardset train-gan`; they do not change rows that are sampled from given weights."""


class Sample(Spec):
    """Generated rows: drawn by class from a GAN, each from a latent of its own key."""

    kind: Literal["sample"] = "sample"
    generator: GeneratorFile
    per_class: Annotated[int, Field(ge=1)]
    """Rows drawn for each class."""


Recipe = Annotated[Attack | Augment | Sample, Field(discriminator="kind")]
