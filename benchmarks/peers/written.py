"""The pipelines as an engineer would write them: Ray Data or a pool of processes, an attack library, PNG in Parquet.

Each is given a case, a file of rows and a folder, and leaves Parquet files there with the columns `image` (PNG),
`label`, `clean_pred`, `pred` and `eps`; augmented rows have the first two. Run as a program, one process each:

    python -m benchmarks.peers.written NAME CASE DATA OUT ROWS
"""

from __future__ import annotations

import io
import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import torch
from benchmarks.peers.cases import ACTORS, BATCH, CASES, MEAN, SIDE, STD, STEP, WEIGHTS, Case
from PIL import Image
from ray.data import ActorPoolStrategy
from safetensors.torch import load_file
from torch import Tensor, nn

from hardset.pipeline.models.zoo import cifar_resnet20

Batch = dict[str, Any]
IN_FILE = ("mean", "std")
"""Normalisation that the published file holds beside the weights."""


class Normalized(nn.Module):
    """A network behind its normalisation."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(MEAN).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Images in [0, 1] to logits."""
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


def load_model(data: str) -> nn.Module:
    """The classifier under attack, frozen, as fast as one gets it in a line or two: channels last."""
    state = load_file(f"{data}/{WEIGHTS}")
    network = cifar_resnet20()
    network.load_state_dict({key.removeprefix("net."): value for key, value in state.items() if key not in IN_FILE})
    return Normalized(network).eval().requires_grad_(False).to(memory_format=torch.channels_last)


def decoded(image: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Pixels, H x W x 3, of an image as Hugging Face's datasets store it."""
    return np.asarray(Image.open(io.BytesIO(image["bytes"])).convert("RGB"))


def encoded(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """PNG of pixels, by the fastest encoder at hand, at its fastest level."""
    done, data = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    return bytes(data)


Attack = Callable[[Tensor, Tensor], Tensor]


def torchattacks_of(model: nn.Module, case: Case, levels: int) -> Attack:
    """The attack in torchattacks."""
    import torchattacks  # noqa: PLC0415

    if case.attack == "fgsm":
        return torchattacks.FGSM(model, eps=levels / 255)
    return torchattacks.PGD(model, eps=levels / 255, alpha=STEP, steps=case.steps, random_start=True)


def foolbox_of(model: nn.Module, case: Case, levels: int) -> Attack:
    """The attack in foolbox."""
    import foolbox  # noqa: PLC0415

    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    if case.attack == "fgsm":
        attack = foolbox.attacks.LinfFastGradientAttack(random_start=False)
    else:
        attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP, steps=case.steps, random_start=True)
    return lambda images, labels: attack(wrapped, images, labels, epsilons=levels / 255)[1]


LIBRARIES = {"torchattacks": torchattacks_of, "foolbox": foolbox_of}


class Attacking:
    """Makes adversarial rows of a batch: what an actor of Ray Data, or a process of a pool, holds."""

    def __init__(self, library: str, case: Case, data: str) -> None:
        torch.set_num_threads(1)
        self.model = load_model(data)
        self.attacks = {levels: LIBRARIES[library](self.model, case, levels) for levels in case.budgets}

    def __call__(self, batch: Batch) -> Batch:
        """One batch: every budget in turn."""
        pixels = np.stack([decoded(image) for image in batch["image"]])
        labels = torch.as_tensor(np.asarray(batch["label"], np.int64))
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
        with torch.no_grad():
            clean_pred = self.model(images).argmax(1).numpy()
        found: dict[str, list[Any]] = {name: [] for name in ("image", "label", "clean_pred", "pred", "eps")}
        for levels, attack in self.attacks.items():
            made = attack(images, labels).detach()
            with torch.no_grad():
                pred = self.model(made).argmax(1).numpy()
            stored = (made * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
            found["image"] += [encoded(row) for row in stored]
            found["label"] += labels.tolist()
            found["clean_pred"] += clean_pred.tolist()
            found["pred"] += pred.tolist()
            found["eps"] += [levels / 255] * len(stored)
        return found


class Augmenting:
    """Makes augmented rows of a batch with albumentations: two of RandAugment's fourteen operations."""

    def __init__(self) -> None:
        import albumentations as A  # noqa: PLC0415

        cv2.setNumThreads(1)
        self.change = A.SomeOf(
            [
                A.NoOp(p=1),
                A.AutoContrast(p=1),
                A.Equalize(p=1),
                A.Rotate(limit=(-9, 9), p=1),
                A.Solarize(threshold_range=(0.7, 0.7), p=1),
                A.ColorJitter(brightness=0, contrast=0, saturation=(0.5, 1.5), hue=0, p=1),
                A.Posterize(num_bits=(4, 8), p=1),
                A.RandomBrightnessContrast(brightness_limit=0, contrast_limit=0.3, p=1),
                A.RandomBrightnessContrast(brightness_limit=0.3, contrast_limit=0, p=1),
                A.Sharpen(alpha=(0.1, 0.5), p=1),
                A.Affine(shear={"x": (-10, 10), "y": 0}, p=1),
                A.Affine(shear={"x": 0, "y": (-10, 10)}, p=1),
                A.Affine(translate_percent={"x": (-0.15, 0.15), "y": 0}, p=1),
                A.Affine(translate_percent={"x": 0, "y": (-0.15, 0.15)}, p=1),
            ],
            n=2,
            p=1,
        )

    def __call__(self, batch: Batch) -> Batch:
        """One batch: brought to size as hardset does, changed, encoded."""
        images = [encoded(self.change(image=resized(image))["image"]) for image in batch["image"]]
        return {"image": images, "label": batch["label"]}


def resized(image: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The shorter side to size / 0.875, then the centre: pixels of `SIDE` x `SIDE`."""
    picture = Image.open(io.BytesIO(image["bytes"])).convert("RGB")
    scale = round(SIDE / 0.875) / min(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BILINEAR)
    left, top = (picture.width - SIDE) // 2, (picture.height - SIDE) // 2
    return np.asarray(picture.crop((left, top, left + SIDE, top + SIDE)))


def with_ray(kind: type, arguments: tuple[Any, ...], data: str, out: str, case: Case, rows: int) -> None:
    """Ray Data: rows of Parquet through actors that hold the model, and back into Parquet."""
    ray.init(num_cpus=ACTORS + 1, include_dashboard=False, log_to_driver=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    source = ray.data.read_parquet(f"{data}/{case.data}").limit(rows)
    source.map_batches(
        kind,
        fn_constructor_args=arguments,
        batch_size=min(BATCH, rows // ACTORS),
        compute=ActorPoolStrategy(size=ACTORS),
        num_cpus=1,
    ).write_parquet(out)
    ray.shutdown()


_held: list[Attacking] = []


def _hold(*arguments: Any) -> None:
    _held.append(Attacking(*arguments))


def _work(batch: Batch) -> Batch:
    return _held[0](batch)


def with_pool(library: str, data: str, out: str, case: Case, rows: int) -> None:
    """A pool of processes that each hold the model; the first one writes what comes back."""
    table = pq.read_table(f"{data}/{case.data}").slice(0, rows)
    size = min(BATCH, rows // ACTORS)
    batches = [
        {name: part[name].to_pylist() for name in ("image", "label")}
        for part in (table.slice(at, size) for at in range(0, rows, size))
    ]
    Path(out).mkdir(parents=True)
    context = multiprocessing.get_context("spawn")
    with context.Pool(ACTORS, _hold, (library, case, data)) as pool:
        for number, made in enumerate(pool.imap(_work, batches)):
            pq.write_table(pa.table(made), f"{out}/part-{number:05d}.parquet")


def main(name: str, case_name: str, data: str, out: str, rows: int) -> None:
    """Runs one pipeline."""
    case = CASES[case_name]
    if name == "ray_albumentations":
        with_ray(Augmenting, (), data, out, case, rows)
    elif name == "pool_loop":
        with_pool("torchattacks", data, out, case, rows)
    else:
        with_ray(Attacking, (name.removeprefix("ray_"), case, data), data, out, case, rows)


if __name__ == "__main__":
    main(*sys.argv[1:5], int(sys.argv[5]))  # type: ignore[call-arg]
