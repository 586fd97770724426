"""Compares every method of `hardset harden` on the digits, each measured by fresh attacks.

    python -m benchmarks.hardening [--seeds 3] [--resume] [--lines TEXT] [--out FOLDER]

Writes docs/benchmarks/hardening.json and the tables of docs/hardening.md. Only the CPU seconds depend on the load of
the machine, no other figure does. One thread; about five CPU minutes per seed. --resume keeps the lines that the JSON
already has, --lines measures only lines whose name contains the text. Every method runs through the same loop as the
command, but its datasets are made in this process instead of by Ray actors.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.attacks.context import Book
from sklearn.model_selection import train_test_split
from torch import nn

from hardset.pipeline.batches import CleanRows, Pixels
from hardset.pipeline.dataset.provenance.lineage import Lineage
from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.evaluation.measure import Settings, judged, measure
from hardset.pipeline.hardening.loop import HardeningOutcome, harden
from hardset.pipeline.models.loading import load_network
from hardset.pipeline.planning.plan import make_plan
from hardset.pipeline.run.commit import commit_run, make_manifest
from hardset.pipeline.run.generation import RunOutcome
from hardset.pipeline.shards.make import run_shard
from hardset.pipeline.shards.worker import Worker
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.job.job import Job
from hardset.schemas.job.recipes import Attack
from hardset.schemas.job.sources import DigitsSource, NpzSource
from hardset.schemas.reading.loading import parse_job

DOCS = Path(__file__).resolve().parents[1] / "docs"
EPS, EPOCHS, TRAIN_ROWS = "0.15", 40, 1200
MODEL = {"factory": "hardset.pipeline.models.zoo:small_cnn", "classes": 10}
CPU = torch.device("cpu")
SETTINGS = Settings(device=CPU, batch=256, seed=99)
PGD = Attack(name="pgd", eps=EPS, steps=20)
ATTACKS = (
    PGD,
    Attack(name="pgd", eps=EPS, steps=20, objective="margin"),
    Attack(name="apgd_dlr", eps=EPS, steps=20),
    Attack(name="square", eps=EPS, steps=300),
)
"""The four attacks of the column `worst of four`."""


@dataclass(frozen=True)
class Arm:
    """One training method."""

    title: str
    train: Mapping[str, Any]
    rounds: int = 1
    from_clean: bool = True
    """Whether training starts from the weights of the arm `clean`, as when a user hardens an existing model."""

    def job(self, source: dict[str, Any], seed: int, out: Path, start: str | None) -> Job:
        """Job file of the arm."""
        train = {"epochs": EPOCHS // self.rounds, "batch": 128, "rate": 3e-3, "ema": 0.99, **self.train}
        return parse_job(
            {
                "name": "digits",
                "seed": seed,
                "source": source,
                "model": MODEL | ({"weights": start} if self.from_clean else {}),
                "recipes": [{"kind": "attack", "name": "pgd", "eps": EPS, "steps": 10}],
                "output": {"path": str(out), "shard_rows": 2048},
                "train": train,
                "harden": {"rounds": self.rounds, "validation": {"fraction": 0.1}, "attacks": [PGD.model_dump()]},
            }
        )


INNER = {"attack": {"name": "pgd", "eps": EPS, "steps": 7}}
MOVED = [{"name": "rotate", "degrees": 15}, {"name": "crop", "padding": 1}]
LOOP = {"method": "shards", "mix": {"newest": 0.8, "older": 0.2}}
ARMS: dict[str, Arm] = {
    "clean": Arm("clean model", {"method": "standard"}, from_clean=False),
    "decay": Arm("weight decay 0.1 alone", {"method": "standard", "weight_decay": 0.1}, from_clean=False),
    "augmented": Arm("augmentation alone", {"method": "standard", "augment": MOVED}, from_clean=False),
    "static": Arm(
        "**one static round** (the trap)", {"method": "shards", "mix": {"clean": 0.5, "newest": 0.5, "older": 0}}
    ),
    "loop_4": Arm("loop of 4 rounds", LOOP, rounds=4),
    "loop_10": Arm("loop of 10 rounds", LOOP, rounds=10),
    "fgsm_rs": Arm("`fgsm_rs` on the fly", {"method": "fgsm_rs"}, rounds=4),
    "pgd_at": Arm("`pgd_at` on the fly", {"method": "pgd_at", **INNER}, rounds=4),
    "trades": Arm("`trades` on the fly", {"method": "trades", **INNER}, rounds=4),
    "mart": Arm("`mart` on the fly", {"method": "mart", **INNER}, rounds=4),
}
BY_WRITER = ("clean", "static", "loop_10", "pgd_at", "trades")
"""Arms also run on the bundled split, in which few train rows come from the writers of the test rows."""
LEAST = {"loop_10": 65, "pgd_at": 70, "trades": 74}
"""Required robust accuracy under 20 steps of PGD, in percent; each also requires 95 % clean accuracy."""


def parsed() -> argparse.Namespace:
    """Parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="number of repetitions, each with a new random split")
    parser.add_argument("--lines", default="", help="measure only lines whose name contains this text; keep the others")
    parser.add_argument("--resume", action="store_true", help="skip lines that the JSON already has")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of hardening.md and benchmarks/")
    return parser.parse_args()


def main() -> None:
    """Measures the lines one by one and rewrites the page after each."""
    arguments = parsed()
    torch.set_num_threads(1)
    book, page = Book(arguments.out / "benchmarks" / "hardening.json"), arguments.out / "hardening.md"
    with tempfile.TemporaryDirectory(prefix="bench-hardening-") as folder:
        for seed in range(arguments.seeds):
            for split in ("random", "writers"):
                work = Path(folder) / f"{split}-{seed}"
                names = [name for name in ARMS if split == "random" or name in BY_WRITER]
                for name in names:
                    line = f"{name}/{seed}"
                    if arguments.lines not in f"{split}/{line}":
                        continue
                    book.note(split, machine=machine())
                    measure_it = partial(measured, name, work, seed, split)
                    book.line(split, line, measure_it, resume=arguments.resume)
                    if page.exists():
                        page.write_text(filled(page.read_text(encoding="utf-8"), book.read()), encoding="utf-8")


def machine() -> dict[str, Any]:
    """The machine that the CPU seconds were measured on."""
    return {"cpu": platform.processor() or platform.machine(), "threads": 1, "torch": torch.__version__}


def source_of(work: Path, seed: int, split: str) -> dict[str, Any]:
    """The bundled digits, or the same rows in a random stratified split: 1,200 train rows and 597 test rows."""
    if split == "writers":
        return {"format": "digits"}
    work.mkdir(parents=True, exist_ok=True)
    source = open_source(DigitsSource())
    parts = [source.read(piece, source.probe(), 10)[0] for piece in source.plan(4096)]
    pixels = np.concatenate([part.pixels for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    chosen = train_test_split(np.arange(len(labels)), train_size=TRAIN_ROWS, stratify=labels, random_state=seed)
    for name, rows in zip(("train", "test"), chosen, strict=True):
        np.savez(work / f"{name}.npz", images=pixels[rows], labels=labels[rows])
    return {"format": "npz", "path": str(work / "*.npz")}


def measured(arm: str, work: Path, seed: int, split: str) -> dict[str, Any]:
    """Trains an arm and measures it on the test rows. Accuracies are in percent."""
    source = source_of(work, seed, split)
    start = None if arm == "clean" or not ARMS[arm].from_clean else clean_weights(work, source, seed)
    outcome, seconds = trained(ARMS[arm], work / arm, source, seed, start)
    rows, module = test_rows(source), module_of(outcome, last=arm == "static")
    held, worst = np.ones(len(rows), bool), dict[str, float]()
    for attack in ATTACKS:
        found = measure(module, rows.pixels, rows.labels, rows.keys, attack, SETTINGS, classes=10)
        held &= found.robust[-1]
        worst[f"{attack.name}_{attack.objective or ''}".rstrip("_")] = percent(found.robust[-1])
    last = outcome.home.rounds()[-1]
    return {
        "clean": percent(found.right),
        "own_shard": None if last.shard is None else 100 * last.shard.value,
        "clean_shard": accuracy(module, clean_models_shard(work, source, seed, rows), rows.labels),
        "pgd": worst["pgd"],
        "worst": percent(held),
        "attacks": worst,
        "shifted": percent(shifted(module, rows)),
        "cpu_seconds": seconds,
        "gradients": sum(one.training_gradients for one in outcome.home.rounds()),
        "best_round": outcome.record.best if outcome.record else 0,
        "rows": len(rows),
    }


def trained(
    arm: Arm, out: Path, source: dict[str, Any], seed: int, start: str | None
) -> tuple[HardeningOutcome, float]:
    """Runs the loop of an arm; returns its outcome and CPU seconds."""
    began = time.process_time()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        outcome = harden(arm.job(source, seed, out, start), make=made_here)
    return outcome, time.process_time() - began


def clean_weights(work: Path, source: dict[str, Any], seed: int) -> str:
    """Weights file of this seed's clean model, which is trained if it does not exist yet."""
    outcome, _ = trained(ARMS["clean"], work / "clean", source, seed, None)
    assert outcome.record is not None
    return outcome.home.url(outcome.record.weights.path)


def clean_models_shard(work: Path, source: dict[str, Any], seed: int, rows: CleanRows) -> Pixels:
    """Test rows attacked on the clean model, as a static shard holds them."""
    clean = load_network(
        parse_job(ARMS["static"].job(source, seed, work, clean_weights(work, source, seed)).model_dump()).model,
        at="model",
        classes=10,
        channels=1,
        device=CPU,
    )
    attack = PGD.model_copy(update={"stop": "never"})
    return measure(clean.module, rows.pixels, rows.labels, rows.keys, attack, SETTINGS, classes=10).pixels[-1]


def module_of(outcome: HardeningOutcome, *, last: bool) -> nn.Module:
    """The resulting model of an arm; `last`: that of its last round, even if an earlier round was kept."""
    assert outcome.record is not None
    spec = parse_job(outcome.record.job).model
    weights = outcome.home.url((outcome.home.rounds()[-1] if last else outcome.record).weights.path)
    return load_network(
        spec.model_copy(update={"weights": weights}), at="model", classes=10, channels=1, device=CPU
    ).module


def test_rows(source: dict[str, Any]) -> CleanRows:
    """Rows of the test split."""
    spec = (DigitsSource if source["format"] == "digits" else NpzSource)(**source, splits=("test",))
    reader = open_source(spec)
    (piece,) = reader.plan(4096)
    return reader.read(piece, reader.probe(), 10)[0]


def shifted(module: nn.Module, rows: CleanRows) -> np.ndarray:
    """Mask (N,) of rows classified correctly under all nine shifts by at most one pixel, padded with black."""
    right = np.ones(len(rows), bool)
    height, width = rows.pixels.shape[1:3]
    padded = np.pad(rows.pixels, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for down in range(3):
        for across in range(3):
            moved = np.ascontiguousarray(padded[:, down : down + height, across : across + width])
            right &= judged(module, moved, rows.labels, SETTINGS).pred == rows.labels
    return right


def accuracy(module: nn.Module, pixels: Pixels, labels: np.ndarray) -> float:
    """Accuracy in percent."""
    return percent(judged(module, pixels, labels, SETTINGS).pred == labels)


def percent(mask: np.ndarray) -> float:
    """Share of true values in percent."""
    return 100 * float(np.mean(mask))


def made_here(job: Job) -> RunOutcome:
    """Dataset of a round, made in this process: the same shards and bytes that Ray actors make."""
    plan, folder = make_plan(job), Folder(job.output.path)
    ledger, worker = Ledger(folder, plan.run_id), Worker(job, plan, CPU)
    ledger.write_plan(plan)
    done = {
        shard.key: run_shard(shard, None if shard.range is None else plan.ranges[shard.range], worker, ledger).output(
            shard
        )
        for shard in plan.shards
    }
    manifest = make_manifest(job, plan, done, [], "2026-01-01T00:00:00+00:00")
    with Lineage(folder, plan) as lineage:
        manifest = commit_run(ledger, plan, manifest, lineage)
    return RunOutcome("complete", plan, manifest.totals, len(plan.shards), manifest)


def filled(page: str, figures: Mapping[str, Any]) -> str:
    """The page with its tables filled from the figures."""
    for split in ("random", "writers"):
        if split in figures:
            page = between(page, split, table(figures[split]["lines"]))
    if "random" in figures:
        page = between(page, "targets", targets(figures["random"]["lines"]))
    return page


def between(page: str, name: str, text: str) -> str:
    """The page with the part between the markers of `name` replaced. Raises ValueError if the markers are missing."""
    start, end = f"<!-- hardening:{name} -->", f"<!-- /hardening:{name} -->"
    before, found, rest = page.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page has no {start} ... {end}; put both markers where the table belongs")
    return f"{before}{start}\n{text.strip()}\n{end}{after}"


def table(lines: Mapping[str, Mapping[str, Any]]) -> str:
    """One line per arm: mean and standard deviation over the seeds."""
    columns = ("method", "clean", "own shard", "clean model's shard", "PGD-20", "worst of four", "shifted")
    columns += ("gradients", "CPU s", "n")
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, arm in ARMS.items():
        found = of_arm(lines, name)
        if found:
            cells = [spread([one[key] for one in found]) for key in ("clean", "own_shard", "clean_shard")]
            cells += [f"**{spread([one['pgd'] for one in found])}**"]
            cells += [spread([one[key] for one in found]) for key in ("worst", "shifted")]
            gradients = statistics.mean(one["gradients"] for one in found)
            seconds = statistics.mean(one["cpu_seconds"] for one in found)
            cells += [f"{gradients:,.0f}", f"{seconds:.0f}", str(len(found))]
            rows.append(f"| {arm.title} | {' | '.join(cells)} |")
    return "\n".join(rows)


def targets(lines: Mapping[str, Mapping[str, Any]]) -> str:
    """Targets, and whether they are reached."""
    rows = ["| asked for | measured | reached |", "|---|---|---|"]
    for name, least in LEAST.items():
        found = of_arm(lines, name)
        if found:
            pgd, clean = (statistics.mean(one[key] for one in found) for key in ("pgd", "clean"))
            title = ARMS[name].title
            rows.append(f"| {title}: at least {least} % under PGD-20 | {pgd:.1f} % | {told(pgd >= least)} |")
            rows.append(f"| {title}: at least 95 % clean | {clean:.1f} % | {told(clean >= 95)} |")
    loop, online = of_arm(lines, "loop_10"), of_arm(lines, "pgd_at")
    if loop and online:
        spent, reference = (statistics.mean(one["gradients"] for one in found) for found in (loop, online))
        asked = "loop of 10 rounds: at most half the attack gradients of `pgd_at`"
        rows.append(f"| {asked} | {spent / reference:.2f} of them | {told(2 * spent <= reference)} |")
    return "\n".join(rows)


def of_arm(lines: Mapping[str, Mapping[str, Any]], name: str) -> Sequence[Mapping[str, Any]]:
    """Figures of an arm, one entry per seed."""
    return [line for key, line in lines.items() if key.partition("/")[0] == name]


def spread(values: Sequence[float | None]) -> str:
    """Mean and standard deviation, as `72.1 ± 0.8`; a single value without deviation."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = statistics.mean(known)
    return f"{mean:.1f} ± {statistics.stdev(known):.1f}" if len(known) > 1 else f"{mean:.1f}"


def told(reached: bool) -> str:
    """`yes`, or `no` in bold."""
    return "yes" if reached else "**no**"


if __name__ == "__main__":
    main()
