"""Operations that move pixels, against NumPy, SciPy and loops that are written another way."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from hardset.pipeline.augment.applying import apply, apply_to_pixels
from hardset.pipeline.augment.parameters import draw
from hardset.pipeline.augment.steps import Step
from hardset.pipeline.augment.streams import Stream
from hardset.pipeline.augment.table import OPERATIONS
from tests.augment.images import SHAPES, change, far, photograph, settings_of

SQUARE = [shape for shape in SHAPES if shape[0] == shape[1]]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "axis"), [("hflip", 1), ("vflip", 0)])
def test_a_flip_reverses_one_axis(name: str, axis: int, shape: tuple[int, int, int]) -> None:
    image = photograph(*shape)
    assert np.array_equal(change(name, image), np.flip(image, axis))


@pytest.mark.parametrize("shape", SQUARE, ids=str)
def test_symmetries_of_the_square_are_eight_and_those_of_numpy(shape: tuple[int, int, int]) -> None:
    image = photograph(*shape)
    assert np.array_equal(change("transpose", image), image.transpose(1, 0, 2))
    for turns in range(4):
        assert np.array_equal(change("rotate90", image, turns=turns), np.rot90(image, turns))
    found = {change("d4", image, turns=turns, mirror=mirror).tobytes() for turns in range(4) for mirror in range(2)}
    wanted = {np.rot90(one, turns).tobytes() for one in (image, image[:, ::-1]) for turns in range(4)}
    assert found == wanted


@pytest.mark.parametrize("shape", SHAPES[2:], ids=str)
@pytest.mark.parametrize("fill", [0, 77, "edge", "reflect", "mean"])
def test_a_crop_is_a_cut_out_of_the_padded_image(fill: Any, shape: tuple[int, int, int]) -> None:
    image = photograph(*shape)
    mode = {"edge": "edge", "reflect": "reflect"}.get(fill, "constant")
    padded = np.pad(image.astype(float), ((3, 3), (3, 3), (0, 0)), mode) if mode != "constant" else None
    for top, left in [(-3, 3), (0, 0), (3, -2), (1, 1), (-1, -3)]:
        if padded is None:
            value = np.rint(image.mean(axis=(0, 1))) if fill == "mean" else fill
            whole = np.ones((shape[0] + 6, shape[1] + 6, shape[2])) * value
            whole[3:-3, 3:-3] = image
        else:
            whole = padded
        wanted = whole[top + 3 : top + 3 + shape[0], left + 3 : left + 3 + shape[1]]
        found = change("crop", image, top=top, left=left, fill=fill)
        assert far(found, wanted) == 0


def test_exact_operations_give_the_same_values_as_tensors_of_any_type() -> None:
    images = np.stack([photograph(16, 16)[:, :, :], photograph(32, 32)[16:, 16:]] * 4)
    for name, drawn in [
        ("hflip", {}),
        ("vflip", {}),
        ("transpose", {}),
        ("rotate90", {"turns": torch.arange(8) % 4}),
        ("d4", {"turns": torch.arange(8) % 4, "mirror": torch.arange(8) // 4}),
        ("crop", {"top": torch.arange(8) - 4, "left": 3 - torch.arange(8)}),
    ]:
        form = OPERATIONS[name].tensors
        assert form is not None
        found = form(torch.from_numpy(images).permute(0, 3, 1, 2), drawn).permute(0, 2, 3, 1).numpy()
        for row in range(8):
            one = {key: values[row].item() for key, values in drawn.items()}
            assert np.array_equal(found[row], change(name, images[row], **one)), name


def turned_by_hand(image: np.ndarray, degrees: float) -> np.ndarray:
    """Reads every pixel of the result back from where it came, the y axis pointing down."""
    height, width = image.shape
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    made = np.zeros(image.shape)
    for y in range(height):
        for x in range(width):
            dx, dy = x - (width - 1) / 2, y - (height - 1) / 2
            from_x, from_y = cos * dx - sin * dy + (width - 1) / 2, sin * dx + cos * dy + (height - 1) / 2
            left, top = math.floor(from_x), math.floor(from_y)
            for j, i in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
                if 0 <= j < height and 0 <= i < width:
                    made[y, x] += image[j, i] * (1 - abs(from_y - j)) * (1 - abs(from_x - i))
    return made


@pytest.mark.parametrize("degrees", [12.5, -41.0, 133.0, 90.0])
def test_rotation_is_bilinear_with_zero_fill(degrees: float) -> None:
    image = photograph(17, 22, 1)
    assert far(change("rotate", image, degrees=degrees)[:, :, 0], turned_by_hand(image[:, :, 0], degrees)) <= 1


@pytest.mark.parametrize(("degrees", "turns"), [(90.0, 1), (180.0, 2), (-90.0, -1), (0.0, 0)])
def test_quarter_turns_are_rot90(degrees: float, turns: int) -> None:
    image = photograph(33, 33)
    assert far(change("rotate", image, degrees=degrees), np.rot90(image, turns)) <= 1


MODES = {0: "grid-constant", "edge": "nearest", "reflect": "mirror"}
ORDERS = {"nearest": 0, "bilinear": 1}


def forward(name: str, drawn: dict[str, float], height: int, width: int) -> np.ndarray:
    """3 x 3 matrix from a place (x, y, 1) of the image to one of the result, put together step by step."""

    def about_centre(matrix: list[list[float]]) -> np.ndarray:
        centre = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
        whole = np.eye(3)
        whole[:2, :2] = matrix
        return centre @ whole @ np.linalg.inv(centre)

    angle = math.radians(drawn.get("degrees", 0))
    turn = about_centre([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    if name == "shear":
        lean = [math.tan(math.radians(drawn[axis])) for axis in "xy"]
        vertical, horizontal = about_centre([[1, lean[0]], [0, 1]]), about_centre([[1, 0], [lean[1], 1]])
        return horizontal @ vertical
    factor, lean_x = drawn.get("factor", 1), math.tan(math.radians(drawn.get("shear", 0)))
    shift = np.eye(3)
    shift[:2, 2] = drawn.get("x", 0) * width, drawn.get("y", 0) * height
    return shift @ turn @ about_centre([[1, lean_x], [0, 1]]) @ about_centre([[factor, 0], [0, factor]])


WARPS = [
    ("rotate", {"degrees": 23.0}),
    ("translate", {"x": 0.13, "y": -0.27}),
    ("shear", {"x": 20.0, "y": -10.0}),
    ("scale", {"factor": 0.71}),
    ("scale", {"factor": 1.63}),
    ("affine", {"degrees": -31.0, "factor": 1.2, "x": 0.1, "y": 0.05, "shear": 12.0}),
]


@pytest.mark.parametrize(("name", "drawn"), WARPS, ids=[name for name, _ in WARPS])
@pytest.mark.parametrize("fill", list(MODES))
def test_affine_operations_are_those_of_scipy(name: str, drawn: dict[str, float], fill: Any) -> None:
    for shape in [(31, 45, 3), (7, 5, 1)]:
        image = photograph(*shape)
        back = np.linalg.inv(forward(name, drawn, *shape[:2]))
        swapped = back[[1, 0]][:, [1, 0, 2]]
        for interpolation, order in ORDERS.items():
            found = change(name, image, fill=fill, interpolation=interpolation, **drawn)
            wanted = np.stack(
                [
                    ndimage.affine_transform(
                        image[:, :, channel].astype(float), swapped[:, :2], swapped[:, 2], order=order, mode=MODES[fill]
                    )
                    for channel in range(shape[2])
                ],
                axis=2,
            )
            differing = np.abs(found - wanted) > 1
            # The nearest pixel may be another one where a place lies in the middle between two.
            assert differing.mean() <= (0.01 if order == 0 else 0), (name, interpolation)


def test_bicubic_is_keys_with_a_of_three_quarters() -> None:
    image = photograph(15, 18, 1)
    back = np.linalg.inv(forward("rotate", {"degrees": 17.0}, 15, 18))

    def weight(distance: float) -> float:
        far_, a = abs(distance), -0.75
        if far_ <= 1:
            return (a + 2) * far_**3 - (a + 3) * far_**2 + 1
        return a * far_**3 - 5 * a * far_**2 + 8 * a * far_ - 4 * a if far_ < 2 else 0.0

    wanted = np.zeros(image.shape[:2])
    for y in range(15):
        for x in range(18):
            at_x, at_y, _ = back @ (x, y, 1)
            for j in range(math.floor(at_y) - 1, math.floor(at_y) + 3):
                for i in range(math.floor(at_x) - 1, math.floor(at_x) + 3):
                    if 0 <= j < 15 and 0 <= i < 18:
                        wanted[y, x] += image[j, i, 0] * weight(at_y - j) * weight(at_x - i)
    assert far(change("rotate", image, degrees=17.0, interpolation="bicubic")[:, :, 0], wanted.clip(0, 255)) <= 1


def mapped(image: np.ndarray, y: np.ndarray, x: np.ndarray, mode: str) -> np.ndarray:
    channels = [
        ndimage.map_coordinates(image[:, :, channel].astype(float), [y, x], order=1, mode=mode)
        for channel in range(image.shape[2])
    ]
    return np.stack(channels, axis=2)


def test_perspective_puts_the_corners_where_they_were_drawn() -> None:
    image, corners = photograph(40, 56), [0.1, 0.05, 0.12, 0.2, 0.02, 0.1, 0.15, 0.03]
    moved = np.reshape(corners, (4, 2)) * [[1, 1], [-1, 1], [-1, -1], [1, -1]]
    start = np.array([[0, 0], [56, 0], [56, 40], [0, 40]]) - 0.5
    end = start + moved * (56, 40)
    # The eight unknowns of the map from the result to the image, from four pairs of points.
    rows, values = [], []
    for (u, v), (x, y) in zip(end, start, strict=True):
        rows += [[u, v, 1, 0, 0, 0, -u * x, -v * x], [0, 0, 0, u, v, 1, -u * y, -v * y]]
        values += [x, y]
    matrix = np.append(np.linalg.solve(np.array(rows), np.array(values)), 1).reshape(3, 3)
    v, u = np.mgrid[:40, :56].astype(float)
    x, y, w = np.tensordot(matrix, np.stack([u, v, np.ones_like(u)]), 1)
    found = change("perspective", image, corners=corners)
    assert far(found, mapped(image, y / w, x / w, "grid-constant")) <= 1


def test_a_resized_crop_is_bilinear_between_centres_of_pixels() -> None:
    image = photograph(40, 56)
    found = change("random_resized_crop", image, height=0.5, width=0.6, top=0.4, left=0.9)
    tall, wide = round(0.5 * 40), round(0.6 * 56)
    part = image[int(0.4 * (40 - tall + 1)) :, int(0.9 * (56 - wide + 1)) :][:tall, :wide]
    y = (np.arange(40) + 0.5) * tall / 40 - 0.5
    x = (np.arange(56) + 0.5) * wide / 56 - 0.5
    wanted = mapped(part, *np.meshgrid(y, x, indexing="ij"), "nearest")
    assert far(found, wanted) <= 1


def test_distortions_read_where_they_say() -> None:
    image = photograph(40, 56)
    y, x = np.mgrid[:40, :56].astype(float)
    from_centre_y, from_centre_x = y - 19.5, x - 27.5
    reach = 1 + 0.25 * (from_centre_y**2 + from_centre_x**2) / (20**2 + 28**2)
    wanted = mapped(image, 19.5 + from_centre_y * reach, 27.5 + from_centre_x * reach, "grid-constant")
    assert far(change("optical_distortion", image, strength=0.25), wanted) <= 1
    columns, rows = [1.2, 0.8, 1.0, 1.1], [0.7, 1.0, 1.3, 0.9]

    def read(side: int, cells: list[float]) -> np.ndarray:
        ends, found = np.cumsum([0, *cells]) / sum(cells) * side, []
        for place in np.arange(side) + 0.5:
            cell = min(int(place // (side / 4)), 3)
            share = place / (side / 4) - cell
            found.append(ends[cell] + share * (ends[cell + 1] - ends[cell]) - 0.5)
        return np.array(found)

    y, x = np.meshgrid(read(40, rows), read(56, columns), indexing="ij")
    found = change("grid_distortion", image, columns=columns, rows=rows)
    assert far(found, mapped(image, y, x, "grid-constant")) <= 1


def test_elastic_moves_no_pixel_further_than_alpha() -> None:
    ramp = np.tile((np.arange(100) + 50).astype(np.uint8)[None, :, None], (60, 1, 1))
    found = change("elastic", ramp, alpha=5.0, sigma=6.0, fill="edge").astype(int)
    moved = np.abs(found - ramp)[:, 10:-10]
    assert 4 <= moved.max() <= 6
    steps = np.abs(np.diff(found[:, 10:-10, 0], axis=1))
    assert steps.max() <= 4  # smooth: neighbours move alike


def test_draws_cover_what_the_settings_say() -> None:
    stream = Stream(torch.arange(4000) * 7919, 0)
    degrees = OPERATIONS["rotate"].draw(settings_of("rotate", degrees=15), stream)["degrees"]
    assert -15 <= degrees.min() < -14.9 and 14.9 < degrees.max() <= 15
    degrees = OPERATIONS["rotate"].draw(settings_of("rotate", degrees={"min": 5, "max": 10}), stream)["degrees"]
    assert degrees.min() >= 5 and degrees.max() <= 10
    degrees = OPERATIONS["rotate"].draw(settings_of("rotate", degrees=[5, 90]), stream)["degrees"]
    assert set(degrees.tolist()) == {5.0, 90.0} and abs((degrees == 5).double().mean() - 0.5) < 0.05
    box = OPERATIONS["random_resized_crop"].draw(settings_of("random_resized_crop"), stream)
    area, ratio = box["height"] * box["width"], box["width"] / box["height"]
    inside = (box["height"] < 1) & (box["width"] < 1)
    assert 0.08 <= area.min() < 0.1 and area.max() <= 1 + 1e-9
    assert ratio[inside].min() >= 0.75 and ratio[inside].max() <= 1.3334


def test_levels_between_tensors_are_rounded_where_an_operation_needs_them() -> None:
    """Chains of a training: exact operations on the device's tensors, others by way of 8 bits."""
    images = torch.from_numpy(np.stack([photograph(12, 12)] * 3)).permute(0, 3, 1, 2) / 255
    always = torch.ones(3, dtype=torch.bool)
    steps = [Step("hflip", always, {}), Step("invert", torch.tensor([True, False, True]), {})]
    found = (apply(images, steps, torch.arange(3)) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    flipped = photograph(12, 12)[:, ::-1]
    assert np.array_equal(found, np.stack([255 - flipped, flipped, 255 - flipped]))


def test_opencv_is_one_whose_bilinear_kernel_is_exact() -> None:
    """Versions before 5 place pixels on a grid of 1/32, several levels away at an edge."""
    assert int(cv2.__version__.split(".")[0]) >= 5


@pytest.mark.parametrize("fill", [0, 77, "edge", "reflect", "mean"])
def test_training_pads_crops_as_recipes_do(fill: Any) -> None:
    images, seeds = np.stack([photograph(16, 16)] * 6), torch.arange(6) * 7919
    steps = draw((settings_of("crop", padding=5, fill=fill),), seeds)
    stored = np.empty_like(images)
    apply_to_pixels(images, steps, seeds, stored, torch.device("cpu"))
    seen = apply(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255, steps, seeds)
    assert np.array_equal((seen * 255).round().permute(0, 2, 3, 1).numpy(), stored)
