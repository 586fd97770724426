"""The card and the machine around it: names, versions, and how fast the card could be at best."""

from __future__ import annotations

import os
import platform
import statistics
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from benchmarks.gpu.setting import Record, Setting

# Dense bfloat16 products, TFLOP/s, by NVIDIA's datasheets (figures with sparsity halved). The first that fits counts.
BF16_TFLOPS = (
    ("B200", 2250.0),
    ("GH200", 989.4),
    ("H200", 989.4),
    ("H100 NVL", 835.5),
    ("H100 PCIe", 756.5),
    ("H100", 989.4),
    ("H800", 989.4),
    ("A100", 312.0),
    ("A800", 312.0),
    ("A40", 149.7),
    ("A30", 165.0),
    ("L40S", 362.0),
    ("L40", 181.0),
    ("L4", 121.0),
)
_SHOWN = (
    "torch",
    "numpy",
    "opencv-python-headless",
    "kornia",
    "pydantic",
    "pyarrow",
    "pillow",
    "ray",
    "triton",
    "torchattacks",
    "foolbox",
)


def describe(setting: Setting) -> Record:
    """The machine that the figures belong to."""
    device = setting.device
    cuda = device.type == "cuda"
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "tiny": setting.tiny,
        "accelerator": torch.cuda.get_device_name(device) if cuda else None,
        "memory_gib": round(torch.cuda.get_device_properties(device).total_memory / 2**30, 1) if cuda else None,
        "devices": torch.cuda.device_count(),
        "cuda": torch.version.cuda if cuda else None,
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: found for name in _SHOWN if (found := installed(name))},
    }


def installed(package: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def known_peak(name: str) -> float | None:
    """Dense bfloat16 TFLOP/s of a card by its name; None for a card that is not in the table."""
    return next((tflops for part, tflops in BF16_TFLOPS if part in name), None)


def peak(setting: Setting) -> Record:
    """The card's datasheet rate for bfloat16 products, and the rate of one large product here."""
    measured = product_rate(setting.device, setting.size(8192, 256), setting)
    known = known_peak(torch.cuda.get_device_name(setting.device)) if setting.device.type == "cuda" else None
    return {"datasheet_tflops": known, "product_tflops": round(measured, 2)}


def product_rate(device: torch.device, side: int, setting: Setting) -> float:
    """TFLOP/s of a bfloat16 product of two random square matrices: the median of seven."""
    one, other = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for number in range(10):
        setting.settle()
        started = time.perf_counter()
        one @ other
        setting.settle()
        if number >= 3:
            seconds.append(time.perf_counter() - started)
    return 2 * side**3 / statistics.median(seconds) / 1e12


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
