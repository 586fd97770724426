"""Report of a hardening loop: figures of each round, and the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardset.pipeline.reporting.curves import Curve, Value, curves, interval
from hardset.pipeline.reporting.markup import Child, Markup, element, join
from hardset.pipeline.reporting.shell import Chapter, html_page
from hardset.pipeline.reporting.tables import TableColumn, detail, table
from hardset.pipeline.reporting.wording import NONE, counted, percent
from hardset.pipeline.statistics.shares import share
from hardset.schemas.records.hardening import Figures, Hardening, LoopStart, Round, Score


@dataclass(frozen=True)
class LoopContent:
    """Records of one loop; `whole` is None while it is unfinished."""

    start: LoopStart
    rounds: tuple[Round, ...]
    whole: Hardening | None


def hardening_page(loops: Sequence[LoopContent]) -> str:
    """HTML of a folder that holds a loop and no finished run."""
    whole = loops[-1].whole
    name = str(whole.job.get("name", "Hardening")) if whole else "Hardening"
    version = whole.environment.get("hardset", "") if whole else ""
    lead = join("Hardening ", element("code", loops[-1].start.loop_id))
    chapters = hardening_chapters(loops)
    return html_page(
        title=f"{name}: hardset report", heading=name, lead=lead, top=None, chapters=chapters, version=version
    )


def hardening_chapters(loops: Sequence[LoopContent]) -> list[Chapter]:
    """Chapters, one per loop, the newest last."""
    single = len(loops) == 1
    return [
        Chapter(f"hardening-{number}", "Hardening" if single else f"Hardening {number}", _body(loop))
        for number, loop in enumerate(loops, 1)
    ]


def _body(loop: LoopContent) -> Markup:
    return join(_outcome(loop.whole) if loop.whole else _under_way(loop), _chart(loop), _rounds(loop))


def _outcome(whole: Hardening) -> Markup:
    columns = (TableColumn("Weights"), TableColumn("Clean", figures=True), TableColumn("Robust", figures=True))
    best = "those it started from" if whole.best == 0 else f"round {whole.best} of {whole.rounds}"
    rows = [_line("Before", "", whole.before), _line("After", best, whole.after)]
    caption = (
        f"Before and after, on {counted(whole.after.clean.of, 'row')} of the split {whole.judged_on}, by fresh attacks "
        f"({', '.join(whole.after.attacks) or 'none'}); {counted(whole.gradients, 'attack gradient')} in all"
    )
    warned = [element("li", text, class_="warning") for text in whole.warnings]
    return join(table(caption, columns, rows), element("ul", warned, class_="notices") if warned else None)


def _line(name: str, about: str, figures: Figures) -> list[Child]:
    return [detail(name, about), interval(value_of(figures.clean)), interval(value_of(figures.robust))]


def _under_way(loop: LoopContent) -> Markup:
    done = counted(len(loop.rounds), "round")
    return element("p", f"Under way: {done} done. Start the same command again to go on.", class_="soft")


def value_of(score: Score) -> Value:
    """A score with its interval."""
    found = share(score.rows, score.of)
    return Value(found.value, found.low, found.high)


def _chart(loop: LoopContent) -> Markup:
    """Validation figures by round, and accuracy on the round's own shard, which is not robustness."""
    measured = [loop.start.validation, *(one.validation for one in loop.rounds)]
    shown = [
        Curve("Clean", tuple(value_of(figures.clean) for figures in measured)),
        Curve("Robust, fresh attacks", tuple(value_of(figures.robust) for figures in measured)),
    ]
    own = (None, *(value_of(one.shard) if one.shard else None for one in loop.rounds))
    if any(own):
        shown.append(Curve("Its own shard, after training on it", own))
    places = ["start", *(str(one.number) for one in loop.rounds)]
    return element(
        "div", curves("Accuracy by round", places, shown, "round", subtitle="validation rows"), class_="charts two"
    )


def _rounds(loop: LoopContent) -> Markup:
    columns = (
        TableColumn("Round"),
        TableColumn("Clean", figures=True),
        TableColumn("Robust", figures=True),
        TableColumn("Own shard", figures=True),
        TableColumn("Rows made", figures=True),
        TableColumn("Gradients", figures=True),
        TableColumn("Loss", figures=True),
        TableColumn("Seconds", figures=True),
    )
    first: list[Child] = ["start", *_shares(loop.start.validation), *([NONE] * 5)]
    rows = [first] + [_round(one, best=loop.whole is not None and one.number == loop.whole.best) for one in loop.rounds]
    return table("Rounds, on validation rows", columns, rows)


def _round(one: Round, *, best: bool) -> list[Child]:
    run = f"run {one.run_id[:8]}" if one.run_id else ""
    about = ", ".join(filter(None, ("kept" if best else "", run)))
    return [
        detail(str(one.number), about),
        *_shares(one.validation),
        NONE if one.shard is None else percent(one.shard.value),
        f"{one.rows_made:,}",
        f"{one.training_gradients:,}",
        f"{one.loss:.3f}",
        f"{one.seconds:,.0f}",
    ]


def _shares(figures: Figures) -> tuple[Child, Child]:
    return percent(figures.clean.value), percent(figures.robust.value)
