"""One pass over the batch: where the model is asked, what it answers, which iterates are kept, and the step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from hardset.pipeline.attacks.grid import finite_part, largest, overwrite, spent
from hardset.pipeline.attacks.objectives import Goal, reached
from hardset.pipeline.attacks.schedules import Pass
from hardset.pipeline.attacks.search import Search
from hardset.pipeline.attacks.slots import FALLEN, RUNNING, SPENT, SUSPECT, Slots
from hardset.pipeline.attacks.transforms import Draws, smoothed
from hardset.pipeline.compute.devices import Divider
from hardset.pipeline.compute.levels import unit_images

_FLOAT32_SLACK = 1 + 1e-5  # of a norm that a projection leaves at the radius

Scores = Callable[[Tensor], Tensor]
"""Float32 images (S, C, H, W) in [0, 1] to float32 logits (S, K), differentiable to the images."""


@dataclass(frozen=True)
class Answer:
    """The model's answer about the slots' iterates."""

    logits: Tensor
    """Logits, float32 (S, K)."""
    loss: Tensor
    """Losses, float32 (S,)."""
    gradient: Tensor
    """Gradient of the losses, float32 (S, C, H, W), finite; empty where none was asked for."""
    nonfinite: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    """Number of components of the model's own gradients that were NaN or infinite, int64 (S,); empty where none was
    asked for."""
    queries: int = 0
    """Number of forward passes behind it that no gradient was asked of."""


@dataclass(frozen=True)
class Point:
    """Points that the model is asked about, one per slot."""

    images: Tensor
    """Float32 (S, C, H, W), on the 8-bit grid unless the search runs off it."""
    moved: Tensor
    """Whether they differ from the clean images, bool (S,)."""
    inside: Tensor | None = None
    """Whether they keep the row's budget, bool (S,); None: all do."""


@dataclass(frozen=True)
class Passes:
    """Passes of one search through one model. All on the device, in place; nothing here waits for it."""

    search: Search
    networks: tuple[Scores, ...]
    """The model as the search runs it; losses and logits of several are averaged."""
    exact: bool
    """Whether the networks give the very logits of the verdict."""
    masked: bool
    """Whether some values may not change."""
    divider: Divider = field(default_factory=Divider)
    """The tool that runs a batch in parts where memory does not hold it."""

    @property
    def suspects(self) -> bool:
        """Whether a fall ends a row's search and still has to be confirmed."""
        return not self.exact and self.search.after_success == 0

    def one(self, slots: Slots) -> None:
        """One pass for every slot, and one step for those at work."""
        search = self.search
        point = self.point(slots.images, slots)
        answer = self._answer(slots, point.images)
        running = slots.status == RUNNING
        met, there = self.keep(slots, answer, point, running, trusted=not self.suspects)
        fallen = self._fallen(slots, met)
        seen = Pass(
            images=slots.images,
            clean=slots.clean,
            gradient=answer.gradient,
            loss=answer.loss,
            met=there,
            radius=slots.radius,
            step_size=slots.step_size,
            step=slots.step,
            seeds=slots.seeds,
            order=slots.order,
            mask=slots.mask,
            nonfinite=answer.nonfinite,
        )
        images, memory = search.schedule.advance(seen, slots.memory, search.geometry, search.steps)
        moving = running & ~fallen
        overwrite(slots.images, images, moving)
        for key, values in memory.items():
            if values is not slots.memory[key]:
                overwrite(slots.memory[key], values, moving)
        self._count(slots, answer, met, running, moving, fallen)

    def _count(
        self, slots: Slots, answer: Answer, met: Tensor, running: Tensor, moving: Tensor, fallen: Tensor
    ) -> None:
        search = self.search
        if search.schedule.needs_gradient:
            slots.gradients.add_(running, alpha=search.views)
            # An iterate that is at its goal may saturate a loss; that hides nothing.
            astray = running & ~met & (largest(answer.gradient) == 0)
            slots.flat.add_(astray, alpha=search.views)
            slots.nonfinite.add_(torch.where(running, answer.nonfinite, 0))
        if answer.queries:
            slots.queries.add_(running, alpha=answer.queries)
        slots.step.add_(moving)
        slots.status.masked_fill_(fallen, self._status_of_fallen())
        slots.status.masked_fill_(moving & (slots.step >= search.steps), SPENT)

    def _status_of_fallen(self) -> int:
        if self.exact:
            return FALLEN
        return SUSPECT if self.suspects else SPENT

    def _fallen(self, slots: Slots, met: Tensor) -> Tensor:
        """Rows whose search is over because they fell long enough ago."""
        after = self.search.after_success
        if after is None:
            return torch.zeros_like(met)
        if after == 0:
            return met & (slots.step != slots.cleared)
        return (slots.since >= 0) & (slots.step - slots.since >= after)

    # Asking

    def point(self, images: Tensor, slots: Slots) -> Point:
        """The points that the model is asked about for `images`."""
        geometry, clean = self.search.geometry, slots.clean
        reach = self.search.schedule.reach(slots.step, self.search.steps)
        if not self.search.on_grid:
            inside = None if reach is None else geometry.norm(images - clean) <= slots.radius * _FLOAT32_SLACK
            return Point(images.clone(), largest(images - clean) > 0, inside)
        if reach is None:
            levels = geometry.to_grid(images, slots.levels, slots.budget)
            return Point(unit_images(levels), largest(levels - slots.levels) > 0)
        levels = geometry.to_grid(images, slots.levels, geometry.widened(slots.budget, reach))
        change = levels - slots.levels
        return Point(unit_images(levels), largest(change) > 0, spent(change, geometry.name) <= slots.budget)

    def goal(self, slots: Slots) -> Goal:
        """The goals of the slots."""
        return Goal(slots.labels, slots.targets, slots.order, slots.step / self.search.steps)

    def _answer(self, slots: Slots, point: Tensor) -> Answer:
        goal, schedule = self.goal(slots), self.search.schedule
        if not schedule.needs_gradient:
            return self.scored(point, goal)
        probe = schedule.probe(slots.images, slots.step_size, slots.memory)
        if probe is slots.images and not self.search.transforms:
            return self._ascended(point, goal, slots)
        # The gradient is asked for elsewhere than at the iterate, so that its own loss costs a pass.
        here = self.scored(point, goal)
        ascended = self._ascended(point if probe is slots.images else probe, goal, slots)
        return replace(here, gradient=ascended.gradient, nonfinite=ascended.nonfinite)

    def scored(self, point: Tensor, goal: Goal) -> Answer:
        """The networks' answer about images, without a gradient."""

        def work(rows: slice) -> tuple[Tensor, Tensor]:
            answers = [network(point[rows]) for network in self.networks]
            return _mean(answers), _mean([self.search.objective(logits, goal.part(rows)) for logits in answers])

        logits, losses = self.divider.run("the search", len(point), work)
        return Answer(logits, losses, point.new_empty(0), queries=1)

    def _ascended(self, point: Tensor, goal: Goal, slots: Slots) -> Answer:
        draws = Draws(slots.seeds, slots.order, slots.step)

        def work(rows: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            return self._climbed(point[rows], goal.part(rows), draws.part(rows))

        logits, losses, gradient, nonfinite = self.divider.run("the gradient", len(point), work)
        if self.search.smoothing:
            gradient = smoothed(gradient, self.search.smoothing)
        if self.masked:
            gradient = gradient * slots.mask
        return Answer(logits, losses, gradient, nonfinite=nonfinite)

    def _climbed(self, point: Tensor, goal: Goal, draws: Draws) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits, losses and the losses' gradient, each the mean over all that the networks are shown of an image.

        Then the number of components of those gradients that were not finite. They are 0 in the mean, and were so
        before they went back through the transforms, whose sums one of them would spoil.
        """
        search, answers, losses, gradients, lost = self.search, [], [], [], []
        for copy in range(search.views):
            image = point.detach().requires_grad_(True)
            with torch.enable_grad():
                shown = image
                for transform in search.transforms:
                    shown = transform.apply(shown, draws, copy)
                scores = [network(shown) for network in self.networks]
                loss = _mean([search.objective(logits, goal) for logits in scores])
                (gradient,) = torch.autograd.grad(loss.sum(), shown)
                gradient, nonfinite = finite_part(gradient)
                if search.transforms:
                    (gradient,) = torch.autograd.grad(shown, image, gradient)
            answers.append(_mean([logits.detach() for logits in scores]))
            losses.append(loss.detach())
            gradients.append(gradient)
            lost.append(nonfinite)
        return _mean(answers), _mean(losses), _mean(gradients), torch.stack(lost).sum(dim=0)

    # Keeping

    def keep(
        self, slots: Slots, answer: Answer, point: Point, asked: Tensor, *, trusted: bool
    ) -> tuple[Tensor, Tensor]:
        """Keeps the iterates that beat the best so far.

        Returns which reach the goal within budget, and which reach it at all, bool (S,) both; the same but for
        schedules that search beyond the budget.
        """
        loss, moved = answer.loss, point.moved
        torch.where(asked & (slots.step == 0), loss, slots.first_loss, out=slots.first_loss)
        slots.rose.logical_or_(asked & (loss > slots.first_loss))
        eligible = asked & (slots.step >= slots.counts_from) & loss.isfinite()
        hit = reached(answer.logits, slots.labels, slots.targets, targeted=self.search.targeted)
        met = there = hit & moved & eligible
        if point.inside is not None:
            eligible, met = eligible & point.inside, there & point.inside
        torch.where(met & (slots.since < 0), slots.step, slots.since, out=slots.since)
        rank = moved.to(torch.int8) + (met if trusted else torch.zeros_like(met)).to(torch.int8)
        score = loss
        if self.search.schedule.minimal:
            score = torch.where(met, -self.search.geometry.norm(point.images - slots.clean), loss)
        better = (rank > slots.best_rank) | ((rank == slots.best_rank) & (score > slots.best_loss))
        better &= eligible
        overwrite(slots.best, slots.images, better)
        overwrite(slots.best_rank, rank, better)
        overwrite(slots.best_loss, score, better)
        return met, there


def _mean(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.stack(tensors).mean(dim=0)
