"""One dataset that is made under torment, and what must be true of it in the end."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hardset.pipeline.storage.folder import Folder
from tests.chaos.drivers import Driver
from tests.chaos.monkeys import Scene
from tests.chaos.moody import PACE
from tests.chaos.nodes import Nodes
from tests.chaos.report import Report, Trouble
from tests.support import hardset

Digests = dict[str, str]


@dataclass
class Trial:
    """A job, the faults it met, and its starts."""

    name: str
    document: dict[str, Any]
    """The job file's content."""
    undisturbed: Digests
    """What the data files must be in the end."""
    home: Path
    """Where tokens for the network lie."""
    folder: Path
    """Where job files and what drivers say lie."""
    nodes: Nodes | None
    report: Report
    look: Folder
    """The output, by a way that no fault lies on."""
    random: random.Random = field(default_factory=random.Random)
    trouble: Trouble = field(init=False)

    def __post_init__(self) -> None:
        self.random = self.report.random(self.name)
        self.trouble = self.report.trial(self.name)
        print(f"HARDSET_CHAOS_SEED={self.report.seed}")  # pytest shows it where the trial fails

    def start(self, *options: str, ahead: float = 0.0) -> Driver:
        """Starts `hardset generate`, with a clock that is so many seconds ahead."""
        self.trouble.starts += 1
        says = self.folder / f"start{self.trouble.starts}"
        return Driver(self.job, self.nodes.address if self.nodes else None, says, options, ahead=ahead)

    @property
    def job(self) -> Path:
        """The job file."""
        job = self.folder / "job.yaml"
        job.write_text(yaml.safe_dump(self.document))
        return job

    @contextmanager
    def running(self, *options: str, pace: float = 0.02, ahead: float = 0.0) -> Iterator[Scene]:
        """A start, each of whose passes takes `pace` seconds longer; it is killed if it still runs in the end."""
        (self.home / PACE).write_text(str(pace))
        driver, began = self.start(*options, ahead=ahead), time.monotonic()
        try:
            yield Scene(
                driver=driver,
                nodes=self.nodes,
                home=self.home,
                committed=self.committed,
                tried_again=self.tried_again,
                random=self.random,
                note=self.trouble.note,
            )
        finally:
            self.hurry()
            if driver.running():
                driver.kill()
            self.trouble.seconds += time.monotonic() - began

    def hurry(self) -> None:
        """From here on no pass takes longer than it must."""
        (self.home / PACE).unlink(missing_ok=True)

    def end(self, driver: Driver, *, code: int | None = 0) -> dict[str, Any]:
        """Waits for a start's end, holds it to an exit code unless that is None, and returns what it answered."""
        self.hurry()
        found = driver.end()
        self.trouble.exit_codes.append(found)
        assert code is None or found == code, driver.said()
        assert "Traceback" not in driver.said()
        answer = driver.answer()
        assert not answer or answer["exit_code"] == found
        return answer

    def resume(self, *, code: int = 0) -> dict[str, Any]:
        """Starts once more, undisturbed, to the end."""
        with self.running(pace=0) as scene:
            return self.end(scene.driver, code=code)

    def committed(self) -> int:
        """How many shards have a receipt."""
        return len(self._receipts())

    def tried_again(self) -> int:
        """How many of them took more than one attempt."""
        return sum(json.loads(content)["attempt"] > 1 for content in self.look.read_many(self._receipts()))

    def _receipts(self) -> list[str]:
        return [path for path in self.look.list("_hardset/runs/") if "/receipts/" in path]

    def manifest(self) -> dict[str, Any] | None:
        """The run's manifest, if it is there."""
        found = [path for path in self.look.list("_hardset/runs/") if path.endswith("/manifest.json")]
        return dict(json.loads(self.look.read(found[0]))) if found else None

    def records(self) -> dict[str, bytes]:
        """All that the dataset consists of: everything but leases and the log of events."""
        paths = [p for p in self.look.list() if not p.startswith("_hardset/lease/") and "/openlineage" not in p]
        return dict(zip(paths, self.look.read_many(paths), strict=True))

    def digests(self) -> Digests:
        """SHA-256 of every data and quarantine file."""
        return digests(self.look)

    def is_as_undisturbed(self, *, but: Callable[[str], bool] = lambda _: False) -> bool:
        """The promise: the files of an undisturbed run to the byte, a manifest, and an audit that finds nothing.

        `but`: files that the test looks at for itself.
        """
        found = {path: digest for path, digest in self.digests().items() if not but(path)}
        assert found == self.undisturbed
        manifest = self.manifest()
        assert manifest is not None
        assert (manifest["status"], manifest["failures"]) == ("complete", [])
        audit = hardset("verify", self.document["output"]["path"], "--trust-code")
        assert audit.returncode == 0, audit.stdout + audit.stderr
        self.trouble.files = len(found)
        self.trouble.unharmed = True
        return True


TrialOf = Callable[..., Trial]


def digests(folder: Folder) -> Digests:
    """SHA-256 of every data and quarantine file of a dataset."""
    paths = [*folder.list("data/"), *folder.list("_hardset/quarantine/")]
    return {
        path: hashlib.sha256(content).hexdigest() for path, content in zip(paths, folder.read_many(paths), strict=True)
    }
