"""PNG files of 8-bit images: written fast for a whole batch, read by Pillow.

Level 0 stores the filtered pixels undeflated and leaves compression to Parquet's zstd: several times faster to write
than a deflated PNG, about as small in the file, and still an ordinary PNG (ISO/IEC 15948) for every image library.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hardset.pipeline.batches import Pixels

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\x00\x00\x00\x00IEND\xae\x42\x60\x82"
_COLOUR_TYPES = {1: 0, 3: 2}  # channels: grey, RGB
_SUB = 1  # filter type: each byte less the same channel's byte of the pixel to the left
_IDAT = 37  # signature, IHDR and the length of IDAT come before its name
_DATA = _IDAT + 4 + 2  # then the head of the zlib stream
_CRC = 4 + len(_END)
_TAIL = 4 + _CRC  # Adler-32, CRC-32, IEND
_BLOCK = 65535  # most bytes of a stored deflate block
_AT_ONCE = 2**18
"""Number of bytes that are encoded together: few enough to stay in a core's own cache."""


def encode_png(pixels: Pixels, level: int = 0) -> list[bytes]:
    """One PNG file per image of `pixels` (uint8, N x H x W x C, C in {1, 3}), the same bytes every time.

    `level` 0 stores, 1 to 9 deflates. Raises ValueError for other arrays.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in _COLOUR_TYPES or 0 in pixels.shape[1:3]:
        raise ValueError(f"got {pixels.dtype} {pixels.shape}; wants uint8 images, N x H x W x 1 or 3")
    if level:
        return _deflated(pixels, level)
    layout = _Layout.of(pixels.shape[1:])
    step = max(1, _AT_ONCE // len(layout.template))
    return [file for start in range(0, len(pixels), step) for file in layout.files(pixels[start : start + step])]


def _deflated(pixels: Pixels, level: int) -> list[bytes]:
    _, height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    head = _SIGNATURE + _chunk(b"IHDR", header)
    filtered = (row.tobytes() for row in _sub_filtered(pixels))
    streams = (zlib.compress(row, level) if level else _stored(row) for row in filtered)
    return [head + _chunk(b"IDAT", stream) + _END for stream in streams]


def decode_png(data: bytes) -> NDArray[np.uint8]:
    """The pixels of a PNG that `encode_png` wrote: uint8, H x W x C. Raises ValueError where it is not one."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.mode not in ("L", "RGB"):
                raise ValueError(f"not an 8-bit grey or RGB image but {image.mode}")
            pixels = np.asarray(image)
    except (OSError, SyntaxError) as error:  # Pillow's word for a broken PNG is SyntaxError
        raise ValueError(f"not a whole PNG: {error}") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels


def decode_pngs(files: Sequence[bytes | None], shape: tuple[int, int, int]) -> tuple[Pixels, NDArray[np.bool_]]:
    """The pixels of many PNGs of one `shape` (H, W, C), uint8 N x H x W x C, and which rows (N,) are such PNGs.

    Files that `encode_png` stored are read together, checksums included, some ten times faster than one by one; other
    files go through `decode_png`. Rows that are no whole PNG of the shape are zeros.
    """
    pixels, good = np.zeros((len(files), *shape), np.uint8), np.zeros(len(files), bool)
    layout = _Layout.of(shape)
    alike = [i for i, file in enumerate(files) if file is not None and len(file) == len(layout.template)]
    if alike:
        rows = np.frombuffer(b"".join(files[i] or b"" for i in alike), np.uint8).reshape(len(alike), -1)
        whole = layout.whole(rows)
        places = np.asarray(alike)[whole]
        good[places], pixels[places] = True, layout.pixels(rows[whole], shape)
    for i in map(int, np.flatnonzero(~good)):
        try:
            image = decode_png(files[i] or b"")
        except ValueError:
            continue
        if (files[i] or b"").endswith(_END) and image.shape == shape:
            good[i], pixels[i] = True, image
    return pixels, good


def shown(files: Sequence[bytes], pixels: Pixels) -> bool:
    """Whether PNGs decode to just these pixels, uint8 N x H x W x C, checksums included.

    Of stored files it is proved without decoding them, in a third of the time: the decoder adds each byte to the pixel
    to its left, so the files show the pixels if each pixel is its byte and the pixel to its left, from the first on.
    """
    if len(files) != len(pixels):
        return False
    layout = _Layout.of(pixels.shape[1:])
    step = max(1, _AT_ONCE // len(layout.template))
    return all(
        layout.shows(files[start : start + step], pixels[start : start + step]) for start in range(0, len(files), step)
    )


def stored_pixels(rows: NDArray[np.uint8], shape: tuple[int, int, int]) -> Pixels | None:
    """The pixels, uint8 N x H x W x C, of files (N, L) that `encode_png` stored; None where one of them is another.

    Unlike `decode_pngs` it leaves the checksums aside, for files whose bytes are covered by others, as pages are.
    """
    layout = _Layout.of(shape)
    if (
        rows.shape[1] != len(layout.template)
        or not (rows.take(layout.fixed, axis=1) == layout.template[layout.fixed]).all()
    ):
        return None
    return layout.pixels(rows, shape)


def stored_length(shape: tuple[int, int, int]) -> int:
    """Bytes of a file that `encode_png` stores of an image of the shape (H, W, C)."""
    return len(_Layout.of(shape).template)


@dataclass(frozen=True)
class _Layout:
    """Layout of a stored PNG of one shape."""

    template: NDArray[np.uint8]
    """File of black pixels in this layout."""
    fixed: NDArray[np.intp]
    """Places of the bytes that are the same in every file of the shape."""
    data: tuple[slice, ...]
    """Places of the filtered scanlines: one piece in each stored block."""

    @staticmethod
    @lru_cache(maxsize=16)
    def of(shape: tuple[int, int, int]) -> _Layout:
        """The layout for (H, W, C)."""
        height, width, channels = shape
        template = np.frombuffer(_deflated(np.zeros((1, *shape), np.uint8), 0)[0], np.uint8)
        size = height * (1 + width * channels)
        starts = range(0, size, _BLOCK)
        heads = [_DATA + 5 * (block + 1) + start for block, start in enumerate(starts)]  # 5: head of a stored block
        data = tuple(slice(head, head + min(_BLOCK, size - start)) for head, start in zip(heads, starts, strict=True))
        fixed = np.ones(len(template), bool)
        for piece in data:
            fixed[piece] = False
        filters = np.concatenate([np.arange(piece.start, piece.stop) for piece in data])[:: 1 + width * channels]
        fixed[-_TAIL : -len(_END)], fixed[filters] = False, True
        return _Layout(template, np.flatnonzero(fixed), data)

    def files(self, pixels: Pixels) -> list[bytes]:
        """The files of images of the shape, written together."""
        size = len(self.template)
        files = np.empty((len(pixels), size), np.uint8)
        files[:] = self.template
        if len(self.data) == 1:
            lines = files[:, self.data[0]]
            _filter(pixels, lines.reshape(len(pixels), pixels.shape[1], -1))
        else:
            lines, start = _sub_filtered(pixels), 0
            for piece in self.data:
                files[:, piece] = lines[:, start : start + piece.stop - piece.start]
                start += piece.stop - piece.start
        sums = np.empty(len(pixels), ">u4")
        sums[:] = [zlib.adler32(line) for line in lines]
        files[:, -_TAIL:-_CRC] = sums[:, None].view(np.uint8)
        sums[:] = [zlib.crc32(file) for file in files[:, _IDAT:-_CRC]]
        files[:, -_CRC : -len(_END)] = sums[:, None].view(np.uint8)
        data: memoryview = files.reshape(-1).data
        return [bytes(data[at : at + size]) for at in range(0, len(data), size)]

    def whole(self, rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which files (N, L) are of this layout, with right checksums."""
        good: NDArray[np.bool_] = (rows.take(self.fixed, axis=1) == self.template[self.fixed]).all(axis=1)
        sums = np.ascontiguousarray(rows[:, -_TAIL : -len(_END)]).view(">u4")
        checked = rows[:, _IDAT:-_CRC]
        data = self._scanlines(rows)
        for i in map(int, np.flatnonzero(good)):
            good[i] = zlib.adler32(data[i]) == sums[i, 0] and zlib.crc32(checked[i]) == sums[i, 1]
        return good

    def shows(self, files: Sequence[bytes], pixels: Pixels) -> bool:
        """Whether each file, of this layout or another, decodes to its pixels."""
        count, height, width, channels = pixels.shape
        alike = all(len(file) == len(self.template) for file in files)
        rows = np.frombuffer(b"".join(files) if alike else b"", np.uint8).reshape(count, -1)
        if not (alike and self.whole(rows).all()):  # deflated, or broken
            decoded, good = decode_pngs(files, (height, width, channels))
            return bool(good.all()) and np.array_equal(decoded, pixels)
        lines = self._scanlines(rows).reshape(count, height, 1 + width * channels)[..., 1:]
        flat = pixels.reshape(count, height, width * channels)
        return np.array_equal(lines[..., :channels], flat[..., :channels]) and np.array_equal(
            lines[..., channels:] + flat[..., :-channels], flat[..., channels:]
        )

    def pixels(self, rows: NDArray[np.uint8], shape: tuple[int, int, int]) -> Pixels:
        """The pixels of whole files (N, L): each scanline is summed up along the width."""
        height, width, channels = shape
        lines = self._scanlines(rows).reshape(len(rows), height, 1 + width * channels)[..., 1:]
        return np.cumsum(lines.reshape(len(rows), height, width, channels), axis=2, dtype=np.uint8)

    def _scanlines(self, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Filtered scanlines (N, H * (1 + W * C)); a view where there is one block."""
        pieces = [rows[:, piece] for piece in self.data]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)


def _sub_filtered(pixels: Pixels) -> NDArray[np.uint8]:
    """Scanlines with their filter type byte, flat per image: uint8 N x H * (1 + W * C)."""
    count, height, width, channels = pixels.shape
    filtered = np.empty((count, height, 1 + width * channels), np.uint8)
    _filter(pixels, filtered)
    return filtered.reshape(count, height * (1 + width * channels))


def _filter(pixels: Pixels, filtered: NDArray[np.uint8]) -> None:
    """Fills N x H x (1 + W * C) bytes with scanlines, each after its filter type byte.

    One subtraction over whole images, whose lines' first pixels are then put right: numpy takes four times as long for
    one that starts anew at each line.
    """
    count, height, width, channels = pixels.shape
    flat = pixels.reshape(count, height * width * channels)
    differences = np.empty_like(flat)
    np.subtract(flat[:, channels:], flat[:, :-channels], out=differences[:, channels:])
    filtered[..., 1:] = differences.reshape(count, height, width * channels)
    filtered[..., 0] = _SUB
    for channel in range(channels):
        filtered[..., 1 + channel] = pixels[:, :, 0, channel]


def _stored(data: bytes) -> bytes:
    """A zlib stream of stored blocks (RFC 1950, RFC 1951 section 3.2.4)."""
    parts = [b"\x78\x01"]
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK]
        last = start + _BLOCK >= len(data)
        parts += [struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block]
    return b"".join([*parts, struct.pack(">I", zlib.adler32(data))])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
