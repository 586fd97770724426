"""Where time goes on the device, by torch's profiler."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.gpu.setting import Record, Setting
from torch.profiler import ProfilerActivity, profile

_ROWS = 15


def profiled(work: Callable[[], object], setting: Setting) -> Record:
    """The kernels of most time, their share of the whole time, and the share in which the device did nothing.

    On a CPU the operations instead of kernels.
    """
    cuda = setting.device.type == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    with profile(activities=activities) as seen:
        started = time.perf_counter()
        work()
        setting.settle()
        whole = (time.perf_counter() - started) * 1e6
    name = "self_device_time_total" if cuda else "self_cpu_time_total"
    averages = sorted(seen.key_averages(), key=lambda one: -getattr(one, name))
    if cuda:  # operators carry the time of the kernels they launch a second time
        averages = [one for one in averages if str(one.device_type).endswith("CUDA")]
    busy = sum(getattr(one, name) for one in averages)
    return {
        "idle_share": round(max(0.0, 1 - busy / whole), 3) if cuda else None,
        "kernels": [
            {"name": one.key[:90], "share": round(getattr(one, name) / whole, 4), "calls": one.count}
            for one in averages[:_ROWS]
        ],
    }
