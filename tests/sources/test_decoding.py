"""What a job says of decoding: alpha, EXIF, bits, channels; and what is told of rows that look wrong."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from hardset.pipeline.sources.base import warnings_of
from hardset.pipeline.sources.images import Decoding, UnknownRangeError, decode, decoded
from hardset.pipeline.sources.signs import CONSTANT, FEW_BITS, NEAR_BLACK, counted, reading_warnings, signs_of
from hardset.pipeline.sources.table import open_source
from hardset.schemas.job.sources import ImageFolderSource, ImageSource, NpzSource, ParquetSource
from hardset.schemas.records.counts import Counts
from hardset.schemas.records.run import Output
from tests.sources.making import encoded, npz_bytes, parquet_bytes, pixels, png, write

PLENTY = 10**6


def drawing() -> Image.Image:
    """A black square on a transparent ground, half-transparent at its edge."""
    levels = np.zeros((8, 8, 4), np.uint8)
    levels[2:6, 2:6, 3] = 255
    levels[2, 2:6, 3] = 128
    return Image.fromarray(levels)


def test_a_drawing_on_a_transparent_ground_is_seen_over_white_alone() -> None:
    white = decode(encoded(drawing()), max_pixels=PLENTY, rules=Decoding(alpha="white"))
    assert (white[0, 0, 0], white[3, 3, 0], white[2, 2, 0]) == (255, 0, 127)
    over = Image.alpha_composite(Image.new("RGBA", (8, 8), "white"), drawing()).convert("RGB")
    np.testing.assert_allclose(white, np.asarray(over), atol=1)
    assert not decode(encoded(drawing()), max_pixels=PLENTY).any()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "RGB", "L"])
def test_drop_equals_what_pillow_converts_to_rgb(mode: str) -> None:
    image = Image.fromarray(pixels(5, 8, 8, 4)).convert(mode)
    options: dict[str, Any] = {"transparency": 0} if mode in ("P", "L") else {}
    if mode == "RGB":
        options = {"transparency": tuple(map(int, pixels(5, 8, 8, 4)[0, 0, :3]))}
    data = encoded(image, "TIFF" if mode == "PA" else "PNG", **({} if mode == "PA" else options))
    found = decode(data, max_pixels=PLENTY, rules=Decoding(alpha="drop"))
    wanted = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(np.broadcast_to(found, wanted.shape), wanted)


def test_arrays_with_alpha_follow_the_same_rule(tmp_path: Path) -> None:
    four = np.stack([pixels(0, 8, 8, 4), pixels(1, 8, 8, 4)])
    spec = NpzSource(path=str(write(tmp_path / "x.npz", npz_bytes(four, np.array([0, 1])))))
    for alpha in ("black", "white", "drop"):
        reader = open_source(spec.model_copy(update={"alpha": alpha}))
        (part,) = reader.plan(5)
        rows, _ = reader.read(part, reader.probe(), 2)
        png_of = encoded(Image.fromarray(four[0]))
        np.testing.assert_array_equal(rows.pixels[0], decode(png_of, max_pixels=PLENTY, rules=Decoding(alpha=alpha)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_or_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(pixels(1, 4, 7), "PNG", exif=exif.tobytes())
    np.testing.assert_array_equal(decode(data, max_pixels=PLENTY, rules=Decoding(exif="ignore")), pixels(1, 4, 7))
    upright = decode(data, max_pixels=PLENTY)
    assert upright.shape[:2] == ((4, 7) if orientation < 5 else (7, 4))


TWELVE = np.random.default_rng(4).integers(0, 4096, (9, 7), dtype=np.uint16)
"""Values of 12 bits, as cameras and scanners store them in 16."""


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_twelve_bits_in_sixteen_are_flagged_or_read_as_the_job_says(image_format: str) -> None:
    data = encoded(Image.fromarray(TWELVE), image_format)
    flagged = decoded(data, max_pixels=PLENTY)
    assert flagged.few_bits
    assert signs_of(flagged) == f"{NEAR_BLACK},{FEW_BITS}"
    told = decoded(data, max_pixels=PLENTY, rules=Decoding(bits=12))
    np.testing.assert_array_equal(told.pixels[..., 0], TWELVE >> 4)
    assert not told.few_bits
    asked = decoded(data, max_pixels=PLENTY, rules=Decoding(bits=16))
    np.testing.assert_array_equal(asked.pixels[..., 0], TWELVE >> 8)
    assert not asked.few_bits


def test_a_tiff_file_that_declares_its_maximum_is_recognised() -> None:
    data = encoded(Image.fromarray(TWELVE), "TIFF", tiffinfo={281: 4095})
    found = decoded(data, max_pixels=PLENTY)
    np.testing.assert_array_equal(found.pixels[..., 0], TWELVE >> 4)
    assert not found.few_bits


def test_a_pgm_file_declares_its_maximum() -> None:
    data = b"P5\n7 9\n4095\n" + TWELVE.byteswap().tobytes()
    found = decoded(data, max_pixels=PLENTY)
    np.testing.assert_allclose(found.pixels[..., 0], TWELVE / 4095 * 255, atol=1)
    assert not found.few_bits


def test_values_beyond_the_bits_of_the_job_are_refused() -> None:
    with pytest.raises(
        UnknownRangeError, match=r"PNG with the value 4096, which has more than 12 bits \(source.bits\)"
    ):
        decode(encoded(Image.fromarray(TWELVE + 1 + (4095 - TWELVE.max()))), max_pixels=PLENTY, rules=Decoding(bits=12))


def test_full_sixteen_bits_are_not_flagged() -> None:
    assert not decoded(encoded(Image.fromarray(TWELVE * 16)), max_pixels=PLENTY).few_bits


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_avif_is_read_where_pillow_reads_it() -> None:
    data = encoded(pixels(2, 40, 30), "AVIF", quality=90)
    np.testing.assert_array_equal(decode(data, max_pixels=PLENTY), np.asarray(Image.open(io.BytesIO(data))))


def test_images_that_look_wrong_are_counted_row_by_row_and_told_of_the_run(tmp_path: Path) -> None:
    white, black = encoded(np.full((6, 5, 3), 255, np.uint8)), encoded(np.zeros((6, 5, 3), np.uint8))
    images = [png(0), white, black, png(1)]
    spec = ParquetSource(path=str(write(tmp_path / "x.parquet", parquet_bytes(images, [0, 1, 0, 1]))))
    reader = open_source(spec)
    (part,) = reader.plan(10)
    rows, _ = reader.read(part, reader.probe(), 2)
    assert rows.signs == ("", CONSTANT, f"{NEAR_BLACK},{CONSTANT}", "")
    assert rows.take(np.array([1, 3])).signs == (CONSTANT, "")
    counts = Counts(rows_in=4, signals=counted(rows.signs))
    assert counts.signals == {"read:constant": 2, "read:near_black": 1}
    outputs = [_output(recipe, counts) for recipe in (0, 1)]
    told = reading_warnings(outputs)
    assert [text.split(" rows ")[0] for text in told] == ["source: 1 of 4", "source: 2 of 4"]
    assert reading_warnings([_output(0, Counts(rows_in=4))]) == ()


def _output(recipe: int, counts: Counts) -> Output:
    fields: dict[str, Any] = {"index": 0, "key": "", "run_id": "", "split": "train", "recipe": recipe}
    return Output(**fields, data=None, content_sha256="", quarantine=None, counts=counts)


def channels_of(spec: ImageSource) -> tuple[int, tuple[str, ...]]:
    reader = open_source(spec)
    return reader.probe().channels, warnings_of(reader)


def test_channels_are_those_of_most_rows_of_a_sample_and_told(tmp_path: Path) -> None:
    write(tmp_path / "a" / "0.png", png(0, channels=1))
    for row in range(5):
        write(tmp_path / "b" / f"{row}.png", png(row))
    spec = ImageFolderSource(path=str(tmp_path))
    told = (
        "source.channels: of 6 sampled rows 1 are grey and 5 RGB, so all are read as RGB; set source.channels to choose"
    )
    assert channels_of(spec) == (3, (told,))
    assert channels_of(spec.model_copy(update={"channels": 1})) == (1, ())
    for row in range(6):
        write(tmp_path / "c" / f"{row}.png", png(row, channels=1))
    assert channels_of(spec)[0] == 1


def test_a_sample_reaches_the_end_of_a_file(tmp_path: Path) -> None:
    images = [png(row, channels=1 if row < 100 else 3) for row in range(300)]
    spec = ParquetSource(path=str(write(tmp_path / "x.parquet", parquet_bytes(images, [0] * 300))))
    assert channels_of(spec)[0] == 3


def test_two_channels_are_named(tmp_path: Path) -> None:
    two = npz_bytes(np.stack([pixels(0, channels=2)]), np.array([0]))
    _, (told,) = channels_of(NpzSource(path=str(write(tmp_path / "x.npz", two))))
    assert told.startswith("source.images: images in x.npz has 2 channels, which are read as grey and alpha")
