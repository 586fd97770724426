"""Views of a run: every row as it is, told apart from other files, kept up with later runs, and gone on with."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

import hardset as api
from hardset.pipeline.dataset.files.png import decode_png
from hardset.pipeline.dataset.views import export as exporting
from hardset.pipeline.dataset.views.export import Exported
from hardset.pipeline.dataset.views.layouts import LAYOUTS, folder_name
from hardset.pipeline.run.generation import generate
from hardset.pipeline.sources.table import open_source
from hardset.pipeline.storage.folder import Folder
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import RunError
from hardset.schemas.job.sources import ImageFolderSource
from hardset.schemas.records.run import Manifest
from tests.dataset.examples import CLASSES, finished_run, shard_of
from tests.nights.conftest import in_process
from tests.support import hardset, job_of, last_json

NAMES = list(LAYOUTS)


@dataclass(frozen=True)
class Nights:
    """Two nights, of 20 rows in two shards and of 30 in three, of which the later takes one over."""

    out: Path
    first: Manifest
    second: Manifest

    def export(self, to: str, view: Folder, *, second: bool = True) -> Exported:
        return exporting.export(Folder(str(self.out)), self.second if second else self.first, to, view)

    def truth(self) -> dict[str, tuple[str, int]]:
        """Digest of the pixels and label by row id, of the second night."""
        rows = api.open_dataset(self.out).to_arrow(["row_id", "image", "label"]).to_pylist()
        return {row["row_id"]: (image_sha256(decode_png(row["image"]["bytes"])), row["label"]) for row in rows}


@pytest.fixture(scope="module")
def nights(weights: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Nights:
    out = tmp_path_factory.mktemp("export") / "out"
    flip = [{"kind": "augment", "ops": [{"name": "hflip", "p": 0.5}]}]
    output = {"path": str(out), "shard_rows": 12}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hardset.pipeline.run.generation.results", in_process)
        first, second = (
            generate(
                job_of(weights, out, recipes=flip, output=output, source={"format": "digits", "limit": rows})
            ).manifest
            for rows in (20, 30)
        )
    assert first is not None and second is not None
    assert {one.path for one in first.data_files} & {one.path for one in second.data_files}
    assert {one.path for one in first.data_files} - {one.path for one in second.data_files}
    return Nights(out, first, second)


def contents(view: Folder) -> dict[str, bytes]:
    paths = [path for path in view.list() if "/lease/" not in path]
    return dict(zip(paths, view.read_many(paths), strict=True))


def rows_of(to: str, view: Folder) -> dict[str, tuple[str, int]]:
    """What `datasets`, a stranger to hardset, finds in a view."""
    if to == "webdataset":
        files = [f"{view.place}/{path}" for path in view.read("files.txt").decode().split()]
        rows = datasets.load_dataset("webdataset", data_files=files, split="train", cache_dir=f"{view.place}-cache")
        return {row["__key__"]: (_digest(row["png"]), int(row["cls"])) for row in rows}
    rows = datasets.load_dataset("imagefolder", data_dir=view.place, split="train", cache_dir=f"{view.place}-cache")
    rows = rows.cast_column("image", datasets.Image(decode=False))
    found = {}
    for row in rows:
        name, file = Path(row["image"]["path"]).parts[-2:]
        assert rows.features["label"].names[row["label"]] == name
        content = Path(row["image"]["path"]).read_bytes()
        found[file.removesuffix(".png")] = (image_sha256(decode_png(content)), int(name))
    return found


def _digest(image: Any) -> str:
    pixels = np.asarray(image)
    return image_sha256(pixels if pixels.ndim == 3 else pixels[..., None])


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("to", NAMES)
def test_a_view_holds_every_row_of_the_newest_run_as_it_is(to: str, nights: Nights, tmp_path: Path) -> None:
    done = hardset("export", nights.out, "--to", to, "--path", tmp_path / "view", "--json")
    assert done.returncode == 0, done.stderr
    told = last_json(done)
    assert (told["status"], told["run_id"], told["rows"]) == ("exported", nights.second.run_id, 30)
    assert (told["made"], told["kept"], told["removed"]) == (3, 0, 0)
    view = Folder(str(tmp_path / "view"))
    assert len(view.read("files.txt").decode().split()) == told["files"] == (3 if to == "webdataset" else 30)
    assert rows_of(to, view) == nights.truth()
    assert json.loads(view.read("classes.json")) == list(nights.second.classes)
    record = json.loads(view.read("export.json"))
    assert (record["run_id"], record["content_sha256"]) == (nights.second.run_id, nights.second.content_sha256)


def test_columns_come_along(nights: Nights, disk: Folder) -> None:
    nights.export("imagefolder", disk)
    lines = [json.loads(line) for path in disk.list("rows/") for line in disk.read(path).splitlines()]
    rows = {row["row_id"]: row for row in api.open_dataset(nights.out).to_arrow().to_pylist()}
    for line in lines:
        assert disk.exists(line.pop("file_name"))
        kept = rows[line["row_id"]]
        assert line == {name: value for name, value in kept.items() if value is not None and name != "image"}
    assert len(lines) == 30


def test_an_exported_folder_is_a_source_again(nights: Nights, disk: Folder) -> None:
    nights.export("imagefolder", disk)
    source = open_source(ImageFolderSource(path=f"{disk.place}/train"))
    parts = [source.read(part, source.probe(), 10)[0] for part in source.plan(100)]
    found = {digest for part in parts for digest in part.sha256}
    assert found == {digest for digest, _ in nights.truth().values()}


@pytest.mark.parametrize("to", NAMES)
def test_a_second_export_writes_nothing_that_holds_rows(to: str, nights: Nights, disk: Folder) -> None:
    nights.export(to, disk)
    before = {
        path: (Path(disk.place) / path).stat().st_mtime_ns for path in contents(disk) if path.endswith((".png", ".tar"))
    }
    again = nights.export(to, disk)
    assert (again.made, again.kept, again.removed) == (0, 3, 0)
    assert before == {path: (Path(disk.place) / path).stat().st_mtime_ns for path in before}
    assert (
        last_json(hardset("export", nights.out, "--to", to, "--path", disk.place, "--json"))["status"]
        == "nothing to do"
    )


@pytest.mark.parametrize(
    ("to", "url"),
    [("webdataset", "s3"), ("webdataset", "local"), ("imagefolder", "memory"), ("imagefolder", "local")],
    indirect=["url"],
)
def test_a_view_follows_the_runs(to: str, nights: Nights, url: str, tmp_path: Path) -> None:
    view, fresh = Folder(url), Folder(str(tmp_path / "fresh"))
    nights.export(to, view, second=False)
    later = nights.export(to, view)
    assert later.made + later.kept == 3 and later.kept > 0
    nights.export(to, fresh)
    assert contents(view) == contents(fresh)
    back = nights.export(to, view, second=False)
    assert back.kept > 0 and back.removed > 0


@pytest.mark.parametrize("to", NAMES)
def test_what_was_changed_or_lost_is_laid_out_anew(to: str, nights: Nights, disk: Folder) -> None:
    nights.export(to, disk)
    whole = contents(disk)
    first, second, *_ = disk.read("files.txt").decode().split()
    disk.write(first, whole[first][:-1] + b"x")
    disk.delete(second)
    assert nights.export(to, disk).made > 0
    assert contents(disk) == whole


class Failing(Folder):
    """Refuses from the n-th write on."""

    left = 10**9

    def write(self, path: str, data: bytes) -> None:
        type(self).left -= "/lease/" not in path
        if self.left < 0 and "/lease/" not in path:
            raise RunError("no space")
        super().write(path, data)


@pytest.mark.parametrize("to", NAMES)
def test_wherever_it_is_cut_off_the_next_one_goes_on_and_leaves_nothing_behind(
    to: str, nights: Nights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = Folder(str(tmp_path / "fresh"))
    nights.export(to, fresh)
    for cut in range(1, 12) if to == "webdataset" else (1, 2, 3, 9, 14, 20, 30, 41):
        place = str(tmp_path / str(cut))
        monkeypatch.setattr(Failing, "left", cut)
        with pytest.raises(RunError, match="no space"):
            nights.export(to, Failing(place), second=False)
            nights.export(to, Failing(place))
        nights.export(to, Folder(place))
        assert contents(Folder(place)) == contents(fresh), cut


def test_rows_that_do_not_read_back_are_noticed(nights: Nights, tmp_path: Path) -> None:
    class Forgetful(Folder):
        """Gives another picture than was stored."""

        def read(self, path: str) -> bytes:
            content = super().read(path)
            if not path.endswith(".png"):
                return content
            other = next(one for one in sorted(Path(self.place).glob("train/*/*.png")) if one.name not in path)
            return other.read_bytes()

    with pytest.raises(RunError, match="do not read back as they are"):
        nights.export("imagefolder", Forgetful(str(tmp_path / "view")))


def test_a_dataset_that_is_not_what_its_records_say_is_not_exported(nights: Nights, tmp_path: Path) -> None:
    out = shutil.copytree(nights.out, tmp_path / "out")
    file = out / nights.second.data_files[0].path
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    done = hardset("export", out, "--to", "webdataset")
    assert done.returncode == 1
    assert "is not the file of the manifest" in done.stderr
    file.unlink()
    assert "is missing" in hardset("export", out, "--to", "webdataset").stderr
    assert not list((tmp_path / "out-webdataset").glob("**/*.tar"))


def test_class_names_of_any_kind_are_folders(disk: Folder, tmp_path: Path) -> None:
    """Names with a colon, a comma, an accent."""
    manifest = finished_run(disk, (shard_of(0),))
    view = Folder(str(tmp_path / "view"))
    exporting.export(disk, manifest, "imagefolder", view)
    assert {path.split("/")[1] for path in view.list("train/")} == set(CLASSES)
    assert [folder_name(name) for name in ("a/b", "..", "", "50%", "a\\b")] == [
        "a%2Fb",
        "%2E.",
        "%00",
        "50%25",
        "a%5Cb",
    ]


def test_places_that_are_taken_are_refused(nights: Nights, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "photo.png").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(nights.out)
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "export.json").write_text("[]")
    assert hardset("export", nights.out, "--to", "webdataset", "--path", tmp_path / "view").returncode == 0
    for to, place, message in (
        ("webdataset", taken, "holds files that no export wrote"),
        ("webdataset", tmp_path / "strange", "is of no export"),
        ("webdataset", nights.out / "view", "lies in the dataset itself"),
        ("webdataset", nights.out, "lies in the dataset itself"),
        ("webdataset", tmp_path / "link" / "view", "lies in the dataset itself"),
        ("imagefolder", tmp_path / "view", "holds an export to webdataset; name another folder for imagefolder"),
        ("tfrecord", tmp_path / "new", "webdataset"),
    ):
        done = hardset("export", nights.out, "--to", to, "--path", place)
        assert done.returncode == 2, done.stdout
        assert message in done.stderr
    assert sorted(path.name for path in taken.iterdir()) == ["photo.png"]


def test_the_place_is_beside_the_dataset_where_none_is_named(nights: Nights, tmp_path: Path) -> None:
    out = shutil.copytree(nights.out, tmp_path / "out")
    done = hardset("export", out, "--to", "imagefolder", "--run", nights.first.run_id[:8])
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out-imagefolder" / "train").glob("*/*.png"))) == 20
    assert f"run {nights.first.run_id[:8]}" in done.stdout
