"""The augmentation operations there are, in a table, and one with all its settings."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hardset.jobs.telling.catalogue import Catalogue, show_others, show_settings
from hardset.schemas.job.operations.base import OperationSettings
from hardset.schemas.job.operations.documentation import OPERATION_NAMES, facts_of, family_of, settings_of, summary_of
from hardset.schemas.job.operations.table import BY_NAME


def show_all(terminal: Console) -> None:
    """All operations, a paragraph each."""
    table = Table("operation", "family", "what it does", box=None, header_style="bold", pad_edge=False)
    table.columns[0].no_wrap = True
    for name, operation in BY_NAME.items():
        table.add_row(Text(name, style="bold"), Text(family_of(operation), style="dim"), Text(summary_of(operation)))
    terminal.print(table, soft_wrap=False)
    show_others(OPERATION_NAMES, "augmentations", terminal)


def show_one(name: str, operation: type[OperationSettings], terminal: Console) -> None:
    """One operation: what it does, its paper, and every setting it takes."""
    terminal.print(Text.assemble((name, "bold"), f": {summary_of(operation)}"), soft_wrap=False)
    if operation.reference:
        terminal.print(Text(operation.reference, style="dim"), soft_wrap=False)
    if operation.flattens:
        terminal.print(Text("Strong settings can leave an image of a single value."), soft_wrap=False)
    terminal.print()
    show_settings(settings_of(operation), terminal)


CATALOGUE = Catalogue("augmentations", "operation", BY_NAME, OPERATION_NAMES, facts_of, show_all, show_one)
