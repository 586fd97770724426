"""Training on Ray Train: workers share each batch, and continue from the last epoch if one of them dies."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch

from hardset.pipeline.cluster.connection import connected
from hardset.pipeline.cluster.place import ClusterPlace
from hardset.pipeline.extensions.driver import DriverContext
from hardset.pipeline.loading.mixture import TrainingRows
from hardset.pipeline.models.loading import load_network
from hardset.pipeline.storage.folder import Folder
from hardset.pipeline.training.batch_norm import share_batch_norms
from hardset.pipeline.training.epochs import Course, Trained, state_of, train, weights_of
from hardset.pipeline.training.learner import EpochTally, Learner, State
from hardset.pipeline.training.team import Team
from hardset.schemas.errors import JobError, RunError, UserError
from hardset.schemas.job import job
from hardset.schemas.job.network import Network

_MOST_DEATHS = 8
"""Times that workers are started anew before a training is given up."""
_FILE = "epoch.pt"


@dataclass(frozen=True)
class TrainingWork:
    """Input of every worker."""

    network: Network
    classes: int
    channels: int
    rows: TrainingRows
    course: Course
    state: State | None
    first_epoch: int
    gpu: bool
    threads: int


@dataclass(frozen=True)
class Workers:
    """Number of workers, their resources, and the place of their checkpoints."""

    count: int
    run: job.Run
    """Cores and GPUs of each, as of the actors that make rows."""
    storage: str
    """Folder that all of them reach; removed at the end."""


def train_on_workers(work: TrainingWork, workers: Workers) -> Trained:
    """Result of `pipeline.training.epochs.train` from a team of Ray Train's workers: gloo on CPUs, NCCL on GPUs.

    The cluster is that which this process is connected to, or one inside this machine.

    Batch normalisation is over the rows of all workers; what dropout and the like draw is each worker's own. Raises
    JobError where Ray Train is not installed or the cluster cannot be reached, RunError where the training fails.
    """
    try:
        with connected(workers.run, ClusterPlace()):
            return _result(work, workers)
    finally:
        folder = Folder(workers.storage)
        for path in folder.list():
            folder.delete(path)


def _result(work: TrainingWork, workers: Workers) -> Trained:
    libraries = _libraries()
    resources = {"CPU": workers.run.cpus_per_actor} | ({"GPU": 1} if work.gpu else {})
    trainer = libraries.TorchTrainer(
        _train_as_worker,
        train_loop_config={"work": ray.put(work), "driver": DriverContext.here()},
        scaling_config=libraries.ScalingConfig(
            num_workers=workers.count, use_gpu=work.gpu, resources_per_worker=resources
        ),
        torch_config=libraries.TorchConfig(backend="nccl" if work.gpu else "gloo"),
        run_config=libraries.RunConfig(
            storage_path=Folder(workers.storage).place,
            failure_config=libraries.FailureConfig(max_failures=_MOST_DEATHS),
            checkpoint_config=libraries.CheckpointConfig(num_to_keep=1),
        ),
    )
    try:
        result = trainer.fit()
    except UserError:
        raise
    except Exception as error:  # whatever Ray Train makes of a worker's error
        raise RunError(f"train: the workers failed: {_told(error)}") from error
    if result.checkpoint is None:
        raise RunError("train: the workers left no checkpoint; start it again")
    with result.checkpoint.as_directory() as folder:
        found = _loaded(Path(folder))
    tally = EpochTally(**found["tally"])
    return Trained(found["state"], found["weights"], tally, int(found["state"]["learner"]["gradients"]))


def _train_as_worker(config: Mapping[str, Any]) -> None:
    """Training loop of one worker."""
    config["driver"].adopt()
    from ray import train as ray_train  # noqa: PLC0415 - an extra

    work: TrainingWork = ray.get(config["work"])
    torch.set_num_threads(work.threads)
    device = ray_train.torch.get_device() if work.gpu else torch.device("cpu")
    model = load_network(work.network, at="model", classes=work.classes, channels=work.channels, device=device)
    team = Team.here()
    state, checkpoint = work.state, ray_train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            state = _loaded(Path(folder))["state"]

    def keep(epoch: int, tally: EpochTally, learner: Learner) -> None:
        if team.rank != 0:
            ray_train.report({"epoch": epoch})
            return
        with tempfile.TemporaryDirectory() as folder:
            found = {
                "state": state_of(learner, epoch),
                "weights": weights_of(learner.result),
                "tally": vars(tally),
            }
            torch.save(found, Path(folder) / _FILE)
            ray_train.report({"epoch": epoch}, checkpoint=ray_train.Checkpoint.from_directory(folder))

    train(
        share_batch_norms(model.module) if team.size > 1 else model.module,
        work.rows,
        work.course,
        device=device,
        state=state,
        first_epoch=work.first_epoch,
        on_epoch=keep,
    )


def _loaded(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(io.BytesIO((folder / _FILE).read_bytes()), map_location="cpu", weights_only=True)
    return found


@dataclass(frozen=True)
class _Libraries:
    TorchTrainer: Any
    TorchConfig: Any
    ScalingConfig: Any
    RunConfig: Any
    FailureConfig: Any
    CheckpointConfig: Any


def _libraries() -> _Libraries:
    try:
        from ray import train as ray_train  # noqa: PLC0415 - an extra
        from ray.train.torch import TorchConfig, TorchTrainer  # noqa: PLC0415
    except ImportError as error:
        raise JobError(f"train.workers: Ray Train is not installed ({error}): pip install 'hardset[train]'") from None
    return _Libraries(
        TorchTrainer,
        TorchConfig,
        ray_train.ScalingConfig,
        ray_train.RunConfig,
        ray_train.FailureConfig,
        ray_train.CheckpointConfig,
    )


def _told(error: BaseException) -> str:
    """The innermost cause: of a text that ends in a worker's traceback, its last line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
