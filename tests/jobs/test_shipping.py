"""What goes to the cluster with a job: the modules it names, found without running them, and the code of hardset."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from hardset.jobs.cluster.credentials import refuse_credentials
from hardset.jobs.cluster.shipping import PACKAGE, Parcel, modules_beside
from hardset.schemas.errors import JobError
from hardset.schemas.job.job import Job
from hardset.schemas.reading.loading import parse_job
from tests.support import hardset, last_json


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
    working, packages = packed(
        Parcel(modules=(beside / "pack", beside / "deep.py"), data=("pack/*.json",)), tmp_path / "box"
    )
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


def test_nothing_goes_but_source_files_and_data_that_is_asked_for(beside: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "secret.py").write_text("KEY = 'theirs'")
    for name in (".env", ".git/config", "last.ckpt", "weights.safetensors", "notes.txt", ".hidden/inner.py"):
        (beside / "pack" / name).parent.mkdir(exist_ok=True)
        (beside / "pack" / name).write_text("not for the cluster")
    (beside / "pack" / "linked.py").symlink_to(outside / "secret.py")
    (beside / "pack" / "linked").symlink_to(outside, target_is_directory=True)
    working, _ = packed(Parcel(ship=False, modules=(beside / "pack",), data=("pack/weights.*",)), tmp_path / "box")
    files = sorted(str(path.relative_to(working)) for path in working.rglob("*") if path.is_file())
    assert files == ["pack/__init__.py", "pack/inner.py", "pack/weights.safetensors"]


def test_a_module_that_is_a_link_and_a_pattern_without_a_file_are_refused(beside: Path, tmp_path: Path) -> None:
    (beside / "alias.py").symlink_to(beside / "deep.py")
    with pytest.raises(JobError, match="is a symbolic link, which is not followed"):
        packed(Parcel(ship=False, modules=(beside / "alias.py",)), tmp_path / "one")
    with pytest.raises(JobError, match=r"--data pack/\*\.yaml: matches no file of the modules that go along \(pack\)"):
        packed(Parcel(ship=False, modules=(beside / "pack",), data=("pack/*.yaml",)), tmp_path / "two")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://AKIA:wordword@bucket/w.safetensors", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY on its nodes"),
        ("https://token@host/w.safetensors", "the URL 'https://host/w.safetensors' holds credentials"),
        ("https://b.s3.amazonaws.com/w.pt?X-Amz-Signature=ab12&X-Amz-Date=1", "holds credentials"),
        ("https://acc.blob.core.windows.net/c/w.pt?sv=1&sig=abc", "holds credentials"),
        ("simplecache::gs://me:word@bucket/w.safetensors", "GOOGLE_APPLICATION_CREDENTIALS"),
    ],
)
def test_urls_with_credentials_are_refused_without_repeating_them(url: str, told: str) -> None:
    with pytest.raises(JobError) as refusal:
        refuse_credentials({"model": {"weights": url}}, name="job.yaml")
    text = str(refusal.value)
    assert text.startswith("job.yaml: model.weights: ") and told in text
    assert not any(secret in text for secret in ("wordword", "token@", "ab12", "abc", "me:word"))


def test_urls_without_credentials_go(beside: Path) -> None:
    plain = ["s3://bucket/a@b/w.pt", "hf://datasets/org/name@main/x.parquet", "ssh://user@host/w.pt", "https://h/w?v=1"]
    refuse_credentials({"paths": plain, "names": ["a:b@c", "x?token=1"]}, name="job.yaml")


def test_a_dry_run_lists_what_would_go_and_asks_no_cluster(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(beside)
    document = job_with("pack.inner:make").model_dump(mode="json")
    (beside / "job.yaml").write_text(yaml.safe_dump(document))
    done = hardset("submit", "job.yaml", "--address", "http://127.0.0.1:9", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    names = set(last_json(done)["files"])
    assert {"working/job.yaml", "working/pack/inner.py", "working/helpers.py", "code/hardset/__init__.py"} <= names
    assert not any("data.json" in name or "site-packages" in name for name in names)
