from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.train

from radsnap.errors import UsageError  # noqa: E402
from radsnap.learn.augment import Augmentation, augment, follow, photographed  # noqa: E402
from radsnap.seeds import stream  # noqa: E402

GREY = np.tile(np.linspace(20, 230, 96).astype(np.uint8), (96, 1))
STILL = Augmentation(rotation_deg=0, smallest_area=1, aspect=1, flip=0, tone=0, soften=0, blot=0, photo=())


def test_same_stream_same_picture():
    first, again, other = (augment(GREY, stream(seed, "a"), Augmentation(), 64) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.picture, again.picture)
    assert first.domain == again.domain
    assert (first.picture != other.picture).any()


def test_nothing_asked_for_nothing_done():
    still = augment(GREY, stream(0, "still"), STILL, 96)
    np.testing.assert_array_equal(still.picture, GREY)
    assert still.domain == "digital"
    np.testing.assert_allclose(still.to_source, np.eye(3), atol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"flip": 1.0},
        {"rotation_deg": 15.0},
        {"tone": 1.0},
        {"soften": 1.0},
        {"blot": 1.0},
        {"implant": 1.0},
        {"invert": 1.0},
    ],
)
def test_each_part_changes_the_picture(change):
    plan = Augmentation(**{**STILL.__dict__, **change})
    picture = augment(GREY, stream(0, "part"), plan, 96).picture
    assert picture.shape == (96, 96)
    assert picture.dtype == np.uint8
    assert (picture != GREY).any()


@pytest.mark.parametrize(("recipe", "domain"), [("screen-lite", "screen"), ("film-lite", "film")])
def test_a_photo_knows_what_the_camera_saw(recipe, domain):
    photo = photographed(GREY, stream(0, recipe), ((recipe, 1.0),))
    assert photo.domain == domain
    assert photo.picture.shape == GREY.shape
    assert (photo.picture != GREY).any()


def test_a_mask_follows_its_picture():
    yy, xx = np.mgrid[:96, :96]
    disc = (((xx - 60) ** 2 + (yy - 40) ** 2) < 200).astype(np.uint8) * 255
    plan = Augmentation(tone=0, soften=0, blot=0, photo=(), rotation_deg=15)
    for seed in range(5):
        varied = augment(disc, stream(seed, "mask"), plan, 64)
        np.testing.assert_allclose(follow(disc, varied), varied.picture, atol=2)


def test_chances_over_one_are_refused():
    with pytest.raises(UsageError, match="add up to more than 1"):
        Augmentation(photo=(("screen-lite", 0.7), ("film-lite", 0.7)))


RGB = np.dstack([GREY, GREY[::-1], GREY.T])


@pytest.mark.parametrize(
    "change",
    [{name: 1.0} for name in ("flip", "tone", "soften", "blot", "implant", "invert", "tint", "fade")],
)
def test_each_part_changes_a_picture_of_colours(change):
    varied = augment(RGB, stream(0, "part"), Augmentation(**{**STILL.__dict__, **change}), 96)
    assert varied.picture.shape == RGB.shape
    assert varied.picture.dtype == np.uint8
    assert (varied.picture != RGB).any()


def test_a_faded_picture_has_no_colour_left_though_it_was_tinted_and_photographed():
    plan = Augmentation(tint=1.0, fade=1.0, photo=(("film-lite", 1.0),))
    red, green, blue = np.moveaxis(augment(RGB, stream(0, "fade"), plan, 64).picture, 2, 0)
    np.testing.assert_array_equal(red, green)
    np.testing.assert_array_equal(red, blue)


def test_a_photo_of_colours_keeps_them():
    photo = photographed(RGB, stream(0, "film-lite"), (("film-lite", 1.0),))
    assert photo.picture.shape == RGB.shape
    assert np.ptp(photo.picture.astype(int), axis=2).mean() > 10
