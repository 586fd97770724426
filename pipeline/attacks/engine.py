"""The one loop behind every attack: fixed slots, continuously refilled.

A batch has a fixed number of slots. Each holds one work item (a row and a restart or target of it) with its own step
counter, budget, step size and target; an item that is done leaves and the next takes its slot, so no gradient is spent
on rows that are done and shapes never change. The model is evaluated at the 8-bit rounding of the iterate, within its
budget, and the gradient there moves the float iterate: what the search sees is what will be stored, at no extra pass.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hardset.pipeline.attacks.network import SearchNetwork
from hardset.pipeline.attacks.passes import Passes, Scores
from hardset.pipeline.attacks.search import Effort, Search, SearchOutcome, SearchRows
from hardset.pipeline.attacks.slots import SPENT, Slots
from hardset.pipeline.attacks.starts import Starts
from hardset.pipeline.attacks.verdicts import Verdicts
from hardset.pipeline.attacks.work_queue import Found, Item, WorkQueue
from hardset.pipeline.compute.devices import Divider
from hardset.pipeline.compute.levels import unit_images
from hardset.pipeline.compute.transfers import fetched, sent
from hardset.pipeline.judging.judge import deterministic, exact_float32, is_not_deterministic, seeded
from hardset.pipeline.models.modes import frozen


@dataclass(frozen=True)
class Engine:
    """A model and the way it is run. `model` takes float32 (S, C, H, W) in [0, 1]; it is held in eval mode and without
    parameter gradients while it is asked, and has all its flags back afterwards."""

    model: nn.Module
    """The model that gives the verdicts."""
    batch: int
    """Number of slots; with the device, it fixes the bytes of the result."""
    device: torch.device
    networks: tuple[SearchNetwork, ...] = ()
    """The model as the search runs it, its parts where losses are averaged over them; empty: the model itself."""
    divider: Divider = field(default_factory=Divider)
    """The tool that runs a batch in parts where memory does not hold it."""

    @property
    def exact(self) -> bool:
        """Whether the search sees the very logits of the verdict."""
        return all(network.exact for network in self.networks)

    def run(self, search: Search, rows: SearchRows) -> SearchOutcome:
        """Searches every row with a budget."""
        try:
            return self._run(search, rows, strict=True)
        except RuntimeError as error:
            if not is_not_deterministic(error):
                raise
        # The model needs a kernel that has no deterministic form; torch warns of it.
        return self._run(search, rows, strict=False)

    def _run(self, search: Search, rows: SearchRows, *, strict: bool) -> SearchOutcome:
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(frozen(self.model))
            if self.exact:
                stack.enter_context(exact_float32(self.device))
            stack.enter_context(deterministic(self.device, strict=strict))
            if search.repeats > 1:
                # Whoever works on a shard then gets the same answers.
                stack.enter_context(seeded(self.device))
            return _Run(self, search, rows).whole()

    def logits(self, images: Tensor) -> Tensor:
        """float32 logits (N, K) of any number of images, in float32 and in batches of the fixed shape."""
        with torch.no_grad(), frozen(self.model):
            return torch.cat([self._fixed_shape(part) for part in torch.split(images, self.batch)])

    def _fixed_shape(self, images: Tensor) -> Tensor:
        count = images.shape[0]
        index = torch.arange(self.batch, device=images.device).clamp_(max=count - 1)
        return self.asked(images.index_select(0, index))[:count]

    def asked(self, images: Tensor) -> Tensor:
        """float32 logits of a batch, by the model that gives the verdicts and in its arithmetic."""

        def work(rows: slice) -> tuple[Tensor]:
            logits: Tensor = self.model(images[rows])
            return (logits.float(),)

        with exact_float32(self.device):
            (logits,) = self.divider.run("the verdict on the search", len(images), work)
        return logits


class _Run:
    """The moving parts of one search: the slots, who sits in them, and what waits for a verdict."""

    def __init__(self, engine: Engine, search: Search, rows: SearchRows) -> None:
        self.engine, self.search, self.rows = engine, search, rows
        self.stop = search.after_success is not None
        scores: tuple[Scores, ...] = tuple(network.forward for network in engine.networks) or (engine.model,)
        self.passes = Passes(search, scores, engine.exact, rows.mask is not None, engine.divider)
        self.verdicts = Verdicts(self.passes, engine.asked, engine.batch)
        orders = search.restarts * rows.targets.shape[1]
        searched = np.flatnonzero(rows.budget > 0)
        self.queue = WorkQueue(searched, len(rows), orders, stop_at_success=self.stop, follows=rows.follows)
        clean = unit_images(rows.pixels)
        self.results = clean if rows.start is None else rows.start.clone()
        self.starts = Starts.of(search, rows, searched, self.results)
        self.slots: Slots | None = None
        self.seats: list[Item | None] = [None] * engine.batch
        self.steps = np.zeros(engine.batch, np.int64)
        self.resumed: list[tuple[Item, Slots, int]] = []
        self.batches = 0
        self.between_waits = _passes_between_waits(engine.device)

    def whole(self) -> SearchOutcome:
        while self.refill():
            assert self.slots is not None
            ahead = self.passes_ahead()
            for _ in range(ahead):
                self.passes.one(self.slots)
            self.batches += ahead * self.search.views
            self.steps += ahead
            self.collect(self.slots)
        queue = self.queue
        for row, leader in queue.inherited:
            self.results[row] = self.results[leader]
        gradients = queue.gradients()
        effort = Effort(self.batches, int(gradients.sum()), queue.wasted, self.verdicts.spent)
        return SearchOutcome(
            images=self.results,
            rank=queue.rank,
            loss=queue.loss,
            gradients=gradients,
            queries=queue.queries(),
            flat=queue.flat(),
            nonfinite=queue.nonfinite(),
            rose=queue.rose(),
            effort=effort,
        )

    def passes_ahead(self) -> int:
        """Number of passes until the slots are looked at: until half are out of steps, or may have fallen long ago."""
        taken = [slot for slot, item in enumerate(self.seats) if item]
        left = np.sort(self.search.steps - self.steps[taken])
        half = int(left[(len(left) - 1) // 2])
        return min(half, self.between_waits) if self.stop else half

    # Refilling

    def refill(self) -> bool:
        """Seats waiting items in the free slots; False when all work is done."""
        while True:
            self.settle_before_restarts()
            free = [slot for slot, item in enumerate(self.seats) if item is None]
            resumed, self.resumed = self.resumed[: len(free)], self.resumed[len(free) :]
            items = list(self.queue.pop(len(free) - len(resumed)))
            entering = [item for item, _, _ in resumed] + items
            parts = [state for _, state, _ in resumed] + ([self.starts.fresh(items)] if items else [])
            if entering:
                self.seat(free[: len(entering)], entering, Slots.joined(parts))
                self.steps[free[: len(entering)]] = [step for _, _, step in resumed] + [0] * len(items)
            idle = len(free) - len(entering)
            at_work = idle < len(self.seats)
            if at_work and not (self.queue.blocked and 4 * idle >= len(self.seats)):
                return True
            if not self.verdicts.waiting:
                return at_work
            # Rows that wait for these verdicts could use the idle slots; a forward pass costs less than they do.
            self.settle(everything=True)

    def settle_before_restarts(self) -> None:
        """A row whose verdict is pending must not be started anew before it is known."""
        item = self.queue.peek()
        if self.stop and item and self.verdicts.awaits(item.row):
            self.settle(everything=True)

    def seat(self, places: list[int], items: list[Item], state: Slots) -> None:
        index = sent(places, self.engine.device)
        if self.slots is None:
            # Slots that find no work repeat a real row, so that no kernel meets values it would not meet anyway.
            self.slots = state.padded(self.engine.batch).take(torch.arange(self.engine.batch, device=index.device))
            self.slots.status.fill_(SPENT)
        self.slots.put(index, state)
        for place, item in zip(places, items, strict=True):
            self.seats[place] = item

    # Collecting

    def collect(self, slots: Slots) -> None:
        """Empties the slots that are done. Waits for the device once, and once for each batch of verdicts."""
        status, _, *figures = _figures(slots)
        gradients = figures[_GRADIENTS]
        fallen, unsettled = self.verdicts.sorted_by_status(status, self.seats)
        if fallen:
            self.book(*self.leave(slots, fallen), [figure[fallen] for figure in figures])
        if unsettled:
            self.verdicts.add(*self.leave(slots, unsettled))
        for slot, item in enumerate(self.seats if self.stop else ()):
            if item and self.queue.superseded(item):
                self.queue.drop(int(gradients[slot]))
                self.seats[slot] = None
                slots.status[slot] = SPENT
        self.settle(everything=False)

    def leave(self, slots: Slots, places: list[int]) -> tuple[list[Item], Slots]:
        """Frees slots; returns the items that sat there, and a copy of their state."""
        items = [item for place in places if (item := self.seats[place])]
        for place in places:
            self.seats[place] = None
        return items, slots.take(sent(places, self.engine.device))

    def settle(self, *, everything: bool) -> None:
        """Has waiting items judged; books those that are over, and lets wrongly suspected ones go on."""
        for items, state in self.verdicts.given(everything=everything):
            status, step, *figures = _figures(state)
            over, cleared = self.verdicts.cleared(items, status)
            for position in cleared:
                alone = state.take(sent([position], self.engine.device))
                self.resumed.append((items[position], alone, int(step[position])))
            if over:
                ended = state.take(sent(over, self.engine.device))
                self.book([items[position] for position in over], ended, [figure[over] for figure in figures])

    def book(self, items: list[Item], state: Slots, figures: list[NDArray[np.float64]]) -> None:
        """Offers finished items to the queue and stores the images of those that are their row's best.

        `figures`: those of `_FIGURES`, (N,) each, N being the number of items.
        """
        winners: dict[int, int] = {}
        for position, (item, (rank, loss, *counts, rose)) in enumerate(zip(items, np.stack(figures, 1), strict=True)):
            gradients, queries, flat, nonfinite = map(int, counts)
            if self.queue.superseded(item):
                self.queue.drop(gradients)
            elif self.queue.offer(item, Found(int(rank), float(loss), gradients, queries, flat, nonfinite, bool(rose))):
                winners[item.row] = position
        if winners:
            rows = sent(list(winners), self.engine.device)
            chosen = sent(list(winners.values()), self.engine.device)
            self.results.index_copy_(0, rows, state.best.index_select(0, chosen))
        for item in items:
            self.queue.release(item)


def _passes_between_waits(device: torch.device) -> int:
    """A fallen row idles in at most 3 passes on an accelerator, which in turn never waits for the host."""
    return 1 if device.type == "cpu" else 4


_FIGURES = ("best_rank", "best_loss", "gradients", "queries", "flat", "nonfinite", "rose")
"""Tensors of a slot that the work queue needs, beside its status and its steps."""
_GRADIENTS = _FIGURES.index("gradients")


def _figures(slots: Slots) -> NDArray[np.float64]:
    """Status, steps taken and `_FIGURES` of every slot, (9, S), in one transfer."""
    return fetched(slots.status, slots.step, *(getattr(slots, name) for name in _FIGURES))
