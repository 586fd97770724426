"""Decoding of encoded bytes to 8-bit grey or RGB, and fitting to the size that a job asks for."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin, UnidentifiedImageError, features

from hardset.pipeline.batches import RowError
from hardset.pipeline.sources.unreadable import what_lies_there
from hardset.schemas.records import run as records

Pixels = NDArray[np.uint8]
Alpha = Literal["black", "white", "drop"]

# Pillow also knows formats that run other programs (EPS starts Ghostscript) or that hold no photographs.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000")
MIN_SIDE = 2
_TWELVE_BITS = 1 << 12
_BITS_PER_SAMPLE, _MAX_SAMPLE_VALUE = 258, 281  # tags of TIFF 6.0
_CROP_RATIO = 0.875
_OTHER_FORMATS = {
    rb"....ftyp(?:hei|hev|mif1|msf1)": "HEIC",
    rb"....ftypavi[fs]": "AVIF, by a Pillow without it",
    rb"(?:\xff\x0a|....JXL )": "JPEG XL",
    rb"\s*(?:<\?xml[^>]*>\s*)?<svg": "SVG",
    rb"%PDF": "PDF",
    rb"8BPS": "Photoshop's format",
}
"""Formats of images that are not read, by patterns of their first bytes."""
_GREY_MODES = {"1", "L", "I;16", "I;16L", "I;16B", "I;16N"}
_STRAIGHT = {"La": "LA", "RGBa": "RGBA"}  # premultiplied modes, of which Pillow drops no alpha
_ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}


class UnreadableImageError(RowError):
    """The bytes are no image in a known format, or are truncated or corrupt."""


class UnknownRangeError(RowError):
    """The pixels are 32-bit integers, floats or more bits than the job says: nothing tells which value is white."""


class ImageTooSmallError(RowError):
    """A side is shorter than 2 pixels."""


class ImageTooLargeError(RowError):
    """The image has more pixels than the job allows."""


class WrongSizeError(RowError):
    """The image has another size than the rows of the run, and the job asks for no resizing."""


@dataclass(frozen=True)
class Decoding:
    """What a job says of decoding; the fields are those of `source`."""

    alpha: Alpha = "black"
    exif: Literal["apply", "ignore"] = "apply"
    bits: Literal["auto"] | int = "auto"


@dataclass(frozen=True)
class Decoded:
    """A decoded image."""

    pixels: Pixels
    few_bits: bool = False
    """Whether its values have 16 bits and use the lower 12 alone, though neither file nor job says so."""


def decode(data: bytes, *, max_pixels: int, rules: Decoding = Decoding()) -> Pixels:
    """Pixels of an encoded image, as `decoded` gives them."""
    return decoded(data, max_pixels=max_pixels, rules=rules).pixels


def decoded(data: bytes, *, max_pixels: int, rules: Decoding = Decoding()) -> Decoded:
    """An encoded image with pixels uint8, H x W x 1 (grey) or H x W x 3 (RGB).

    Palettes become RGB, CMYK becomes RGB without a colour profile, 16-bit values keep their high byte (for grey as
    Pillow does for RGB; of `bits` bits the high 8), and of animations the first frame is taken. EXIF orientation is
    applied unless the rules ignore it: the rows carry no EXIF, so upright pixels alone keep what viewers and `datasets`
    show.

    Raises RowError: no image, truncated, a side under 2 pixels, more than `max_pixels` (seen in the header, before
    anything is decoded; Pillow itself refuses more than 178,956,970), values beyond `bits`.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=_formats())
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(str(error)) from None
    except Exception as error:  # plugins raise what they like: struct.error, SyntaxError, ValueError, ...
        raise UnreadableImageError(_not_an_image(data, error)) from None
    _check_sides(image.height, image.width, max_pixels)
    image_format = image.format
    try:
        declared = _declared_bits(image)
        image.load()
        _check_bits(data, rules)
        upright = image if rules.exif == "ignore" else _upright(image)
        return _eight_bit(upright, image_format, rules, declared)
    except (MemoryError, RowError):
        raise
    except Exception as error:
        raise UnreadableImageError(f"{image_format} cannot be decoded: {error or type(error).__name__}") from None


def flatten(pixels: Pixels, over: Alpha = "black") -> Pixels:
    """H x W, or H x W x 1 to 4 channels (grey, grey + alpha, RGB, RGBA), to grey or RGB without alpha."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] in (1, 3):
        return pixels
    if over == "drop":
        return np.ascontiguousarray(pixels[..., :-1])
    colour, alpha = pixels[..., :-1].astype(np.uint16), pixels[..., -1:].astype(np.uint16)
    behind = 255 * (255 - alpha) if over == "white" else np.uint16(0)
    return ((colour * alpha + behind + 127) // 255).astype(np.uint8)


def check_pixels(pixels: Pixels, *, max_pixels: int) -> None:
    """Holds decoded pixels to the rules for files. Raises RowError: a side too short, too many pixels."""
    _check_sides(pixels.shape[0], pixels.shape[1], max_pixels)


def fit(pixels: Pixels, image: records.Image, *, resize: Literal["crop", "stretch"] | None, max_pixels: int) -> Pixels:
    """Pixels in the shape of the run's rows, uint8 H x W x C. What fits already is not resampled.

    crop: shorter side to round(size / 0.875), bilinear with antialiasing, then the centre; for other than square
    sizes, the smallest scale that covers both sides / 0.875. stretch: both sides, bilinear. None: no resizing.
    Colours turn grey by ITU-R 601. Raises WrongSizeError, or ImageTooLargeError where resizing would pass `max_pixels`.
    """
    if pixels.shape == (image.height, image.width, image.channels):
        return pixels
    picture = _with_channels(pixels, image.channels)
    if pixels.shape[:2] != (image.height, image.width):
        if resize is None:
            raise WrongSizeError(
                f"is {pixels.shape[0]} x {pixels.shape[1]} (height x width) where the rows of this run are "
                f"{image.height} x {image.width}; set source.size to resize"
            )
        picture = (_cropped if resize == "crop" else _stretched)(picture, image, max_pixels)
    array = np.asarray(picture, dtype=np.uint8)
    return array.reshape(image.height, image.width, image.channels)


def _check_sides(height: int, width: int, max_pixels: int) -> None:
    if min(height, width) < MIN_SIDE:
        raise ImageTooSmallError(f"{height} x {width} (height x width): a side is shorter than {MIN_SIDE} pixels")
    if height * width > max_pixels:
        raise ImageTooLargeError(f"{height} x {width} has more than source.max_pixels = {max_pixels} pixels")


def _not_an_image(data: bytes, error: Exception) -> str:
    if not data:
        return "holds no bytes"
    if told := what_lies_there(data):
        return told
    if kind := next((kind for begin, kind in _OTHER_FORMATS.items() if re.match(begin, data)), None):
        return f"is {kind}, which is not read; convert it to PNG or JPEG"
    if isinstance(error, UnidentifiedImageError):
        return f"{len(data)} bytes that are no image in a known format (begins {data[:8]!r})"
    return f"no readable image header: {error or type(error).__name__}"


def _upright(image: Image.Image) -> Image.Image:
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    except Exception:  # a broken EXIF block does not make the pixels unusable
        return image
    return ImageOps.exif_transpose(image) if turned else image


def _formats() -> tuple[str, ...]:
    """Formats that are read; AVIF where this Pillow was built with it."""
    return (*_FORMATS, "AVIF") if features.check("avif") else _FORMATS


def _declared_bits(image: Image.Image) -> int:
    """Bits that a file says its 16-bit values use: of a TIFF file by BitsPerSample or MaxSampleValue; else 16."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or not image.mode.startswith("I;16"):
        return 16
    bits, most = image.tag_v2.get(_BITS_PER_SAMPLE, (16,)), image.tag_v2.get(_MAX_SAMPLE_VALUE, 65535)
    declared = [int(np.max(bits)), int(np.max(most)).bit_length()]
    return min([number for number in declared if 8 < number <= 16], default=16)


def _check_bits(data: bytes, rules: Decoding) -> None:
    """Refuses PNG files of 16-bit colours where the job tells of fewer bits: Pillow keeps their high byte alone."""
    deep = data[:8] == b"\x89PNG\r\n\x1a\n" and data[24:25] == b"\x10" and data[25:26] in (b"\x02", b"\x06")
    if deep and rules.bits not in ("auto", 16):
        raise UnknownRangeError(f"PNG with 16-bit colours; source.bits: {rules.bits} reads grey alone")


def _eight_bit(image: Image.Image, image_format: str | None, rules: Decoding, declared: int) -> Decoded:
    if image.mode == "F" or (image.mode == "I" and image_format not in ("PNG", "PPM")):
        raise UnknownRangeError(f"{image_format} with 32-bit pixels; wants 8 or 16 bits per channel")
    if image.mode.startswith("I"):
        return _high_byte(np.asarray(image).astype(np.uint16), image_format, rules, declared)
    transparent = image.mode in _ALPHA_MODES or "transparency" in image.info
    grey = image.mode in _GREY_MODES or image.mode in ("LA", "La")
    mode = ("LA" if transparent else "L") if grey else ("RGBA" if transparent else "RGB")
    if rules.alpha == "drop":
        image = image.convert(_STRAIGHT.get(image.mode, image.mode))
        return Decoded(flatten(np.asarray(image.convert("L" if grey else "RGB"), dtype=np.uint8)))
    return Decoded(flatten(np.asarray(image.convert(mode), dtype=np.uint8), rules.alpha))


def _high_byte(values: NDArray[np.uint16], image_format: str | None, rules: Decoding, declared: int) -> Decoded:
    """The high 8 of the bits that 16-bit values use. Pillow's own conversion clips at 255 in some versions."""
    bits = declared if rules.bits == "auto" else int(rules.bits)
    most = int(values.max())
    if most >= 1 << bits:
        raise UnknownRangeError(f"{image_format} with the value {most}, which has more than {bits} bits (source.bits)")
    few = rules.bits == "auto" and bits == 16 and 0 < most < _TWELVE_BITS
    return Decoded((values >> (bits - 8)).astype(np.uint8)[..., None], few)


def _with_channels(pixels: Pixels, channels: int) -> Image.Image:
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))
    return picture.convert("L" if channels == 1 else "RGB")


def _stretched(picture: Image.Image, image: records.Image, max_pixels: int) -> Image.Image:
    return picture.resize((image.width, image.height), Image.Resampling.BILINEAR)


def _cropped(picture: Image.Image, image: records.Image, max_pixels: int) -> Image.Image:
    width, height = _covering(picture.width, picture.height, image)
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"{picture.height} x {picture.width} is so long that resizing makes it {height} x {width}, more than "
            f"source.max_pixels = {max_pixels} pixels"
        )
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - image.width) // 2, (height - image.height) // 2
    return picture.crop((left, top, left + image.width, top + image.height))


def _covering(width: int, height: int, image: records.Image) -> tuple[int, int]:
    """Width and height of the resized picture: the tighter side exact, the other in proportion, rounded."""
    target_width, target_height = round(image.width / _CROP_RATIO), round(image.height / _CROP_RATIO)
    if target_width * height >= target_height * width:
        return target_width, max(round(height * target_width / width), image.height)
    return max(round(width * target_height / height), image.width), target_height
