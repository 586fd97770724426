"""The command line: one verb per file, all of them in one table.

Verbs import what does their work when they run, so that help and version come at once.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, cast

import typer

from hardset.jobs.terminal.console import Exit, complain
from hardset.jobs.terminal.stopping import Interruption
from hardset.jobs.terminal.streams import lasting_streams
from hardset.jobs.terminal.voice import format_of, speaking
from hardset.jobs.verbs.attacks import attacks
from hardset.jobs.verbs.augmentations import augmentations
from hardset.jobs.verbs.demo import demo
from hardset.jobs.verbs.diff import diff
from hardset.jobs.verbs.doctor import doctor
from hardset.jobs.verbs.evaluate import evaluate
from hardset.jobs.verbs.explain import explain
from hardset.jobs.verbs.export import export
from hardset.jobs.verbs.gc import gc
from hardset.jobs.verbs.generate import generate
from hardset.jobs.verbs.harden import harden
from hardset.jobs.verbs.init import init
from hardset.jobs.verbs.jobs import jobs
from hardset.jobs.verbs.logs import logs
from hardset.jobs.verbs.plan import plan
from hardset.jobs.verbs.publish import publish
from hardset.jobs.verbs.replay import replay
from hardset.jobs.verbs.report import report
from hardset.jobs.verbs.runs import runs
from hardset.jobs.verbs.schema import schema
from hardset.jobs.verbs.show import show
from hardset.jobs.verbs.sign import sign
from hardset.jobs.verbs.status import status
from hardset.jobs.verbs.stop import stop
from hardset.jobs.verbs.submit import submit
from hardset.jobs.verbs.train_gan import train_gan
from hardset.jobs.verbs.verify import verify
from hardset.schemas.errors import UserError


class Group(StrEnum):
    """What a verb is for; a heading of the help."""

    MAKE = "Make"
    WATCH = "Watch"
    CHECK = "Check"
    READ = "Read"
    HARDEN = "Harden"


@dataclass(frozen=True)
class Verb:
    """One verb of the command line."""

    function: Callable[..., None]
    group: Group
    example: str
    """A line that can be typed; ends the verb's help."""
    loads: bool = False
    """Whether it imports what the user names, such as a model factory beside the job file: the folder that it runs in
    is then appended to the import path."""

    @property
    def name(self) -> str:
        """As it is typed."""
        return self.function.__name__.replace("_", "-")

    @property
    def help(self) -> str:
        """The docstring, a line for each paragraph, with brackets that Rich takes for no markup."""
        paragraphs = inspect.cleandoc(self.function.__doc__ or "").split("\n\n")
        return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs).replace("[", r"\[")


VERBS = (
    Verb(demo, Group.MAKE, "hardset demo --to demo"),
    Verb(
        init,
        Group.MAKE,
        "hardset init job.yaml --data photos/ --model my_models:resnet18 --weights resnet18.pt",
        loads=True,
    ),
    Verb(plan, Group.MAKE, "hardset plan job.yaml --set recipes.0.eps=4/255", loads=True),
    Verb(generate, Group.MAKE, "hardset generate job.yaml --max-minutes 60 --json", loads=True),
    Verb(train_gan, Group.MAKE, "hardset train-gan job.yaml", loads=True),
    Verb(submit, Group.MAKE, "hardset submit job.yaml --address http://127.0.0.1:8265 --no-wait"),
    Verb(status, Group.WATCH, "hardset status demo/out --watch"),
    Verb(runs, Group.WATCH, "hardset runs demo/out --last 7"),
    Verb(jobs, Group.WATCH, "hardset jobs --address http://127.0.0.1:8265"),
    Verb(logs, Group.WATCH, "hardset logs job.yaml --address http://127.0.0.1:8265 --follow"),
    Verb(stop, Group.WATCH, "hardset stop job.yaml --address http://127.0.0.1:8265"),
    Verb(doctor, Group.CHECK, "hardset doctor job.yaml", loads=True),
    Verb(verify, Group.CHECK, "hardset verify demo/out --job demo/job.yaml --all", loads=True),
    Verb(replay, Group.CHECK, "hardset replay demo/out ROW_ID --job demo/job.yaml", loads=True),
    Verb(sign, Group.CHECK, "hardset sign demo/out --key key.pem"),
    Verb(explain, Group.CHECK, "hardset explain demo/out ROW_ID"),
    Verb(gc, Group.CHECK, "hardset gc demo/out --keep-runs 7"),
    Verb(show, Group.READ, "hardset show demo/out --where 'success and margin > -0.1' --png rows.png"),
    Verb(report, Group.READ, "hardset report demo/out --to report.html"),
    Verb(diff, Group.READ, "hardset diff demo/out other/out"),
    Verb(publish, Group.READ, "hardset publish demo/out --delta"),
    Verb(export, Group.READ, "hardset export demo/out --to webdataset"),
    Verb(attacks, Group.READ, "hardset attacks apgd_ce", loads=True),
    Verb(augmentations, Group.READ, "hardset augmentations rotate", loads=True),
    Verb(schema, Group.READ, "hardset schema --rows"),
    Verb(evaluate, Group.HARDEN, "hardset evaluate evaluation.yaml --fail-under robust=0.45", loads=True),
    Verb(harden, Group.HARDEN, "hardset harden job.yaml --fail-under clean=0.9", loads=True),
)
_INTERRUPTED = 130
"""What Typer makes of KeyboardInterrupt."""
_LOADING = frozenset(verb.name for verb in VERBS if verb.loads)

# Typer carries a click of its own since 0.20; its usage errors are the base of BadParameter.
_BadArguments = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])

app = typer.Typer(
    name="hardset",
    help="Make hardened image training sets: adversarial, GAN-sampled and augmented rows as Parquet.",
    epilog="Exit codes: 0 done or nothing to do, 1 failed, 2 bad job file or arguments, "
    "3 finished with quarantined rows or failed shards, 4 stopped, 5 another run holds the output.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _verb in VERBS:
    app.command(_verb.name, help=_verb.help, rich_help_panel=_verb.group, epilog=f"Example: {_verb.example}")(
        _verb.function
    )


def _tell_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - 10 ms that only this option needs

        typer.echo(f"hardset {version('hardset')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Shows tracebacks. Allowed anywhere.")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Shows the version and exits.")
    ] = False,
) -> None:
    here = str(Path.cwd())
    if context.invoked_subcommand in _LOADING and here not in sys.path:
        sys.path.append(here)  # last, so that no file there is taken for a library


def main() -> None:
    """Entry point of the `hardset` command."""
    streams, interruption = lasting_streams(), Interruption()
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        interruption.listen()
        code = run(arguments, debug="--debug" in sys.argv, interruption=interruption)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = Exit.STOPPED
    if streams.incomplete is not None:
        complain(f"hardset: what was said is incomplete: {streams.incomplete.strerror}")
        if code == Exit.DONE and _group(arguments) not in (Group.MAKE, Group.HARDEN):
            code = Exit.FAILED
    sys.exit(code)


def _group(arguments: list[str]) -> Group | None:
    return next((verb.group for verb in VERBS if arguments and verb.name == arguments[0]), None)


def run(arguments: list[str], *, debug: bool = False, interruption: Interruption | None = None) -> int:
    """Runs one command line and returns its exit code. Errors end in one sentence, without `debug` in no traceback.

    Where `interruption` was asked for, whatever came of it counts as stopped.
    """
    path, asked = list(sys.path), interruption or Interruption()
    try:
        result = app(arguments, standalone_mode=False, prog_name="hardset")
    except (KeyboardInterrupt, Exception) as error:
        message, code = _why(error, stopped=asked.asked)
        if debug and code is not Exit.STOPPED and not isinstance(error, _BadArguments):
            raise
        return _fail(message, code, arguments)
    finally:
        sys.path[:] = path
    if asked.asked or result == _INTERRUPTED:
        return _fail(*_why(KeyboardInterrupt(), stopped=True), arguments)
    return int(result) if isinstance(result, int) else 0


def _why(error: BaseException, *, stopped: bool) -> tuple[str, Exit]:
    """Why a command ended, in one sentence, and its exit code. `stopped`: whether it was asked to end."""
    if stopped or isinstance(error, KeyboardInterrupt):
        return "stopped at once; start the same command again to go on", Exit.STOPPED
    if isinstance(error, typer.Abort):
        return "stopped", Exit.STOPPED
    if isinstance(error, _BadArguments):
        return f"{error.format_message()} See `hardset --help`.", Exit.BAD_JOB
    if isinstance(error, UserError):
        return str(error), Exit(error.exit_code)
    text = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    return f"{text} (this is a fault of hardset; --debug shows where)", Exit.FAILED


_STATUS = {Exit.STOPPED: "stopped", Exit.HELD: "held"}


def _fail(message: str, code: Exit, arguments: list[str]) -> int:
    with speaking(format_of(arguments)) as voice:
        voice.note(f"hardset: {message}", "stopped" if code is Exit.STOPPED else "failed", exit_code=int(code))
    if "--json" in arguments:
        typer.echo(json.dumps({"status": _STATUS.get(code, "failed"), "error": message, "exit_code": int(code)}))
    return int(code)
