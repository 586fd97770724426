"""The named attacks and their settings as tables: for `hardset attacks` and for the docs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from hardset.schemas.job.attack_recipe import Attack
from hardset.schemas.job.attacks import ATTACK_FACTS, DEFAULTED, AttackFacts, takers
from hardset.schemas.reading.slots import describe, one_of, slot_of

_ALWAYS = ("kind", "name")


@dataclass(frozen=True)
class Setting:
    """One setting of one attack."""

    name: str
    default: Any
    """What stands for it when it is not given; None where nothing does. `step_size`: how it follows from eps."""
    required: bool
    meaning: str
    takes: str
    """What may be written, in words."""

    @property
    def shown(self) -> str:
        """The default as a job file writes it, or `required`, or `unset`."""
        if self.required or self.default is None:
            return "required" if self.required else "unset"
        if isinstance(self.default, bool):
            return str(self.default).lower()
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)


def settings_of(name: str) -> tuple[Setting, ...]:
    """The settings that the named attack takes, in the order of the job file."""
    facts = ATTACK_FACTS[name]
    return tuple(
        Setting(
            name=setting,
            default=_default(setting, facts),
            required=field.is_required(),
            meaning=_meaning(setting),
            takes=one_of(facts.norms) if setting == "norm" else _takes(setting),
        )
        for setting, field in Attack.model_fields.items()
        if setting not in _ALWAYS and facts.takes(setting)
    )


def facts_of(name: str) -> dict[str, Any]:
    """The same for machines, with what is known of the attack itself."""
    facts = ATTACK_FACTS[name]
    return {
        "name": name,
        "summary": facts.summary,
        "reference": str(facts.paper),
        "norms": list(facts.norms),
        "gradient": facts.gradient,
        "stages": list(facts.stages),
        "settings": {
            s.name: {"default": s.default, "required": s.required, "meaning": s.meaning, "takes": s.takes}
            for s in settings_of(name)
        },
    }


def attack_table() -> str:
    """Markdown: one line per attack."""
    lines = ["| attack | norms | steps | step | stop | what it is | paper |", "|---|---|---|---|---|---|---|"]
    for name, facts in ATTACK_FACTS.items():
        steps = "fixed" if facts.stages else f"{facts.steps:,}"
        step = f"`{facts.step_size}`" if facts.step_size else "its own"
        cells = (" ".join(facts.norms), steps, step, facts.stop, facts.summary, facts.paper.short)
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def setting_table() -> str:
    """Markdown: one line per setting, with the attacks that take it."""
    lines = ["| setting | takes | attacks | meaning |", "|---|---|---|---|"]
    for setting, field in Attack.model_fields.items():
        if setting == "kind":
            continue
        words = "a name of the table above" if setting == "name" else _takes(setting)
        meaning = " ".join((field.description or "").split())
        lines.append(f"| `{setting}` | {_cell(words)} | {_attacks(setting)} | {_cell(meaning)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def _attacks(setting: str) -> str:
    taking = takers(setting)
    others = [name for name in ATTACK_FACTS if name not in taking]
    if not others:
        return "all"
    return f"all but {', '.join(others)}" if len(others) < len(taking) else ", ".join(taking)


def _default(setting: str, facts: AttackFacts) -> Any:
    if setting == "step_size":
        return str(facts.step_size)
    if setting in DEFAULTED:
        return getattr(facts, setting)
    field = Attack.model_fields[setting]
    return None if field.is_required() else field.default


def _takes(setting: str) -> str:
    return re.sub(r" \(pattern .*\)", "", describe(slot_of(Attack).field(setting)))


def _meaning(setting: str) -> str:
    """The setting's docstring without what it says of defaults, which differ from attack to attack."""
    text = " ".join((Attack.model_fields[setting].description or "").split())
    return re.sub(r" Unset: .*$", "", text)
