"""What the distribution holds: one package, and nothing beside it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from tests.installed.conftest import ROOT, Installed


def test_a_wheel_holds_the_package_and_nothing_beside_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"hardset"}
    tracked = subprocess.run(
        ["git", "ls-files", "pipeline", "jobs", "schemas"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    if tracked:
        assert {f"hardset/{name}" for name in tracked if (ROOT / name).is_file()} <= names
    assert {"hardset/__init__.py", "hardset/__main__.py", "hardset/py.typed"} <= names


def test_an_installed_wheel_is_the_only_hardset_there(installed: Installed, tmp_path: Path) -> None:
    told = "import hardset.pipeline, importlib.util as u; print(hardset.__file__, u.find_spec('pipeline'))"
    done = installed.run("python", "-c", told, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    file, spec = done.stdout.split()
    assert str(ROOT) not in file and spec == "None"
    assert installed.run("hardset", "--version", folder=tmp_path).stdout.startswith("hardset ")


def test_a_wheel_made_from_the_source_distribution_holds_the_same(wheel: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)],
        cwd=ROOT,
        check=True,
    )
    (packed,) = tmp_path.glob("hardset-*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / packed.name.removesuffix(".tar.gz")
    assert not [path for path in folder.rglob("*") if path.is_symlink()]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=folder,
        check=True,
    )
    (again,) = tmp_path.glob("hardset-*.whl")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as two:
        assert set(one.namelist()) == set(two.namelist())
