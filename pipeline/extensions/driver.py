"""Where a driver finds modules and files, so that its workers find them too."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path


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

    def adopt(self) -> None:
        """Makes this process look in the same places: for modules last, so that none is taken for a library.

        Workers of a cluster that was there before start in another folder than the driver. A machine without the
        driver's folder stays where it is.
        """
        if self.folder and Path(self.folder).is_dir():
            os.chdir(self.folder)
        sys.path.extend(place for place in self.import_path if place not in sys.path)
