"""What an evaluation found: the record that `evaluation.json` holds. Shares of rows carry their intervals."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hardset.schemas.base import Spec
from hardset.schemas.norms import Norm
from hardset.schemas.records.run import Image

EVALUATION_CONTRACT = "1"


class Share(Spec):
    """So many rows out of so many, with the 95 % interval of the share that they are drawn from."""

    rows: int
    """Rows that count."""
    of: int
    """Rows that were looked at."""
    low: float
    """Lower end of the interval, in [0, 1]."""
    high: float
    """Upper end."""

    @property
    def value(self) -> float:
        """The share in [0, 1]; 0 of no rows."""
        return self.rows / self.of if self.of else 0.0


class Point(Spec):
    """An attack at one budget."""

    eps: str
    """Budget on the [0, 1] pixel scale, an exact fraction such as 8/255."""
    robust: Share
    """Rows that the model has right before and after, judged in float32 on the stored 8-bit pixels."""
    float_robust: Share
    """The same before rounding to 8 bits, as libraries that keep floats report it."""
    gradients: int
    """Gradients spent at this budget; what smaller budgets spent is not in it."""
    queries: int
    """Forward passes without gradient spent at this budget."""


class AttackFigures(Spec):
    """What one attack made of one model."""

    label: str
    """Names the attack in tables: its name, and its norm or number where that is not enough."""
    attack: dict[str, Any]
    """Its settings, every one written out."""
    points: tuple[Point, ...]
    """From the smallest budget to the largest."""
    seconds: float
    """Time of attack and verdicts, added up over the workers."""
    flags: dict[str, int]
    """Rows that the model had right before, by the flags that they carry at the threat's budget."""
    gradient: bool
    """Whether it follows gradients; of an ensemble, whether it does so in every part."""


class CurvePoint(Spec):
    """All attacks of a threat at one budget."""

    eps: str
    robust: Share
    """Rows that the model has right before, and after each of the attacks."""


class ThreatFigures(Spec):
    """One threat: the worst that its attacks do, row by row."""

    norm: Norm
    eps: str
    """The budget that it is about."""
    robust: Share
    """At that budget."""
    curve: tuple[CurvePoint, ...]
    """From 0, which is clean accuracy, to the largest budget."""


class ClassFigures(Spec):
    """One class, before and after the first threat's attacks. Shares in [0, 1]; 0 where they would divide by 0."""

    label: int
    support: int
    """Rows of the class."""
    clean_precision: float
    clean_recall: float
    clean_f1: float
    attacked_precision: float
    attacked_recall: float
    attacked_f1: float


class Cell(Spec):
    """One cell of a confusion matrix; cells without rows are not listed."""

    label: int
    pred: int
    """-1: no verdict, since a logit was not finite."""
    rows: int


class Condition(Spec):
    """Accuracy under a change that no adversary chose."""

    name: str
    """A corruption, or `shift`."""
    level: int
    """Severity 1 to 5; of a shift, pixels."""
    right: Share


class Bin(Spec):
    """Rows whose margin lies in [start, start + width)."""

    start: float
    rows: int


class Margins(Spec):
    """Histograms of the logit of the label less the best other one; below 0 the model errs."""

    width: float
    """Width of every bin, in logits."""
    clean: tuple[Bin, ...]
    attacked: tuple[Bin, ...]
    """The smallest margin that any attack of the first threat left, row by row."""


class Agreement(Spec):
    """Two attacks, and the rows that they break at the threat's budget, among those that the model had right."""

    first: str
    second: str
    both: int
    only_first: int
    only_second: int
    jaccard: float | None
    """Rows that both break over rows that either breaks; None where neither breaks any."""


class Likeness(Spec):
    """How alike the perturbations of one attack are."""

    attack: str
    within_class: float | None
    """Mean cosine similarity of two perturbations of one class, averaged over the classes by rows; 1: all the same
    up to their length. None where no class has two moved rows."""
    overall: float | None
    """Mean over all pairs of perturbations."""
    rows: int
    """Rows that were moved."""


class ShardFigures(Spec):
    """Accuracy on the adversarial rows that the model was trained on, which says nothing of its robustness."""

    dataset: str
    right: Share


class ModelFigures(Spec):
    """All about one model."""

    name: str
    model_id: str
    sha256: str
    hardened_from: str | None = None
    last_of: str | None = None
    clean: Share
    threats: tuple[ThreatFigures, ...]
    """The first is the headline."""
    attacks: tuple[AttackFigures, ...]
    classes: tuple[ClassFigures, ...]
    confusion_clean: tuple[Cell, ...]
    confusion_attacked: tuple[Cell, ...]
    """After the first attack of the first threat that breaks a row; of rows that none breaks, as before."""
    conditions: tuple[Condition, ...]
    margins: Margins
    agreement: tuple[Agreement, ...]
    likeness: tuple[Likeness, ...]
    shards: tuple[ShardFigures, ...] = ()

    @property
    def robust(self) -> Share:
        """Robust accuracy under the first threat."""
        return self.threats[0].robust

    @property
    def worst_class(self) -> ClassFigures:
        """The class with the lowest recall after the attacks, the first of equals, among those that have rows."""
        return min((one for one in self.classes if one.support), key=lambda one: (one.attacked_recall, one.label))


class TransferCell(Spec):
    """Rows made on one model at the threat's budget, judged by another."""

    source: str
    target: str
    attack: str
    right: Share
    """Rows that the target has right before and after."""


class Finding(Spec):
    """What casts doubt on a figure."""

    kind: str
    """One of `pipeline.evaluation.doubts`."""
    model: str
    text: str
    """Cause and remedy, one sentence."""


class Rows(Spec):
    """The rows that were evaluated."""

    count: int
    lost: int
    """Rows that could not be read, and are in no figure."""
    splits: dict[str, int]
    sha256: str
    """Digest over the rows' keys and pixels: the same where the same rows were evaluated."""


class Evaluation(Spec):
    """The record of an evaluation."""

    contract: str = EVALUATION_CONTRACT
    evaluation_id: str
    """UUID made from all that determines the figures: the same job on the same data is the same evaluation."""
    name: str
    job: dict[str, Any]
    """The resolved job, without credentials."""
    classes: tuple[str, ...]
    image: Image
    rows: Rows
    models: tuple[ModelFigures, ...]
    transfer: tuple[TransferCell, ...]
    warnings: tuple[Finding, ...] = ()
    parts: tuple[str, ...] = ()
    """Keys of the parts that it was put together from, 64 hex digits each."""
    started: str
    finished: str
    """UTC, ISO 8601."""
    environment: dict[str, str] = Field(default_factory=dict)

    def model(self, name: str) -> ModelFigures:
        """The model of that name. Raises KeyError where there is none."""
        for one in self.models:
            if one.name == name:
                return one
        raise KeyError(name)
