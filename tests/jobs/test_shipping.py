"""What goes to the cluster with a job: the modules it names, found without running them, and the code of hardset."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from hardset.jobs.cluster.shipping import PACKAGE, Parcel, modules_beside
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import parse_job


def job_with(factory: str, **attack: Any) -> Job:
    return parse_job(
        {
            "name": "shipped",
            "source": {"format": "digits"},
            "model": {"factory": factory, "weights": "/w.safetensors", "classes": 10, "arguments": {"factory": "a:b"}},
            "recipes": [{"kind": "attack", "name": "pgd", "norm": "linf", "eps": "8/255", **attack}],
            "output": {"path": "/data/out"},
        }
    )


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A folder of modules that would fail if one ran them."""
    for name, text in {
        "nets.py": "import torch\nimport helpers\nraise RuntimeError",
        "helpers.py": "from deep import x\n1 / 0",
        "deep.py": "x = 1",
        "unrelated.py": "",
        "a.py": "",
        "broken.py": "def (",
        "pack/__init__.py": "",
        "pack/inner.py": "import helpers",
        "pack/data.json": "{}",
        "pack/__pycache__/inner.pyc": "",
        "plant/__init__.py": "",
        "plant/nets.py": "",
        "yaml.py": "",
        "early.py": "import yaml",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        ("nets:make", {"nets.py", "helpers.py", "deep.py"}),
        ("pack.inner:make", {"pack", "helpers.py", "deep.py"}),
        ("broken:make", {"broken.py"}),
        ("torchvision.models:resnet18", set()),
        ("pipeline.models.zoo:small_cnn", set()),
        ("plant.nets:make", {"plant"}),
        ("early:make", {"early.py"}),
        ("hardset.pipeline.models.zoo:small_cnn", set()),
    ],
)
def test_modules_beside_the_job_are_found_with_what_they_import_there(
    beside: Path, factory: str, expected: set[str]
) -> None:
    found = modules_beside(job_with(factory), [beside])
    assert {module.name for module in found} == expected


def test_an_objective_of_ones_own_counts_and_the_first_folder_wins(beside: Path, tmp_path: Path) -> None:
    job = job_with("hardset.pipeline.models.zoo:small_cnn", objective="deep:x")
    other = tmp_path / "other"
    other.mkdir()
    (other / "deep.py").write_text("x = 2")
    assert modules_beside(job, [other, beside]) == (other / "deep.py",)
    assert modules_beside(job, [beside, other]) == (beside / "deep.py",)


def packed(parcel: Parcel, folder: Path) -> tuple[Path, set[str]]:
    working, code = folder / "working", folder / "code"
    working.mkdir(parents=True)
    code.mkdir()
    return working, {Path(place).name for place in parcel.pack(working, code)}


def test_the_code_goes_with_its_data_files_and_tells_no_place_of_this_machine(beside: Path, tmp_path: Path) -> None:
    working, packages = packed(Parcel(modules=(beside / "pack", beside / "deep.py")), tmp_path / "box")
    assert sorted(str(p.relative_to(working)) for p in working.rglob("*") if p.is_file()) == [
        "deep.py",
        "pack/__init__.py",
        "pack/data.json",
        "pack/inner.py",
    ]
    assert PACKAGE in packages
    code = working.parent / "code"
    assert (code / PACKAGE / "jobs" / "verbs" / "job_template.yaml").is_file() and (
        code / PACKAGE / "__main__.py"
    ).is_file()
    assert not [path for path in code.rglob("*") if path.is_symlink()]
    metadata = [path.name for path in code.glob("*.dist-info/*")]
    assert metadata == ["METADATA"]
    assert not list(code.rglob("__pycache__"))


def test_the_code_of_a_wheel_goes_instead_and_no_code_where_it_is_installed(tmp_path: Path) -> None:
    wheel = tmp_path / "hardset-9.9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("hardset/__init__.py", "hardset-9.9.dist-info/METADATA"):
            archive.writestr(name, "")
    assert packed(Parcel(wheel=wheel), tmp_path / "one")[1] == {PACKAGE, "hardset-9.9.dist-info"}
    assert packed(Parcel(ship=False), tmp_path / "two")[1] == set()


def test_what_is_no_wheel_of_hardset_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other-1.0-py3-none-any.whl"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("other/__init__.py", "")
    for wheel, reason in ((other, "not a wheel of hardset"), (tmp_path / "none.whl", "cannot be read")):
        with pytest.raises(JobError, match=reason):
            packed(Parcel(wheel=wheel), tmp_path / wheel.stem)
