"""Dispatcher: hands the shards of one run to actors, and yields each as it ends.

`pending` decides what becomes of a shard that failed, `fleet` how many actors there are, `loads` who gets the next
shard; here the events of the backend become those questions. Memory does not grow with the number of shards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from hardset.pipeline.cluster.backend import Backend, Event
from hardset.pipeline.cluster.deadlines import Deadlines, Stop
from hardset.pipeline.cluster.fleet import Fleet
from hardset.pipeline.cluster.fresh import FreshShards
from hardset.pipeline.cluster.loads import Loads
from hardset.pipeline.cluster.messages import Died, Order, Passed, Placed, Raised, Ready, Tally
from hardset.pipeline.cluster.pending import FailedTry, PendingShard, Rules, after_fault, after_pass
from hardset.pipeline.shards.reading import part_of
from hardset.schemas.job.job import Run
from hardset.schemas.records.run import Failure, Receipt, Shard, SourceRange

POLL_SECONDS = 0.5
"""How often a request to stop, and deadlines, are looked at."""
MOST_GIVEN_UP = 8
"""Shards given up after which none is searched for bad rows any more, as then it is not the rows. Before any shard was
made, one is enough."""


@dataclass(frozen=True)
class _InHand:
    """Shard in the hands of an actor."""

    work: PendingShard
    since: float
    load: int
    """What it counts for: a suspect fills its actor."""


class Dispatcher:
    """Feeds the shards of one run to the actors of a backend."""

    def __init__(
        self,
        run: Run,
        ranges: Sequence[SourceRange],
        stop: Stop,
        backend: Backend,
        *,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`tell` is given, in a sentence, what someone who watches should know."""
        self._run, self._ranges, self._stop, self._backend, self._tell = run, ranges, stop, backend, tell
        self._loads = Loads(run.shards_per_actor)
        self._fleet = Fleet(run, backend, tell, self._loads)
        self._deadlines = Deadlines(None if run.shard_minutes is None else 60 * run.shard_minutes)
        self._fresh = FreshShards()
        self._again: deque[PendingShard] = deque()
        self._suspects: deque[PendingShard] = deque()
        self._hands: dict[int, dict[int, _InHand]] = {}
        """Shards in hand by actor and ticket."""
        self._in_hand = 0
        self._given_up, self._made_any = 0, False
        self._checked = backend.now()
        self._tally = Tally()

    def run(self, shards: Sequence[Shard]) -> Iterator[Receipt | Failure]:
        """Makes `shards`, range by range. Once `stop` is set it ends early: the shards in hand are finished, or dropped
        when their time has expired.

        Raises the UserError that an actor met where trying again cannot help, RunError where there are no actors.
        """
        self._fresh = FreshShards(shards)
        try:
            while not self._stop.expired() and (self._in_hand or (self._waiting and not self._stop.is_set())):
                self._fleet.resize(self._in_hand + (0 if self._stop.is_set() else self._waiting))
                self._feed()
                for event in sorted(self._backend.wait(POLL_SECONDS), key=_deaths_last):
                    yield from self._take(event)
                if self._backend.now() - self._checked >= POLL_SECONDS:
                    self._checked = self._backend.now()
                    self._fleet.check()
                    yield from self._abandon_overdue()
        finally:
            self._fleet.disband()

    def tally(self) -> Tally:
        """Counts of the run so far."""
        return replace(
            self._tally,
            actors=len(self._loads),
            actors_starting=self._fleet.starting,
            shards_in_hand=self._in_hand,
            shards_waiting=self._waiting,
        )

    @property
    def _waiting(self) -> int:
        return len(self._fresh) + len(self._again) + len(self._suspects)

    def _feed(self) -> None:
        """Hands out what waits: suspects to actors with nothing in hand, the rest wherever there is room."""
        while not self._stop.is_set():
            if self._suspects and (actor := self._loads.for_suspect()) is not None:
                self._hand_out(actor, self._suspects.popleft())
                continue
            if not self._suspects:
                self._loads.reserved = None
            ordinary = len(self._fresh) + len(self._again)
            if not ordinary or (actor := self._loads.for_ordinary(ordinary)) is None:
                return
            self._hand_out(actor, self._again.popleft() if self._again else PendingShard(self._fresh.take(actor)))

    def _hand_out(self, actor: int, work: PendingShard) -> None:
        shard = work.shard
        rows = None if shard.range is None else self._ranges[shard.range]
        probe = work.search is not None
        if probe:
            shard, rows = part_of(shard, rows, *work.span)
            self._tally.probes += 1
        else:
            work = replace(work, tries=work.tries + 1)
        ticket = self._backend.send(actor, Order(shard, rows, max(1, work.tries), work.bad, probe))
        load = self._loads.depth if work.alone else 1
        self._hands.setdefault(actor, {})[ticket] = _InHand(work, self._backend.now(), load)
        self._loads.change(actor, load)
        self._in_hand += 1

    def _take(self, event: Event) -> Iterator[Receipt | Failure]:
        """Handles an event of an actor."""
        actor, result = event.actor, event.result
        if event.ticket is None:
            if isinstance(result, Placed):
                self._fleet.placed(actor)
            elif isinstance(result, Ready):
                self._fleet.admit(actor)
            elif isinstance(result, Raised | Died):
                self._fleet.failed_to_start(actor, result)
        elif event.ticket not in self._hands.get(actor, {}):
            return  # of an actor that was given up
        elif isinstance(result, Died):
            yield from self._lose(actor, _fault_of(result))
        elif isinstance(result, Raised) and result.broken:
            yield from self._lose(actor, FailedTry("died", result.error_class, result.message))
        else:
            yield from self._settle(self._put_down(actor, event.ticket), result)

    def _settle(self, done: _InHand, result: Placed | Ready | Receipt | Passed | Raised) -> Iterator[Receipt | Failure]:
        if isinstance(result, Raised):
            yield from self._charge(done.work, FailedTry("raised", result.error_class, result.message, result.error))
            return
        self._fleet.count_success()
        if isinstance(result, Receipt):
            self._made_any = True
            self._deadlines.learn(self._backend.now() - done.since)
            yield result
        else:
            self._suspects.appendleft(after_pass(done.work))

    def _put_down(self, actor: int, ticket: int) -> _InHand:
        held = self._hands[actor].pop(ticket)
        self._loads.change(actor, -held.load)
        self._in_hand -= 1
        return held

    def _lose(self, actor: int, fault: FailedTry, overdue: Sequence[int] = ()) -> Iterator[Receipt | Failure]:
        """The actor is gone, and all that it had in hand is to be made elsewhere.

        `overdue`: tickets that `fault` is about; where empty, it is about all.
        """
        lost = self._hands.pop(actor)
        self._in_hand -= len(lost)
        self._fleet.remove(actor)
        self._tally.deaths += fault.kind == "died"
        self._tally.abandoned += fault.kind == "stuck"
        self._tally.nodes_lost += fault.kind == "node lost"
        if fault.kind != "node lost" and not any(held.work.search for held in lost.values()):
            self._fleet.count_death(str(fault))
        for ticket, held in reversed(lost.items()):
            of_this = not overdue or ticket in overdue
            yield from self._charge(held.work, fault if of_this else replace(fault, kind="died"), company=len(lost) - 1)

    def _charge(self, work: PendingShard, fault: FailedTry, *, company: int = 0) -> Iterator[Failure]:
        """Puts the shard back in line, in front, or gives it up."""
        few = self._given_up < (MOST_GIVEN_UP if self._made_any else 1)
        rules = Rules(self._run.max_attempts, search=few)
        self._tally.retries += work.search is None
        after = after_fault(work, fault, rules, company=company)
        if isinstance(after, Failure):
            self._given_up += 1
            yield after
            return
        if len(after.bad) > len(work.bad):
            self._tally.bad_rows += 1
            bad = after.bad[-1]
            self._tell(f"shard {work.shard.index}: row {bad.row} goes to quarantine ({bad.error_class}: {bad.message})")
        if after.alone and not work.alone:
            self._suspects.append(after)  # searches that have begun are ended first
        else:
            (self._suspects if after.alone else self._again).appendleft(after)

    def _abandon_overdue(self) -> Iterator[Receipt | Failure]:
        now, whole = self._backend.now(), self._deadlines.whole()
        late = now - whole  # no whole shard handed out since has less time
        for actor, hands in list(self._hands.items()):
            overdue = [
                ticket
                for ticket, held in hands.items()
                if (held.since < late or held.work.search) and now - held.since > self._deadlines.of(held.work, whole)
            ]
            if overdue:
                minutes = (now - hands[overdue[0]].since) / 60
                self._tell(f"a worker gave no answer for {minutes:.1f} minutes; its work goes to another")
                fault = FailedTry("stuck", "WorkerStuck", f"gave no answer for {minutes:.1f} minutes")
                yield from self._lose(actor, fault, overdue)


def _deaths_last(event: Event) -> bool:
    """What an actor finished before it died counts as finished."""
    return isinstance(event.result, Died)


def _fault_of(died: Died) -> FailedTry:
    return FailedTry(
        "node lost" if died.node_lost else "died", "NodeLost" if died.node_lost else "WorkerDied", died.message
    )
