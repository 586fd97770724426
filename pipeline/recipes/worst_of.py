"""Natural changes as an attack: each row drawn and applied several times, the worst draw kept.

Engstrom et al. 2019 (https://arxiv.org/abs/1712.02779) call it worst-of-k, for rotations and shifts. Rows are judged by
what is stored, as those of any attack.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hardset.pipeline.attacks.recipe import not_finite, unknown_label
from hardset.pipeline.augment.applying import apply_to_pixels
from hardset.pipeline.augment.parameters import draw, to_json
from hardset.pipeline.augment.recipe import replay_params
from hardset.pipeline.augment.table import settled
from hardset.pipeline.batches import CleanRows, MadeRows, Pixels
from hardset.pipeline.compute import rng
from hardset.pipeline.judging.judge import Floats, Judge, Mask, finite_rows, verdict
from hardset.schemas.job.attack_names import WORST_OF
from hardset.schemas.job.operations.base import OperationSettings
from hardset.schemas.job.worst_of import WorstOf
from hardset.schemas.norms import NO_NORM
from hardset.schemas.rows.contract import ADVERSARIAL
from hardset.schemas.rows.flags import flags_column


class WorstOfRecipe:
    """Makes of every row the draw of largest cross-entropy among those that the model errs on, or else among all."""

    kind = ADVERSARIAL
    op = WORST_OF
    variants = 1

    def __init__(self, spec: WorstOf, *, judge: Judge, classes: int, device: torch.device) -> None:
        """`judge`: of the model under attack; its batch is the number of rows that are worked on at once.

        Raises JobError where a user's own operation cannot be found, or does not take its settings.
        """
        self._ops = tuple(settled(one, at=f"ops.{number}") for number, one in enumerate(spec.ops))
        self._tries = spec.tries
        self._skips = spec.misclassified == "skip"
        self._judge, self._classes, self._device = judge, classes, device

    def make(self, rows: CleanRows, seeds: NDArray[np.int64]) -> MadeRows:
        """One row of each clean row, in their order; column `params` holds the try and what was drawn in it.

        Rows with an impossible label, or for which no draw has finite logits, become rejects.
        """
        known = (rows.labels >= 0) & (rows.labels < self._classes)
        rejects = [unknown_label(rows, int(at), self._classes) for at in np.flatnonzero(~known)]
        kept, keys = np.flatnonzero(known), seeds.reshape(len(rows))
        parts = [
            self._worst(rows.pixels[part], rows.labels[part], keys[part])
            for part in (kept[first : first + self._judge.batch] for first in range(0, len(kept), self._judge.batch))
        ]
        if not parts:
            return MadeRows(rows.pixels[:0], np.zeros(0, np.int64), np.zeros(0, np.int32), rejects=tuple(rejects))
        worst = _Worst(*(np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS))
        found = worst.skipped | (worst.number >= 0)
        rejects += [not_finite(rows, int(at)) for at in kept[~found]]
        return MadeRows(
            pixels=worst.pixels[found],
            parents=kept[found],
            variants=np.zeros(int(found.sum()), np.int32),
            columns=self._columns(rows, kept[found], worst.take(found)),
            rejects=tuple(rejects),
        )

    def _worst(self, clean: Pixels, labels: NDArray[np.int64], seeds: NDArray[np.int64]) -> _Worst:
        """The worst draw of each of a batch of rows."""
        worst = _Worst.none(clean, self._classes)
        if self._skips:
            logits = self._judge.logits(clean)
            worst.skipped[:] = logits.argmax(axis=1) != labels
            worst.logits[worst.skipped] = logits[worst.skipped]
        searched = np.flatnonzero(~worst.skipped)
        made = np.empty_like(clean[searched])
        for number in range(self._tries if len(searched) else 0):
            drawn, own = drawn_in_try(self._ops, seeds[searched], number)
            apply_to_pixels(clean[searched], drawn, own, made, self._device)
            logits = self._judge.logits(made)
            errs, loss = _errors(logits, labels[searched])
            worst.raise_to(searched, number, made, logits, errs, loss, to_json(drawn, len(searched)))
        return worst

    def _columns(self, rows: CleanRows, parents: NDArray[np.int64], worst: _Worst) -> dict[str, Any]:
        count = len(parents)
        after = verdict(worst.logits, rows.labels[parents])
        unmoved = (worst.pixels == rows.pixels[parents]).all(axis=(1, 2, 3))
        return {
            "eps": [None] * count,
            "norm": np.full(count, NO_NORM, object),
            "steps": np.zeros(count, np.int32),
            "queries": np.where(worst.skipped, 0, self._tries).astype(np.int32),
            "found_by": np.full(count, WORST_OF, object),
            "flags": np.array(
                flags_column({"unmoved": unmoved & ~worst.skipped, "misclassified": worst.skipped}), object
            ),
            "params": [
                told(int(number), ops) if number >= 0 else None
                for number, ops in zip(worst.number, worst.params, strict=True)
            ],
            "float_pred": after.pred,
            "float_margin": after.margin,
        }


@dataclass(frozen=True)
class _Worst:
    """The worst draws so far of N rows."""

    pixels: Pixels
    logits: Floats
    number: NDArray[np.int64]
    """Which try it was, (N,); -1 where there is none."""
    errs: Mask
    loss: NDArray[np.float64]
    params: NDArray[np.object_]
    """JSON of what was drawn."""
    skipped: Mask
    """Whether the row stays as it is, because the model errs on it."""

    @staticmethod
    def none(clean: Pixels, classes: int) -> _Worst:
        """Before the first try."""
        count = len(clean)
        return _Worst(
            pixels=clean.copy(),
            logits=np.zeros((count, classes), np.float32),
            number=np.full(count, -1, np.int64),
            errs=np.zeros(count, bool),
            loss=np.full(count, -np.inf),
            params=np.full(count, "", object),
            skipped=np.zeros(count, bool),
        )

    def raise_to(
        self,
        rows: NDArray[np.int64],
        number: int,
        made: Pixels,
        logits: Floats,
        errs: Mask,
        loss: NDArray[np.float64],
        params: Sequence[str],
    ) -> None:
        """Takes the draws of a try over, in place, where they are worse; of equal ones the first stays."""
        worse = (errs & ~self.errs[rows]) | ((errs == self.errs[rows]) & (loss > self.loss[rows]))
        at = rows[worse]
        self.pixels[at], self.logits[at], self.number[at] = made[worse], logits[worse], number
        self.errs[at], self.loss[at] = errs[worse], loss[worse]
        self.params[at] = np.array(params, object)[worse]

    def take(self, kept: Mask) -> _Worst:
        """The rows where the mask is true."""
        return _Worst(*(getattr(self, name)[kept] for name in _FIELDS))


_FIELDS = tuple(_Worst.__dataclass_fields__)


def _errors(logits: Floats, labels: NDArray[np.int64]) -> tuple[Mask, NDArray[np.float64]]:
    """Whether the model errs, and the cross-entropy, of N rows; false and minus infinity without finite logits."""
    finite = finite_rows(logits)
    exact = np.where(finite[:, None], logits, 0).astype(np.float64)
    top = exact.max(axis=1)
    loss = np.log(np.exp(exact - top[:, None]).sum(axis=1)) + top - exact[np.arange(len(labels)), labels]
    return finite & (exact.argmax(axis=1) != labels), np.where(finite, loss, -np.inf)


def seeds_of_try(seeds: NDArray[np.int64], number: int) -> torch.Tensor:
    """Seeds of a try, int64 (N,) of 63 bits, from those of the rows."""
    words = rng.words_on_cpu(torch.from_numpy(np.ascontiguousarray(seeds)), rng.Draw.TRY, 2, number)
    return (words[:, 0] << 31) | (words[:, 1] >> 1)


def drawn_in_try(ops: Sequence[OperationSettings], seeds: NDArray[np.int64], number: int) -> tuple[Any, torch.Tensor]:
    """What a try draws for rows with these seeds, and the seeds that its noise comes from."""
    own = seeds_of_try(seeds, number)
    return draw(ops, own), own


def told(number: int, ops: str) -> str:
    """The value of `params`: the try that was the worst, and the JSON of what it drew."""
    return f'{{"try":{number},"ops":{ops}}}'


def replay_worst(pixels: Pixels, params: str | None, seed: int) -> Pixels:
    """The made row of one clean row, H x W x C uint8, from its `params` and `seed` columns alone."""
    if params is None:
        return pixels
    found = json.loads(params)
    own = int(seeds_of_try(np.array([seed], np.int64), found["try"])[0])
    return replay_params(pixels, json.dumps(found["ops"]), own)
