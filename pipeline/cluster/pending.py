"""Pending shards: what each has cost so far, and what becomes of it when something goes wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from hardset.pipeline.cluster.bisection import Bisection
from hardset.pipeline.shards.reading import BadRow
from hardset.schemas.errors import JobError, UserError
from hardset.schemas.records.run import Failure, Shard

MAX_BAD_ROWS = 8
"""Most rows that a shard may lose to quarantine because whoever makes them fails; with more it counts as failed."""
MAX_SEARCHES_IN_VAIN = 4
"""Most searches of one shard that may end without a row that fails by itself: a death by chance leads one astray, and
the next goes on behind the rows that it cleared."""
MAX_NODES_LOST = 50
"""Most nodes that may go away under a shard before it is asked whether it takes them down."""


@dataclass(frozen=True)
class FailedTry:
    """Reason why a try came to nothing."""

    kind: Literal["raised", "died", "stuck", "node lost"]
    error_class: str
    """Class of the error, as quarantine shows it."""
    message: str
    error: UserError | None = None

    def __str__(self) -> str:
        return f"{self.error_class}: {self.message}"


@dataclass(frozen=True)
class Rules:
    """Rules of a run's patience with its shards."""

    max_attempts: int
    search: bool = True
    """Whether shards that fail every time are searched for bad rows."""


@dataclass(frozen=True)
class PendingShard:
    """A shard that waits or runs."""

    shard: Shard
    tries: int = 0
    """Number of times it was handed out, probes aside."""
    attempts: int = 0
    """Number of failed tries that are charged to it, probes aside."""
    patience_spent: int = 0
    """Number of charged tries since the last search in vain."""
    refusals: int = 0
    """Number of tries that ended in a RunError: storage or the run is at fault, and no row."""
    alone: bool = False
    """Whether it is a suspect: it may kill its worker, or is searched, so it is made in an otherwise idle actor."""
    nodes_lost: int = 0
    overdue: int = 0
    """Number of times it was abandoned for want of an answer, probes aside; each doubles its deadline."""
    bad: tuple[BadRow, ...] = ()
    """Rows found so far, in order."""
    cleared: int | None = None
    """Row before which all are cleared or bad; None: nothing is known yet."""
    search: Bisection | None = None
    """The search at hand."""
    searches_in_vain: int = 0

    @property
    def span(self) -> tuple[int, int]:
        """The rows that are made next: start, and one past the last."""
        return self.search.span if self.search else (self.shard.start, self.shard.stop)


def after_pass(work: PendingShard) -> PendingShard:
    """What is next once a probe went well: its next probe, or the shard itself."""
    if work.search is None:
        return work
    search = work.search.passed()
    if search is not None:
        return replace(work, search=search)
    return replace(
        work,
        search=None,
        cleared=work.search.span[1],
        searches_in_vain=work.searches_in_vain + 1,
        patience_spent=0,
    )


def after_fault(work: PendingShard, fault: FailedTry, rules: Rules, *, company: int = 0) -> PendingShard | Failure:
    """What becomes of a shard whose try came to nothing: it is made or probed again, or given up.

    `company`: shards that the actor had in hand besides it. Raises the UserError of a fault that no further try mends.
    """
    if fault.error is not None:
        work = replace(work, refusals=work.refusals + 1)
        if fault.error.exit_code == JobError.exit_code or work.refusals >= rules.max_attempts:
            raise fault.error
        return work
    if fault.kind == "node lost" and work.nodes_lost < MAX_NODES_LOST:
        return replace(work, nodes_lost=work.nodes_lost + 1)
    if fault.kind == "stuck" and work.search is None:
        work = replace(work, overdue=work.overdue + 1)
    if fault.kind != "raised":
        work = replace(work, alone=True)
        if company:
            return work
    if work.search is not None and rules.search:
        return _after_failed_probe(work, work.search.failed(), fault)
    charged = work.search is None
    work = replace(work, search=None, attempts=work.attempts + charged, patience_spent=work.patience_spent + charged)
    return work if work.patience_spent < rules.max_attempts else _searched_or_given_up(work, fault, rules)


def _after_failed_probe(work: PendingShard, search: Bisection, fault: FailedTry) -> PendingShard:
    if search.found is None:
        return replace(work, search=search)
    bad = BadRow(row=search.found, error_class=fault.error_class, message=fault.message[:200])
    return replace(work, search=None, bad=(*work.bad, bad), cleared=bad.row + 1)


def _searched_or_given_up(work: PendingShard, fault: FailedTry, rules: Rules) -> PendingShard | Failure:
    low = work.shard.start if work.cleared is None else work.cleared
    why = ""
    if len(work.bad) >= MAX_BAD_ROWS:
        why = f"; more than {MAX_BAD_ROWS} of its rows fail"
    elif work.searches_in_vain >= MAX_SEARCHES_IN_VAIN or low >= work.shard.stop:
        why = "; no row of it fails by itself"
    elif rules.search:
        return replace(work, alone=True, search=Bisection(low, work.shard.stop))
    return Failure(index=work.shard.index, key=work.shard.key, attempts=work.attempts, error=f"{fault}{why}"[:500])
