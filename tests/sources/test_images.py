"""Decoding and fitting: every mode to the values Pillow's own arithmetic gives, every poison to its reason."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hardset.pipeline.batches import RowError
from hardset.pipeline.sources import images
from hardset.pipeline.sources.images import decode, fit
from hardset.schemas.records import run as records
from tests.sources.making import encoded, pixels

PLENTY = 10**6


def test_lossless_grey_and_rgb_come_back_as_they_were() -> None:
    for channels in (1, 3):
        for image_format in ("PNG", "BMP", "TIFF"):
            made = pixels(1, 7, 9, channels)
            np.testing.assert_array_equal(decode(encoded(made, image_format), max_pixels=PLENTY), made)


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP", "GIF", "JPEG2000"])
def test_other_formats_decode_as_pillow_does(image_format: str) -> None:
    data = encoded(pixels(2, 40, 30), image_format)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode(data, max_pixels=PLENTY), expected)


def test_alpha_is_laid_over_black() -> None:
    for channels in (2, 4):
        made = pixels(3, 8, 8, channels)
        picture = Image.fromarray(made, "LA" if channels == 2 else "RGBA")
        exact = made[..., :-1].astype(float) * made[..., -1:] / 255
        np.testing.assert_allclose(decode(encoded(picture), max_pixels=PLENTY), exact, atol=0.5)


def test_palettes_become_rgb_and_their_transparent_entry_black() -> None:
    picture = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    expected = np.array([[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [40, 50, 60]]])
    np.testing.assert_array_equal(decode(encoded(picture), max_pixels=PLENTY), expected)
    expected[[0, 1], [1, 1]] = 0
    np.testing.assert_array_equal(decode(encoded(picture, transparency=1), max_pixels=PLENTY), expected)


def test_16_bit_values_keep_their_high_byte() -> None:
    made = np.random.default_rng(4).integers(0, 65536, (9, 7), dtype=np.uint16)
    for image_format in ("PNG", "TIFF", "PPM"):
        found = decode(encoded(Image.fromarray(made), image_format), max_pixels=PLENTY)
        np.testing.assert_array_equal(found[..., 0], made >> 8)


def test_bilevel_is_black_and_white_and_cmyk_is_rgb() -> None:
    bits = np.random.default_rng(5).integers(0, 2, (9, 7), dtype=bool)
    found = decode(encoded(Image.fromarray(bits)), max_pixels=PLENTY)
    np.testing.assert_array_equal(found[..., 0], bits * 255)
    inked = Image.new("CMYK", (8, 6), (0, 255, 255, 0))
    red = decode(encoded(inked, "JPEG", quality=100), max_pixels=PLENTY)
    assert red.shape == (6, 8, 3)
    np.testing.assert_allclose(red, np.broadcast_to([255, 0, 0], red.shape), atol=3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_as_datasets_applies_it(orientation: int) -> None:
    datasets = pytest.importorskip("datasets")
    exif = Image.Exif()
    exif[274] = orientation
    data = encoded(pixels(6, 16, 24), "JPEG", exif=exif)
    upright = datasets.Image().decode_example({"bytes": data, "path": None})
    np.testing.assert_array_equal(decode(data, max_pixels=PLENTY), np.asarray(upright))


def _header_only_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


POISON = {
    "no bytes": (b"", "UnreadableImageError", "no bytes"),
    "text": (b"hello, world", "UnreadableImageError", "no image in a known format"),
    "truncated PNG": (encoded(pixels(1, 40, 40))[:-500], "UnreadableImageError", "truncated"),
    "truncated JPEG": (encoded(pixels(1, 40, 40), "JPEG")[:-500], "UnreadableImageError", "truncated"),
    "cut in the header": (encoded(pixels(1))[:20], "UnreadableImageError", "header|known format"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "UnreadableImageError", "known format"),
    "one pixel": (encoded(pixels(1, 1, 1)), "ImageTooSmallError", "shorter than 2"),
    "one row": (encoded(pixels(1, 1, 50)), "ImageTooSmallError", "1 x 50"),
    "over max_pixels": (encoded(pixels(1, 30, 34)), "ImageTooLargeError", "30 x 34"),
    "bomb": (_header_only_png(50_000, 50_000), "ImageTooLargeError", "exceeds limit"),
    "float pixels": (encoded(Image.new("F", (9, 9)), "TIFF"), "UnknownRangeError", "32-bit"),
}


@pytest.mark.parametrize("case", POISON)
def test_poison_is_refused_with_its_reason(case: str) -> None:
    data, kind, reason = POISON[case]
    with pytest.raises(getattr(images, kind), match=reason):
        decode(data, max_pixels=1000 if case == "over max_pixels" else PLENTY)


def test_max_pixels_is_read_off_the_header_before_anything_is_decoded() -> None:
    """The file has no pixels at all: whoever decodes it finds it truncated, not large."""
    with pytest.raises(images.ImageTooLargeError, match="100 x 200"):
        decode(_header_only_png(200, 100), max_pixels=19_999)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200), head=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", ""]))
def test_garbage_is_decoded_or_refused_and_never_anything_else(data: bytes, head: str) -> None:
    start = encoded(pixels(0, 4, 4), head)[: 3 * len(data)] if head else b""
    try:
        found = decode(start + data, max_pixels=PLENTY)
    except RowError:
        return
    assert found.dtype == np.uint8
    assert found.ndim == 3
    assert found.shape[2] in (1, 3)


def _fit(made: np.ndarray, height: int, width: int, channels: int = 3, resize: str | None = "crop") -> np.ndarray:
    shape = records.Image(height=height, width=width, channels=channels)
    return fit(made, shape, resize=resize, max_pixels=PLENTY)


@pytest.mark.parametrize(("height", "width"), [(300, 400), (400, 300), (257, 256), (100, 90), (20, 333)])
def test_crop_is_the_preprocessing_published_models_were_measured_with(height: int, width: int) -> None:
    made = pixels(7, height, width)
    scale = round(128 / 0.875) / min(height, width)
    picture = Image.fromarray(made).resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
    left, top = (picture.width - 128) // 2, (picture.height - 128) // 2
    np.testing.assert_array_equal(_fit(made, 128, 128), np.asarray(picture)[top : top + 128, left : left + 128])


SIDES = st.tuples(st.integers(2, 40), st.integers(2, 40))
CHANNELS = st.sampled_from([1, 3])


@settings(max_examples=60, deadline=None)
@given(stored=SIDES, wanted=SIDES, before=CHANNELS, after=CHANNELS, how=st.sampled_from(["crop", "stretch"]))
def test_any_size_becomes_any_size(
    *, stored: tuple[int, int], wanted: tuple[int, int], before: int, after: int, how: str
) -> None:
    flat = np.full((*stored, before), 77, np.uint8)
    np.testing.assert_array_equal(_fit(flat, *wanted, after, how), np.full((*wanted, after), 77))


def test_what_fits_is_not_resampled() -> None:
    made = pixels(8, 11, 13)
    for how in ("crop", "stretch", None):
        np.testing.assert_array_equal(_fit(made, 11, 13, resize=how), made)


def test_stretch_keeps_the_corners_and_crop_the_middle() -> None:
    made = np.zeros((40, 80, 1), np.uint8)
    made[:, :20] = 255
    assert _fit(made, 20, 20, 1, "stretch")[:, 0].min() == 255
    assert _fit(made, 20, 20, 1, "crop").max() == 0


def test_another_size_is_refused_where_no_resizing_was_asked_for() -> None:
    with pytest.raises(images.WrongSizeError, match=r"11 x 13.*5 x 6.*set source.size"):
        _fit(pixels(8, 11, 13), 5, 6, resize=None)


def test_a_sliver_does_not_become_a_bomb_when_it_is_resized() -> None:
    shape = records.Image(height=224, width=224, channels=1)
    with pytest.raises(images.ImageTooLargeError, match="so long"):
        fit(np.zeros((2, 50_000, 1), np.uint8), shape, resize="crop", max_pixels=PLENTY)


def test_colours_turn_grey_and_grey_turns_rgb() -> None:
    made = pixels(9, 5, 5)
    luma = made @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(_fit(made, 5, 5, 1)[..., 0], luma, atol=0.51)
    grey = pixels(9, 5, 5, 1)
    np.testing.assert_array_equal(_fit(grey, 5, 5, 3), np.repeat(grey, 3, axis=2))
