"""Wheels carried to a machine without a network: downloaded here, installed there into a folder of their own.

    make gpu-wheels                                # what hardset lacks beside torch, for Python 3.12 on x86-64
    make gpu-wheels GPU_PYTHON="3.11 3.13" GPU_WHEELS="torchattacks foolbox ..."
    python -m benchmarks.gpu.wheels [--python 3.12] [--platform manylinux...] [--to wheels] [NAME ...]

Code, wheels and data stay within 60 MiB together, so that what is carried is chosen: leave out what the other machine
has. Nothing is resolved: every package is named, and installed with --no-deps.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WHEELS = ROOT / "wheels"
MOST = 60 * 2**20
"""Bytes of code, wheels and data together."""
NAMES = (
    *("pydantic", "pydantic-core", "annotated-types", "typing-inspection", "typing-extensions"),
    *(
        "kornia",
        "kornia-rs",
        "packaging",
        "safetensors",
        "fsspec",
        "pyyaml",
        "pytest",
        "pluggy",
        "iniconfig",
        "pygments",
    ),
    *("torchattacks", "requests", "urllib3", "certifi", "idna", "charset-normalizer", "tqdm"),
    *("foolbox", "eagerpy", "gitpython", "gitdb", "smmap"),
)
"""All but the heavy ones (torch, numpy, pyarrow, pillow, scipy, torchvision), which a machine with a card has."""
_NO_WHEEL = ("torchattacks", "foolbox", "eagerpy")
"""Pure Python, built here where the index has no wheel."""
PLATFORMS = (*(f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17)), "manylinux2014_x86_64")


def download(names: tuple[str, ...], pythons: tuple[str, ...], platforms: tuple[str, ...], to: Path) -> None:
    """Fetches a wheel of each name for each Python. Raises SystemExit where they are too much to carry."""
    to.mkdir(parents=True, exist_ok=True)
    pins = _pins()
    for name in names:
        wanted = f"{name}=={pins[name]}" if name in pins else name
        if name in _NO_WHEEL:
            _pip("wheel", "--no-deps", "--wheel-dir", str(to), wanted)
            continue
        for python in pythons:
            marks = [f"--platform={platform}" for platform in platforms]
            _pip(
                "download",
                "--no-deps",
                "--only-binary=:all:",
                f"--python-version={python}",
                *marks,
                "-d",
                str(to),
                wanted,
            )
    carried = size_of(ROOT) + (0 if to.is_relative_to(ROOT) else size_of(to))
    print(f"{to}: {len(list(to.glob('*.whl')))} wheels; {carried / 2**20:.1f} MiB with the code")
    if carried > MOST:
        raise SystemExit(f"{carried / 2**20:.1f} MiB are more than the 60 that travel; name fewer packages")


def size_of(folder: Path) -> int:
    """Bytes that travel: all files except environments, caches and the history."""
    left_out = {
        ".git",
        ".venv",
        ".venv-bench",
        "__pycache__",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        "demo",
        "dist",
    }
    files = (file for file in folder.rglob("*") if file.is_file() and not left_out.intersection(file.parts))
    return sum(file.stat().st_size for file in files)


def install(folder: Path) -> Path:
    """Installs what is missing here from the wheels of `folder`, without a network; the folder to import from.

    What the machine has stays in use, since the new folder is meant for the end of the import path.
    """
    wheels = sorted({_name(file) for file in folder.glob("*.whl")})
    if not wheels:
        raise SystemExit(f"{folder}: holds no wheels; `make gpu-wheels` fetches them on a machine with a network")
    target = Path(tempfile.mkdtemp(prefix="hardset-wheels-"))
    missing = [name for name in wheels if not _installed(name)]
    if missing:
        command = ("install", "--quiet", "--no-index", "--no-deps", "--no-compile", f"--find-links={folder}")
        _pip(*command, f"--target={target}", *missing)
    return target


def _installed(name: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _name(wheel: Path) -> str:
    return re.sub(r"[-_.]+", "-", wheel.name.partition("-")[0]).lower()


def _pins() -> dict[str, str]:
    """Versions of this environment, so that those are tried that were tested."""
    from importlib.metadata import distributions  # noqa: PLC0415

    return {re.sub(r"[-_.]+", "-", one.name).lower(): one.version for one in distributions()}


def _pip(*arguments: str) -> None:
    if importlib.util.find_spec("pip") is None:
        raise SystemExit(f"{sys.executable} has no pip")
    done = subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], check=False)
    if done.returncode:
        raise SystemExit(f"pip {' '.join(arguments[:1])} {arguments[-1]} failed; see above")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="packages, all that are wanted; by default hardset's light ones")
    parser.add_argument("--python", action="append", help="version of the other machine's Python; may be repeated")
    parser.add_argument("--platform", action="append", help="its platform tag; may be repeated")
    parser.add_argument("--to", type=Path, default=WHEELS, help="folder; by default wheels, which git ignores")
    given = parser.parse_args()
    pythons = tuple(given.python or ("3.12",))
    download(tuple(given.names) or NAMES, pythons, tuple(given.platform or PLATFORMS), given.to)


if __name__ == "__main__":
    main()
