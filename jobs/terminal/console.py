"""What a command says: plain sentences for people, one JSON object for machines, exit codes for schedulers."""

from __future__ import annotations

import json
import sys
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console


class Exit(IntEnum):
    """What a scheduler may rely on."""

    DONE = 0
    """Done, or nothing to do."""
    FAILED = 1
    """The work could not be done, or a check failed."""
    BAD_JOB = 2
    """The job file or an argument cannot be used."""
    PARTIAL = 3
    """Finished, with quarantined rows or failed shards."""
    STOPPED = 4
    """Stopped by a signal or at the end of its budget; start again to go on."""
    HELD = 5
    """Another run holds the output, or has taken it over: that one is doing the work."""


JobFile = Annotated[Path, typer.Argument(metavar="JOB", help="The job file (YAML).", show_default=False)]
OutputFolder = Annotated[
    str, typer.Argument(metavar="OUT", help="The dataset folder; any fsspec URL.", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Overrides a key of the job file, such as recipes.0.eps=4/255."),
]
Address = Annotated[str, typer.Option(help="Job API of the cluster, http://HOST:8265.", show_default=False)]
Submitted = Annotated[
    str,
    typer.Argument(
        metavar="JOB_OR_ID", help="The job file that was submitted, or its submission id.", show_default=False
    ),
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Use a job API that asks for no token.")]
RunId = Annotated[
    str | None,
    typer.Option("--run", metavar="RUN_ID", help="A finished run by its id or how it starts. Unset: the newest."),
]
MadeBy = Annotated[
    Path | None,
    typer.Option(
        "--job",
        metavar="FILE",
        help="The job file that made OUT: rows are judged or made again by its model, recipes and source.",
    ),
]
TrustCode = Annotated[
    bool,
    typer.Option("--trust-code", help="Load the code and open the files that the records of OUT name. Runs that code."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Leaves one JSON object as the last line of stdout.")]

# Without a terminal nobody is helped by lines broken at 80 columns, least of all grep.
_WIDTH = None if sys.stdout.isatty() else 200

console = Console(highlight=False, soft_wrap=True, width=_WIDTH)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A plain line on stdout."""
    console.print(text, markup=False)


def give(result: dict[str, Any], *, as_json: bool) -> None:
    """The machine's answer, last on stdout, where it was asked for."""
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False, separators=(",", ":")))


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 row`, `2,048 rows`, `10 classes`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
