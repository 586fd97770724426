"""What a job file may name, such as attacks and augmentations: all of them, or one with all its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hardset.jobs.terminal.console import console, give
from hardset.schemas.errors import JobError
from hardset.schemas.extensions import KnownName
from hardset.schemas.reading.settings import Setting

Declaration = TypeVar("Declaration")


@dataclass(frozen=True)
class Catalogue(Generic[Declaration]):
    """Declarations that job files name, and how they are told."""

    verb: str
    """Command that lists them, and the key of its JSON."""
    noun: str
    """What one of them is called."""
    declared: Mapping[str, Declaration]
    """Those of hardset itself, in the order of the list."""
    names: KnownName
    facts: Callable[[str, Declaration], dict[str, object]]
    """(name, declaration) -> one of them for machines."""
    show_all: Callable[[Console], None]
    show_one: Callable[[str, Declaration, Console], None]


def tell(
    catalogue: Catalogue[Declaration], name: str | None, imported: Callable[[str], Declaration], *, as_json: bool
) -> None:
    """All of a catalogue, or the one of a name. `imported`: the declaration at an import path, which is imported.

    Raises JobError: there is none of that name.
    """
    if name is None:
        chosen = dict(catalogue.declared)
    else:
        name = _known(catalogue, name)
        chosen = {name: catalogue.declared.get(name) or imported(name)}
    if as_json:
        give({catalogue.verb: [catalogue.facts(one, found) for one, found in chosen.items()]}, as_json=True)
    elif name is None:
        catalogue.show_all(console)
    else:
        catalogue.show_one(name, chosen[name], console)


def _known(catalogue: Catalogue[Declaration], name: str) -> str:
    if name in catalogue.declared:
        return name
    try:
        return catalogue.names.known(name)
    except ValueError as error:
        hint = str(error).rpartition("; ")[2]
        raise JobError(f"{name}: no such {catalogue.noun}; {hint} (`hardset {catalogue.verb}` lists them)") from None


def show_others(names: KnownName, verb: str, terminal: Console) -> None:
    """The end of a list: names that installed packages bring, and how to see one with its settings."""
    if others := names.brought():
        terminal.print(f"\nFrom installed packages: {', '.join(others)}.", markup=False)
    terminal.print(f"\n`hardset {verb} NAME` shows all settings of one, with defaults.", markup=False)


def show_settings(settings: Iterable[Setting], terminal: Console) -> None:
    """A table with one line per setting."""
    table = Table("setting", "default", "meaning", box=None, header_style="bold", pad_edge=False)
    table.columns[0].no_wrap = True
    for setting in settings:
        table.add_row(setting.name, Text(setting.shown), Text(setting.meaning))
    terminal.print(table, soft_wrap=False)
