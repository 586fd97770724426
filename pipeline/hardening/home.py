"""Folder of a loop below the output: records, weights and state. Each record is sealed and written last."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hardset.pipeline.dataset.records.seals import read_record, sealed
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import sha256_hex
from hardset.schemas.errors import RunError
from hardset.schemas.records.hardening import Hardening, LoopStart, Round, StoredWeights

if TYPE_CHECKING:
    from torch import Tensor

    from hardset.pipeline.training.learner import State

LOOPS = "_hardset/hardening"


@dataclass(frozen=True)
class Home:
    """The folder of one loop in a dataset folder."""

    folder: Folder
    loop_id: str

    @property
    def path(self) -> str:
        """Path relative to the dataset folder."""
        return f"{LOOPS}/{self.loop_id}"

    def url(self, path: str) -> str:
        """URL of a file in the dataset folder."""
        return f"{self.folder.url.rstrip('/')}/{path}"

    def place(self, path: str) -> str:
        """Absolute location of a file, for processes with another working folder, as Ray Train's workers (Ray 2.60)."""
        return f"{self.folder.place}/{path}"

    def start(self) -> LoopStart | None:
        """Record of the loop's start; None before the start."""
        return read_record(self.folder, f"{self.path}/start.json", LoopStart)

    def rounds(self) -> list[Round]:
        """Records of the finished rounds, in order."""
        found: list[Round] = []
        while (record := read_record(self.folder, self._round(len(found) + 1), Round)) is not None:
            found.append(record)
        return found

    def hardening(self) -> Hardening | None:
        """Record of the whole loop; None while it is unfinished."""
        return read_record(self.folder, f"{self.path}/hardening.json", Hardening)

    def keep(self, record: LoopStart | Round | Hardening) -> None:
        """Writes a record; everything it names must already be stored."""
        path = {LoopStart: f"{self.path}/start.json", Hardening: f"{self.path}/hardening.json"}.get(type(record))
        self.folder.write(path or self._round(record.number), sealed(record))  # type: ignore[union-attr]

    def keep_weights(self, number: int, weights: Mapping[str, Tensor]) -> StoredWeights:
        """Writes the weights of a round; round 0 is the start."""
        import safetensors.torch  # noqa: PLC0415 - torch takes 2 s, and most read records alone

        return self._write(f"{self.path}/round-{number:03d}.safetensors", safetensors.torch.save(dict(weights)))

    def keep_state(self, number: int, state: State) -> StoredWeights:
        """Writes the training state from which the next round continues."""
        import torch  # noqa: PLC0415 - as above

        file = io.BytesIO()
        torch.save(state, file)
        return self._write(f"{self.path}/state-{number:03d}.pt", file.getvalue())

    def state(self, stored: StoredWeights) -> State:
        """Reads a training state. Raises RunError if it is gone or was changed."""
        import torch  # noqa: PLC0415 - as above

        try:
            data = self.folder.read(stored.path)
        except FileNotFoundError:
            raise RunError(
                f"{self.folder.name}: {stored.path} is gone, so the loop cannot go on; start it anew"
            ) from None
        if sha256_hex(data) != stored.sha256:
            raise RunError(f"{self.folder.name}: {stored.path} was changed since it was written; start the loop anew")
        found: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return found

    def forget_state(self, stored: StoredWeights) -> None:
        """Removes the state of a round once the next one is recorded."""
        self.folder.delete(stored.path)

    def _round(self, number: int) -> str:
        return f"{self.path}/round-{number:03d}.json"

    def _write(self, path: str, data: bytes) -> StoredWeights:
        self.folder.write(path, data)
        return StoredWeights(path=path, sha256=sha256_hex(data))


def loops(folder: Folder) -> list[Hardening]:
    """Finished loops of a dataset folder, the newest last."""
    found = [Home(folder, loop).hardening() for loop in folder.folders(LOOPS)]
    return sorted((one for one in found if one is not None), key=lambda one: (one.finished, one.loop_id))
