"""Generators as they are trained, and how good their rows are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hardset.jobs.api.generators import Hears, TrainedGenerator, train_generators
from hardset.jobs.terminal.console import console, count
from hardset.jobs.terminal.progress import LINE_SECONDS
from hardset.jobs.terminal.stopping import GRACE_SECONDS, stop_on_signal
from hardset.jobs.terminal.voice import LogFormat, Voice, speaking
from hardset.pipeline.gans.selection import Measure
from hardset.pipeline.gans.training import Stopped
from hardset.schemas.job.job import Job


def train(
    job: Job, grace_seconds: float = GRACE_SECONDS, log_format: LogFormat = LogFormat.TEXT
) -> tuple[TrainedGenerator, ...] | None:
    """Trains the generators of the job, telling how far they are and where they lie; None where a signal stopped it."""
    with (
        speaking(log_format) as voice,
        stop_on_signal(voice, grace_seconds, left="keeping a checkpoint") as stop,
    ):
        try:
            with _steps(voice, log_format) as on_step:
                trained = train_generators(job, _hears(voice, on_step, stop.is_set))
        except Stopped as stopped:
            voice.say(
                f"Stopped at step {stopped.step:,} of {stopped.steps:,}; start the same command again to go on",
                event="ended",
                status="stopped",
                step=stopped.step,
                steps=stopped.steps,
            )
            return None
        for one in trained:
            _tell(one, voice)
    return trained


def _hears(voice: Voice, on_step: Callable[[str, int, int], None], stop: Callable[[], bool]) -> Hears:
    def measured(weights: str, found: Measure) -> None:
        text = f"step {found.step:,}: FD {found.distance:.2f}, recall {found.recall:.2f} (selection rows)"
        voice.say(text, event="measured", weights=weights, **found.model_dump())

    def returned(weights: str, step: int, slower: float) -> None:
        voice.warn(
            f"{weights}: diverged; back at step {step:,}, with {slower:g} of the rates",
            weights=weights,
            step=step,
            slower=slower,
        )

    def resumed(weights: str, step: int) -> None:
        voice.say(f"{weights}: going on at step {step:,}", event="resumed", weights=weights, step=step)

    return Hears(on_step, measured, returned, resumed, stop)


def _tell(one: TrainedGenerator, voice: Voice) -> None:
    kept = f"that of step {one.step:,} was the best" if one.measured else "the last is kept, as nothing measured others"
    voice.say(
        f"{one.weights}: trained on {count(one.rows, 'row')} in {one.seconds:.0f} s ({one.steps:,} steps; {kept})",
        event="trained",
        weights=one.weights,
        sha256=one.sha256,
        rows=one.rows,
        steps=one.steps,
        step=one.step,
        seconds=round(one.seconds, 3),
        quality=one.quality,
    )
    voice.say(f"  samples by step, and curves: {one.page}", event="page", page=one.page)
    if one.not_assessed is not None:
        voice.say(f"not assessed: {one.not_assessed}", event="not_assessed", weights=one.weights)
    if one.quality is not None:
        figures = ", ".join(f"{name} {value:.2f}" for name, value in one.quality.items())
        voice.say(f"  {figures}", event="assessed", weights=one.weights, **one.quality)


@contextmanager
def _steps(voice: Voice, log_format: LogFormat) -> Iterator[Callable[[str, int, int], None]]:
    """A callback that shows the step: on a terminal as it comes, elsewhere in a line a minute."""
    if console.is_terminal and log_format is LogFormat.TEXT:
        with console.status("training the generator") as shown:
            yield lambda weights, step, steps: shown.update(f"training {weights}: step {step:,} of {steps:,}")
    else:
        yield _Lines(voice)


class _Lines:
    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._last = self._started = time.monotonic()
        self._weights, self._first = "", 0

    def __call__(self, weights: str, step: int, steps: int) -> None:
        now = time.monotonic()
        if weights != self._weights:
            self._weights, self._first, self._started = weights, step - 1, now
        if now - self._last < LINE_SECONDS:
            return
        self._last = now
        left = (now - self._started) / (step - self._first) * (steps - step)
        self._voice.say(
            f"{weights}: step {step:,} of {steps:,}  about {left:,.0f} s left",
            event="progress",
            weights=weights,
            step=step,
            steps=steps,
            seconds_left=round(left),
        )
