"""The command line, as the command `hardset` and as `python -m hardset`, where hardset is not installed."""

import os
import sys
from types import FrameType

# Not by pathlib: what it loads would come from the very folder.
if __name__ == "__main__" and not sys.flags.safe_path and os.path.realpath(sys.path[0]) == os.getcwd():  # noqa: PTH109
    del sys.path[0]  # the folder a command runs in shadows no library; verbs that need it append it

import atexit
import signal
import threading

INTERRUPTED = 130
"""What a shell reports of a command that Ctrl-C ended."""


def main() -> None:
    """Loads the command line and runs it. Ctrl-C ends it without a word as long as nothing is begun."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    from hardset.jobs.app import main as command  # noqa: PLC0415 - a third of a second, in which Ctrl-C may come

    try:
        command()
    except SystemExit as ended:
        _leave(ended.code)
        raise


def _leave(code: object) -> None:
    """Ends the process once all is done that is to be done at its end. Python would take torch apart first: 0.6 s."""
    if not isinstance(code, int):
        return
    threading._shutdown()  # type: ignore[attr-defined]  # joins threads, those of pools too
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
