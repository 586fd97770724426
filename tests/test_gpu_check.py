"""The GPU check: every line of it runs on a CPU, within its time, without Ray, and its page says what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.gpu import page
from benchmarks.gpu.card import known_peak
from benchmarks.gpu.networks import networks
from benchmarks.gpu.right import ended, interruptible, read_report
from benchmarks.gpu.runner import Book, OutOfTimeError, run_line, run_part
from benchmarks.gpu.setting import ASKED, Part, Setting
from benchmarks.gpu.wheels import install, size_of

ROOT = Path(__file__).parents[1]
CPU = Setting(torch.device("cpu"), tiny=True)
FULL = Setting(torch.device("cpu"), tiny=False)
NO_RAY = """
import sys
for name in ("ray", "typer", "rich"):
    sys.modules[name] = None
from benchmarks.gpu.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The figures of a tiny trial on the CPU, made where Ray, Typer and Rich cannot be imported."""
    to = tmp_path_factory.mktemp("gpu") / "gpu.json"
    command = [sys.executable, "-c", NO_RAY, "--device", "cpu", "--tiny", "--to", str(to)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found: dict[str, Any] = json.loads(to.read_text(encoding="utf-8"))
    return found


def test_every_part_runs_on_a_cpu(figures: dict[str, Any]) -> None:
    assert list(figures["parts"]) == ["right", "fast", "families", "whole"]
    lines = {name: line for part in figures["parts"].values() for name, line in part["lines"].items()}
    assert [name for name, line in lines.items() if "failed" in line or "left_out" in line] == []
    assert lines["tests"]["tests_passed"] >= 1
    assert lines["ResNet-50, bfloat16, CUDA graphs"]["runs_in"].endswith("compiled")
    assert lines["one worker"]["rows"] == 12
    assert lines["ViT-S/16, bfloat16, twice"]["same_bits"] == "yes"
    assert lines["ResNet-50, bfloat16, CUDA graphs"]["same_bits_twice"] == "yes"


def test_the_budgets_of_the_parts_fit_into_eight_minutes(figures: dict[str, Any]) -> None:
    assert [part["budget_seconds"] for part in figures["parts"].values()] == [90, 180, 120, 60]


def test_the_page_says_that_it_is_a_trial_and_shows_every_part(figures: dict[str, Any]) -> None:
    text = page.text(figures)
    assert "its figures mean nothing" in text
    assert page.MISSING not in text
    speed = figures["parts"]["fast"]["lines"]["ResNet-18, float32"]
    assert f"{speed['gradients_per_second']:,.0f} | " in text
    met = dict(speed, of_bare_loop=ASKED["of_bare_loop"])
    figures = json.loads(json.dumps(figures))
    figures["parts"]["fast"]["lines"] = {"one": met, "two": dict(met, of_bare_loop=0.89), "three": {"left_out": "late"}}
    text = page.text(figures)
    assert "| 0.90 (asked: 0.9) |" in text
    assert "| **0.89** (asked: 0.9) |" in text
    assert "* three: left out: late" in text


def test_the_page_is_what_its_figures_give() -> None:
    kept = json.loads(page.FIGURES.read_text(encoding="utf-8")) if page.FIGURES.exists() else {}
    assert page.PAGE.read_text(encoding="utf-8") == page.text(kept)


def test_peers_are_compared_with_the_fastest_mode() -> None:
    mode = {"network": "net", "side": 224, "mode": "a", "runs_in": "a", "tflops": 1.0, "gradients_per_row": 2.0,
            "gradients_per_second": 9.0, "of_bare_loop": 1.0, "of_bare_loop_with_the_same_kernels": 1.0,
            "same_bits_twice": "yes"}  # fmt: skip
    slow, quick = (
        mode | {"all_steps_rows_per_second": rate, "first_success_rows_per_second": 10 * rate} for rate in (3.0, 8.0)
    )
    peers = {"network": "net", "side": 224, "mode": "float32", "batch": 4,
             "peers": {"torchattacks": {"pgd_10_rows_per_second": 2.0, "pgd_40_rows_per_second": 0.5},
                       "foolbox": "not installed"}}  # fmt: skip
    text = page.text({"parts": {"fast": {"lines": {"slow": slow, "quick": quick, "peers": peers}}}})
    assert "| net, 224 px | torchattacks | float32 | 2.0 | 4.0x (asked: 4) | 160.0x (asked: 20) |" in text
    assert "| net | foolbox | float32 | not installed |" in text


# The runner


def part_of(seconds: float, **lines: Any) -> Part:
    return Part("part", "a part", seconds, lambda setting: lines)


def test_a_line_that_fails_or_takes_too_long_costs_no_other(tmp_path: Path) -> None:
    book = Book(tmp_path / "gpu.json")
    lines = {
        "broken": lambda: 1 / 0,
        "good": lambda: {"value": 1},
        "slow": lambda: [time.sleep(0.01) for _ in range(10_000)],
        "late": lambda: {"value": 2},
    }
    started = time.perf_counter()
    run_part(part_of(0.5, **lines), CPU, book)
    assert time.perf_counter() - started < 50
    found = book.read()["parts"]["part"]["lines"]
    assert found["broken"]["failed"] == "ZeroDivisionError: division by zero"
    assert found["good"]["value"] == 1
    assert found["slow"]["left_out"].startswith("cut off")
    assert found["late"]["left_out"].startswith("the time of the part was over")


def test_no_fallback_swallows_the_end_of_the_time() -> None:
    def stubborn() -> dict[str, Any]:
        for _ in range(2):
            try:
                time.sleep(30)
            except Exception:
                continue
        return {}

    setting = Setting(torch.device("cpu"), tiny=True, deadline=time.perf_counter() + 0.2)
    assert "left_out" in run_line(stubborn, setting)
    assert not issubclass(OutOfTimeError, Exception)


def test_an_interruption_loses_the_line_that_was_measured(tmp_path: Path) -> None:
    def interrupted() -> dict[str, Any]:
        raise KeyboardInterrupt

    book = Book(tmp_path / "gpu.json")
    with pytest.raises(KeyboardInterrupt):
        run_part(part_of(10, first=lambda: {"value": 1}, second=interrupted), CPU, book)
    assert list(book.read()["parts"]["part"]["lines"]) == ["first"]


def test_parts_of_another_machine_are_forgotten_and_those_of_this_one_kept(tmp_path: Path) -> None:
    book, here = Book(tmp_path / "gpu.json"), {"accelerator": "A", "cpu": "C", "tiny": False}
    book.machine(here)
    book.part("right", {"lines": {}})
    book.machine(here | {"date": "later"})
    assert list(book.read()["parts"]) == ["right"]
    book.machine(here | {"accelerator": "B"})
    assert book.read()["parts"] == {}


def test_a_report_of_tests_is_counted(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(
        '<testsuites><testsuite><testcase name="a">'
        '<properties><property name="rows" value="5"/></properties></testcase>'
        '<testcase name="b"><failure message="assert 1 == 2&#10;more"/></testcase>'
        '<testcase name="c"><skipped message="one card"/></testcase></testsuite></testsuites>'
    )
    found = read_report(tmp_path / "report.xml")
    assert (found["tests_passed"], found["tests_failed"], found["tests_skipped"]) == (1, 1, 1)
    assert found["failures"] == ["b: assert 1 == 2 more"]
    assert found["skipped_as"] == ["one card"]
    assert found["recorded"] == {"a": {"rows": "5"}}


def test_tests_that_take_too_long_are_interrupted_and_can_write_what_they_found(tmp_path: Path) -> None:
    code = "import pathlib, time\ntry: print('up', flush=True); time.sleep(60)\n"
    code += "except KeyboardInterrupt: pathlib.Path('found').touch()"
    line = [sys.executable, "-c", code]
    with interruptible():
        slow = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE)
    assert slow.stdout is not None
    slow.stdout.readline()
    assert not ended(slow, 0.1)
    assert (tmp_path / "found").exists()
    assert ended(subprocess.Popen([sys.executable, "-c", ""]), 60)


# The card and the networks


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA H200", 989.4),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA L40S", 362.0),
        ("NVIDIA L4", 121.0),
        ("Tesla T4", None),
    ],
)
def test_the_peak_of_a_card_goes_by_its_name(name: str, tflops: float | None) -> None:
    assert known_peak(name) == tflops


def test_the_networks_have_the_published_sizes() -> None:
    """Parameters of torchvision's ResNet-50 and timm's vit_small_patch16_224; a gradient is two forward passes."""
    with torch.device("meta"):
        sizes = {one.name: sum(weight.numel() for weight in one.make().parameters()) for one in networks(FULL)}
    assert sizes["ResNet-50"] == 25_557_032
    assert sizes["ViT-S/16"] == 22_050_664
    flops = {one.name: one.gradient_flops() for one in networks(FULL)}
    assert flops["ResNet-50"] == pytest.approx(2 * 2 * 4.09e9, rel=0.02)


def test_a_folder_without_wheels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no wheels"):
        install(tmp_path)


def test_what_travels_is_small_enough() -> None:
    folders = ("benchmarks", "docs", "jobs", "pipeline", "schemas", "src", "tests")
    assert sum(size_of(ROOT / folder) for folder in folders) < 20 * 2**20
