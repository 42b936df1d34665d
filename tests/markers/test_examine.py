"""Photos of pages: whose, where, how good; simulated screens at three levels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scenes import KEY, PAGE, SESSION, SOAK, examined, grey, page_of, shot, shown_with, truth, xray

from radsnap.imaging import homography, project, warp
from radsnap.markers import (
    REASONS,
    Identity,
    Limits,
    Shown,
    draw_tag,
    examine,
    examine_clean,
    look,
    view_of,
    write_code,
)

MANY = {1: 7 * SOAK, 2: 7 * SOAK, 3: 6 * SOAK}  # 2,000 photos in `make soak`
LEAST = {1: 0.995, 2: 0.995, 3: 0.95}


@pytest.mark.parametrize("level", [1, 2, 3])
def test_simulated_photos_are_read_and_their_corners_found(level: int) -> None:
    read = wrong = off = good = 0
    for trial in range(MANY[level]):
        number = 10 * trial + level
        page, frame = page_of(number, trial % 4)
        made = shot(page, f"{level}-{trial}", level)
        photo = grey(made)
        found = examined(photo, frame, trial % 4)
        read += found.identity is not None
        wrong += found.identity is not None and found.identity != Identity(SESSION, number)
        if found.good:
            good += 1
            assert found.corners_px is not None
            error = np.hypot(*(found.corners_px - truth(made, page.shape, frame.corners)).T).max()
            off += error > 0.005 * np.hypot(*photo.shape)
    assert wrong == 0
    assert read >= LEAST[level] * MANY[level]
    assert off == 0
    assert good >= 0.6 * MANY[level], "the others are cut off, blurred or blown out in truth"


@pytest.fixture(scope="module")
def flat() -> tuple[np.ndarray, object]:
    """A page seen straight on, on a grey desk."""
    page, frame = page_of(5)
    return cv2.copyMakeBorder(page, 60, 60, 80, 80, cv2.BORDER_CONSTANT, value=40), frame


@pytest.mark.parametrize("corner", range(4))
def test_one_hidden_corner_does_no_harm(flat: tuple, corner: int) -> None:
    photo, frame = flat[0].copy(), flat[1]
    height, width = photo.shape
    y, x = (0 if corner < 2 else height - 190), (0 if corner % 2 == 0 else width // 2 + 60)
    photo[y : y + 190, x : x + width // 2 - 60] = 90
    found = examined(photo, frame)
    assert found.good, found.reasons
    assert found.identity == Identity(SESSION, 5)
    assert np.abs(found.corners_px - (frame.corners + np.array([80, 60]))).max() < 1


def test_a_hidden_side_is_told(flat: tuple) -> None:
    photo, frame = flat[0].copy(), flat[1]
    photo[:, : frame.xray_px[0] + 80] = 40
    assert examined(photo, frame).reasons == ("one_side",)


def test_a_picture_that_changes_during_the_photo_has_no_identity(flat: tuple) -> None:
    other, _ = page_of(6, 1)
    photo, frame = flat[0].copy(), flat[1]
    photo[60 : 60 + PAGE[1] // 2, 80:-80] = other[: PAGE[1] // 2]
    found = examined(photo, frame)
    assert (found.identity, found.reasons) == (None, ("codes_disagree",))


def test_codes_of_others_are_named(flat: tuple) -> None:
    foreign, frame = page_of(5, session=7654321)
    forged, _ = page_of(5, key=b"somebody else's secret")
    assert examined(foreign, frame).reasons == ("foreign_session",)
    assert examined(forged, frame).reasons == ("unproven",)
    assert examine(flat[0], SESSION, KEY, lambda identity: None).reasons == ("unknown_number",)
    assert examined(np.full((400, 600), 99, np.uint8), frame).reasons == ("no_code",)


def test_poor_photos_are_refused_with_their_reason(flat: tuple) -> None:
    photo, frame = flat
    soft = examined(cv2.GaussianBlur(photo, (0, 0), 1.8), frame, limits=Limits(blur_frac=0.003))
    assert (soft.identity, soft.reasons) == (Identity(SESSION, 5), ("blurred",))
    assert examined(cv2.GaussianBlur(photo, (0, 0), 3), frame).reasons == ("no_code", "blurred")
    over = photo.copy()
    left, top, width, height = frame.xray_px
    over[top + 60 : top + 60 + height, left + 80 : left + 80 + width // 2] = 255
    assert "blown_out" in examined(over, frame).reasons
    assert "out_of_view" in examined(photo[120:], frame).reasons
    assert {"blurred", "blown_out", "out_of_view"} <= set(REASONS)


def test_blur_is_measured_in_pixels(flat: tuple) -> None:
    photo, frame = flat
    longer = max(frame.xray_px[2:])
    for sigma in (1.2, 1.6, 2.0):
        found = examined(cv2.GaussianBlur(photo, (0, 0), sigma), frame)
        assert found.blur_frac * longer == pytest.approx(sigma, rel=0.15)


def test_an_xray_on_white_is_not_called_blown_out() -> None:
    white = np.full((288, 256), 250, np.uint8)
    page, frame = page_of(5)
    left, top, width, height = frame.xray_px
    page[top : top + height, left : left + width] = 255
    found = examine(page, SESSION, KEY, lambda identity: Shown(frame, (256, 288), white))
    assert found.blown_frac == 0


def test_the_view_is_that_of_a_camera_turned_by_a_known_angle() -> None:
    page, frame = page_of(5)
    height, width = page.shape
    focal, turn = 1100.0, np.radians(20)
    plane = np.array(
        [
            [-width / 2, -height / 2],
            [width / 2, -height / 2],
            [width / 2, height / 2],
            [-width / 2, height / 2],
        ]
    )
    z = 1500 + plane[:, 0] * np.sin(turn)
    seen = np.stack([plane[:, 0] * np.cos(turn), plane[:, 1]], axis=1) * focal / z[:, None]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
    photo = warp(page, homography(corners, seen + np.array([499.5, 374.5])), (1000, 750), border="constant")
    found = examined(photo, frame)
    view = view_of(found.pose, frame, focal / np.hypot(1000, 750))
    assert view.tilt_deg == pytest.approx(20, abs=0.7)
    assert abs(view.yaw_deg) == pytest.approx(20, abs=0.7)
    assert view.pitch_deg == pytest.approx(0, abs=0.7)
    assert view.distance_widths == pytest.approx(1500 / frame.xray_px[2], rel=0.02)


def test_a_clean_photo_is_proven_by_the_marked_ones_around_it() -> None:
    page, frame = page_of(5)
    left, top, width, height = frame.xray_px
    clean = np.zeros_like(page)
    clean[top : top + height, left : left + width] = page[top : top + height, left : left + width]
    marked = [grey(shot(page, "clean", 1)) for _ in range(2)]
    photo = grey(shot(clean, "clean", 1))
    before, after = (examined(one, frame) for one in marked)
    found = examine_clean(photo, before, after, shown_with(frame))
    assert found.good, found.reasons
    assert found.identity == Identity(SESSION, 5)
    assert found.likeness > 0.6
    other = examine_clean(photo, before, after, shown_with(frame, 3))
    assert other.reasons == ("other_picture",)
    away = examined(np.roll(marked[1], 60, axis=1), frame)
    assert examine_clean(photo, before, away, shown_with(frame)).reasons == ("moved",)


def test_clean_photos_need_one_identity_around_them() -> None:
    page, frame = page_of(5)
    next_page, _ = page_of(6, 1)
    before, after = examined(page, frame), examined(next_page, frame, 1)
    assert before.good
    assert after.good
    assert examine_clean(page, before, after, shown_with(frame)).reasons == ("codes_disagree",)


def test_a_tag_beside_a_film_is_read_from_a_tilted_photo() -> None:
    tag = draw_tag(write_code(Identity(SESSION, 77), KEY), 480)
    film = cv2.resize(xray(2), (900, 1000), interpolation=cv2.INTER_CUBIC)
    wall = np.full((1400, 1700), 120, np.uint8)
    wall[200:1200, 100:1000] = film
    wall[600:720, 1100:1580] = tag
    corners = np.array([[0, 0], [1700, 0], [1700, 1400], [0, 1400]], float)
    tilted = homography(corners, corners + np.array([[40, 60], [-90, 10], [-30, -80], [20, -40]]))
    photo = warp(wall, tilted, (1700, 1400), value=30.0)
    found = examine(photo, SESSION, KEY, lambda identity: Shown(None, (256, 288)))
    assert (found.identity, found.reasons, found.corners_px) == (Identity(SESSION, 77), (), None)


def test_markers_that_stand_twice_are_not_trusted() -> None:
    page, _ = page_of(5)
    both = np.concatenate([page, page], axis=1)
    assert look(np.ascontiguousarray(both)).markers == {}


def test_every_way_up_is_read(flat: tuple) -> None:
    photo, frame = flat
    for turns in range(4):
        found = examined(np.ascontiguousarray(np.rot90(photo, turns)), frame)
        assert found.good
        back = project(homography([[0, 0], [1, 0], [1, 1], [0, 1]], found.corners_px), [[0.5, 0.5]])
        assert np.isfinite(back).all()
