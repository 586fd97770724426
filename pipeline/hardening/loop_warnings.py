"""What rounds warn of: rows that a model merely learns to know, and robustness that later training undid."""

from __future__ import annotations

from collections.abc import Sequence

from hardset.schemas.records.hardening import Round, Start

_SHARD_AHEAD = 0.25
"""Share of the rows by which a shard's accuracy may lie above robust accuracy; one static round measured 0.9."""
_BEST_AHEAD = 0.05


def loop_warnings(start: Start, rounds: Sequence[Round], best: Start | Round) -> tuple[str, ...]:
    """One sentence each: what was seen, why it matters, what to do."""
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
