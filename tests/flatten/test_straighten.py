"""A straightened picture has the x-ray's own shape, grey values and way up."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from radsnap.flatten import straightening as straight
from radsnap.flatten.orientation import Orientation, upright
from radsnap.flatten.quad import Quad
from radsnap.flatten.straightening import aspect_of, cut_out, glare_of, size_of, straighten, toned
from radsnap.imaging import Photo, Radiograph, corners_of, project
from radsnap.phantom import sample_chest
from radsnap.photo import photograph


def seen_by_a_pinhole(aspect: float, focal: float, yaw: float, pitch: float) -> np.ndarray:
    """Project a rectangle of an aspect through a pinhole into a photo of 1600 × 1200 px."""
    corners = np.array([(-aspect, -1), (aspect, -1), (aspect, 1), (-aspect, 1)], float) * 0.5
    a, b = np.deg2rad([yaw, pitch])
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    turn = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]) @ turn
    points = np.column_stack([corners, np.zeros(4)]) @ turn.T + (0.05, -0.03, 1.9)
    return np.asarray(1600 * focal * points[:, :2] / points[:, 2:] + (799.5, 599.5))


@pytest.mark.parametrize("aspect", [0.8, 1.0, 1.25])
@pytest.mark.parametrize(("yaw", "pitch"), [(20, 12), (-15, 25), (30, -20)])
def test_the_aspect_ratio_comes_back_from_the_perspective(aspect: float, yaw: float, pitch: float) -> None:
    corners = seen_by_a_pinhole(aspect, straight.FOCAL_FRAC, yaw, pitch)
    assert aspect_of(corners, (1600, 1200)) == pytest.approx(aspect, rel=1e-3)


@pytest.mark.parametrize("focal", [0.75, 1.2])
def test_another_lens_costs_little_of_the_aspect_ratio(focal: float) -> None:
    assert aspect_of(seen_by_a_pinhole(0.8, focal, 20, 12), (1600, 1200)) == pytest.approx(0.8, rel=0.05)


def test_square_on_the_sides_give_the_aspect_ratio() -> None:
    assert aspect_of(seen_by_a_pinhole(0.8, 0.85, 0, 0), (1600, 1200)) == pytest.approx(0.8, rel=1e-6)


def test_the_longest_side_is_kept_to() -> None:
    assert max(size_of(corners_of((3000, 2000)), (3000, 2000), 768)) == 768
    assert size_of(corners_of((300, 200)), (300, 200), 768) == (300, 200)


def test_a_straightened_photo_is_like_the_xray_it_was_taken_of() -> None:
    xray = sample_chest(4, 0, 384).radiograph
    made = photograph(xray, "screen", seed=3, image_id="a", level=1)
    found = straighten(made.photo, Quad(made.corners_px, 1.0), 384, turn=False).radiograph.pixels
    height, width = found.shape
    wanted = cv2.resize(xray.pixels, (width, height), interpolation=cv2.INTER_AREA)
    inside = (slice(height // 8, -height // 8), slice(width // 8, -width // 8))
    assert np.corrcoef(found[inside].ravel(), wanted[inside].ravel())[0, 1] > 0.95
    assert width / height == pytest.approx(xray.pixels.shape[1] / xray.pixels.shape[0], rel=0.02)


def test_the_homography_takes_corners_to_corners() -> None:
    made = photograph(sample_chest(4, 0, 256).radiograph, "film", seed=3, image_id="a", level=2)
    flat = straighten(made.photo, Quad(made.corners_px, 1.0), 200, turn=False)
    height, width = flat.radiograph.pixels.shape
    assert np.abs(project(flat.homography, made.corners_px) - corners_of((width, height))).max() < 1e-6


@pytest.mark.parametrize("width", [3200, 3197])
@pytest.mark.parametrize("shift", [(0, 0), (900, 500), (1300, 1000), (-700, -900)])
@pytest.mark.parametrize("size", [(280, 210), (340, 255), (620, 465), (1000, 750)])
def test_what_is_cut_out_of_a_large_photo_lies_where_it_lay(
    size: tuple[int, int], width: int, shift: tuple[int, int]
) -> None:
    down, across = np.mgrid[0:2400, 0:width]
    pixels = np.stack([across * 255 / width, down * 255 / 2400, (across + down) * 255 / 5600], axis=2)
    corners = np.array([(300, 200), (1700, 260), (1640, 1290), (330, 1240)], float) + shift
    made, matrix = cut_out(Photo(pixels.astype(np.uint8)), corners, size)
    assert np.abs(project(matrix, corners) - corners_of(size)).max() < 1e-6
    place = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), axis=2).reshape(-1, 2).astype(float)
    there = project(np.linalg.inv(matrix), place).clip((0, 0), (width - 1, 2399))
    wanted = np.stack(
        [there[:, 0] * 255 / width, there[:, 1] * 255 / 2400, there.sum(axis=1) * 255 / 5600], 1
    )
    assert np.abs(made.reshape(-1, 3) + 0.5 - wanted).max() < 1.5


@pytest.mark.parametrize("way", range(8))
def test_whatever_way_a_chest_lies_it_ends_upright(way: int, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.zeros((60, 90), np.uint8)
    grey[5:20, 5:40] = 200  # a mark at the upper left, in no way symmetrical
    grey[40:55, 60:70] = 90
    lying = np.ascontiguousarray(np.rot90(grey[:, ::-1] if way >= 4 else grey, -(way % 4)))
    monkeypatch.setattr(straight, "orientation", lambda _: Orientation(way % 4, way >= 4, 0.99))
    photo = Photo(np.repeat(lying[..., None], 3, axis=2))
    corners = corners_of((lying.shape[1], lying.shape[0]))
    flat = straighten(photo, Quad(corners, 1.0), 90)
    assert flat.turned is (way != 0)
    assert flat.radiograph.pixels.shape == (60, 90)
    assert np.abs(flat.radiograph.pixels * 200 - grey).max() < 3
    own = upright(corners, Orientation(way % 4, way >= 4, 0.99))
    assert np.abs(project(flat.homography, own) - corners_of((90, 60))).max() < 1e-6


def test_an_unsure_turn_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(straight, "orientation", lambda _: Orientation(2, False, 0.5))
    photo = Photo(np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8))
    flat = straighten(photo, Quad(corners_of((90, 60)), 1.0))
    assert not flat.turned
    assert np.abs(flat.homography - np.eye(3)).max() < 1e-9


def test_glare_is_marked_where_all_colours_are_burnt_out() -> None:
    flat = np.full((200, 200, 3), 120, np.uint8)
    flat[50:90, 60:120] = 255
    flat[150:170, 20:40] = (255, 255, 90)
    mask = glare_of(flat)
    assert mask[70, 90]
    assert not mask[160, 30]
    assert 0.06 < mask.mean() < 0.09


def test_tone_reaches_from_dark_to_bright_without_the_glare() -> None:
    grey = np.linspace(40, 140, 200 * 200).reshape(200, 200).astype(np.uint8)
    grey[:40, :40] = 255
    tone = toned(grey, grey == 255)
    assert tone[190, 190] > 0.95
    assert tone[45, 5] < 0.25
    assert tone[5, 5] == 1.0
    Radiograph(tone)


def test_a_picture_of_one_grey_stays_in_range() -> None:
    Radiograph(toned(np.full((50, 50), 255, np.uint8), np.ones((50, 50), bool)))
