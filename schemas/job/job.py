"""The job file: a user's declaration of a run, validated before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from hardset.schemas.base import Spec
from hardset.schemas.dates import Day, with_date
from hardset.schemas.digests import canonical_json
from hardset.schemas.job.bounds import MOST_ACTORS, MOST_BATCH, MOST_CLASSES
from hardset.schemas.job.hardening import Harden
from hardset.schemas.job.network import OWN_FACTORIES, Network, Normalize
from hardset.schemas.job.recipes import Attack, Recipe, is_attack
from hardset.schemas.job.sources import Source
from hardset.schemas.job.training import Train

__all__ = ["OWN_FACTORIES", "Actors", "HeldOut", "Job", "Member", "Model", "Name", "Network", "Normalize", "Output"]
__all__ += ["Run", "check_classes"]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", examples=["digits-nightly"])]


class Member(Network):
    """A further member of the ensemble under attack."""


class HeldOut(Network):
    """A classifier that no attack sees; its verdicts on the stored images measure transfer."""

    name: Name
    """Names the model in columns and reports: letters, digits, dot, dash, underscore."""


class Model(Network):
    """The classifier under attack. With `members` it is an ensemble, which predicts by its mean logits."""

    classes: Annotated[int, Field(ge=2, le=MOST_CLASSES)]
    """Number of logits."""
    members: tuple[Member, ...] = ()
    """Further networks with the same classes; the first member is the model above. Empty: no ensemble."""
    combine: Literal["logits", "loss"] = "logits"
    """What an attack on an ensemble averages over the members: their logits, or their losses."""

    @model_validator(mode="after")
    def _ensemble(self) -> Model:
        if self.combine == "loss" and not self.members:
            raise ValueError("combine: got loss, but there is one model only; list the others in members")
        first: dict[str, str] = {}
        for key, network in self.networks().items():
            earlier = first.setdefault(canonical_json(network.model_dump(mode="json")), key)
            if earlier != key:
                told = earlier.removeprefix("model.") if earlier != "model" else "the model above"
                raise ValueError(f"{key.removeprefix('model.')}: is the same as {told}; remove one or change a setting")
        return self

    def networks(self) -> dict[str, Network]:
        """All members by their keys in the job, in order."""
        first = Member.model_construct(**{name: getattr(self, name) for name in Member.model_fields})
        return {"model": first, **{f"model.members.{i}": member for i, member in enumerate(self.members)}}


class Output(Spec):
    """What is written, and where."""

    path: str
    """Folder of the dataset; any fsspec URL."""
    png_level: Annotated[int, Field(ge=0, le=9)] = 0
    """PNG compression level. 0: stored PNG, compressed by Parquet (fast); 1 to 9: deflated PNG, for archives."""
    keep: Literal["all", "success"] = "all"
    """Adversarial rows to store. all: resisting rows too, marked as such; success: only rows that succeed."""
    shard_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 2048
    """Maximum number of source rows per shard, the unit of work and retry."""
    license: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Licence of the dataset for its card, such as cc-by-4.0; those of source and models carry over. Unset: unknown."""

    @field_validator("path")
    @classmethod
    def _one_store(cls, path: str) -> str:
        if "::" in path:
            raise ValueError(
                "names a store inside another (::), where no file has one winner; wants a folder of one store"
            )
        return path


class Actors(Spec):
    """Number of Ray actors of a run while the cluster grows and shrinks."""

    min: Annotated[int, Field(ge=1, le=MOST_ACTORS)] = 1
    """Minimum number of actors: with fewer after `start_minutes` the run ends; later it continues with fewer."""
    max: Annotated[int, Field(ge=1, le=MOST_ACTORS)]
    """Maximum number of actors, all requested if there are shards for them; an autoscaler may add nodes at any time."""

    @model_validator(mode="after")
    def _ordered(self) -> Actors:
        if self.min > self.max:
            raise ValueError(f"min: got {self.min}; wants at most max, which is {self.max}")
        return self


class Run(Spec):
    """Distribution of the work; `batch`, `precision` and `compile` also affect the bytes of the result."""

    actors: Annotated[int, Field(ge=0, le=MOST_ACTORS)] | Actors = 2
    """Number of Ray actors, or {min, max}; a number is the maximum, with minimum 1. The run starts with the actors that
    fit, and adds the others as they start. 0: the work is done in this process, without Ray; it starts seconds earlier,
    and what would kill a worker kills the run."""
    shards_per_actor: Annotated[int, Field(ge=1, le=16)] = 2
    """Number of shards in hand per actor: while one is on the device, others are read, encoded and written."""
    cpus_per_actor: Annotated[int, Field(ge=1, le=4_096)] = 1
    """Number of CPU cores and torch threads per actor."""
    gpus_per_actor: Annotated[float, Field(ge=0)] = 0
    """Number of GPUs per actor; 0 runs on the CPU."""
    batch: Annotated[int, Field(ge=1, le=MOST_BATCH)] = 256
    """Batch size: rows per forward pass."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the search; verdicts are always float32."""
    compile: bool = False
    """Compile the model for the search (torch.compile): takes about a minute at the start, then steps are faster. If
    compilation fails, the search runs without it, and the run says so."""
    max_attempts: Annotated[int, Field(ge=1, le=1_000)] = 3
    """Number of attempts per shard, including crashes of its worker, before it is bisected for the rows that make it
    fail. Preemption and lost nodes do not count."""
    start_minutes: Annotated[float, Field(gt=0)] = 30
    """Minutes to wait for workers, and for the nodes that an autoscaler brings, before the run ends with an error."""
    shard_minutes: Annotated[float, Field(gt=0)] | None = None
    """Minutes without an answer after which a shard is abandoned and made elsewhere. Unset: ten times the median of the
    shards so far, or three times the slowest if that is longer, and at least 10; 240 until a shard is done."""

    @property
    def here(self) -> bool:
        """Whether the work is done in the process that starts the run."""
        return self.actors == 0

    @property
    def least_actors(self) -> int:
        """Minimum number of actors to start the run."""
        return self.actors.min if isinstance(self.actors, Actors) else 1

    @property
    def most_actors(self) -> int:
        """Number of actors to request; 1 where it is this process."""
        return self.actors.max if isinstance(self.actors, Actors) else max(1, self.actors)


class Job(Spec):
    """One job file."""

    name: Name
    """Names the job in plans, cards and lineage: letters, digits, dot, dash, underscore."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of all randomness: the same seed gives the same rows."""
    logical_date: Day | None = None
    """Date that a run stands for. Part of the run id, not of the rows: the same job on another date is another run,
    which reuses all committed shards. Replaces {date} in source.path, output.path and weights. --logical-date sets
    it."""
    source: Source
    """Source of the clean rows."""
    model: Model | None = None
    """The classifier under attack. Only jobs without attacks may leave it out; rows then carry no verdicts."""
    transfer_to: tuple[HeldOut, ...] = ()
    """Held-out models of the same classes. Each adds its verdict on every adversarial row; no attack sees them."""
    recipes: Annotated[tuple[Recipe, ...], Field(min_length=1)]
    """Recipes of the output rows; each makes its own rows from the source."""
    output: Output
    """What is written, and where."""
    run: Run = Run()
    """How the work is spread."""
    train: Train | None = None
    """Training settings of `hardset harden`; ignored by generate."""
    harden: Harden | None = None
    """Rounds of `hardset harden`; ignored by generate."""

    @model_validator(mode="before")
    @classmethod
    def _dated(cls, document: Any) -> Any:
        return with_date(document) if isinstance(document, Mapping) else document

    @field_validator("recipes")
    @classmethod
    def _resolve(cls, recipes: tuple[Any, ...], others: ValidationInfo) -> tuple[Any, ...]:
        model = others.data.get("model")
        classes = model.classes if model else None
        return tuple(r.resolved(classes) if isinstance(r, Attack) else r for r in recipes)

    @model_validator(mode="after")
    def _whole(self) -> Job:
        if self.model is None and any(map(is_attack, self.recipes)):
            raise ValueError("model: missing; attack recipes need the classifier under attack")
        first: dict[str, int] = {}
        for position, recipe in enumerate(self.recipes):
            earlier = first.setdefault(recipe.model_dump_json(), position)
            if earlier != position:
                raise ValueError(
                    f"recipes.{position}: is the same as recipes.{earlier}; remove one or change a setting"
                )
            if self.model and isinstance(recipe, Attack):
                check_classes(recipe, f"recipes.{position}", self.model.classes)
        return self

    @model_validator(mode="after")
    def _transfer(self) -> Job:
        if self.transfer_to and not any(map(is_attack, self.recipes)):
            raise ValueError("transfer_to: only adversarial rows are judged by held-out models; add an attack recipe")
        first: dict[str, int] = {}
        for position, model in enumerate(self.transfer_to):
            earlier = first.setdefault(model.name, position)
            if earlier != position:
                raise ValueError(
                    f"transfer_to.{position}.name: got {model.name!r}, which is the name of transfer_to.{earlier} too; "
                    "wants another"
                )
        return self

    @property
    def attacks(self) -> tuple[Attack, ...]:
        """Attack recipes that have a norm."""
        return tuple(recipe for recipe in self.recipes if isinstance(recipe, Attack))

    @property
    def stochastic(self) -> bool:
        """Whether the model may be stochastic: every attack averages gradients over its randomness (eot above 1)."""
        attacks = [recipe for recipe in self.recipes if is_attack(recipe)]
        return bool(attacks) and all(isinstance(attack, Attack) and attack.eot > 1 for attack in attacks)


def check_classes(attack: Attack, key: str, classes: int) -> None:
    """Raises ValueError, naming `key`, if an attack needs classes that the model does not have."""
    if isinstance(attack.target, int) and attack.target >= classes:
        raise ValueError(
            f"{key}.target: got {attack.target}; wants a class from 0 to {classes - 1}, as model.classes says"
        )
    if attack.targets is not None and attack.targets >= classes:
        raise ValueError(
            f"{key}.targets: got {attack.targets}; wants at most {classes - 1}, as model.classes is {classes}"
        )
