"""Whether hardset is right on the device: the tests of tests/cuda, and what large networks do there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from benchmarks.gpu.modes import BFLOAT16, FLOAT32, Mode, switches
from benchmarks.gpu.networks import Network, networks
from benchmarks.gpu.searching import Searcher
from benchmarks.gpu.setting import Line, Part, Record, Setting

ROOT = Path(__file__).resolve().parents[2]
_SPARE = 20  # seconds that the tests leave to the lines after them
_GRACE = 8  # seconds that tests which were interrupted have to write down what they found


def lines(setting: Setting) -> Mapping[str, Line]:
    """The tests first."""
    found: dict[str, Line] = {"tests": lambda: tests_line(setting)}
    for network in networks(setting):
        for mode in (FLOAT32, BFLOAT16):
            found[f"{network.name}, {mode.name}, twice"] = lambda n=network, m=mode: twice_line(n, m, setting)
    return found


def tests_line(setting: Setting) -> Record:
    """The tests in a process of their own, those for a CPU on a CPU and those marked `cuda` on a CUDA device.

    Not the configuration and the fixtures of the whole suite: they want libraries that a borrowed machine lacks.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        wanted = ["-m", "cuda"] if setting.device.type == "cuda" else ["-k", "cpu and twice and l2"]
        command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(ROOT)]
        command += ["--confcutdir", "tests/cuda", "-p", "no:cacheprovider", f"--junitxml={report}", *wanted]
        paths = os.pathsep.join([*(path for path in sys.path if path), str(ROOT / "src"), str(ROOT)])
        environment = os.environ | {"PYTHONPATH": paths}
        with (Path(folder) / "log").open("w+", encoding="utf-8") as log:
            with interruptible():
                tests = subprocess.Popen([*command, "tests/cuda"], cwd=ROOT, env=environment, stdout=log, stderr=log)
            cut_off = not ended(tests, max(10.0, setting.left() - _SPARE))
            log.seek(0)
            told = log.read()
        if not report.exists():
            raise RuntimeError(f"pytest ended with {tests.returncode}: {told[-300:]}")
        return read_report(report) | {"cut_off": cut_off}


@contextmanager
def interruptible() -> Iterator[None]:
    """Lets processes that are started in the block be interrupted, also where this one ignores it.

    A shell makes what it runs in the background ignore SIGINT, and a new process inherits that.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a process ends by itself in time. Otherwise it is interrupted, upon which pytest writes its report."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return False
    except BaseException:
        process.kill()
        process.wait()
        raise
    return True


def read_report(report: Path) -> Record:
    """Counts, failures with their first line, reasons for skipping, and what tests recorded, of a JUnit XML file."""
    cases = list(ET.parse(report).getroot().iter("testcase"))
    failed = [(case, fault) for case in cases for fault in (*case.findall("failure"), *case.findall("error"))]
    skipped = [case.find("skipped") for case in cases]
    reasons = sorted({one.get("message", "") for one in skipped if one is not None})
    recorded = {
        case.get("name", ""): {one.get("name", ""): one.get("value", "") for one in case.iter("property")}
        for case in cases
        if case.find("properties") is not None
    }
    count = sum(one is not None for one in skipped)
    return {
        "tests_passed": len(cases) - len(failed) - count,
        "tests_failed": len(failed),
        "tests_skipped": count,
        "failures": [
            f"{case.get('name')}: {' '.join((one.get('message') or '').split())[:300]}" for case, one in failed
        ],
        "skipped_as": reasons,
        "recorded": recorded,
    }


def twice_line(network: Network, mode: Mode, setting: Setting) -> Record:
    """Whether a search on a large network gives the same bits twice; some kernels of torch cannot promise it."""
    batch = setting.size(64, 4)
    with switches(mode):
        searcher = Searcher.of(network, mode, batch, network.pixels(batch), setting.device)
        one, other = (searcher.run(setting.size(10, 2), "never").images.cpu().numpy() for _ in range(2))
    return {
        "network": network.name,
        "runs_in": searcher.network.note,
        "same_bits": "yes" if np.array_equal(one, other) else "no",
        "differing_values": round(float((one != other).mean()), 6),
    }


PART = Part("right", "the tests on the device, and the same bits twice", 90, lines)
