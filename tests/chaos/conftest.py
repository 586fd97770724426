"""The stage: one cluster and one S3 API for all trials, reference digests, and the report at the end."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hardset.pipeline.storage.folder import Folder
from hardset.schemas.reading.loading import parse_job
from tests.chaos.nodes import Nodes, cluster
from tests.chaos.proxy import FaultyStore
from tests.chaos.report import Report
from tests.chaos.trial import Digests, Trial, TrialOf, digests
from tests.support import RECIPES, document, make_here

REPORT = pytest.StashKey[Report]()


def pytest_configure(config: pytest.Config) -> None:
    seed = os.environ.setdefault("HARDSET_CHAOS_SEED", secrets.token_hex(4))  # pytest-xdist's processes inherit it
    config.stash[REPORT] = Report(seed)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # a process of pytest-xdist
        session.config.workeroutput["chaos"] = session.config.stash[REPORT].state()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[REPORT].absorb(getattr(node, "workeroutput", {}).get("chaos", []))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    report = config.stash[REPORT]
    if not report.trials:
        return
    terminalreporter.section("chaos")
    for line in report.lines():
        terminalreporter.write_line(line)
    if path := os.environ.get("HARDSET_CHAOS_REPORT"):
        report.write(Path(path))


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    """Where faults are counted."""
    return pytestconfig.stash[REPORT]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tokens for the network lie; the same for all trials, since it is part of the job."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "struck").mkdir()
    return folder


@pytest.fixture(scope="session")
def faulty_store() -> Iterator[FaultyStore]:
    """An S3 API with a bucket, behind a proxy that fails on demand; the environment of all processes leads there."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    store = FaultyStore(server.get_host_and_port())
    settings = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": store.url,
        "HARDSET_STORAGE_SECONDS": "5",  # of patience with a store that is gone; two minutes by default
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem(use_listings_cache=False).mkdir("chaos")
        yield store
        s3fs.S3FileSystem.clear_instance_cache()
    store.stop()
    server.stop()


@pytest.fixture(scope="session")
def nodes(faulty_store: FaultyStore) -> Iterator[Nodes]:
    """Three nodes: a head for the drivers, two with two CPUs each for actors."""
    with cluster(nodes=2, cpus=2) as running:
        yield running


@pytest.fixture(scope="session")
def undisturbed(
    weights: dict[str, str], home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], Digests]:
    """Digests of a run over so many source rows that nothing disturbed: one process, one shard after the other."""

    @cache
    def made(rows: int) -> Digests:
        out = tmp_path_factory.mktemp("undisturbed") / "out"
        make_here(parse_job(fodder(weights, home, out, rows)))
        return digests(Folder(str(out)))

    return made


@pytest.fixture
def trial(
    request: pytest.FixtureRequest,
    weights: dict[str, str],
    home: Path,
    undisturbed: Callable[[int], Digests],
    report: Report,
    tmp_path: Path,
) -> TrialOf:
    """Makes the trial of a test: over `rows` source rows, on `nodes` or Ray of its own, in the folder `out` or in a
    `store`."""

    def make(
        *,
        rows: int = 900,
        actors: int = 4,
        nodes: Nodes | None = None,
        store: FaultyStore | None = None,
        out: Path | None = None,
        called: str = "",
    ) -> Trial:
        name = f"{request.node.name.removeprefix('test_')}{called and '-'}{called}"
        folder = tmp_path / (called or "trial")
        folder.mkdir()
        place = str(out or folder / "out") if store is None else f"s3://chaos/{name}"
        look = Folder(place)
        if store is not None:
            look = Folder(place, client_kwargs={"endpoint_url": "http://{}:{}".format(*store.upstream)})
        job = fodder(weights, home, place, rows)
        job["run"]["actors"] = actors
        return Trial(name, job, undisturbed(rows), home, folder, nodes, report, look)

    return make


def fodder(weights: dict[str, str], home: Path, out: Path | str, rows: int) -> dict[str, Any]:
    """A job of many small shards: two recipes over ten rows each, one against a network that can die."""
    return document(
        weights,
        out,
        source={"format": "digits", "limit": rows},
        model={
            "factory": "tests.chaos.moody:moody_cnn",
            "arguments": {"home": str(home)},
            "weights": weights["victim"],
            "classes": 10,
        },
        recipes=RECIPES[1:],
        output={"path": str(out), "shard_rows": 10},
        run={"actors": 4, "batch": 64, "max_attempts": 10},
    )
