"""The augmentation operations there are, in a table, and one with all its settings."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hardset.schemas.job.operations.base import OperationSettings
from hardset.schemas.job.operations.documentation import OPERATION_NAMES, family_of, settings_of, summary_of
from hardset.schemas.job.operations.table import BY_NAME


def show_all(terminal: Console) -> None:
    """All operations, a paragraph each."""
    table = Table("operation", "family", "what it does", box=None, header_style="bold", pad_edge=False)
    table.columns[0].no_wrap = True
    for name, operation in BY_NAME.items():
        table.add_row(Text(name, style="bold"), Text(family_of(operation), style="dim"), Text(summary_of(operation)))
    terminal.print(table, soft_wrap=False)
    if others := OPERATION_NAMES.brought():
        terminal.print(f"\nFrom installed packages: {', '.join(others)}.", markup=False)
    terminal.print("\n`hardset augmentations NAME` shows all settings of one, with defaults.", markup=False)


def show_one(name: str, operation: type[OperationSettings], terminal: Console) -> None:
    """One operation: what it does, its paper, and every setting it takes."""
    terminal.print(Text.assemble((name, "bold"), f": {summary_of(operation)}"), soft_wrap=False)
    if operation.reference:
        terminal.print(Text(operation.reference, style="dim"), soft_wrap=False)
    if operation.flattens:
        terminal.print(Text("Strong settings can leave an image of a single value."), soft_wrap=False)
    terminal.print()
    table = Table("setting", "default", "meaning", box=None, header_style="bold", pad_edge=False)
    table.columns[0].no_wrap = True
    for setting in settings_of(operation):
        table.add_row(setting.name, Text(setting.shown), Text(setting.meaning))
    terminal.print(table, soft_wrap=False)
