"""Which device work runs on."""

from __future__ import annotations

import torch

from hardset.schemas.job.job import Run


def driver_device(run: Run) -> torch.device:
    """Where the driver tries and re-creates rows: a GPU only if the actors use one and the driver's machine has it."""
    use_gpu = run.gpus_per_actor > 0 and torch.cuda.is_available()
    return torch.device("cuda" if use_gpu else "cpu")
