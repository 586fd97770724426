"""Warnings about rounds: a model that memorises its rows, and robustness that further training undid."""

from __future__ import annotations

from collections.abc import Sequence

from hardset.schemas.records.hardening import LoopStart, Round

_SHARD_AHEAD = 0.25
"""Accepted gap between accuracy on the own shard and robust accuracy, as a share; one static round measured 0.9."""
_BEST_AHEAD = 0.05


def loop_warnings(start: LoopStart, rounds: Sequence[Round], best: LoopStart | Round) -> tuple[str, ...]:
    """One sentence per warning: what was observed, why it matters, what to do."""
    found = []
    if not rounds:
        return ()
    last = rounds[-1]
    ahead = last.shard.value - last.validation.robust.value if last.shard else 0.0
    if last.shard and ahead > _SHARD_AHEAD:
        found.append(
            f"the last round has {_percent(last.shard.value)} of its own shard right, but withstands a fresh attack on "
            f"{_percent(last.validation.robust.value)}: it knows those rows rather than resists; add rounds, or use "
            "method: pgd_at"
        )
    fallen = best.validation.robust.value - last.validation.robust.value
    if fallen > _BEST_AHEAD:
        which = f"round {best.number}" if isinstance(best, Round) else "the start"
        found.append(
            f"{which} is the most robust, {100 * fallen:.0f} points above the last round: training went on too long "
            "(robust overfitting); set fewer rounds, or ema"
        )
    if best is start:
        found.append("no round is more robust than the weights that it started from; they are kept")
    return tuple(found)


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
