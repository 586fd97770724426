"""Image folders: classes by name, poison apart, a new file touches one class, strays are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardset.pipeline.sources.table import open_source
from hardset.schemas.digests import image_sha256
from hardset.schemas.errors import JobError, RunError
from hardset.schemas.job.sources import ImageFolderSource
from hardset.schemas.records.run import Image, SourceRange
from tests.sources.making import encoded, pixels, png, write

SHAPE = Image(height=6, width=5, channels=3)


def _plan(folder: Path, shard_rows: int = 100) -> list[SourceRange]:
    return open_source(ImageFolderSource(path=str(folder))).plan(shard_rows)


def test_classes_are_numbered_by_name_over_all_splits(tmp_path: Path) -> None:
    for name in ("train/dog/1.png", "train/Cat/2.png", "test/ant/3.png", "val_set/dog/4.png"):
        write(tmp_path / name, png(0))
    reader = open_source(ImageFolderSource(path=str(tmp_path)))
    assert reader.class_names() == ("Cat", "ant", "dog")
    found = {}
    for part in reader.plan(10):
        rows, _ = reader.read(part, SHAPE, 3)
        found.update(dict(zip(rows.keys, zip([part.split] * 9, rows.labels.tolist(), strict=False), strict=False)))
        assert rows.indices.tolist() == [0] * len(rows)
    assert found == {
        "train/Cat/2.png": ("train", 0),
        "train/dog/1.png": ("train", 2),
        "val_set/dog/4.png": ("validation", 2),
        "test/ant/3.png": ("test", 1),
    }
    assert open_source(ImageFolderSource(path=str(tmp_path), splits=("test",))).class_names() == ("Cat", "ant", "dog")


def test_classes_may_be_called_as_splits_are(tmp_path: Path) -> None:
    """A train is a vehicle too."""
    for name in ("train/1.png", "bus/2.png"):
        write(tmp_path / name, png(0))
    assert open_source(ImageFolderSource(path=str(tmp_path))).class_names() == ("bus", "train")
    assert {r.split for r in _plan(tmp_path)} == {"train"}


def test_each_poison_is_a_reject_and_its_neighbours_survive(tmp_path: Path) -> None:
    poison = {
        "b1.jpg": (encoded(pixels(0, 40, 40), "JPEG")[:300], "UnreadableImageError"),
        "b2.png": (b"", "UnreadableImageError"),
        "b3.txt": (b"notes", "UnreadableImageError"),
        "b4.png": (png(0, 1, 1), "ImageTooSmallError"),
        "b5.png": (png(0, 50, 40), "ImageTooLargeError"),
        "b6.png": (png(0, 5, 6), "WrongSizeError"),
    }
    for name, (data, _) in poison.items():
        write(tmp_path / "a" / name, data)
        write(tmp_path / "a" / f"{name}.good [1]*.png", png(1))
    for litter in (".DS_Store", ".hidden.png", "Thumbs.db", "__MACOSX/x.png", ".cache/deep/er/x.png"):
        write(tmp_path / "a" / litter, b"litter")
    write(tmp_path / "README.md", b"outside the classes")
    reader = open_source(ImageFolderSource(path=str(tmp_path), max_pixels=1000))
    (part,) = reader.plan(100)
    rows, rejects = reader.read(part, SHAPE, 1)
    assert rows.keys == tuple(f"a/{name}.good [1]*.png" for name in poison)
    assert {r.key.removeprefix("a/"): r.error_class for r in rejects} == {n: kind for n, (_, kind) in poison.items()}


def test_a_new_file_changes_its_class_only_and_only_from_its_place_on(tmp_path: Path) -> None:
    for label in "abc":
        for i in range(6):
            write(tmp_path / label / f"{i}.png", png(i))
    before = _plan(tmp_path, 2)
    assert all(len({member for r in before if r.file == label for member in r.members}) == 6 for label in "abc")
    write(tmp_path / "b" / "9.png", png(9))
    after = _plan(tmp_path, 2)
    assert [r for r in after if r not in before] == [r for r in after if r.file == "b" and "9.png" in r.members]
    assert [r for r in before if r not in after] == []
    write(tmp_path / "b" / "3.png", png(10))
    changed = _plan(tmp_path, 2)
    assert [(r.file, r.members) for r in changed if r not in after] == [("b", ("2.png", "3.png"))]


def test_a_range_keeps_its_labels_when_a_class_arrives_after_the_plan(tmp_path: Path) -> None:
    write(tmp_path / "b" / "1.png", png(0))
    (part,) = _plan(tmp_path)
    write(tmp_path / "a" / "1.png", png(0))
    late = open_source(ImageFolderSource(path=str(tmp_path)))
    assert late.read(part, SHAPE, 1)[0].labels.tolist() == [0]
    assert part not in _plan(tmp_path)


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    write(tmp_path / "store" / "one.png", png(0))
    (tmp_path / "set" / "train").mkdir(parents=True)
    (tmp_path / "set" / "train" / "a").symlink_to(tmp_path / "store")
    (tmp_path / "set" / "train" / "b").mkdir()
    (tmp_path / "set" / "train" / "b" / "x.png").symlink_to(tmp_path / "store" / "one.png")
    found = [f"{r.file}/{m}" for r in _plan(tmp_path / "set") for m in r.members]
    assert found == ["train/a/one.png", "train/b/x.png"]
    (tmp_path / "loop" / "a").mkdir(parents=True)
    write(tmp_path / "loop" / "a" / "x.png", png(0))
    (tmp_path / "loop" / "a" / "up").symlink_to(tmp_path / "loop")
    assert [r.members for r in _plan(tmp_path / "loop")] == [("x.png",)]


STRAYS = {
    "an image beside the classes": (
        ["a/1.png", "2.png"],
        r"holds 2.png, which lies in no class.*wants CLASS/FILE",
    ),
    "an image beside the classes of a split": (
        ["train/a/1.png", "train/2.jpg"],
        r"train/2.jpg, which lies in no",
    ),
    "a folder too deep": (["train/a/b/1.png"], r"holds train/a/b/1.png, which lies in no class folder"),
    "a level that is no split": (["a/1.png", "photos/cat/1.png"], r"photos/cat/1.png, and photos is no split"),
    "no files": ([], r"holds no class folders"),
    "no images": (["README.md"], r"holds no class folders"),
}


@pytest.mark.parametrize("case", STRAYS)
def test_files_that_fit_no_layout_are_named(case: str, tmp_path: Path) -> None:
    names, message = STRAYS[case]
    (tmp_path / "set").mkdir()
    for name in names:
        write(tmp_path / "set" / name, png(0))
    with pytest.raises(JobError, match=f"source.path: .*{message}"):
        _plan(tmp_path / "set")


def test_a_file_is_no_image_folder(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"x.png is no folder"):
        _plan(write(tmp_path / "x.png", png(0)))


def test_a_file_that_cannot_be_reached_is_a_fault_and_not_a_reject(tmp_path: Path) -> None:
    write(tmp_path / "a" / "1.png", png(0))
    dangling = tmp_path / "a" / "2.png"
    dangling.symlink_to(tmp_path / "gone.png")
    with pytest.raises(JobError, match=rf"source.path: a/2.png is a link to {tmp_path}/gone.png, where nothing is"):
        open_source(ImageFolderSource(path=str(tmp_path), unreadable="fail")).plan(100)
    dangling.unlink()
    (part,) = _plan(tmp_path)
    (tmp_path / "a" / "1.png").unlink()
    with pytest.raises(RunError, match=r"a/1\.png has vanished since the run was planned"):
        open_source(ImageFolderSource(path=str(tmp_path))).read(part, SHAPE, 1)


def test_mixed_formats_and_modes_become_rows_of_one_shape(tmp_path: Path) -> None:
    made = {
        "a/1.jpg": encoded(pixels(1, 30, 40), "JPEG"),
        "a/2.png": png(2, 33, 20, 4),
        "a/3.gif": encoded(pixels(3, 9, 9), "GIF"),
    }
    made["b/4.webp"] = encoded(pixels(4, 50, 50), "WEBP")
    made["b/5.png"] = png(5, 16, 16, 1)
    for name, data in made.items():
        write(tmp_path / name, data)
    reader = open_source(ImageFolderSource(path=str(tmp_path), size=16))
    image = reader.probe()
    assert image == Image(height=16, width=16, channels=3)
    reads = [reader.read(r, image, 2) for r in reader.plan(10)]
    assert [key for rows, _ in reads for key in rows.keys] == list(made)
    grey = pixels(5, 16, 16, 1).repeat(3, axis=2)
    assert reads[1][0].sha256[1] == image_sha256(grey)
