"""Training of a model: the `train` section of a job file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hardset.schemas.base import Spec
from hardset.schemas.extensions import ImportPath
from hardset.schemas.job.attack_recipe import Attack
from hardset.schemas.job.operations.table import Operation

Share = Annotated[float, Field(ge=0, le=1)]
TrainingMethod = Literal["standard", "shards", "fgsm_rs", "pgd_at", "trades", "mart"]
ON_THE_FLY: tuple[TrainingMethod, ...] = ("fgsm_rs", "pgd_at", "trades", "mart")
"""Methods that attack every batch before training on it."""
INNER_ATTACKS = ("fgsm", "bim", "pgd", "mi_fgsm")
"""Attacks that return their last iterate, as attacks on every batch must."""


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

    method: TrainingMethod = "shards"
    """shards: rows made by generate, mixed by `mix`. standard: clean rows. On-the-fly adversarial training: fgsm_rs
    (Wong et al. 2020), pgd_at (Madry et al. 2018), trades (Zhang et al. 2019), mart (Wang et al. 2020)."""
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 4
    """Number of epochs, each over as many rows as the source has for training; for `hardset harden` per round."""
    batch: Annotated[int, Field(ge=2)] = 128
    """Batch size: rows per optimiser step, over all workers together."""
    attack: Attack | None = None
    """Attack on every batch of an on-the-fly method: fgsm, bim, pgd or mi_fgsm, one start. Unset: norm and eps of the
    job's first attack recipe, with pgd in that recipe's steps if it is pgd too, else in 10; for fgsm_rs with fgsm from
    a random start."""
    beta: Annotated[float, Field(ge=0)] | None = None
    """Weight of the robust term of trades and mart. Unset: 6 for trades, 5 for mart."""
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
    give_up_after: Annotated[int, Field(ge=1)] = 5
    """Number of epochs after which training fails if the model is still at chance level on its training rows."""

    @model_validator(mode="after")
    def _sound(self) -> Train:
        if self.attack is not None:
            self._check_attack(self.attack)
        if self.beta is not None and self.method not in ("trades", "mart"):
            raise ValueError(f"beta: {self.method} has no robust term; remove it, or use trades or mart")
        return self

    def _check_attack(self, attack: Attack) -> None:
        if self.method not in ON_THE_FLY:
            raise ValueError(f"attack: {self.method} attacks no batches; remove it, or use {', '.join(ON_THE_FLY)}")
        if attack.name not in INNER_ATTACKS:
            raise ValueError(f"attack.name: got {attack.name}; training wants one of {', '.join(INNER_ATTACKS)}")
        for setting, unset in (("restarts", 1), ("eot", 1), ("target", None), ("region", None)):
            if getattr(attack, setting) != unset:
                raise ValueError(f"attack.{setting}: the attack on a batch takes none; remove it")
        if isinstance(attack.eps, tuple):
            raise ValueError("attack.eps: wants one budget or a range, not a list")

    @property
    def robust_weight(self) -> float:
        """Weight of the robust term: `beta`, or the value of the method's paper."""
        return self.beta if self.beta is not None else {"mart": 5.0}.get(self.method, 6.0)
