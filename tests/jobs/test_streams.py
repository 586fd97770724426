"""Streams that nobody reads any more: what was to be said is lost, and nothing else."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hardset.jobs.terminal.streams import Streams, lasting

COMMAND = [sys.executable, "-c", "from hardset.jobs.app import main; main()"]


def exit_code(redirection: str, *arguments: str) -> tuple[int, str]:
    """Exit code of a command line with a redirection of the shell's, and what reached stderr."""
    line = ["bash", "-c", f'"$@" {redirection}', "-", *COMMAND, *arguments]
    done = subprocess.run(line, capture_output=True, text=True, timeout=100, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "redirection", [">&-", ">&- 2>&- <&-", "| true; exit ${PIPESTATUS[0]}", "2> >(true) | tail -1"]
)
def test_a_closed_stream_changes_no_exit_code(redirection: str) -> None:
    assert exit_code(redirection, "attacks") == (0, "")


def test_what_a_full_disk_cuts_off_is_told() -> None:
    code, said = exit_code("> /dev/full", "attacks")
    assert (code, said) == (1, "hardset: what was said is incomplete: No space left on device\n")


def test_a_descriptor_that_was_closed_is_given_to_no_file(tmp_path: Path) -> None:
    """Ray and torch print to descriptors 1 and 2, whatever file has got them."""
    script = tmp_path / "holder.py"
    script.write_text(
        "import os\n"
        "from hardset.jobs.terminal.streams import lasting_streams\n"
        "lasting_streams()\n"
        "file = open(os.path.join(os.path.dirname(__file__), 'data'), 'wb')\n"
        "os.write(1, b'noise'), os.write(2, b'noise'), print('said')\n"
        "file.write(b'data'), file.close()\n"
    )
    line = ["bash", "-c", f'"{sys.executable}" "{script}" >&- 2>&- <&-']
    assert subprocess.run(line, timeout=60, check=False).returncode == 0
    assert (tmp_path / "data").read_bytes() == b"data"


def test_a_reader_that_is_slow_loses_what_does_not_fit() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    stream = lasting(writing)
    try:
        for _ in range(100):
            assert stream.write("x" * 4095 + "\n") == 4096
        assert stream.refusal is None
        assert len(os.read(reading, 1 << 20)) >= 4096
        stream.write("again\n")
        assert os.read(reading, 65536).endswith(b"again\n")
        os.close(reading)
        os.close(writing)
        for _ in range(3):
            assert stream.write("lost\n") == 5
        assert stream.refusal is not None and stream.refusal.errno == errno.EPIPE
        assert Streams(stream, stream).incomplete is None
    finally:
        stream.close()
