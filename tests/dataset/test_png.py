"""The PNG writer against readers that are not ours."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hardset.pipeline.batches import Pixels
from hardset.pipeline.dataset.files.png import decode_png, decode_pngs, encode_png, shown
from hardset.schemas.errors import RunError
from tests.support import job_of, make_here

IMAGES = st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])).flatmap(
    lambda shape: arrays(np.uint8, shape)
)


@settings(deadline=None, max_examples=60)
@given(pixels=IMAGES, level=st.integers(0, 9))
def test_pillow_reads_the_pixels_back(pixels: Pixels, level: int) -> None:
    files = encode_png(pixels, level)
    assert len(files) == len(pixels)
    for file, image in zip(files, pixels, strict=True):
        np.testing.assert_array_equal(decode_png(file), image)
    assert encode_png(pixels, level) == files


@pytest.mark.parametrize(
    "shape", [(1, 217, 301, 1), (2, 224, 224, 3), (1, 1, 65534, 1), (1, 1, 65535, 1), (1, 5, 21845, 3)]
)
def test_images_of_several_stored_blocks(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for file, image in zip(encode_png(pixels), pixels, strict=True):
        np.testing.assert_array_equal(decode_png(file), image)


def test_follows_the_standard_to_the_byte() -> None:
    """An oracle by the letter of ISO/IEC 15948: chunk lengths, CRCs, and the Sub filter undone by hand."""
    pixels = np.random.default_rng(1).integers(0, 256, (1, 7, 5, 3), np.uint8)
    file = encode_png(pixels)[0]
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = [], 8
    while at < len(file):
        (length,) = struct.unpack(">I", file[at : at + 4])
        kind, data = file[at + 4 : at + 8], file[at + 8 : at + 8 + length]
        assert struct.unpack(">I", file[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + data)
        chunks.append((kind, data))
        at += 12 + length
    assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    assert chunks[0][1] == bytes([0, 0, 0, 5, 0, 0, 0, 7, 8, 2, 0, 0, 0])
    lines = np.frombuffer(zlib.decompress(chunks[1][1]), np.uint8).reshape(7, 16)
    assert set(lines[:, 0]) == {1}
    np.testing.assert_array_equal(np.cumsum(lines[:, 1:].reshape(7, 5, 3), axis=1, dtype=np.uint8), pixels[0])


def test_views_are_encoded_as_they_look() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (4, 6, 6, 3), np.uint8)
    view = pixels.transpose(0, 2, 1, 3)[::2, ::-1]
    np.testing.assert_array_equal(decode_png(encode_png(view)[1]), view[1])


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 2), np.uint8),
        np.zeros((1, 0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(pixels: Pixels) -> None:
    with pytest.raises(ValueError, match="wants uint8 images"):
        encode_png(pixels)


def test_broken_files_are_refused() -> None:
    file = encode_png(np.zeros((1, 8, 8, 3), np.uint8))[0]
    flipped = bytearray(file)
    flipped[60] ^= 1
    for broken in (b"", b"GIF89a", file[:40], file[: len(file) // 2], bytes(flipped)):
        with pytest.raises(ValueError, match="PNG"):
            decode_png(broken)


@pytest.mark.parametrize("shape", [(8, 9, 1), (32, 32, 3), (160, 160, 3)])
def test_many_files_decode_together_as_one_by_one(shape: tuple[int, int, int]) -> None:
    """The largest shape fills two stored blocks."""
    pixels = np.random.default_rng(1).integers(0, 256, (9, *shape), np.uint8)
    files: list[bytes | None] = list(encode_png(pixels))
    flipped = bytearray(files[2] or b"")
    flipped[70] ^= 1
    files[1], files[2], files[3] = None, bytes(flipped), (files[3] or b"")[:-1]
    files[4], files[5] = encode_png(pixels[4:5], 6)[0], encode_png(pixels[5:6, :-1])[0]
    decoded, good = decode_pngs(files, shape)
    assert np.flatnonzero(~good).tolist() == [1, 2, 3, 5]
    np.testing.assert_array_equal(decoded[good], pixels[good])
    assert not decoded[~good].any()


@pytest.mark.parametrize("shape", [(8, 9, 1), (32, 32, 3), (1, 1, 3), (160, 160, 3)])
@pytest.mark.parametrize("level", [0, 6])
def test_files_show_the_pixels_that_they_decode_to_and_no_others(shape: tuple[int, int, int], level: int) -> None:
    """Every changed pixel is seen, and every changed byte that the decoder sees."""
    random = np.random.default_rng(2)
    pixels = random.integers(0, 256, (3, *shape), np.uint8)
    files = encode_png(pixels, level)
    assert shown(files, pixels)
    assert not shown(files[:-1], pixels)
    assert not shown(files[::-1], pixels)
    places = {0, pixels[0].size - 1, *random.integers(0, pixels[0].size, 20).tolist()}
    for place in places:
        other = pixels.copy()
        other[1].reshape(-1)[place] ^= 1
        assert not shown(files, other)
        assert not shown(encode_png(other, level), pixels)
    for place in {0, len(files[1]) - 1, *random.integers(0, len(files[1]), 20).tolist()}:
        flipped = bytearray(files[1])
        flipped[place] ^= 1
        broken = [files[0], bytes(flipped), files[2]]
        decoded, good = decode_pngs(broken, shape)
        assert shown(broken, pixels) == (bool(good.all()) and np.array_equal(decoded, pixels))


@settings(deadline=None, max_examples=60)
@given(pixels=IMAGES, level=st.sampled_from([0, 1]))
def test_what_is_shown_is_what_pillow_reads(pixels: Pixels, level: int) -> None:
    files = encode_png(pixels, level)
    assert shown(files, pixels)
    assert shown(files, pixels[::-1]) == all(
        np.array_equal(decode_png(file), image) for file, image in zip(files, pixels[::-1], strict=True)
    )


def test_a_shard_whose_images_show_other_pixels_is_not_stored(
    weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardset.pipeline.shards.judgement.encode_png", lambda pixels, level: encode_png(pixels ^ 1))
    with pytest.raises(RunError, match="an image does not decode to the pixels that were judged"):
        make_here(job_of(weights, tmp_path, source={"format": "digits", "limit": 20}))
