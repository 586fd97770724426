"""Class names: listed in a job, read from files of every kind, and found in folders and labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from hardset.pipeline.sources.base import warnings_of
from hardset.pipeline.sources.classes import in_labels, ordered
from hardset.pipeline.sources.table import open_source
from hardset.schemas.errors import JobError
from hardset.schemas.job.sources import ImageFolderSource, ImageSource, NpzSource, Source
from hardset.schemas.records.run import Image
from tests.sources.making import npz_bytes, pixels, png, write

NAMES = ("cat", "dog", "eel")
NUMBERED = {str(number): name for number, name in enumerate(NAMES)}
FILES: dict[str, tuple[str, str]] = {
    "lines": ("names.txt", "cat\ndog\n\neel \n"),
    "lines of windows": ("names.txt", "\ufeffcat\r\ndog\r\neel\r\n"),
    "names and numbers": ("map.txt", "eel 2\ncat 0\ndog 1\n"),
    "numbers and names": ("map.txt", "2: eel\n0: cat\n1: dog\n"),
    "commas": ("map.csv", "eel,2\ncat,0\ndog,1\n"),
    "list": ("names.json", json.dumps(NAMES)),
    "id2label": ("config.json", json.dumps({"model_type": "vit", "id2label": NUMBERED, "label2id": {"x": 0}})),
    "label2id": ("config.json", json.dumps({"label2id": {name: number for number, name in enumerate(NAMES)}})),
    "timm": ("config.json", json.dumps({"architecture": "resnet18", "num_classes": 3, "label_names": NAMES})),
    "numbers to names": ("map.json", json.dumps(dict(reversed(NUMBERED.items())))),
    "names to numbers": ("map.json", json.dumps({"eel": 2, "cat": 0, "dog": 1})),
    "yaml": ("data.yaml", "path: x\nnames:\n  0: cat\n  1: dog\n  2: eel\n"),
}


def folders(place: Path, *names: str, empty: tuple[str, ...] = ()) -> ImageFolderSource:
    """One image in each folder but the empty ones."""
    for number, name in enumerate(names):
        write(place / name / "x.png", png(number))
    for name in empty:
        (place / name).mkdir(parents=True)
    return ImageFolderSource(path=str(place))


def labels_of(spec: ImageSource) -> dict[str, int]:
    """Label by key of the source's rows."""
    reader = open_source(spec)
    image = Image(height=6, width=5, channels=3)
    parts = [reader.read(part, image, 20)[0] for part in reader.plan(10)]
    return {key: int(label) for rows in parts for key, label in zip(rows.keys, rows.labels, strict=True)}


@pytest.mark.parametrize("kind", FILES)
def test_files_of_names_are_read(kind: str, tmp_path: Path) -> None:
    name, text = FILES[kind]
    file = tmp_path / name
    file.write_text(text, newline="")
    spec = folders(tmp_path / "in", "dog", "cat").model_copy(update={"classes": str(file)})
    assert open_source(spec).class_names() == NAMES
    assert labels_of(spec) == {"cat/x.png": 0, "dog/x.png": 1}


def test_lines_that_end_in_numbers_of_their_own_are_names(tmp_path: Path) -> None:
    for text in ("digit 0\ndigit 1\n", "class 1\nclass 2\n", "7\n3\n"):
        (tmp_path / "names.txt").write_text(text)
        spec = NpzSource(path=str(tmp_path), classes=str(tmp_path / "names.txt"))
        assert open_source(spec).class_names() == tuple(text.split("\n")[:-1])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.json", '{"id2label": {"0": "a", "2": "b"}}', "x.json names no class 1; wants the numbers 0 to 1"),
        ("x.json", '{"a": "b"}', "maps neither numbers to names nor names to numbers"),
        ("x.json", "[1.5]", "x.json holds no class names; wants one name a line, or JSON"),
        ("x.json", "{", "x.json cannot be parsed: .*wants one name a line"),
        ("x.yaml", "a: [", "x.yaml cannot be parsed"),
        ("x.txt", "", "x.txt: holds no names"),
        ("x.txt", "a\nb\na\n", "x.txt: names 'a' twice"),
        ("x.txt", "caf\u00e9\ncafe\u0301\n", "twice; every class needs a name of its own"),
    ],
)
def test_a_file_that_lists_no_classes_is_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    spec = folders(tmp_path / "in", "a").model_copy(update={"classes": str(tmp_path / name)})
    with pytest.raises(JobError, match=f"^source.classes: .*{message}"):
        open_source(spec).class_names()


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    spec = folders(tmp_path / "in", "a").model_copy(update={"classes": str(tmp_path / "nowhere.txt")})
    with pytest.raises(JobError, match=r"^source.classes: .*nowhere.txt: no such file"):
        open_source(spec).class_names()
    (tmp_path / "x.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(JobError, match=r"^source.classes: .*x.txt is no UTF-8 text"):
        open_source(spec.model_copy(update={"classes": str(tmp_path / "x.txt")})).class_names()


def test_numbers_in_a_list_are_names_and_booleans_are_none() -> None:
    adapter: TypeAdapter[ImageFolderSource] = TypeAdapter(Source)
    spec = adapter.validate_python({"format": "imagefolder", "path": "x", "classes": [3, "cat"]})
    assert spec.classes == ("3", "cat")
    for wrong in ([True, "cat"], [], [1.5]):
        with pytest.raises(ValidationError):
            adapter.validate_python({"format": "imagefolder", "path": "x", "classes": wrong})


def test_a_list_numbers_class_folders(tmp_path: Path) -> None:
    spec = folders(tmp_path, "cat", "dog").model_copy(update={"classes": ("eel", "dog", "cat")})
    assert labels_of(spec) == {"cat/x.png": 2, "dog/x.png": 1}
    with pytest.raises(JobError, match=r"lists dog, but .* has the class 'cat' \(its classes: cat, dog\)"):
        open_source(spec.model_copy(update={"classes": ("dog",)})).plan(10)


def test_a_list_names_the_numbers_of_arrays(tmp_path: Path) -> None:
    file = write(tmp_path / "x.npz", npz_bytes(pixels(0)[None], [1]))
    assert open_source(NpzSource(path=str(file), classes=NAMES)).class_names() == NAMES


def test_names_that_are_numbers_sort_as_text_with_a_warning_or_by_value(tmp_path: Path) -> None:
    spec = folders(tmp_path, *map(str, range(12)))
    assert labels_of(spec)["10/x.png"] == 2
    (warning,) = warnings_of(open_source(spec))
    assert warning.startswith("source.classes: all class names are numbers, and 10 is not class 10 but class 2")
    assert "set source.numeric: true" in warning
    sorted_by_value = spec.model_copy(update={"numeric": True})
    assert labels_of(sorted_by_value) == {f"{number}/x.png": number for number in range(12)}
    assert warnings_of(open_source(sorted_by_value)) == ()
    write(tmp_path / "cat" / "x.png", png(1))
    with pytest.raises(JobError, match=r"source.numeric: the class 'cat' is no whole number"):
        open_source(sorted_by_value).class_names()


@pytest.mark.parametrize(("names", "warned"), [("0 1 2", False), ("1 2 3", True), ("001 002", True), ("1 a", False)])
def test_numbers_that_are_not_those_of_their_classes_are_told(names: str, warned: bool, tmp_path: Path) -> None:
    assert bool(warnings_of(open_source(folders(tmp_path, *names.split())))) == warned


def test_an_empty_class_folder_keeps_its_number_and_is_named(tmp_path: Path) -> None:
    spec = folders(tmp_path, "a", "b", "d", empty=("c", ".cache"))
    assert open_source(spec).class_names() == ("a", "b", "c", "d")
    assert labels_of(spec)["d/x.png"] == 3
    wanted = "source.path: no file in the class folder c; it keeps its class number 2"
    assert warnings_of(open_source(spec)) == (wanted,)


def test_a_class_that_is_empty_in_one_split_alone_is_none_to_name(tmp_path: Path) -> None:
    spec = folders(tmp_path, "train/a", "train/b", "test/a", empty=("test/b", "test/c"))
    assert open_source(spec).class_names() == ("a", "b", "c")
    assert [text[-23:] for text in warnings_of(open_source(spec))] == ["keeps its class number 2"[-23:]]


def test_two_spellings_of_a_name_are_one_class(tmp_path: Path) -> None:
    spec = folders(tmp_path, "train/cafe\u0301", "train/dog", "test/caf\u00e9", "test/dog")
    assert open_source(spec).class_names() == ("caf\u00e9", "dog")
    assert set(labels_of(spec).values()) == {0, 1}
    assert ordered(["cafe\u0301", "cab"], numeric=False) == ("cab", "cafe\u0301")  # one spelling stays as it is


def test_classes_that_were_found_in_labels_are_told(tmp_path: Path) -> None:
    buffer = npz_bytes(pixels(0)[None], ["cat"])  # type: ignore[arg-type]
    spec = NpzSource(path=str(write(tmp_path / "x.npz", buffer)))
    (warning,) = warnings_of(open_source(spec))
    assert "the labels are names, and the 1 found, sorted, are the classes: cat" in warning
    assert warnings_of(open_source(spec.model_copy(update={"classes": "from_source"}))) == ()


def test_ids_are_no_class_numbers() -> None:
    with pytest.raises(JobError, match=r"source.classes: x has the label 4294967295, which is no class number"):
        in_labels([0, 4294967295], numeric=False, offset=0, name="x")
    with pytest.raises(JobError, match=r"source.classes: x holds no labels"):
        in_labels([None], numeric=False, offset=0, name="x")


def test_a_hidden_class_folder_is_named(tmp_path: Path) -> None:
    spec = folders(tmp_path, "__background__", "__MACOSX", "cat", "dog")
    assert open_source(spec).class_names() == ("cat", "dog")
    told = "source.path: left out the folder __background__, as names that begin with __ are hidden; rename a class"
    assert warnings_of(open_source(spec)) == (told,)
