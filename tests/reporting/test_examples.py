"""Which rows are shown, and that the pictures show them."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from hardset.pipeline.dataset.records.ledger import Ledger
from hardset.pipeline.reporting import row_pictures
from hardset.pipeline.reporting.candidates import MARKS, PER_RECIPE, RESISTING, Candidates
from hardset.pipeline.reporting.clean import clean_pixels
from hardset.pipeline.reporting.embedding import embedded
from hardset.pipeline.reporting.enlarging import amplification, amplified_difference, fitted
from hardset.pipeline.reporting.example_grid import WIDTH, grid_png
from hardset.pipeline.reporting.examples import Example
from hardset.pipeline.reporting.gallery import IMAGES_OF, most_rows
from hardset.pipeline.reporting.page import read_content
from hardset.pipeline.reporting.row_pictures import RowPicture, drawn_rows
from hardset.schemas.digests import image_sha256
from hardset.schemas.job.job import Job
from tests.reporting.conftest import content_of, made
from tests.reporting.dataset import STRONG, WEAK, Setting

PIXELS = arrays(np.uint8, (3, 4, 1))


def ids(content):
    return {recipe: [example.row["row_id"] for example in shown] for recipe, shown in content.examples.items()}


def test_the_choice_does_not_depend_on_sharding(tmp_path, digits):
    other = made(str(tmp_path / "out"), Setting(shard_rows=37))
    assert ids(other.content) == ids(digits.content)


def test_examples_are_spread_over_classes_and_outcomes(digits):
    content = digits.content
    for recipe in content.statistics.recipes:
        shown = content.examples[recipe.recipe_id]
        assert PER_RECIPE <= len(shown) <= PER_RECIPE + len(MARKS)
        assert len({example.row["row_id"] for example in shown}) == len(shown)
        assert {example.row["label"] for example in shown} == set(range(10))
        if recipe.kind == "adversarial":
            assert RESISTING <= sum(not example.row["success"] for example in shown) <= RESISTING + 1


def columns(dataset, names):
    """Columns of all rows by recipe, read without the report's code."""
    found = {}
    for file in dataset.manifest.data_files:
        for row in pq.read_table(f"{dataset.folder.name}/{file.path}", columns=[*names, "recipe_id"]).to_pylist():
            found.setdefault(row["recipe_id"], []).append(row)
    return found


def test_marked_rows_are_the_extremes_of_their_recipe(digits):
    names = ("row_id", "kind", "label", "pred", "clean_pred", "success", "target_label", "margin", "confidence", "l2")
    rows = columns(digits, names)
    for recipe, shown in digits.content.examples.items():
        marked = {example.mark: example.row["row_id"] for example in shown if example.mark}
        assert [example.mark for example in shown[: len(marked)]] == list(marked), "they come first"
        mine = rows[recipe]
        if mine[0]["kind"] == "adversarial":
            mine = [row for row in mine if row["target_label"] is not None or row["clean_pred"] == row["label"]]
            fallen, standing = [r for r in mine if r["success"]], [r for r in mine if not r["success"]]
            wanted = {
                "Easiest": min(fallen, key=lambda r: (r["l2"], r["row_id"])),
                "Hardest": min(standing, key=lambda r: (-r["margin"], r["row_id"])),
                "Most confident error": min(fallen, key=lambda r: (-r["confidence"], r["row_id"])),
            }
        else:
            right, wrong = [r for r in mine if r["pred"] == r["label"]], [r for r in mine if r["pred"] != r["label"]]
            wanted = {
                "Easiest": min(right, key=lambda r: (-r["margin"], r["row_id"])),
                "Hardest": min(right, key=lambda r: (r["margin"], r["row_id"])),
                "Most confident error": min(wrong, key=lambda r: (-r["confidence"], r["row_id"]), default=None),
            }
        expected = dict.fromkeys(row["row_id"] for row in wanted.values() if row)
        assert list(marked.values()) == list(expected), "a row that would bear two marks is listed once"


@given(st.lists(st.sampled_from([*IMAGES_OF, ""]), max_size=300), st.integers(3, 300))
def test_examples_share_the_images_of_a_page(kinds, images):
    most = most_rows(kinds, images)
    assert len(most) == len(kinds)
    assert sum(rows * IMAGES_OF.get(kind, 3) for kind, rows in zip(kinds, most, strict=True)) <= images
    assert not kinds or most[0] >= 1


def test_a_recipe_without_rows_has_no_examples():
    assert Candidates().to_show("none", 9) == []


def test_a_row_misread_before_the_attack_is_not_shown_as_resisting(digits):
    for shown in digits.content.examples.values():
        for example in shown:
            row = example.row
            assert row["kind"] != "adversarial" or row["target_label"] is not None or row["clean_pred"] == row["label"]


def test_images_are_the_stored_ones_and_clean_ones_the_source_ones(digits):
    for shown in digits.content.examples.values():
        for example in shown:
            assert image_sha256(example.made) == example.row["image_sha256"]
            if example.row["kind"] == "generated":
                assert example.clean is None
            else:
                assert image_sha256(example.clean) == example.row["source_sha256"]


@pytest.mark.parametrize("fault", ["no plan", "other pixels", "gone"])
def test_clean_rows_that_cannot_be_had_are_left_out(digits, fault):
    def plan_of(run):
        plan = Ledger(digits.folder, run).plan()
        if fault == "no plan":
            return None
        if fault == "other pixels":
            source = {"format": "digits", "size": 16}
            plan = plan.model_copy(update={"image": plan.image.model_copy(update={"height": 16, "width": 16})})
        else:
            source = {"format": "npz", "path": "gone.npz"}
        return plan.model_copy(update={"job": {**plan.job, "source": source}})

    content = read_content(
        digits.folder, digits.manifest, clean_pixels(plan_of, lambda plan: Job.model_validate(plan.job).source)
    )
    assert ids(content) == ids(digits.content)
    assert all(example.clean is None for shown in content.examples.values() for example in shown)
    assert grid_png(content)


def test_examples_of_an_unreadable_file_are_left_out(tmp_path):
    dataset = made(str(tmp_path / "out"), Setting(recipes=(STRONG, WEAK), rows=60))
    dataset.folder.write(dataset.manifest.outputs[0].data.path, b"no parquet")
    content = dataset.content
    assert [len(shown) > 0 for shown in content.examples.values()] == [False, True]


@given(PIXELS, PIXELS, st.integers(1, 200))
def test_differences_are_amplified_about_grey(clean, made_pixels, factor):
    shown = amplified_difference(clean, made_pixels, factor)
    exact = 128 + factor * (made_pixels.astype(int) - clean.astype(int))
    assert (shown == exact.clip(0, 255)).all()


@given(PIXELS, PIXELS)
def test_amplification_is_the_largest_that_clips_nothing(clean, made_pixels):
    factor = amplification([Example({}, made_pixels, clean)])
    change = np.abs(made_pixels.astype(int) - clean.astype(int)).max()
    assert factor >= 1
    assert factor == 1 or factor * change <= 127
    assert change == 0 or (factor + 1) * change > 127


@given(PIXELS)
def test_enlarged_pixels_stay_squares(pixels):
    large = np.asarray(fitted(pixels, 4 * 7))
    assert (large == pixels[..., 0].repeat(7, 0).repeat(7, 1)).all()


def test_large_differences_keep_their_noise(tmp_path):
    noise = np.where(np.random.default_rng(0).random((256, 256, 3)) < 0.5, 28, 228).astype(np.uint8)
    assert np.asarray(fitted(noise, 64, difference=True)).std() == pytest.approx(noise.std(), rel=0.02)


@pytest.mark.parametrize("difference", [False, True])
def test_images_are_exact_where_they_fit_and_say_so_where_they_do_not(difference):
    rng = np.random.default_rng(1)
    for side in (8, 96, 224):
        pixels = rng.integers(0, 256, (side, side, 3), np.uint8)
        whole = embedded(pixels, 300_000, difference=difference)
        assert whole.note == ""
        data = base64.b64decode(whole.uri.partition(",")[2])
        assert (np.asarray(Image.open(io.BytesIO(data))) == pixels).all()
    sizes = [*range(300_000, 0, -20_000), 1]
    forms = [embedded(pixels, most, difference=difference) for most in sizes]
    notes = list(dict.fromkeys(form.note.split(";")[0] for form in forms))
    shrunk = [f"shrunk here to {side} of 224 pixels" for side in (160, 128, 96)]
    assert notes == ["", *(() if difference else ("compressed here",)), *shrunk]
    smallest = len(forms[-1].uri)
    assert all(len(form.uri) <= max(most, smallest) for form, most in zip(forms, sizes, strict=True))


def picture(marked, clean=True):
    rng = np.random.default_rng(2)
    made, other = (rng.integers(0, 256, (224, 224, 3), np.uint8) for _ in range(2))
    return RowPicture(made, other if clean else None, 1, "a", "a", "a", marked=marked)


def test_rows_share_the_bytes_of_a_page_and_marked_ones_have_more(monkeypatch):
    monkeypatch.setattr(row_pictures, "MOST_BYTES", 1_500_000)
    groups = [[picture(True), picture(False)], [picture(False, clean=False)]]
    ((marked, plain), (generated,)) = drawn_rows(groups, 200)
    assert [str(one).count("<img") for one in (marked, plain, generated)] == [3, 3, 1]
    assert len(marked) > 1.2 * len(plain)
    assert len(marked) + len(plain) + len(generated) < 1_500_000 + 3_000
    assert sum(map(len, drawn_rows(groups, 100)[0])) < len(marked) + len(plain), "half the images, half the bytes"


def test_the_picture_is_a_deterministic_png(digits):
    data = grid_png(digits.content)
    assert data == grid_png(content_of(digits.folder, digits.manifest))
    picture = Image.open(io.BytesIO(data))
    picture.load()
    assert picture.format == "PNG"
    assert picture.width == WIDTH
    assert 900 <= picture.width <= 1200
    first = next(example for example in next(iter(digits.content.examples.values())) if not example.mark)
    enlarged = np.asarray(fitted(first.clean, 80))
    assert any(
        (np.asarray(picture.crop((164, y, 244, y + 80)).convert("L"))[1:-1, 1:-1] == enlarged[1:-1, 1:-1]).all()
        for y in range(100, 250)
    ), "the first example's clean image stands in the first column"


def test_the_picture_of_odd_names_is_drawn(digits):
    content = digits.content
    manifest = digits.manifest.model_copy(
        update={"classes": ("größe", "猫", "a" * 200, "", "\n", *"56789"), "job": {**digits.manifest.job, "name": "猫"}}
    )
    odd = replace(content, statistics=replace(content.statistics, manifest=manifest))
    assert Image.open(io.BytesIO(grid_png(odd))).width == WIDTH
