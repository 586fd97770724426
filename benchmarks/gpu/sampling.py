"""GAN training on the device with the figures of its samples, and how fast it samples."""

from __future__ import annotations

import time

import numpy as np
import torch
from benchmarks.attacks.timing import Contender, take_turns
from benchmarks.gpu.setting import Record, Setting
from benchmarks.gpu.subjects import digits

from hardset.pipeline.batches import CleanRows
from hardset.pipeline.gans.assessment import assess
from hardset.pipeline.gans.recipe import SampleRecipe
from hardset.pipeline.gans.training import train_generator
from hardset.pipeline.models.fitting import fit_classifier
from hardset.pipeline.models.zoo import small_cnn
from hardset.schemas.job.recipes import GanTraining

_SECONDS = 90.0  # of training, or what the part has left
_TRIAL = 50  # steps that the speed is taken from
_SPARE = 35.0  # seconds for assessing and sampling, and for the line after this one


def line(setting: Setting) -> Record:
    """Trains for 90 seconds, or what is left; figures on held-out digits, and sampled rows per second."""
    pixels, labels = digits()
    held = len(pixels) // 5
    real, classes = pixels[:-held], labels[:-held]

    def trained(steps: int) -> tuple[float, object]:
        settings = GanTraining(steps=steps, batch=setting.size(64, 16), features=setting.size(64, 8))
        started = time.perf_counter()
        made = train_generator(real, classes, classes=10, settings=settings, seed=0, device=setting.device)
        setting.settle()
        return time.perf_counter() - started, made

    trained(2)
    trial, generator = trained(setting.size(_TRIAL, 5))
    rate = setting.size(_TRIAL, 5) / trial
    record: Record = {"steps_per_second": round(rate, 2)}
    if not setting.tiny:
        seconds = min(_SECONDS, setting.left() - _SPARE)
        steps = max(_TRIAL, int(rate * max(seconds, 0)))
        took, generator = trained(steps)
        record |= {"steps": steps, "seconds": round(took, 2)}
    module = fit_classifier(small_cnn(), real, classes, epochs=setting.size(8, 1), seed=0).requires_grad_(False)
    figures = assess(
        generator,
        module.to(setting.device),
        held_out=pixels[-held:],
        training=real,
        rows=setting.size(1000, 50),
        device=setting.device,
    )
    record["figures"] = {name: round(value, 4) for name, value in figures.items()}
    count = setting.size(50_000, 64)
    asked = CleanRows(
        np.zeros((0, 0, 0, 1), np.uint8), np.arange(count) % 10, ("",) * count, np.arange(count, dtype=np.int64)
    )
    seeds = np.arange(count, dtype=np.int64)[:, None]
    recipe = SampleRecipe(generator, classes=10, batch=setting.size(1024, 32), device=torch.device(setting.device))
    times, _ = take_turns([Contender("sampling", lambda: recipe.make(asked, seeds))], 1, setting.settle)
    return record | {"sampled_rows_per_second": round(count / times["sampling"].seconds, 1)}
