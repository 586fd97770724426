"""hardset as people have it: a wheel, installed in an environment that knows nothing of this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it."""

    bin: Path
    wheel: Path

    def run(self, *line: str | Path, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment in `folder`, without the import path that the tests themselves may have."""
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [str(self.bin / str(line[0])), *map(str, line[1:])],
            cwd=folder,
            env=clean | variables,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that this checkout makes."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(ROOT)], check=True)
    return next(folder.glob("hardset-*.whl"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """An environment with the wheel and, lent by the tests' own, the libraries that it needs."""
    home = tmp_path_factory.mktemp("installed") / "env"
    venv.create(home, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    # A folder that a .pth file names is not searched for further .pth files: the editable checkout stays out.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    install = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True)
    return Installed(home / "bin", wheel)
