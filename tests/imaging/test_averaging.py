"""A picture averaged down in steps is the one averaged down at once."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from radsnap.imaging import Photo, averaged
from radsnap.imaging.averaging import halved
from radsnap.phantom import scene


@pytest.mark.parametrize("size", [(1024, 512), (600, 300), (400, 251), (97, 64), (64, 48)])
@pytest.mark.parametrize("colours", [True, False])
def test_in_steps_as_at_once(size: tuple[int, int], colours: bool) -> None:
    picture = scene(1, "large", 1024).pixels[:512]
    picture = picture if colours else np.ascontiguousarray(picture[..., 1])
    wanted = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    made = averaged(picture, size)
    assert made.shape == wanted.shape
    away = np.abs(made.astype(int) - wanted)
    assert away.mean() < 1.5
    assert away.max() < 50  # where an edge of a drawn thing falls between two pixels


def test_an_even_picture_stays_even() -> None:
    assert (averaged(np.full((900, 1200, 3), 77, np.uint8), (250, 190)) == 77).all()


@pytest.mark.parametrize(
    ("least", "left"), [((300, 225), (300, 225)), ((301, 225), (600, 450)), ((1200, 900), (1200, 900)), ((1, 1), (300, 225))]
)  # fmt: skip
def test_a_picture_is_halved_while_it_keeps_the_least_size_and_is_even(
    least: tuple[int, int], left: tuple[int, int]
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), np.uint8)
    made = halved(picture, least)
    assert made.shape == (left[1], left[0], 3)
    assert made.mean() == pytest.approx(picture.mean(), abs=0.5)


@pytest.mark.parametrize(("width", "height"), [(1200, 900), (1201, 900)])
def test_a_photo_keeps_its_halves(width: int, height: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    photo = Photo(pixels)
    for least in ((width, height), (600, 450), (300, 225), (301, 225), (600, 450)):
        np.testing.assert_array_equal(photo.halved(least).pixels, halved(pixels, least))
    assert photo.halved((300, 225)) is photo.halved((300, 225))
