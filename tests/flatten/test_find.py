"""The shipped network finds x-rays in photos, leaves cropped ones alone, and stays calm at anything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from radsnap.errors import WeightsError
from radsnap.flatten import corners, find, quality, rectify, straighten, survey
from radsnap.flatten.corners import corner_error
from radsnap.flatten.strips import COARSE, FINE, Look
from radsnap.imaging import Photo, Radiograph, corners_of, to_photo
from radsnap.models.runtime import Network, load
from radsnap.phantom import sample_chest
from radsnap.photo import photograph

XRAY = sample_chest(7, 1, 512).radiograph


def on_a_desk(
    picture: np.ndarray, width: int = 900, height: int = 700, at: tuple[int, int] = (250, 120)
) -> Photo:
    """Lay a grey picture on a brownish desk with some grain."""
    rng = np.random.default_rng(1)
    desk = np.full((height, width, 3), (150, 120, 95), np.float32) + rng.normal(0, 6, (height, width, 1))
    x, y = at
    desk[y : y + picture.shape[0], x : x + picture.shape[1]] = picture[..., None]
    return Photo(desk.clip(0, 255).astype(np.uint8))


GREY = np.rint(XRAY.pixels * 200 + 10).astype(np.uint8)


def test_an_xray_on_a_desk_is_found_within_a_hundredth() -> None:
    quad = find(on_a_desk(GREY))
    assert quad is not None
    assert not quad.cropped_already
    truth = corners_of((GREY.shape[1], GREY.shape[0])) + np.array([250, 120])
    assert corner_error(quad.corners_px, truth) < 0.01


@pytest.mark.parametrize("left_out", [0, 1])  # odd sides are not halved
def test_the_corners_are_in_pixels_of_the_photo_whatever_its_size(left_out: int) -> None:
    small = on_a_desk(GREY)
    pixels = np.repeat(np.repeat(small.pixels, 3, axis=0), 3, axis=1)
    height, width = pixels.shape[:2]
    assert width > 2600
    large = Photo(np.ascontiguousarray(pixels[: height - left_out, : width - left_out]))
    one, two = find(small), find(large)
    assert one is not None
    assert two is not None
    assert np.abs((one.corners_px + 0.5) * 3 - (two.corners_px + 0.5)).max() < 8


@pytest.mark.parametrize("kind", ["screen", "film"])
def test_simulated_photos_of_phantoms_are_found(kind: str) -> None:
    errors = []
    for i in range(60):
        made = photograph(sample_chest(3, i % 8, 384).radiograph, kind, seed=2, image_id=str(i), level=1)
        size = np.array(made.photo.pixels.shape[1::-1])
        if not ((made.corners_px > 4) & (made.corners_px < size - 5)).all():
            continue
        quad = find(made.photo)
        errors.append(1.0 if quad is None else corner_error(quad.corners_px, made.corners_px))
        if len(errors) == 6:
            break
    assert len(errors) == 6
    assert np.median(errors) < 0.01  # one collimated in black before black is found where its picture ends


def test_a_digital_xray_is_left_alone() -> None:
    quad = find(to_photo(XRAY))
    assert quad is None or quad.cropped_already or not quad.sure


def test_the_same_photo_gives_the_same_quad() -> None:
    photo = on_a_desk(GREY)
    one, two = find(photo), find(photo)
    assert one is not None
    assert two is not None
    assert np.array_equal(one.corners_px, two.corners_px)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (31, 31), (40, 4000), (4000, 40)])
def test_tiny_pictures_and_panoramas_hold_no_xray(shape: tuple[int, int]) -> None:
    assert find(Photo(np.full((*shape, 3), 128, np.uint8))) is None


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_of_one_colour_holds_no_sure_quad(level: int) -> None:
    quad = find(Photo(np.full((600, 800, 3), level, np.uint8)))
    assert quad is None or quad.cropped_already or not quad.sure


def test_noise_holds_no_sure_quad() -> None:
    quad = find(Photo(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)))
    assert quad is None or quad.cropped_already or not quad.sure


def test_a_photo_of_a_photo_gives_a_clear_result() -> None:
    inner = on_a_desk(GREY).pixels.mean(axis=2)
    outer = on_a_desk(inner, 1300, 1000, (150, 130))
    quad = find(outer)
    assert quad is None or np.isfinite(quad.corners_px).all()


def test_of_two_xrays_one_is_taken_or_none() -> None:
    two = np.full((700, 1200, 3), (40, 40, 45), np.uint8)
    small = GREY[::1, ::1][:480, :480]
    two[100:580, 60:540] = small[..., None]
    two[100:580, 640:1120] = small[..., None]
    quad = find(Photo(two))
    if quad is not None and quad.sure:
        truths = [corners_of((480, 480)) + np.array([x, 100]) for x in (60, 640)]
        assert min(corner_error(quad.corners_px, truth) for truth in truths) < 0.03


def test_what_is_found_can_be_straightened_and_judged() -> None:
    photo = on_a_desk(GREY)
    quad = find(photo)
    assert quad is not None
    flat = rectify(photo, quad)
    assert isinstance(flat, Radiograph)
    assert flat.provenance.steps[-1].startswith("straightened from a photo")
    assert not quality(photo, quad, straight=straighten(photo, quad, 512)).retake


@pytest.mark.parametrize(
    ("sure", "taken", "walked"),
    [((0.6, 0.4, 0.9, 0.3), 2, 4), ((0.5, corners.SURE, 0.999, 0.1), 1, 2), ((0.999,), 0, 1)],
)
def test_starts_are_tried_until_an_end_is_sure_and_the_surest_is_taken(
    sure: tuple[float, ...], taken: int, walked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def trails(pixels: object, sight: object, closer: object) -> Iterator[int]:
        for place in range(len(sure)):
            seen.append(place)
            yield place

    monkeypatch.setattr(corners, "trails", trails)
    monkeypatch.setattr(corners, "confidence", lambda trail: sure[trail])
    nothing = Photo(np.zeros((8, 8, 3), np.uint8))
    assert corners.followed(nothing, None, None) == taken  # type: ignore[arg-type, comparison-overlap]
    assert len(seen) == walked
    monkeypatch.setattr(corners, "trails", lambda *_: iter(()))
    assert corners.followed(nothing, None, None) is None  # type: ignore[arg-type]


def test_an_end_of_little_confidence_is_given_one_of_none_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = on_a_desk(GREY)
    monkeypatch.setattr(corners, "confidence", lambda trail: 0.06)
    quad = find(photo)
    assert quad is not None
    assert (quad.confidence, quad.sure) == (0.06, False)
    monkeypatch.setattr(corners, "confidence", lambda trail: 0.04)
    assert find(photo) is None


def test_starts_that_come_to_the_same_borders_are_walked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = on_a_desk(GREY)
    network, closer = load("corners"), load("borders")
    sight = corners.look(network, photo)
    truth = corners_of((GREY.shape[1], GREY.shape[0])) + np.array([250, 120])
    looked: list[float] = []
    look_closer = corners.look_closer

    def counted(network: Network, photo: np.ndarray, corners: np.ndarray, reach: float) -> Look | None:
        looked.append(reach)
        return look_closer(network, photo, corners, reach)

    monkeypatch.setattr(corners, "look_closer", counted)
    (end,) = corners.trails(photo, sight, closer)
    assert corner_error(end.last.corners, truth) < 0.01
    # from every start; twice only from the first: one look tells that the others come to the same
    assert 3 <= looked.count(COARSE) <= 4
    assert looked.count(FINE) <= 2
    monkeypatch.setattr(corners, "_SAME", 0.0)
    ends = list(corners.trails(photo, sight, closer))
    assert len(ends) == 3
    assert all(corner_error(one.last.corners, truth) < 0.01 for one in ends)


def test_what_the_camera_saw_is_told_with_the_quad() -> None:
    digital = survey(to_photo(XRAY))
    assert max(digital.domain, key=lambda name: digital.domain[name]) == "digital"
    said = []
    for i in range(8):
        kind = ("screen", "film")[i % 2]
        made = photograph(sample_chest(3, i, 384).radiograph, kind, seed=2, image_id=str(i), level=2)
        seen = survey(made.photo)
        assert sum(seen.domain.values()) == pytest.approx(1)
        said.append(max(seen.domain, key=lambda name: seen.domain[name]) == kind)
    assert sum(said) >= 6
    panorama = survey(Photo(np.zeros((40, 4000, 3), np.uint8)))
    assert (panorama.quad, panorama.domain) == (None, {})


def test_a_model_without_maps_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"no head 'view'"):
        find(on_a_desk(GREY), model="gate")


def test_the_shipped_networks_are_small() -> None:
    for name in ("corners", "borders", "upright"):
        card = load(name).card
        assert card.name == name


@pytest.mark.parametrize(("desk", "dark"), [(30, 0.5), (255, 0.0)])
def test_what_lies_around_the_borders_is_judged(desk: int, dark: float) -> None:
    pixels = on_a_desk(GREY).pixels.copy()
    around = np.ones(pixels.shape[:2], bool)
    around[120 : 120 + GREY.shape[0], 250 : 250 + GREY.shape[1]] = False
    pixels[around] = desk
    photo = Photo(pixels)
    trail = next(corners.trails(photo, corners.look(load("corners"), photo), load("borders")))
    assert trail.rims[:2] == pytest.approx([dark, dark], abs=0.1)
    surroundings = corners.features(trail)[-len(trail.rims) :]
    assert (surroundings == trail.rims).all()
    other = replace(trail, rims=np.ones(5) - trail.rims)
    assert corners.confidence(other) != corners.confidence(trail)
