"""Clean rows of a user's own: datasets of torch, and sources as job files name them."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

import hardset
import hardset.torch
from hardset.pipeline.loading import clean_rows
from hardset.pipeline.loading.clean_rows import SourceRows, clean_part
from hardset.schemas.errors import JobError
from hardset.schemas.records.run import Image as ImageShape
from tests.loading.examples import SOURCE
from tests.sources.making import encoded, write


class Photos(Dataset[tuple[Any, int]]):
    """Rows of a user's own, as a transform to tensors, to arrays or to pictures leaves them."""

    def __init__(self, form: str, *, size: int = 8, label: int = 3) -> None:
        self.form, self.size, self.label = form, size, label

    def __len__(self) -> int:
        return 20

    def __getitem__(self, row: int) -> Any:
        pixels = np.full((self.size, self.size), 200 + row, np.uint8)
        image = {
            "picture": Image.fromarray(pixels),
            "array": pixels,
            "tensor": torch.from_numpy(pixels)[None].float() / 255,
            "levels": torch.from_numpy(pixels)[None],
            "normalised": torch.from_numpy(pixels)[None].float() / 100,
            "text": "photo",
        }.get(self.form, pixels)
        return {"image": image, "label": self.label} if self.form == "mapping" else (image, self.label)


@pytest.mark.parametrize("form", ["picture", "array", "tensor", "levels", "mapping"])
def test_a_batch_holds_its_shares_of_the_users_rows_and_made_ones(out: Path, form: str) -> None:
    mix = {"clean": 0.5, "adversarial": 0.4, "generated": 0.1}
    batches = hardset.torch.Batches(out, batch=20, mix=mix, clean=Photos(form), columns=("kind", "eps"))
    assert len(batches) == 1
    seen: list[int] = []
    for epoch in range(4):
        batches.set_epoch(epoch)
        for batch in batches:
            assert Counter(batch["kind"]) == {"": 10, "adversarial": 8, "generated": 2}
            clean = [at for at, kind in enumerate(batch["kind"]) if not kind]
            assert batch["label"][clean].tolist() == [3] * 10
            assert all(torch.isnan(batch["eps"][clean]))
            seen += [round(float(batch["image"][at].max()) * 255) - 200 for at in clean]
    assert sorted(seen[:20]) == sorted(seen[20:]) == list(range(20)), "every row before any twice"


def test_a_source_of_a_job_file_is_mixed_in(out: Path) -> None:
    batches = hardset.torch.Batches(out, batch=30, mix={"clean": 0.5, "augmented": 0.5}, clean=SOURCE)
    assert len(batches) == 3
    source = hardset.open_dataset(out)
    assert source.classes == tuple("0123456789")
    whole = torch.cat([batch["image"][:15] for batch in batches])
    lazy = hardset.torch.Batches(out, batch=30, mix={"clean": 0.5, "augmented": 0.5}, clean=SOURCE, window_bytes=1000)
    far = torch.cat([batch["image"][:15] for batch in lazy])
    assert len({image.numpy().tobytes() for image in whole}) == len({image.numpy().tobytes() for image in far}) == 45


def test_a_far_source_is_opened_once_in_each_process(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    original = clean_rows.open_source
    monkeypatch.setattr(clean_rows, "open_source", lambda *given: opened.append(given) or original(*given))
    part = clean_part(SOURCE, ImageShape(height=8, width=8, channels=1), tuple("0123456789"), window_bytes=1)
    assert isinstance(part, SourceRows) and len(opened) == 1
    part.take(np.arange(90))
    assert len(opened) == 1
    copy = pickle.loads(pickle.dumps(part))
    taken = [copy.take(np.arange(90)) for _ in range(2)]
    assert len(opened) == 2 and opened[1][1] == tuple("0123456789"), "names are not looked for again"
    assert (taken[0].pixels == part.take(np.arange(90)).pixels).all()


def test_a_source_with_the_classes_in_another_order_is_refused(out: Path, tmp_path: Path) -> None:
    """Else every label would mean another class than that of the made rows."""
    for name in "0123456789":
        write(tmp_path / name / "x.png", encoded(np.full((8, 8), 9, np.uint8)))
    given = {"format": "imagefolder", "path": str(tmp_path)}
    settings: dict[str, Any] = {"batch": 10, "mix": {"clean": 1.0}}
    assert len(hardset.torch.Batches(out, clean=given, **settings)) == 1
    with pytest.raises(JobError, match=r"clean: the source has the classes 9, 8, .* and the made rows 0, 1, .*; list"):
        hardset.torch.Batches(out, clean={**given, "classes": list("9876543210")}, **settings)


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        (Photos("tensor", size=9), "the image of row .* is 9x9x1; wants 8x8x1"),
        (Photos("normalised"), "the image of row .* is Tensor; wants 8x8x1 in .*, not normalised"),
        (Photos("text"), "the image of row .* is str"),
        (Photos("array", label=10), "the label of row .* is 10; the made rows have 10 classes"),
        ([3, 4, 5], "row . is a int; wants"),
    ],
)
def test_rows_of_ones_own_that_do_not_fit_are_named(out: Path, photos: Any, message: str) -> None:
    batches = hardset.torch.Batches(out, batch=2, mix={"clean": 1.0}, clean=photos)
    with pytest.raises(hardset.JobError, match=message):
        next(iter(batches))
