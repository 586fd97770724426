"""Report of a generator's training: its samples by step, the curves, and how good the kept one is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from numpy import uint8
from numpy.typing import NDArray

from hardset.pipeline.gans.checkpoints import Progress
from hardset.pipeline.gans.selection import best
from hardset.pipeline.reporting.embedding import embedded
from hardset.pipeline.reporting.markup import Markup, element, join
from hardset.pipeline.reporting.plots import Line, plot
from hardset.pipeline.reporting.shell import Chapter, html_page
from hardset.pipeline.reporting.tables import detail, facts
from hardset.pipeline.reporting.wording import number

_MOST_BYTES = 400_000  # of a grid; larger ones are compressed


@dataclass(frozen=True)
class TrainingContent:
    """A training, under way or done."""

    name: str
    """Where its weights lie."""
    progress: Progress
    grids: Mapping[int, NDArray[uint8]]
    """By step, samples of the average: uint8 (H, W, C), a line for each of the first classes."""
    version: str = ""
    """hardset's."""


def training_page(content: TrainingContent) -> str:
    """HTML of a training, one file without network access."""
    progress = content.progress
    lead = join(f"{progress.step:,} of {progress.training.steps or 0:,} steps")
    chapters = [
        Chapter(anchor, heading, body)
        for anchor, heading, body in (
            ("curves", "Curves", _curves(progress)),
            ("samples", "Samples by step", _samples(content)),
            ("settings", "Settings", _settings(progress)),
        )
        if body is not None
    ]
    return html_page(
        title=f"{content.name}: training of a generator",
        heading=content.name,
        lead=lead,
        top=None,
        chapters=chapters,
        version=content.version,
    )


def _curves(progress: Progress) -> Markup | None:
    measured, losses = progress.measured, progress.losses
    drawn = []
    if measured:
        rows = "selection rows"
        distances = Line("FD", tuple((one.step, one.distance) for one in measured))
        recalls = Line("recall", tuple((one.step, one.recall) for one in measured))
        drawn.append(plot("Fréchet distance", [distances], "step", subtitle=rows))
        drawn.append(plot("Recall", [recalls], "step", subtitle=rows))
    if losses:
        lines = [
            Line("discriminator", tuple((one.step, one.discriminator) for one in losses)),
            Line("generator", tuple((one.step, one.generator) for one in losses)),
        ]
        drawn.append(plot("Losses", lines, "step", subtitle="means between checks"))
    return element("div", drawn, class_="charts two") if drawn else None


def _samples(content: TrainingContent) -> Markup | None:
    if not content.grids:
        return None
    measured = {one.step: one for one in content.progress.measured}
    kept = best(content.progress.measured).step if measured else None
    figures = []
    for step, pixels in sorted(content.grids.items()):
        found = measured.get(step)
        about = [] if found is None else [f"FD {number(found.distance, 3)}", f"recall {number(found.recall, 2)}"]
        if step == kept:
            about.append("best so far" if content.progress.step < (content.progress.training.steps or 0) else "kept")
        caption = element("figcaption", detail(f"Step {step:,}", ", ".join(about)))
        picture = embedded(pixels, _MOST_BYTES).uri
        height, width = pixels.shape[:2]
        image = element("img", src=picture, alt=f"Samples of step {step:,}", width=width, height=height, loading="lazy")
        figures.append(element("figure", caption, image, class_="chart"))
    note = element("p", "A line for each of the first classes; the latents are the same at every step.", class_="soft")
    return join(note, element("div", figures, class_="charts samples"))


def _settings(progress: Progress) -> Markup:
    settings = progress.training.model_dump(mode="json", exclude_none=True)
    rows = [(name, element("code", str(value))) for name, value in settings.items()]
    more = [("seed", element("code", str(progress.seed))), ("rows", element("code", progress.trained_on[:16]))]
    return facts("Settings, with nothing left open", [*rows, *more])
