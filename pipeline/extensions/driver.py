"""Where a driver finds modules and files, so that its workers find them too."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from hardset.schemas.base import Spec
from hardset.schemas.errors import JobError
from hardset.schemas.job.places import relative_places


@dataclass(frozen=True)
class DriverContext:
    """The import path and the working folder of a driver."""

    import_path: tuple[str, ...] = ()
    """Where it finds modules, such as a model factory beside the job file."""
    folder: str = ""
    """Where its relative paths start; empty where that folder is gone."""

    @staticmethod
    def here() -> DriverContext:
        """That of this process."""
        try:
            folder = str(Path.cwd())
        except FileNotFoundError:
            folder = ""
        return DriverContext(tuple(sys.path), folder)

    def adopt(self, job: Spec | None = None) -> None:
        """Makes this process look in the same places: for modules last, so that none is taken for a library.

        Workers of a cluster that was there before start in another folder than the driver. A machine without the
        driver's folder stays where it is, where the relative places of `job` would mean other files: raises JobError.
        """
        sys.path.extend(place for place in self.import_path if place not in sys.path)
        if self.folder and Path(self.folder).is_dir():
            os.chdir(self.folder)
        elif job is not None and (relative := relative_places(job)):
            key, value = relative[0]
            raise JobError(
                f"{key}: got {value!r}, which starts from {self.folder or 'a folder that is gone'}, and "
                f"{socket.gethostname()} has no such folder; on a cluster it wants a URL, or an absolute path that "
                "every node sees"
            )
