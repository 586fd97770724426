"""The machine that the figures were measured on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import torch
from benchmarks.attacks.adapters import LIBRARIES

from hardset.pipeline.dataset.provenance.environment import versions

_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def describe(device: torch.device) -> dict[str, object]:
    """Processor, vector units, threads, library versions and date."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu("model name") or platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "vector_units": [flag for flag in _FLAGS if flag in _cpu("flags").split()],
        "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "load_at_start": round(os.getloadavg()[0], 2),
        "versions": versions() | {library.name: library.version for library in LIBRARIES.values() if library.version},
    }


def _cpu(key: str) -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.split("\t")[0].strip() == key), "")
