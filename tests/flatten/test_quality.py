"""Each measure grows with what it measures, and says what to do in a sentence."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from radsnap.flatten import Quad, quality, straighten
from radsnap.flatten.judging import BARS, blockiness, glare_share, measured, sharpness, tilt_deg
from radsnap.imaging import Photo, corners_of, encode_jpeg, read_image
from radsnap.phantom import sample_chest

XRAY = np.rint(sample_chest(2, 0, 512).radiograph.pixels * 220 + 15).astype(np.uint8)
QUAD = Quad(corners_of((XRAY.shape[1], XRAY.shape[0])), 1.0)


def photo(grey: np.ndarray) -> Photo:
    return Photo(np.repeat(np.asarray(grey, np.uint8)[..., None], 3, axis=2))


def missed(given: Photo, quad: Quad = QUAD, lungs: np.ndarray | None = None) -> dict[str, str]:
    made = straighten(given, quad, 512, turn=False)
    return {m.name: m.sentence for m in quality(given, quad, lungs, made).missed}


def test_a_good_photo_misses_no_bar() -> None:
    assert missed(photo(XRAY)) == {}


def test_every_measure_has_a_bar_and_a_sentence() -> None:
    given = photo(XRAY)
    judged = quality(given, QUAD, straight=straighten(given, QUAD, 512, turn=False))
    assert {m.name for m in judged.measures} == set(BARS)
    assert all(m.sentence.endswith(".") for m in judged.measures)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("blurred", lambda x: cv2.GaussianBlur(x, (0, 0), 9)),
        ("dark", lambda x: x * 0.05),
        ("bright", lambda x: 225 + x * 0.1),
        ("flat", lambda x: 100 + x * 0.05),
        ("small", lambda x: cv2.resize(x, (40, 40), interpolation=cv2.INTER_AREA)),
        ("compressed", lambda x: read_image(encode_jpeg(photo(x).pixels, 2)).pixels[..., 0]),  # type: ignore[union-attr]
        ("moire", lambda x: np.where(np.indices(x.shape).sum(axis=0) % 8 < 4, x, 0.6 * x)),
    ],
)
def test_a_spoilt_photo_misses_its_bar(name: str, spoil: object) -> None:
    spoilt = np.asarray(spoil(XRAY))  # type: ignore[operator]
    size = (spoilt.shape[1], spoilt.shape[0])
    assert name in missed(photo(spoilt), Quad(corners_of(size), 1.0))


@pytest.mark.parametrize("steepness", [0.0, 0.3, 1.0])
def test_contrast_lies_between_the_fifth_and_the_last_twentieth(steepness: float) -> None:
    grey = np.rint(90 + steepness * (XRAY.astype(float) - 90)).astype(np.uint8)
    given = photo(grey)
    found = measured(given, QUAD, straighten(given, QUAD, 512, turn=False))
    low, high = np.percentile(grey, [5, 95])
    assert found["flat"] == pytest.approx((high - low) / 255, abs=0.6 / 255)
    assert found["dark"] == pytest.approx(grey.mean() / 255, abs=1e-3)


@pytest.mark.parametrize("share", [0.9, 0.6])  # of its half: then read between its pixels, or averaged first
def test_a_large_photo_is_judged_like_its_half(share: float) -> None:
    noise = np.random.default_rng(0).normal(0, 12, (2048, 1536, 3))
    large = cv2.resize(XRAY, (1536, 2048), interpolation=cv2.INTER_CUBIC)[..., None] + noise
    given = Photo(large.clip(0, 255).astype(np.uint8))
    small = given.halved((768, 1024))
    corners = np.array([(0.1, 0.15), (0.1 + share, 0.1), (0.1 + share, 0.12 + share), (0.12, 0.1 + share)])
    corners = (corners.clip(0, 0.97) * (1536, 2048)).round()
    found = [
        measured(one, Quad((corners + 0.5) * scale - 0.5, 1.0), straighten(one, QUAD, 512, turn=False))
        for one, scale in ((given, 1.0), (small, 0.5))
    ]
    assert found[0]["blurred"] == pytest.approx(found[1]["blurred"], rel=0.02)


def test_glare_is_counted_in_the_lungs_where_they_are_known() -> None:
    burnt = XRAY.copy()
    burnt[150:300, 100:220] = 255
    lungs = np.zeros((128, 128), bool)
    lungs[32:90, 20:60] = True
    said = missed(photo(burnt), lungs=lungs)
    assert "of the lungs is covered by glare" in said["glare"]
    assert "lamp" in said["glare"]
    glare = straighten(photo(burnt), QUAD, 512, turn=False).glare
    assert glare_share(glare, lungs) > 2 * glare_share(glare, None)


def test_a_cropped_side_is_named() -> None:
    said = missed(photo(XRAY), Quad(QUAD.corners_px, 1.0, sides_seen=(False, True, True, False)))
    assert "top and left" in said["cropped"]


def test_tilt_is_that_of_the_camera() -> None:
    angle = np.deg2rad(35)
    corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    points = np.column_stack(
        [corners[:, 0] * np.cos(angle), corners[:, 1], 2 + corners[:, 0] * np.sin(angle)]
    )
    seen = 800 * points[:, :2] / points[:, 2:] + (499.5, 374.5)
    assert tilt_deg(seen, (1000, 750)) == pytest.approx(35, abs=5)  # the lens is not known
    assert tilt_deg(corners_of((300, 200)) + 200, (1000, 750)) == pytest.approx(0, abs=1e-4)


def test_a_camera_held_nearly_along_the_xray_misses_its_bar() -> None:
    given = photo(np.resize(XRAY, (400, 600)))
    x, y = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]).T

    def tilted(angle_deg: float) -> Quad:
        angle = np.deg2rad(angle_deg)
        depth = 1.5 + x * np.sin(angle)
        seen = 540 * np.column_stack([x * np.cos(angle) / depth, y / depth]) + (299.5, 199.5)
        return Quad(seen, 1.0)

    assert "tilted" not in missed(given, tilted(60))
    assert "tilted by 80 degrees" in missed(given, tilted(80))["tilted"]


def test_more_moire_is_nearer_to_the_bar() -> None:
    waves = np.sin(np.indices(XRAY.shape).sum(axis=0) * 0.7)
    values = []
    for strength in (0, 4, 12, 40):
        given = photo(np.rint(XRAY * 0.8 + 40 + strength * waves).clip(0, 255))
        values.append(measured(given, QUAD, straighten(given, QUAD, 512, turn=False))["moire"])
    assert values == sorted(values)
    assert values[0] < 0.01 < BARS["moire"].threshold < values[-1]


def test_blocks_of_a_strong_compression_are_seen() -> None:
    rough = read_image(encode_jpeg(photo(XRAY).pixels, 8))
    assert blockiness(rough.pixels) > 2 * blockiness(photo(XRAY).pixels) + 0.1


def test_sharpness_does_not_depend_on_contrast() -> None:
    grey = XRAY.astype(np.float32) / 255
    assert sharpness(0.3 * grey) == pytest.approx(sharpness(grey), rel=1e-4)


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_pictures_are_judged_without_fail(level: int) -> None:
    blank = photo(np.full((300, 300), level))
    quad = Quad(corners_of((300, 300)), 1.0)
    values = measured(blank, quad, straighten(blank, quad, 300, turn=False))
    assert all(np.isfinite(value) for value in values.values())
    assert quality(blank, quad, straight=straighten(blank, quad, 300, turn=False)).retake
