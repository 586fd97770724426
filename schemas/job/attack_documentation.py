"""The named attacks and their settings as tables: for `hardset attacks` and for the docs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from hardset.schemas.job.attack_declaration import DEFAULTED, AttackDeclaration, Part
from hardset.schemas.job.attack_names import WORST_OF
from hardset.schemas.job.attack_recipe import Attack
from hardset.schemas.job.attacks import ATTACKS, takers
from hardset.schemas.job.worst_of import DECLARATION, WorstOf
from hardset.schemas.norms import NO_NORM
from hardset.schemas.reading.settings import Setting, facts, meaning_of, setting_of, taken_by
from hardset.schemas.reading.wording import one_of

_ALWAYS = ("kind", "name")
_OWN = "settings"


LISTED: Mapping[str, AttackDeclaration] = MappingProxyType({**ATTACKS, WORST_OF: DECLARATION})
"""The attacks of hardset: those of the table, then the one that has no norm."""


def norms_of(attack: AttackDeclaration) -> str:
    """Norms of an attack, or none."""
    return " ".join(attack.norms) or NO_NORM


def steps_of(attack: AttackDeclaration) -> str:
    """Number of steps of an attack, in words."""
    if attack is DECLARATION:
        return f"{WorstOf.model_fields['tries'].default} tries"
    return "fixed" if attack.parts else f"{attack.steps:,}"


def settings_of(attack: AttackDeclaration) -> tuple[Setting, ...]:
    """The settings that an attack takes, in the order of the job file, and after them those of its own."""
    if attack is DECLARATION:
        return tuple(setting_of(WorstOf, name) for name in WorstOf.model_fields if name not in _ALWAYS)
    taken = [
        Setting(
            name=setting,
            default=_default(setting, attack),
            required=field.is_required(),
            meaning=_meaning(setting),
            takes=one_of(attack.norms) if setting == "norm" else taken_by(Attack, setting),
        )
        for setting, field in Attack.model_fields.items()
        if setting not in (*_ALWAYS, _OWN) and attack.takes(setting)
    ]
    return (*taken, *_own_settings(attack))


def _own_settings(attack: AttackDeclaration) -> Iterator[Setting]:
    if attack.settings is None:
        return
    for name in attack.settings.model_fields:
        yield replace(setting_of(attack.settings, name), name=f"{_OWN}.{name}")


def facts_of(name: str, attack: AttackDeclaration) -> dict[str, Any]:
    """The settings of an attack for machines, with its own summary, reference, norms and parts."""
    return {
        "name": name,
        "summary": attack.summary,
        "reference": str(attack.paper or ""),
        "norms": list(attack.norms),
        "gradient": attack.gradient,
        "stages": list(attack.stages),
        "settings": facts(settings_of(attack)),
    }


def attack_table() -> str:
    """Markdown: one line per attack."""
    lines = ["| attack | norms | steps | step | stop | what it is | paper |", "|---|---|---|---|---|---|---|"]
    for name, attack in LISTED.items():
        step = f"`{attack.step_size}`" if attack.step_size else "its own"
        paper = attack.paper.short if attack.paper else ""
        cells = (norms_of(attack), steps_of(attack), step, attack.stop, attack.summary, paper)
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def ensemble_table() -> str:
    """Markdown: one line per ensemble, with what a row costs that survives all of its attacks."""
    lines = ["| ensemble | norms | in turn | a row that survives costs |", "|---|---|---|---|"]
    for name, ensemble in ATTACKS.items():
        if not ensemble.parts:
            continue
        for norms, parts in _by_norm(ensemble).items():
            turns = "; ".join(map(_turn, parts))
            spent = {True: 0, False: 0}
            for part in parts:
                spent[ATTACKS[part.name].gradient] += part.steps * _searches(part)
            told = f"{spent[True]:,} gradients" + (f", {spent[False]:,} queries" if spent[False] else "")
            lines.append(f"| `{name}` | {norms} | {turns} | {told} |")
    return "\n".join(lines) + "\n"


def _by_norm(ensemble: AttackDeclaration) -> dict[str, tuple[Part, ...]]:
    """The parts of an ensemble under the names of the norms that share them."""
    found: dict[tuple[Part, ...], list[str]] = {}
    for norm in ensemble.norms:
        found.setdefault(ensemble.parts_in(norm), []).append(norm)
    return {" ".join(norms): parts for parts, norms in found.items()}


def _turn(part: Part) -> str:
    attack = ATTACKS[part.name]
    times = f"{attack.turns} x " if attack.turns > 1 and not part.on else ""
    unit = "steps" if attack.gradient else "queries"
    towards = f" towards each of {part.targets} classes" if part.targets else " on from there" if part.on else ""
    return f"`{part.name}` {times}{part.steps:,} {unit}{towards}"


def _searches(part: Part) -> int:
    return max(part.targets, 1) * (1 if part.on else ATTACKS[part.name].turns)


def setting_table() -> str:
    """Markdown: one line per setting, with the attacks that take it."""
    lines = ["| setting | takes | attacks | meaning |", "|---|---|---|---|"]
    for setting in Attack.model_fields:
        if setting == "kind":
            continue
        words = "a name of the table above" if setting == "name" else taken_by(Attack, setting)
        lines.append(f"| `{setting}` | {_cell(words)} | {_attacks(setting)} | {_cell(meaning_of(Attack, setting))} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def _attacks(setting: str) -> str:
    taking = takers(setting)
    others = [name for name in ATTACKS if name not in taking]
    if not others:
        return "all"
    if not taking:
        return "those from elsewhere"
    return f"all but {', '.join(others)}" if len(others) < len(taking) else ", ".join(taking)


def _default(setting: str, attack: AttackDeclaration) -> Any:
    if setting == "step_size":
        return str(attack.step_size)
    if setting in DEFAULTED:
        return getattr(attack, setting)
    if setting == "norm":
        default = Attack.model_fields["norm"].default
        return default if default in attack.norms else attack.norms[0]
    field = Attack.model_fields[setting]
    return None if field.is_required() else field.default


def _meaning(setting: str) -> str:
    """The setting's docstring without what it says of defaults, which differ from attack to attack."""
    return re.sub(r" Unset: .*$", "", meaning_of(Attack, setting))
