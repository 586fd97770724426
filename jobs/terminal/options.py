"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JobFile = Annotated[Path, typer.Argument(metavar="JOB", help="The job file (YAML).", show_default=False)]
OutputFolder = Annotated[
    str, typer.Argument(metavar="OUT", help="The dataset folder; any fsspec URL.", show_default=False)
]
RowId = Annotated[str, typer.Argument(metavar="ROW_ID", help="Value of the row_id column.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Overrides a key of the job file, such as recipes.0.eps=4/255."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="A Ray cluster, such as auto or ray://HOST:10001. Without it, Ray is started on this machine.",
    ),
]
JobApi = Annotated[str, typer.Option("--address", help="Job API of the cluster, http://HOST:8265.", show_default=False)]
Submitted = Annotated[
    str,
    typer.Argument(
        metavar="JOB_OR_ID", help="The job file that was submitted, or its submission id.", show_default=False
    ),
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Use a job API that asks for no token.")]
RunId = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="A finished run by its id, how that starts, or the date that it stands for. Unset: the newest.",
    ),
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
AcceptClasses = Annotated[
    bool,
    typer.Option(
        "--accept-classes",
        help="Go on where the classes are not those of the newest run; all rows are made anew, with the new labels.",
    ),
]
AcceptColumns = Annotated[
    bool,
    typer.Option(
        "--accept-columns",
        help="Go on where a column of source.keep has another type than in the newest run; all rows are made anew.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Leaves one JSON object as the last line of stdout.")]
