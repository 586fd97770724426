"""`hardset init`: a commented job file to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hardset.jobs.terminal.console import say
from hardset.schemas.errors import JobError, RunError


def init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("job.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a commented job file that runs as it is, on the bundled digits.

    Reads nothing. Returns 0; 2 where the file is already there (without --force) or cannot be written.
    """
    write_template(path, force=force)
    say(f"Wrote {path}; next: hardset plan {path}")


def write_template(path: Path, *, force: bool) -> None:
    """Writes the template. Raises JobError where the file is there and not `force`, RunError where it cannot be."""
    from importlib.resources import files

    text = files("hardset.jobs.verbs").joinpath("job_template.yaml").read_text(encoding="utf-8")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise JobError(f"{path}: is already there; name another file, or overwrite it with --force") from None
    except FileNotFoundError:
        raise JobError(f"{path}: its folder is not there; make it first: mkdir -p {path.parent}") from None
    except IsADirectoryError:
        raise JobError(f"{path}: is a folder; name a file in it, such as {path / 'job.yaml'}") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None
