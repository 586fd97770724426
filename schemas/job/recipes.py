"""Recipes of output rows: the entries of a job file's `recipes` list."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hardset.schemas.base import Spec
from hardset.schemas.job.attack_recipe import Attack as Attack  # noqa: PLC0414
from hardset.schemas.job.gan_training import GanTraining as GanTraining  # noqa: PLC0414
from hardset.schemas.job.network import PROGRAMS
from hardset.schemas.job.operations.table import Operation, needs_partner
from hardset.schemas.job.worst_of import AnyAttack
from hardset.schemas.job.worst_of import WorstOf as WorstOf  # noqa: PLC0414


class Augment(Spec):
    """Augmented rows: operations applied in order, with parameters drawn and stored per row."""

    kind: Literal["augment"] = "augment"
    ops: Annotated[tuple[Operation, ...], Field(min_length=1)]
    """Operations, applied in this order."""
    variants: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Number of rows made from each source row."""

    @model_validator(mode="after")
    def _one_partner(self) -> Augment:
        mixing = [number for number, one in enumerate(self.ops) if needs_partner(one)]
        if len(mixing) > 1:
            raise ValueError(
                f"ops.{mixing[1]}: mixes in a partner, as ops.{mixing[0]} does; a row has one, so remove one of the two"
            )
        return self


class GeneratorFile(Spec):
    """Generator that rows are sampled from: hardset's own, or anybody's."""

    weights: str
    """Path of the file; any fsspec URL. Of format hardset and factory a .safetensors file, which `hardset train-gan`
    writes, or which holds a state dict."""
    training: GanTraining = GanTraining()
    """Settings of `hardset train-gan`; they do not change rows that are sampled from given weights."""
    format: Literal["hardset", "factory", "keras", "torchscript", "export"] = "hardset"
    """What the generator comes as. hardset: what `hardset train-gan` writes. factory: code that builds it, and weights.
    keras: a .keras or .h5 file. torchscript: torch.jit.save. export: torch.export.save. All but the first say what goes
    in and comes out by the settings below."""
    factory: Annotated[str, Field(pattern=r"^[\w.]+:[\w.]+$", examples=["acme.gans:build"])] | None = None
    """Importable `package.module:function` that returns a torch module for format factory: forward(z, y), or
    sample(z, y, noise) where it draws more noise on its way, as noise(shape), which gives one draw per row."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the factory; any JSON values."""
    latent: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """Size of the latent vector z, float32 (N, latent)."""
    law: Literal["normal", "uniform"] = "normal"
    """Law of its values: standard normal, or uniform in [-1, 1]."""
    conditional: bool = True
    """Whether the class y, int64 (N,), goes in beside z. A generator without it makes the class asked for by chance."""
    range: tuple[float, float] = (0.0, 1.0)
    """Values that black and white have in what comes out, such as [-1, 1] after a tanh."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Digest that the file must have, 64 hex digits. Needed for torchscript and export, whose files are programs."""
    trust: bool = False
    """Whether the program in the file may run; needed for torchscript and export."""

    @model_validator(mode="after")
    def _whole(self) -> GeneratorFile:
        foreign = self.format != "hardset"
        if (self.factory is not None) != (self.format == "factory"):
            raise ValueError(f"factory: goes with format factory and with no other; format is {self.format}")
        if foreign != (self.latent is not None):
            told = (
                "is in the file of format hardset; remove it"
                if self.latent
                else f"missing; format {self.format} wants it"
            )
            raise ValueError(f"latent: {told}")
        if self.range[0] >= self.range[1]:
            raise ValueError(f"range: got {list(self.range)}; wants the value of black, and a larger one of white")
        if self.format in PROGRAMS and not (self.trust and self.sha256):
            raise ValueError(
                f"trust: {self.format} files are programs, which run when they are loaded; set trust: true, and sha256 "
                "to the digest of the file that you trust (sha256sum FILE)"
            )
        return self


UNMEASURED = "unmeasured"
"""Value of `admit` where no generator is measured, and the flag of every row then."""


class Admit(Spec):
    """Least figures of a generator's rows, after its filters, for any of them to be stored; 0 asks nothing."""

    agreement: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Least share of sampled rows for which the model predicts the class asked for."""
    coverage: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Least share of real rows with a sampled row among their neighbours, in the model's features. Agreement is 1 for a
    generator that makes one image per class; coverage is not."""
    judge: Annotated[float, Field(ge=0, le=1)] = 0.7
    """Least accuracy of the model on real rows, below which its word on generated ones is not taken."""


class Sample(Spec):
    """Generated rows: sampled by class from a GAN, each from a latent drawn with the row's seed."""

    kind: Literal["sample"] = "sample"
    generator: GeneratorFile
    per_class: Annotated[int, Field(ge=1, le=10**9)]
    """Number of rows sampled per class."""
    admit: Admit | Literal["unmeasured"] = Admit()
    """What the generator must reach on a sample before any row is stored. unmeasured: nothing is measured, as where the
    job has no model to judge by; the flags of every row say so."""


Recipe = Annotated[AnyAttack | Augment | Sample, Field(discriminator="kind")]


def operations_of(recipe: Attack | WorstOf | Augment | Sample) -> tuple[Operation, ...]:
    """The operations that a recipe lists."""
    return recipe.ops if isinstance(recipe, Augment | WorstOf) else ()


def is_attack(recipe: Attack | WorstOf | Augment | Sample) -> bool:
    """Whether a recipe makes adversarial rows, within a norm or without one."""
    return isinstance(recipe, Attack | WorstOf)
