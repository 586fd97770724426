"""The command line, as the command `hardset` and as `python -m hardset`, where hardset is not installed."""

import os
import sys
from types import FrameType

# Not by pathlib: what it loads would come from the very folder.
if __name__ == "__main__" and not sys.flags.safe_path and os.path.realpath(sys.path[0]) == os.getcwd():  # noqa: PTH109
    del sys.path[0]  # the folder a command runs in shadows no library; verbs that need it append it

import signal

INTERRUPTED = 130
"""What a shell reports of a command that Ctrl-C ended."""


def main() -> None:
    """Loads the command line and runs it. Ctrl-C ends it without a word as long as nothing is begun."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    from hardset.jobs.app import main as command  # noqa: PLC0415 - a third of a second, in which Ctrl-C may come

    command()


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
