"""The attacks there are, in a table, and one with all its settings."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hardset.jobs.telling.catalogue import Catalogue, show_others, show_settings
from hardset.schemas.job.attack_declaration import AttackDeclaration
from hardset.schemas.job.attack_documentation import LISTED, facts_of, norms_of, settings_of, steps_of
from hardset.schemas.job.attack_names import ATTACK_NAMES

_WIDE = 110
"""Terminal columns from which papers stand beside the summaries rather than below them."""


def show_all(terminal: Console) -> None:
    """All attacks, a paragraph each."""
    wide = terminal.width >= _WIDE
    table = Table("attack", "norms", box=None, header_style="bold", pad_edge=False)
    table.add_column("steps", justify="right")
    table.add_column("what it is")
    if wide:
        table.add_column("paper", no_wrap=True)
    for name, attack in LISTED.items():
        paper = Text(attack.paper.short if attack.paper else "", style="dim")
        what = Text(attack.summary) if wide else Text("\n").join([Text(attack.summary), paper])
        cells = [Text(name, style="bold"), Text(norms_of(attack)), Text(steps_of(attack)), what]
        table.add_row(*cells, *([paper] if wide else []))
    terminal.print(table, soft_wrap=False)
    show_others(ATTACK_NAMES, "attacks", terminal)


def show_one(name: str, attack: AttackDeclaration, terminal: Console) -> None:
    """One attack: what it is, its paper, and every setting it takes."""
    terminal.print(Text.assemble((name, "bold"), f": {attack.summary}"), soft_wrap=False)
    if attack.paper:
        terminal.print(Text(str(attack.paper), style="dim"), soft_wrap=False)
    if attack.parts:
        terminal.print(f"Made of: {', '.join(attack.stages)}", markup=False)
    terminal.print(f"Norms: {norms_of(attack).replace(' ', ', ')}\n", markup=False)
    show_settings(settings_of(attack), terminal)


CATALOGUE = Catalogue("attacks", "attack", LISTED, ATTACK_NAMES, facts_of, show_all, show_one)
