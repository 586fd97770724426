"""The two networks of a GAN in training, their optimisers, and the average that is kept of the generator."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hardset.pipeline.compute.transfers import sent
from hardset.pipeline.gans.diffaugment import changed, drawn
from hardset.pipeline.gans.losses import LOSSES, squared_slopes
from hardset.pipeline.gans.networks import DiscriminatorNet, GeneratorNet
from hardset.pipeline.gans.shape import Shape
from hardset.schemas.job.gan_training import GanTraining

PENALISED_EVERY = 4
"""Steps from one gradient penalty to the next, which weighs as much more: lazy regularisation, Karras et al. 2020."""
LAST_RATE = 0.05
"""Share of the learning rates that is left at the end of their cosine."""


@dataclass(frozen=True)
class Players:
    """Generator, discriminator, their optimisers, and the generator's moving average. Randomness is torch's global."""

    generator: GeneratorNet
    discriminator: DiscriminatorNet
    average: GeneratorNet
    generator_optimiser: torch.optim.Adam
    discriminator_optimiser: torch.optim.Adam
    settings: GanTraining
    """Resolved settings."""

    @staticmethod
    def new(shape: Shape, settings: GanTraining, device: torch.device) -> Players:
        """Untrained networks."""
        loss = LOSSES[settings.loss]
        generator, discriminator = GeneratorNet(shape), DiscriminatorNet(shape, spectral=loss.spectral)
        for net in (generator, discriminator):
            net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        betas = 0.0, loss.momentum  # torch 2.13 refuses betas that are not all floats
        return Players(
            generator,
            discriminator,
            copy.deepcopy(generator),
            torch.optim.Adam(generator.parameters(), 1.0, betas, foreach=True),
            torch.optim.Adam(discriminator.parameters(), 1.0, betas, foreach=True),
            settings,
        )

    def step(self, number: int, real: Tensor, classes: Tensor, *, slower: float = 1.0) -> Tensor:
        """Step `number`, from 1, of both players on real images (N, C, H, W) in [0, 1]; returns both losses (2,).

        `slower`: factor of both rates. The generated images of the discriminator's turn are the generator's too, which
        saves a pass.
        """
        settings = self.settings
        assert settings.steps is not None
        factor = slower * (LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * (number - 1) / settings.steps)) / 2)
        self._set_rates(factor)
        if settings.flip:
            flipped = sent(torch.rand(len(real)) < 0.5, real.device)
            real = torch.where(flipped[:, None, None, None], real.flip(3), real)
        with self._autocast(real.device):
            made = self.generator(sent(torch.randn(len(real), settings.latent), real.device), classes)
        losses = self._discriminate(number, real, made.detach(), classes), self._generate(real, made, classes)
        self._follow(min(settings.ema, number / (9 + number)))
        return torch.stack(losses)

    def _discriminate(self, number: int, real: Tensor, made: Tensor, classes: Tensor) -> Tensor:
        loss, gamma = LOSSES[self.settings.loss], self.settings.gamma
        penalised = loss.penalised and (number - 1) % PENALISED_EVERY == 0
        with self._autocast(real.device):
            both = torch.cat((self._shown(real), self._shown(made))).requires_grad_(penalised)
            scores = self.discriminator(both, classes.repeat(2))
            total = loss.discriminator(*scores.chunk(2))
            if penalised:
                assert gamma != "auto"
                total = total + PENALISED_EVERY * gamma / 2 * squared_slopes(scores, both)
        return _update(self.discriminator_optimiser, total)

    def _generate(self, real: Tensor, made: Tensor, classes: Tensor) -> Tensor:
        loss = LOSSES[self.settings.loss]
        self.discriminator.requires_grad_(False)
        with self._autocast(real.device):
            on_made = on_real = self.discriminator(self._shown(made), classes)
            if loss.paired:
                with torch.no_grad():
                    on_real = self.discriminator(self._shown(real), classes)
            total = loss.generator(on_real, on_made)
        found = _update(self.generator_optimiser, total)
        self.discriminator.requires_grad_(True)
        return found

    def _shown(self, images: Tensor) -> Tensor:
        if self.settings.augment:
            count, _, height, width = images.shape
            images = changed(images, drawn(count, height, width, images.device))
        return images.contiguous(memory_format=torch.channels_last)

    def _autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16")

    def _set_rates(self, factor: float) -> None:
        rates = self.settings.generator_rate, self.settings.discriminator_rate
        for optimiser, rate in zip((self.generator_optimiser, self.discriminator_optimiser), rates, strict=True):
            assert rate != "auto"
            optimiser.param_groups[0]["lr"] = rate * factor

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        """Moves the average towards the generator; batch statistics are copied unchanged."""
        ours: list[Tensor] = list(self.average.parameters())
        new: list[Tensor] = list(self.generator.parameters())
        torch._foreach_lerp_(ours, new, 1 - decay)
        for statistic, new_statistic in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            statistic.copy_(new_statistic)

    def state(self) -> dict[str, Tensor]:
        """Copies of all that a step reads and changes, by name."""
        found = {
            f"{player}.{name}": tensor
            for player in ("generator", "discriminator", "average")
            for name, tensor in getattr(self, player).state_dict().items()
        }
        for player in ("generator", "discriminator"):
            optimiser = getattr(self, f"{player}_optimiser")
            for number, moments in optimiser.state_dict()["state"].items():
                found |= {f"{player}_optimiser.{number}.{name}": tensor for name, tensor in moments.items()}
        found["random"] = torch.get_rng_state()
        return {name: tensor.detach().cpu().clone() for name, tensor in found.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Goes back, or on, to a `state`."""
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in state.items():
            player, _, rest = name.partition(".")
            parts.setdefault(player, {})[rest] = tensor
        for player in ("generator", "discriminator", "average"):
            getattr(self, player).load_state_dict(parts[player])
        for player in ("generator", "discriminator"):
            optimiser: torch.optim.Adam = getattr(self, f"{player}_optimiser")
            moments: dict[int, dict[str, Tensor]] = {}
            for name, tensor in parts.get(f"{player}_optimiser", {}).items():
                number, _, moment = name.partition(".")
                moments.setdefault(int(number), {})[moment] = tensor.clone()
            optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
        torch.set_rng_state(state["random"])


def _update(optimiser: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return loss.detach()
