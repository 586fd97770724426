"""`hardset attacks`: the attacks there are, their settings, defaults and papers."""

from __future__ import annotations

import difflib
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hardset.jobs.terminal.console import AsJson, console, give
from hardset.schemas.errors import JobError
from hardset.schemas.job.attack_documentation import facts_of, settings_of
from hardset.schemas.job.attacks import ATTACK_FACTS

_WIDE = 110
"""Terminal columns from which papers stand beside the summaries rather than below them."""

Name = Annotated[str | None, typer.Argument(metavar="NAME", help="Show all settings of one attack.")]


def attacks(name: Name = None, as_json: AsJson = False) -> None:
    """List the attacks, or all settings of the attack NAME with defaults and units.

    Reads and writes nothing. Returns 0.
    """
    if name is not None and name not in ATTACK_FACTS:
        near = difflib.get_close_matches(name.lower(), list(ATTACK_FACTS), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise JobError(f"{name}: no such attack{hint} (`hardset attacks` lists them)")
    if as_json:
        give({"attacks": [facts_of(one) for one in ([name] if name else ATTACK_FACTS)]}, as_json=True)
    elif name:
        show_one(name, console)
    else:
        show_all(console)


def show_all(terminal: Console) -> None:
    """All attacks, a paragraph each."""
    wide = terminal.width >= _WIDE
    table = Table("attack", "norms", box=None, header_style="bold", pad_edge=False)
    table.add_column("steps", justify="right")
    table.add_column("what it is")
    if wide:
        table.add_column("paper", no_wrap=True)
    for name, facts in ATTACK_FACTS.items():
        steps = "fixed" if facts.stages else f"{facts.steps:,}"
        paper = Text(facts.paper.short, style="dim")
        what = Text(facts.summary) if wide else Text("\n").join([Text(facts.summary), paper])
        cells = [Text(name, style="bold"), Text(" ".join(facts.norms)), Text(steps), what]
        table.add_row(*cells, *([paper] if wide else []))
    terminal.print(table, soft_wrap=False)
    terminal.print("\n`hardset attacks NAME` shows all settings of one, with defaults.", markup=False)


def show_one(name: str, terminal: Console) -> None:
    """One attack: what it is, its paper, and every setting it takes."""
    facts = ATTACK_FACTS[name]
    terminal.print(Text.assemble((name, "bold"), f": {facts.summary}"), soft_wrap=False)
    terminal.print(Text(str(facts.paper), style="dim"), soft_wrap=False)
    if facts.stages:
        terminal.print(f"Made of: {', '.join(facts.stages)}", markup=False)
    terminal.print(f"Norms: {', '.join(facts.norms)}\n", markup=False)
    table = Table("setting", "default", "meaning", box=None, header_style="bold", pad_edge=False)
    table.columns[0].no_wrap = True
    for setting in settings_of(name):
        table.add_row(setting.name, setting.shown, setting.meaning)
    terminal.print(table, soft_wrap=False)
