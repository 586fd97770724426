"""Whether hardset is right on the device: the tests of tests/cuda, and what large networks do there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
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
    """The tests in processes of their own, those for a CPU on a CPU and those marked `cuda` on a CUDA device.

    Each function in its process, side by side on a card, as a process spends most of its time on loading kernels; what
    fills the memory of the card runs before, alone. Not the configuration and the fixtures of the whole suite: they
    want libraries that a borrowed machine lacks.
    """
    on_card = setting.device.type == "cuda"
    with tempfile.TemporaryDirectory() as folder:
        places = Path(folder)
        if not on_card:
            return _run(["tests/cuda"], ["-k", "cpu and twice and l2"], places, setting)
        before = _run(["tests/cuda/test_memory.py"], ["-m", "cuda"], places, setting)
        return _added(before, _run(_functions(), ["-m", "cuda"], places, setting))


def _functions() -> list[str]:
    """Every test function of the folder, as pytest names it, but for those that fill the memory."""
    found = []
    for file in sorted((ROOT / "tests" / "cuda").glob("test_*.py")):
        if file.name != "test_memory.py":
            names = re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
            found += [f"{file.relative_to(ROOT)}::{name}" for name in names]
    return found


def _run(wanted: Sequence[str], only: Sequence[str], folder: Path, setting: Setting) -> Record:
    """What each of `wanted` found, run side by side until the time is over but for what later lines need."""
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(ROOT)]
    command += ["--confcutdir", "tests/cuda", "-p", "no:cacheprovider", *only]
    paths = os.pathsep.join([*(path for path in sys.path if path), str(ROOT / "src"), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": paths}
    running: list[tuple[subprocess.Popen[bytes], Path, Path]] = []
    for number, name in enumerate(wanted):
        report, log = folder / f"{len(wanted)}-{number}.xml", folder / f"{len(wanted)}-{number}.log"
        with interruptible(), log.open("w", encoding="utf-8") as told:
            tests = subprocess.Popen(
                [*command, f"--junitxml={report}", name], cwd=ROOT, env=environment, stdout=told, stderr=told
            )
        running.append((tests, report, log))
    until = time.perf_counter() + max(10.0, setting.left() - _SPARE)
    record: Record = {}
    try:
        for tests, report, log in running:
            cut_off = not ended(tests, max(0.0, until - time.perf_counter()))
            if not report.exists():
                end = log.read_text(encoding="utf-8")[-300:]
                raise RuntimeError(f"pytest ended with {tests.returncode}: {end}")
            record = _added(record, read_report(report) | {"cut_off": cut_off})
    finally:
        for tests, _, _ in running:
            tests.kill()
    return record


def _added(one: Record, other: Record) -> Record:
    """Two reports as one."""
    if not one:
        return other
    joined = {name: one[name] + other[name] for name in ("tests_passed", "tests_failed", "tests_skipped", "failures")}
    joined["skipped_as"] = sorted({*one["skipped_as"], *other["skipped_as"]})
    joined["recorded"] = one["recorded"] | other["recorded"]
    joined["seconds_of_tests"] = one["seconds_of_tests"] | other["seconds_of_tests"]
    return joined | {"cut_off": one["cut_off"] or other["cut_off"]}


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
        "seconds_of_tests": {
            case.get("name", ""): round(float(case.get("time", 0)), 1) for case in cases if case.find("skipped") is None
        },
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
