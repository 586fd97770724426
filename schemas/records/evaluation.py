"""Record of an evaluation, as stored in `evaluation.json`. Shares of rows have confidence intervals."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hardset.schemas.base import Spec
from hardset.schemas.norms import Norm
from hardset.schemas.records.run import Image

EVALUATION_CONTRACT = "1"


class Share(Spec):
    """Share of rows, with its 95 % confidence interval."""

    rows: int
    """Number of rows that count."""
    of: int
    """Number of rows examined."""
    low: float
    """Lower end of the interval, in [0, 1]."""
    high: float
    """Upper end of the interval, in [0, 1]."""

    @property
    def value(self) -> float:
        """Share in [0, 1]; 0 if there are no rows."""
        return self.rows / self.of if self.of else 0.0


class Point(Spec):
    """Figures of an attack at one budget."""

    eps: str
    """Budget on the [0, 1] pixel scale, an exact fraction such as 8/255."""
    robust: Share
    """Rows classified correctly before and after the attack, judged in float32 on the stored 8-bit pixels."""
    float_robust: Share
    """The same before rounding to 8 bits, as reported by libraries that keep floats."""
    gradients: int
    """Number of gradients spent at this budget, without those of smaller budgets."""
    queries: int
    """Number of forward passes without gradient spent at this budget."""


class AttackFigures(Spec):
    """Figures of one attack on one model."""

    label: str
    """Name of the attack in tables, with its norm or number if the name is ambiguous."""
    attack: dict[str, Any]
    """Resolved settings of the attack."""
    points: tuple[Point, ...]
    """Figures by budget, ascending."""
    seconds: float
    """Seconds of attack and verdicts, summed over the workers."""
    flags: dict[str, int]
    """Number of rows classified correctly before, by their flags at the threat's budget."""
    gradient: bool
    """Whether the attack follows gradients; for an ensemble, whether all its parts do."""


class CurvePoint(Spec):
    """Figures of all attacks of a threat at one budget."""

    eps: str
    robust: Share
    """Rows classified correctly before and after each of the attacks."""


class ThreatFigures(Spec):
    """Figures of one threat: the worst of its attacks, row by row."""

    norm: Norm
    eps: str
    """Budget of the threat on the [0, 1] pixel scale, an exact fraction."""
    robust: Share
    """Robust accuracy at that budget."""
    curve: tuple[CurvePoint, ...]
    """Robust accuracy by budget, from 0, which is clean accuracy, to the largest."""


class ClassFigures(Spec):
    """Figures of one class before and after the first threat's attacks, in [0, 1]; 0 if the denominator is 0."""

    label: int
    support: int
    """Number of rows of the class."""
    clean_precision: float
    clean_recall: float
    clean_f1: float
    attacked_precision: float
    attacked_recall: float
    attacked_f1: float


class Cell(Spec):
    """Cell of a confusion matrix; cells without rows are omitted."""

    label: int
    pred: int
    """Predicted class; -1: no verdict, because a logit was not finite."""
    rows: int


class Condition(Spec):
    """Accuracy under a non-adversarial change."""

    name: str
    """Name of the corruption, `shift`, or `worst of` and the operations that are drawn."""
    level: int
    """Severity of the corruption, 1 to 5; for a shift, pixels; for the worst of several draws, their number."""
    right: Share


class Bin(Spec):
    """Bin of a histogram: rows with a margin in [start, start + width)."""

    start: float
    rows: int


class Margins(Spec):
    """Histograms of margins: logit of the label minus the largest other logit; negative for errors."""

    width: float
    """Width of every bin, in logits."""
    clean: tuple[Bin, ...]
    attacked: tuple[Bin, ...]
    """Histogram of each row's smallest margin over the attacks of the first threat."""


class Agreement(Spec):
    """Overlap of two attacks: rows that they break at the threat's budget, among rows classified correctly."""

    first: str
    second: str
    both: int
    only_first: int
    only_second: int
    jaccard: float | None
    """Jaccard index: rows that both break over rows that either breaks; None if neither breaks any."""


class Likeness(Spec):
    """Similarity of the perturbations of one attack."""

    attack: str
    within_class: float | None
    """Mean cosine similarity of two perturbations of one class, averaged over the classes by rows; 1: equal up to their
    length. None if no class has two moved rows."""
    overall: float | None
    """Mean cosine similarity over all pairs of perturbations."""
    rows: int
    """Number of moved rows."""


class ShardFigures(Spec):
    """Accuracy on the adversarial rows that the model was trained on, which is not robustness."""

    dataset: str
    right: Share


class ModelFigures(Spec):
    """All figures of one model."""

    name: str
    model_id: str
    sha256: str
    hardened_from: str | None = None
    last_of: str | None = None
    clean: Share
    threats: tuple[ThreatFigures, ...]
    """Figures by threat; the first is the headline."""
    attacks: tuple[AttackFigures, ...]
    classes: tuple[ClassFigures, ...]
    confusion_clean: tuple[Cell, ...]
    confusion_attacked: tuple[Cell, ...]
    """Confusion after the first attack of the first threat that breaks a row; rows that no attack breaks count as
    before."""
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
        """Class with the lowest recall after the attacks among classes with rows; the first of equals."""
        return min((one for one in self.classes if one.support), key=lambda one: (one.attacked_recall, one.label))


class TransferCell(Spec):
    """Transfer of rows made on one model at the threat's budget to another model."""

    source: str
    target: str
    attack: str
    right: Share
    """Rows that the target classifies correctly before and after."""


class Finding(Spec):
    """Warning that casts doubt on a figure."""

    kind: str
    """Kind of the warning, from `pipeline.evaluation.doubts`."""
    model: str
    text: str
    """Cause and remedy in one sentence."""


class Rows(Spec):
    """Evaluated rows."""

    count: int
    lost: int
    """Number of rows that could not be read and count in no figure."""
    splits: dict[str, int]
    sha256: str
    """Digest of the rows' keys and pixels; equal if the same rows were evaluated."""


class Evaluation(Spec):
    """Record of an evaluation."""

    contract: str = EVALUATION_CONTRACT
    evaluation_id: str
    """UUID derived from everything that determines the figures: the same job on the same data is the same
    evaluation."""
    name: str
    job: dict[str, Any]
    """Resolved job, without credentials."""
    classes: tuple[str, ...]
    image: Image
    commit: str = ""
    """Version of the source that was read: a commit of the Hugging Face Hub, or a version of a table; or empty."""
    rows: Rows
    models: tuple[ModelFigures, ...]
    transfer: tuple[TransferCell, ...]
    warnings: tuple[Finding, ...] = ()
    parts: tuple[str, ...] = ()
    """Keys of the evaluation's parts, 64 hex digits each."""
    started: str
    finished: str
    """UTC, ISO 8601."""
    environment: dict[str, str] = Field(default_factory=dict)

    def model(self, name: str) -> ModelFigures:
        """Model with the given name. Raises KeyError if there is none."""
        for one in self.models:
            if one.name == name:
                return one
        raise KeyError(name)
