"""How a model is trained: the `train` section of a job file."""

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
"""Methods that attack every batch before they train on it."""
INNER_ATTACKS = ("fgsm", "bim", "pgd", "mi_fgsm")
"""Attacks whose last iterate is their result, as one on every batch must be."""


class Mix(Spec):
    """What a batch of the method `shards` holds; the shares add up to 1."""

    clean: Share = 0.0
    """Share of rows of the source as they are."""
    newest: Share = 0.8
    """Share of adversarial rows made against the weights that this round started from."""
    older: Share = 0.2
    """Share of adversarial rows of earlier rounds, and of those of `train.data`. The first round gives it to newest."""
    augmented: Share = 0.0
    """Share of augmented rows."""
    generated: Share = 0.0
    """Share of GAN samples. 0 until a trial on your own data says otherwise: samples of a small generator lowered
    robustness by 3 to 15 points on the digits."""

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
    """How the model is trained. `hardset harden` trains `epochs` in each round; the optimiser goes on between them."""

    method: TrainingMethod = "shards"
    """shards: rows that generate made, mixed by `mix`. standard: clean rows. On-the-fly adversarial training: fgsm_rs
    (Wong et al. 2020), pgd_at (Madry et al. 2018), trades (Zhang et al. 2019), mart (Wang et al. 2020)."""
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 4
    """Passes over as many rows as the source has for training; of `hardset harden`, in each round."""
    batch: Annotated[int, Field(ge=2)] = 128
    """Rows per optimiser step, over all workers together."""
    attack: Attack | None = None
    """Attack on every batch of an on-the-fly method: fgsm, bim, pgd or mi_fgsm, one start. Unset: norm and eps of the
    job's first attack recipe, in its steps of pgd or 10, or in one of fgsm from a random start for fgsm_rs."""
    beta: Annotated[float, Field(ge=0)] | None = None
    """Weight of the robust term of trades and mart. Unset: 6 for trades, 5 for mart."""
    mix: Mix = Mix()
    """What a batch of the method shards holds."""
    data: tuple[str, ...] = ()
    """Datasets that generate wrote before, as fsspec URLs: their rows join those of this job (older, augmented,
    generated)."""
    optimiser: Literal["adam", "adamw", "sgd"] | ImportPath = "adamw"
    """Or the import path of a function (parameter groups, lr=..., weight_decay=...) -> torch optimiser."""
    rate: Annotated[float, Field(gt=0)] = 3e-3
    """Highest learning rate."""
    schedule: Literal["cosine", "cyclic", "constant"] = "cosine"
    """cosine: falls to 0 along half a cosine; cyclic: up and down in straight lines; over the whole training."""
    warm_up: Share = 0.1
    """Share of the steps in which the rate rises to its highest; for cyclic where it turns."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Nesterov momentum of sgd."""
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    """L2 penalty (adam, sgd) or decay (adamw) of weights of two or more axes; norms and biases have none."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the label's probability that is spread over all classes."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay per step of a moving average of the weights, which is then what is attacked, measured and kept; 0: none."""
    awp: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Adversarial weight perturbation (Wu et al. 2020): size of the perturbation relative to each weight; 0: none."""
    clip: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the gradient; longer ones are scaled down. Unset: none."""
    augment: tuple[Operation, ...] | ImportPath = ()
    """Augmentation of clean rows, before they are attacked, drawn anew each time: operations as in an augment recipe,
    or the import path of a function (images (N, C, H, W) in [0, 1], seeds (N,)) -> images. Rows of shards stay as they
    are stored, since a shift of few pixels undoes a perturbation."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of forward and backward passes (autocast); weights and losses stay float32."""
    channels_last: bool = True
    """Lay images and weights out with channels last, which convolutions on GPUs and most CPUs prefer."""
    compile: bool = False
    """Compile the model (torch.compile): a minute or so at the start, then faster steps."""
    workers: Annotated[int, Field(ge=0, le=4096)] = 0
    """Ray Train workers that share each batch (the extra `train`): gloo on CPUs, NCCL where run.gpus_per_actor is 1 or
    more. 0: in the process of the command, without Ray Train."""
    give_up_after: Annotated[int, Field(ge=1)] = 5
    """Epochs after which training ends in an error where the model is still at chance on what it is trained on."""

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
        """`beta`, or what the method's paper sets."""
        return self.beta if self.beta is not None else {"mart": 5.0}.get(self.method, 6.0)
