"""Tables of docs/evaluation.md that are rendered from the code: settings, thresholds of warnings, corruptions."""

from __future__ import annotations

import re

from pydantic import BaseModel

from hardset.pipeline.evaluation import doubts
from hardset.pipeline.evaluation.conditions import CORRUPTION_TABLE
from hardset.schemas.job.evaluation import EvaluatedModel, EvaluationJob, Threat
from hardset.schemas.reading.slots import describe, slot_of


def _points(share: float) -> str:
    return f"{100 * share:g} points"


_WARNINGS = (
    (
        "`static_shard`",
        f"accuracy on the adversarial rows of `trained_on` over {_points(doubts.STATIC_SHARD)} above robust "
        f"accuracy, and that below {doubts.STATIC_SHARE:g} of it",
        "the model knows those perturbations and withstands no new ones",
    ),
    (
        "`fgsm_gap`",
        f"accuracy under fgsm over {_points(doubts.FGSM_GAP)} above that under the best attack of several steps, and "
        f"that below {doubts.FGSM_SHARE:g} of it",
        "catastrophic overfitting to one-step examples",
    ),
    (
        "`held_out`",
        f"a further threat, the corruptions or the smallest shift gained less than {doubts.HELD_OUT_SHARE:g} of what "
        "the first threat gained over `hardened_from`, where that gained over "
        f"{_points(doubts.GAIN_WORTH_COMPARING)} and the baseline lost over {_points(doubts.GAIN_WORTH_COMPARING)} "
        "there",
        "hardened against one kind of change alone",
    ),
    (
        "`robust_overfitting`",
        f"the model of `last_of` over {_points(doubts.ROBUST_OVERFITTING)} more robust",
        "training went on after robust accuracy had peaked",
    ),
    (
        "`not_vanishing`",
        f"over {doubts.NOT_VANISHING:.0%} robust at the largest budget, if that is {doubts.HUGE_LINF} or more (L2, "
        f"L1: {doubts.HUGE_FACTOR} times the threat's)",
        "masked gradients: the attacks fail, not the adversary",
    ),
    (
        "`black_box`",
        f"accuracy under square over {_points(doubts.BLACK_BOX_GAP)}, and two rows, below that under every attack by "
        "gradients",
        "masked gradients",
    ),
    (
        "`zero_gradients`",
        f"a gradient of zeros for half of the steps of over {doubts.ZERO_GRADIENTS:.0%} of the attacked rows",
        "masked gradients, or an objective that saturates",
    ),
)


def setting_table(kind: type[BaseModel]) -> str:
    """Markdown table with one line per key of a record."""
    lines = ["| key | takes | default | meaning |", "|---|---|---|---|"]
    for name, field in kind.model_fields.items():
        default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        takes = re.sub(r" \(pattern .*\)$", "", describe(slot_of(kind).field(name)))
        meaning = " ".join((field.description or "").split())
        cells = (f"`{name}`", takes, default, meaning)
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    if isinstance(default, BaseModel):
        return "see generate"
    if isinstance(default, tuple | dict):
        return ", ".join(map(str, default)) or "none"
    return "unset" if default is None else str(default)


def job_tables() -> str:
    """Markdown tables of the keys of an evaluation's job file, of its models and of its threats."""
    parts = ((EvaluationJob, "The job"), (EvaluatedModel, "Each of `models`"), (Threat, "Each of `threats`"))
    return "\n".join(f"**{title}**\n\n{setting_table(kind)}" for kind, title in parts)


def warning_table() -> str:
    """Markdown table with one line per warning."""
    lines = ["| warning | given where | what it means |", "|---|---|---|"]
    lines += [f"| {name} | {where} | {meaning} |" for name, where, meaning in _WARNINGS]
    return "\n".join(lines) + "\n"


def corruption_table() -> str:
    """Markdown table with one line per corruption and its strengths."""
    lines = ["| corruption | severity 1 | 2 | 3 | 4 | 5 |", "|---|---|---|---|---|---|"]
    for name, corruption in CORRUPTION_TABLE.items():
        lines.append(f"| `{name}` | " + " | ".join(f"{strength:g}" for strength in corruption.strengths) + " |")
    return "\n".join(lines) + "\n"
