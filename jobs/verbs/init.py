"""`hardset init`: a commented job file to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hardset.jobs.terminal.console import say
from hardset.jobs.terminal.options import Overrides
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.purposes import Purpose


def init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("job.yaml"),
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH_OR_URL",
            help="Your images: class folders, Parquet, .npz, .tar shards, a CSV of paths, a Delta or Iceberg table, "
            "or digits.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="FACTORY_OR_FOLDER",
            help="Your classifier: package.module:function, a Hugging Face folder, or a .keras file.",
        ),
    ] = None,
    weights: Annotated[str | None, typer.Option(metavar="FILE", help="Checkpoint for the factory of --model.")] = None,
    purpose: Annotated[
        Purpose | None,
        typer.Option("--for", help="What the job is for. Unset: asked on a terminal, else generate or augment."),
    ] = None,
    overrides: Overrides = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a commented job file that runs as it is: on your images and model, or on the bundled digits.

    With --data, reads listings and a sample of the images, and tries the model on them: format, size, channels,
    classes, checkpoint, normalisation. Without, reads nothing. Returns 0; 2 where the file is already there
    (without --force), or images or model cannot be used.
    """
    if data is None:
        if model or weights or purpose or overrides:
            raise JobError("--model, --weights, --for and --set need --data: the images that the job is about")
        write_template(path, force=force)
        say(f"Wrote {path}; next: hardset plan {path}")
        return
    from hardset.jobs.telling.beginning import begin, next_command

    if path.exists() and not force:
        raise _there(path)  # before anything is looked at
    text, chosen = begin(path, data, model, weights, purpose, overrides or ())
    write_text(path, text, force=force)
    say(f"Wrote {path}; next: {next_command(path, chosen)}")


def write_template(path: Path, *, force: bool) -> None:
    """Writes the template. Raises JobError where the file is there and not `force`, RunError where it cannot be."""
    from importlib.resources import files

    text = files("hardset.jobs.verbs").joinpath("job_template.yaml").read_text(encoding="utf-8")
    write_text(path, text, force=force)


def write_text(path: Path, text: str, *, force: bool) -> None:
    """Writes a job file. Raises JobError where it is there and not `force`, RunError where it cannot be."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise _there(path) from None
    except FileNotFoundError:
        raise JobError(f"{path}: its folder is not there; make it first: mkdir -p {path.parent}") from None
    except IsADirectoryError:
        raise JobError(f"{path}: is a folder; name a file in it, such as {path / 'job.yaml'}") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None


def _there(path: Path) -> JobError:
    return JobError(f"{path}: is already there; name another file, or overwrite it with --force")
