"""The one loop behind every attack: fixed slots, continuously refilled.

A batch has a fixed number of slots. Each holds one work item (a row and a restart or target of it) with its own step
counter, budget, step size and target; an item that is done leaves and the next takes its slot, so no gradient is spent
on rows that are done and shapes never change. The model is evaluated at the 8-bit rounding of the iterate, within its
budget, and the gradient there moves the float iterate: what the search sees is what will be stored, at no extra pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.attacks.geometries import Geometry
from pipeline.attacks.grid import per_row
from pipeline.attacks.ledger import Effort, Item, Ledger
from pipeline.attacks.objectives import Objective, reached
from pipeline.attacks.schedules import Pass, Schedule
from pipeline.attacks.slots import FALLEN, RUNNING, SPENT, SUSPECT, Slots

_PASSES_BETWEEN_SYNCS = 4  # on an accelerator; a fallen row idles at most 3 passes, and the device never waits


@dataclass(frozen=True)
class Search:
    """What is searched for, and how."""

    objective: Objective
    geometry: Geometry
    schedule: Schedule
    steps: int
    """Gradient steps per item."""
    restarts: int = 1
    """Times that every target of a row is tried."""
    random_start: bool = True
    """Whether the first try of a row starts inside the ball; later ones always do."""
    targeted: bool = False
    """Whether a row falls when its target is predicted, rather than anything but its label."""
    stop: Literal["success", "never"] = "never"
    on_grid: bool = True
    """False evaluates the float iterate as the libraries do; its success may not survive storage."""


@dataclass(frozen=True)
class Rows:
    """N rows to attack. Tensors live on the engine's device."""

    pixels: Tensor
    """Clean images, uint8 (N, C, H, W)."""
    labels: Tensor
    """int64 (N,)."""
    targets: Tensor
    """Classes to reach or to be guided by, int64 (N, T); T items per restart. Ignored by untargeted objectives."""
    seeds: Tensor
    """Row seeds, int64 (N,)."""
    radius: NDArray[np.float64]
    """Of the search ball, [0, 1] scale (N,)."""
    budget: NDArray[np.int64]
    """On the 8-bit grid (N,); rows with 0 are not searched."""
    step_size: NDArray[np.float64]
    """[0, 1] scale (N,)."""

    def __len__(self) -> int:
        return self.labels.shape[0]


@dataclass(frozen=True)
class Outcome:
    """What became of N rows."""

    images: Tensor
    """Float result before storing, float32 (N, C, H, W): of each row the iterate of highest rank, then loss."""
    rank: NDArray[np.int8]
    """CLEAN, MOVED or REACHED of `pipeline.attacks.slots`; negative where nothing finite was found."""
    loss: NDArray[np.float64]
    """Objective at the result; -inf where nothing finite was found."""
    gradients: NDArray[np.int32]
    """Gradients spent on each row."""
    effort: Effort


@dataclass(frozen=True)
class Engine:
    """A model and the way it is run. `model` takes float32 (S, C, H, W) in [0, 1]; frozen, in eval mode."""

    model: nn.Module
    batch: int
    """Slots; with the device, what fixes the bytes of the result."""
    device: torch.device
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the forward and backward passes. Iterates, losses and verdicts of falls are float32 in any case."""

    def run(self, search: Search, rows: Rows) -> Outcome:
        """Searches every row with a budget."""
        with torch.no_grad():
            return _Run(self, search, rows).whole()

    def logits(self, images: Tensor) -> Tensor:
        """float32 logits (N, K) of any number of images, in float32 and in batches of the fixed shape."""
        with torch.no_grad():
            return torch.cat([self._fixed_shape(part) for part in torch.split(images, self.batch)])

    def _fixed_shape(self, images: Tensor) -> Tensor:
        count = images.shape[0]
        index = torch.arange(self.batch, device=images.device).clamp_(max=count - 1)
        logits: Tensor = self.model(images.index_select(0, index))
        return logits.float()[:count]

    def search_logits(self, images: Tensor) -> Tensor:
        """float32 logits of a full batch, in the precision of the search."""
        low = self.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=low):
            logits: Tensor = self.model(images)
        return logits.float()


class _Run:
    """The moving parts of one search: the slots, who sits in them, and what waits for a verdict."""

    def __init__(self, engine: Engine, search: Search, rows: Rows) -> None:
        self.engine, self.search, self.rows = engine, search, rows
        searched = np.flatnonzero(rows.budget > 0)
        orders = search.restarts * rows.targets.shape[1]
        self.stop = search.stop == "success"
        self.trusted = engine.precision == "float32" or not self.stop
        self.ledger = Ledger(searched, len(rows), orders, stop_at_success=self.stop)
        self.results = rows.pixels.to(torch.float32) / 255
        self.slots: Slots | None = None
        self.seats: list[Item | None] = [None] * engine.batch
        self.waiting: list[tuple[list[Item], Slots]] = []
        self.resumed: list[tuple[Item, Slots]] = []
        self.batches = self.verdicts = 0
        self.between_syncs = 1 if engine.device.type == "cpu" else _PASSES_BETWEEN_SYNCS

    def whole(self) -> Outcome:
        while self.refill():
            assert self.slots is not None
            for _ in range(self.between_syncs):
                self.one_pass(self.slots)
            self.collect(self.slots)
        gradients = self.ledger.gradients()
        effort = Effort(self.batches, int(gradients.sum()), self.ledger.wasted, self.verdicts)
        return Outcome(self.results, self.ledger.rank, self.ledger.loss, gradients, effort)

    # Refilling

    def refill(self) -> bool:
        """Seats waiting items in the free slots; False when all work is done."""
        while True:
            self.settle_before_restarts()
            free = [slot for slot, item in enumerate(self.seats) if item is None]
            resumed, self.resumed = self.resumed[: len(free)], self.resumed[len(free) :]
            items = list(self.ledger.pop(len(free) - len(resumed)))
            entering = [item for item, _ in resumed] + items
            parts = [state for _, state in resumed] + ([self.fresh(items)] if items else [])
            if entering:
                self.seat(free[: len(entering)], entering, Slots.joined(parts))
            if len(free) - len(entering) < len(self.seats):
                return True
            if not self.waiting:
                return False
            self.settle(everything=True)

    def settle_before_restarts(self) -> None:
        """A row whose verdict is pending must not be started anew before it is known."""
        item = self.ledger.peek()
        if self.stop and item and any(item.row == one.row for items, _ in self.waiting for one in items):
            self.settle(everything=True)

    def seat(self, places: list[int], items: list[Item], state: Slots) -> None:
        index = torch.tensor(places, device=self.engine.device)
        if self.slots is None:
            # Slots that find no work repeat a real row, so that no kernel meets values it would not meet anyway.
            self.slots = state.padded(self.engine.batch).take(torch.arange(self.engine.batch, device=index.device))
            self.slots.status.fill_(SPENT)
        self.slots.put(index, state)
        for place, item in zip(places, items, strict=True):
            self.seats[place] = item

    def fresh(self, items: Sequence[Item]) -> Slots:
        """The state of items at their start."""
        device, rows, search = self.engine.device, self.rows, self.search
        numbers = np.array([item.row for item in items])
        row = torch.from_numpy(numbers).to(device)
        order = torch.tensor([item.order for item in items], device=device)
        clean = rows.pixels.index_select(0, row).to(torch.float32) / 255
        radius = torch.from_numpy(rows.radius[numbers]).to(device, torch.float32)
        step_size = torch.from_numpy(rows.step_size[numbers]).to(device, torch.float32)
        drawn = (order > 0) | search.random_start
        images = clean
        if bool(search.random_start) or any(item.order for item in items):
            noisy = search.geometry.start(clean, radius, rows.seeds.index_select(0, row), order)
            images = torch.where(per_row(drawn, clean), noisy, clean)
        zero = torch.zeros(len(items), dtype=torch.int32, device=device)
        return Slots(
            clean=clean,
            levels=rows.pixels.index_select(0, row).to(torch.float32),
            labels=rows.labels.index_select(0, row),
            targets=rows.targets[row, order % rows.targets.shape[1]],
            radius=radius,
            budget=torch.from_numpy(rows.budget[numbers]).to(device),
            step_size=step_size,
            images=images.clone(),
            step=zero.clone(),
            gradients=zero.clone(),
            status=torch.full_like(zero, RUNNING, dtype=torch.int8),
            cleared=zero - 1,
            counts_from=(~drawn).to(torch.int32),
            best=clean.clone(),
            best_rank=torch.full_like(zero, -1, dtype=torch.int8),
            best_loss=torch.full_like(step_size, -torch.inf),
            memory=search.schedule.begin(images, step_size, search.steps),
        )

    # Searching

    def one_pass(self, slots: Slots) -> None:
        """One gradient for every slot, and one step for those at work. All on the device, in place."""
        search = self.search
        point, moved = self.point(slots)
        point.requires_grad_(True)
        with torch.enable_grad():
            logits = self.engine.search_logits(point)
            loss = search.objective(logits, slots.labels, slots.targets)
            (gradient,) = torch.autograd.grad(loss.sum(), point)
        gradient = torch.nan_to_num_(gradient, nan=0.0)
        running = slots.status == RUNNING
        met = self.keep(slots, logits, loss, moved, running, trusted=self.trusted)
        fallen = met & (slots.step != slots.cleared) if self.stop else torch.zeros_like(met)
        seen = Pass(slots.images, slots.clean, gradient, loss, slots.radius, slots.step_size, slots.step)
        images, memory = search.schedule.advance(seen, slots.memory, search.geometry, search.steps)
        moving = running & ~fallen
        torch.where(per_row(moving, images), images, slots.images, out=slots.images)
        for key, values in memory.items():
            torch.where(per_row(moving, values), values, slots.memory[key], out=slots.memory[key])
        slots.step.add_(moving)
        slots.gradients.add_(running)
        slots.status.masked_fill_(fallen, FALLEN if self.trusted else SUSPECT)
        slots.status.masked_fill_(moving & (slots.step >= search.steps), SPENT)
        self.batches += 1

    def point(self, slots: Slots) -> tuple[Tensor, Tensor]:
        """Where the model is evaluated, and whether that differs from the clean image."""
        if not self.search.on_grid:
            return slots.images.clone(), (slots.images != slots.clean).flatten(1).any(dim=1)
        levels = self.search.geometry.to_grid(slots.images, slots.levels, slots.budget)
        return levels / 255, (levels != slots.levels).flatten(1).any(dim=1)

    def keep(
        self, slots: Slots, logits: Tensor, loss: Tensor, moved: Tensor, asked: Tensor, *, trusted: bool
    ) -> Tensor:
        """Keeps the iterates that beat the best so far; returns which reach the goal, bool (S,)."""
        eligible = asked & (slots.step >= slots.counts_from) & loss.isfinite()
        met = reached(logits, slots.labels, slots.targets, targeted=self.search.targeted) & moved & eligible
        rank = moved.to(torch.int8) + (met if trusted else torch.zeros_like(met)).to(torch.int8)
        better = (rank > slots.best_rank) | ((rank == slots.best_rank) & (loss > slots.best_loss))
        better &= eligible
        torch.where(per_row(better, slots.best), slots.images, slots.best, out=slots.best)
        torch.where(better, rank, slots.best_rank, out=slots.best_rank)
        torch.where(better, loss, slots.best_loss, out=slots.best_loss)
        return met

    # Collecting

    def collect(self, slots: Slots) -> None:
        """Empties the slots that are done. The loop's one host synchronisation."""
        status, gradients = torch.stack((slots.status.to(torch.int32), slots.gradients)).cpu().numpy()
        fallen = self.leave(slots, [slot for slot, code in enumerate(status) if code == FALLEN])
        if fallen:
            self.book(*fallen)
        unsettled = self.leave(slots, [slot for slot, code in enumerate(status) if code in (SUSPECT, SPENT)])
        if unsettled:
            self.waiting.append(unsettled)
        for slot, item in enumerate(self.seats):
            if item and self.ledger.superseded(item):
                self.ledger.drop(int(gradients[slot]))
                self.seats[slot] = None
                slots.status[slot] = SPENT
        self.settle(everything=False)

    def leave(self, slots: Slots, places: list[int]) -> tuple[list[Item], Slots] | None:
        """Frees slots; who sat there, and a copy of their state. None where all were empty."""
        taken = [(place, item) for place in places if (item := self.seats[place])]
        for place, _ in taken:
            self.seats[place] = None
        index = torch.tensor([place for place, _ in taken], device=self.engine.device)
        return ([item for _, item in taken], slots.take(index)) if taken else None

    def settle(self, *, everything: bool) -> None:
        """Float32 verdicts, a batch at a time, on items that are out of steps or under suspicion."""
        size = self.engine.batch
        held = sum(len(items) for items, _ in self.waiting)
        if not held or (held < size and not everything):
            return
        everyone = [item for items, _ in self.waiting for item in items]
        joined = Slots.joined([state for _, state in self.waiting])
        self.waiting = []
        for first in range(0, held, size):
            items = everyone[first : first + size]
            state = joined.take(torch.arange(first, first + len(items), device=self.engine.device))
            if len(items) < size and not everything:
                self.waiting = [(items, state)]
                return
            full = state.padded(size)
            point, moved = self.point(full)
            logits: Tensor = self.engine.model(point).float()
            loss = self.search.objective(logits, full.labels, full.targets)
            asked = torch.ones_like(moved)
            met = self.keep(full, logits, loss, moved, asked, trusted=True)
            self.verdicts += 1
            self.sort_out(items, full, met)

    def sort_out(self, items: list[Item], state: Slots, met: Tensor) -> None:
        """Books what is over; suspicions that proved wrong go back to work."""
        wrong = ((state.status == SUSPECT) & ~met).cpu().tolist()[: len(items)]
        over = [position for position, back in enumerate(wrong) if not back]
        for position in (position for position, back in enumerate(wrong) if back):
            one = state.take(torch.tensor([position], device=self.engine.device))
            one.status.fill_(RUNNING)
            one.cleared.copy_(one.step)
            self.resumed.append((items[position], one))
        if over:
            self.book([items[position] for position in over], state.take(torch.tensor(over, device=met.device)))

    def book(self, items: list[Item], state: Slots) -> None:
        """Offers finished items to the ledger and stores the images of those that are their row's best."""
        numbers = torch.stack((state.best_rank.double(), state.best_loss.double(), state.gradients.double())).cpu()
        winners: dict[int, int] = {}
        for position, item in enumerate(items):
            rank, loss, gradients = numbers[:, position].tolist()
            if self.ledger.superseded(item):
                self.ledger.drop(int(gradients))
            elif self.ledger.offer(item, int(rank), loss, int(gradients)):
                winners[item.row] = position
        if winners:
            rows = torch.tensor(list(winners), device=self.engine.device)
            chosen = torch.tensor(list(winners.values()), device=self.engine.device)
            self.results.index_copy_(0, rows, state.best.index_select(0, chosen))
