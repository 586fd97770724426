"""Training of a model: the `train` section of a job file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hardset.schemas.base import Spec
from hardset.schemas.extensions import ImportPath, KnownName
from hardset.schemas.job.attack_recipe import Attack
from hardset.schemas.job.bounds import MOST_BATCH
from hardset.schemas.job.operations.table import Operation, needs_partner
from hardset.schemas.job.training_methods import INNER_ATTACKS, METHODS, MethodDeclaration, named

Share = Annotated[float, Field(ge=0, le=1)]
MethodName = Annotated[str, KnownName(tuple(METHODS), "hardset.training_methods")]


class Mix(Spec):
    """Composition of a batch for the method `shards`; the shares add up to 1."""

    clean: Share = 0.0
    """Share of unchanged source rows."""
    newest: Share = 0.8
    """Share of adversarial rows made against the weights that this round started from."""
    older: Share = 0.2
    """Share of adversarial rows of earlier rounds and of `train.data`. In the first round it is added to newest."""
    augmented: Share = 0.0
    """Share of augmented rows."""
    generated: Share = 0.0
    """Share of GAN samples. Leave it at 0 unless a comparison on your own data favours them: samples of a small
    generator lowered robustness by 3 to 15 points on the digits."""

    @model_validator(mode="after")
    def _whole(self) -> Mix:
        total = sum(self.shares().values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"clean, newest, older, augmented, generated: add up to {total:g}; want 1")
        return self

    def shares(self) -> dict[str, float]:
        """Share by kind of row."""
        return {name: float(getattr(self, name)) for name in type(self).model_fields}


class Train(Spec):
    """Training settings. `hardset harden` trains `epochs` in each round; the optimiser state continues between them."""

    method: MethodName = "shards"
    """shards: rows made by generate, mixed by `mix`. standard: clean rows. On-the-fly adversarial training: fgsm_rs
    (Wong et al. 2020), pgd_at (Madry et al. 2018), trades (Zhang et al. 2019), mart (Wang et al. 2020). Or the import
    path of a `hardset.pipeline.training.methods.Method` of your own."""
    settings: dict[str, Any] | None = Field(default=None, exclude_if=lambda given: given is None)
    """Settings that a method of your own declares."""
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 4
    """Number of epochs, each over as many rows as the source has for training; for `hardset harden` per round."""
    batch: Annotated[int, Field(ge=2, le=MOST_BATCH)] = 128
    """Batch size: rows per optimiser step, over all workers together."""
    attack: Attack | None = None
    """Attack on every batch of an on-the-fly method: fgsm, bim, pgd or mi_fgsm, one start. Unset: norm and eps of the
    job's first attack recipe, with pgd in that recipe's steps if it is pgd too, else in 10; for fgsm_rs with fgsm from
    a random start."""
    beta: Annotated[float, Field(ge=0)] | None = None
    """Weight of the robust term of trades and mart. Unset: what their papers set, 6 and 5."""
    mix: Mix = Mix()
    """Composition of a batch for the method shards."""
    data: tuple[str, ...] = ()
    """Datasets written earlier by generate, as fsspec URLs: their rows are added to this job's (older, augmented,
    generated)."""
    optimiser: Literal["adam", "adamw", "sgd"] | ImportPath = "adamw"
    """Optimiser, or the import path of a function (parameter groups, lr=..., weight_decay=...) -> torch optimiser."""
    rate: Annotated[float, Field(gt=0)] = 3e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "cyclic", "constant"] = "cosine"
    """Learning rate schedule over the whole training. cosine: half a cosine down to 0; cyclic: linear up and down."""
    warm_up: Share = 0.1
    """Share of the steps in which the learning rate rises to its peak; for cyclic the turning point."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Nesterov momentum of sgd."""
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    """L2 penalty (adam, sgd) or decay (adamw) of weights with two or more axes; not applied to norms and biases."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the label's probability spread over all classes."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay per step of a moving average of the weights, which is then attacked, measured and kept; 0: no average."""
    awp: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Adversarial weight perturbation (Wu et al. 2020): size of the perturbation relative to each weight; 0: none."""
    clip: Annotated[float, Field(gt=0)] | None = None
    """Maximum gradient norm; larger gradients are scaled down. Unset: no clipping."""
    augment: tuple[Operation, ...] | ImportPath = ()
    """Augmentation of clean rows before they are attacked, drawn again in every epoch: operations as in an augment
    recipe, or the import path of a function (images (N, C, H, W) in [0, 1], seeds (N,)) -> images. Rows of shards are
    used as stored, since a shift by a few pixels undoes a perturbation."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of forward and backward passes (autocast); weights and losses stay float32."""
    channels_last: bool = True
    """Store images and weights in channels_last layout, which is faster for convolutions on GPUs and most CPUs."""
    compile: bool = False
    """Compile the model (torch.compile): takes about a minute at the start, then steps are faster."""
    workers: Annotated[int, Field(ge=0, le=4096)] = 0
    """Number of Ray Train workers that share each batch (the extra `train`): gloo on CPUs, NCCL if run.gpus_per_actor
    is 1 or more. 0: train in the command's process, without Ray Train."""
    give_up_after: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    """Number of epochs after which training fails if the model is still at chance level on its training rows."""

    @field_validator("augment")
    @classmethod
    def _of_one_label(cls, augment: tuple[Operation, ...] | str) -> tuple[Operation, ...] | str:
        for one in augment if isinstance(augment, tuple) else ():
            if needs_partner(one):
                raise ValueError(f"{one.name} mixes another row in; make such rows with an augment recipe")
        return augment

    @model_validator(mode="after")
    def _sound(self) -> Train:
        if self.method in METHODS:  # one from elsewhere declares itself where it is loaded
            self.check(METHODS[self.method])
        return self

    def check(self, method: MethodDeclaration) -> None:
        """Raises ValueError, which begins with a key, where the method would have to ignore a setting."""
        if self.attack is not None and not method.on_the_fly:
            others = ", ".join(named(lambda one: one.on_the_fly))
            raise ValueError(f"attack: {self.method} attacks no batches; remove it, or use {others}")
        if self.attack is not None:
            _check_attack(self.attack)
        if self.beta is not None and method.beta is None:
            others = " or ".join(named(lambda one: one.beta is not None))
            raise ValueError(f"beta: {self.method} has no robust term; remove it, or use {others}")
        if self.settings is not None and method.settings is None:
            raise ValueError(f"settings: {self.method} declares none of its own; remove them")


def _check_attack(attack: Attack) -> None:
    if attack.name not in INNER_ATTACKS:
        raise ValueError(f"attack.name: got {attack.name}; training wants one of {', '.join(INNER_ATTACKS)}")
    for setting, unset in (("restarts", 1), ("eot", 1), ("target", None), ("region", None)):
        if getattr(attack, setting) != unset:
            raise ValueError(f"attack.{setting}: the attack on a batch takes none; remove it")
    if isinstance(attack.eps, tuple):
        raise ValueError("attack.eps: wants one budget or a range, not a list")
