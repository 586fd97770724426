"""The arithmetic a network is searched in: float32, TF32, bfloat16, and compiled into CUDA graphs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from benchmarks.gpu.setting import Setting


@dataclass(frozen=True)
class Mode:
    """One way to run the search; peers and the bare loop run in the mode of `tf32` alone."""

    name: str
    precision: Literal["float32", "bfloat16"] = "float32"
    tf32: bool = False
    """Whether float32 products and convolutions may round their factors to TF32."""
    compile: bool = False
    """On CUDA in graphs (`reduce-overhead`)."""


FLOAT32, TF32, BFLOAT16 = Mode("float32"), Mode("TF32", tf32=True), Mode("bfloat16", "bfloat16", tf32=True)
COMPILED = Mode("bfloat16, CUDA graphs", "bfloat16", tf32=True, compile=True)
COMPILED_TF32 = Mode("TF32, CUDA graphs", tf32=True, compile=True)


def compiler(setting: Setting) -> AbstractContextManager[Any]:
    """torch.compile as it is; in a tiny trial it hands the model through, as compiling takes longer than all else."""
    return torch.compiler.set_stance("force_eager") if setting.tiny else nullcontext()


@contextmanager
def switches(mode: Mode) -> Iterator[None]:
    """torch's switches for float32 products and convolutions on CUDA as the mode wants them; put back afterwards."""
    backends: Any = torch.backends
    both = backends.cuda.matmul, backends.cudnn.conv
    before = [backend.fp32_precision for backend in both]
    try:
        for backend in both:
            backend.fp32_precision = "tf32" if mode.tf32 else "ieee"
        yield
    finally:
        for backend, precision in zip(both, before, strict=True):
            backend.fp32_precision = precision
