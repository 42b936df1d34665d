from __future__ import annotations

import cv2
import numpy as np
import pytest

from radsnap.imaging import Photo
from radsnap.models.card import InputSpec
from radsnap.models.preprocess import normalise, resize, seen, shrunk, to_input

GREY = np.random.default_rng(1).random((40, 60), dtype=np.float32)


def test_image_normalisation_gives_mean_0_and_deviation_1() -> None:
    made = to_input(GREY, InputSpec(size_px=32))
    assert made.shape == (1, 32, 32)
    assert made.dtype == np.float32
    assert abs(float(made.mean())) < 1e-5
    assert float(made.std()) == pytest.approx(1, abs=1e-4)


def test_a_flat_image_stays_finite() -> None:
    assert np.isfinite(to_input(np.full((40, 40), 0.7, dtype=np.float32), InputSpec(size_px=32))).all()


def test_bytes_and_fractions_give_the_same_input() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    spec = InputSpec(size_px=16, normalisation="fixed", mean=0.5, deviation=0.25)
    np.testing.assert_array_equal(
        normalise(levels, spec), normalise(levels.astype(np.float32) / np.float32(255), spec)
    )


def test_torchxrayvisions_range_is_minus_1024_to_1024() -> None:
    spec = InputSpec(size_px=16, normalisation="fixed", mean=0.5, deviation=1 / 2048)
    assert normalise(np.array([[0, 1]], dtype=np.float32), spec).tolist() == [[-1024, 1024]]


def test_three_channels_are_the_same_grey_each_scaled_by_its_own_numbers() -> None:
    spec = InputSpec(
        size_px=32, normalisation="fixed", channels=3, mean=(0.1, 0.2, 0.3), deviation=(0.5, 1.0, 2.0)
    )
    made = to_input(GREY, spec)
    assert made.shape == (3, 32, 32)
    grey = resize(GREY, 32)
    for channel, (mean, deviation) in enumerate(((0.1, 0.5), (0.2, 1.0), (0.3, 2.0))):
        np.testing.assert_allclose(made[channel], (grey - mean) / deviation, atol=1e-6)
    repeated = to_input(GREY, InputSpec(size_px=32, channels=3))
    np.testing.assert_array_equal(repeated[0], repeated[2])


def test_crop_takes_the_middle_square_and_stretch_takes_all() -> None:
    wide = np.zeros((10, 30), dtype=np.float32)
    wide[:, 10:20] = 1.0
    assert resize(wide, 16, "crop").min() == 1.0
    assert resize(wide, 16, "stretch").min() == 0.0


def test_a_grey_photo_gives_a_network_of_colours_what_its_grey_gives() -> None:
    levels = np.rint(GREY * 255).astype(np.uint8)
    colours = InputSpec(size_px=32, channels=3, pixels="rgb")
    made = to_input(np.repeat(levels[..., None], 3, axis=2), colours)
    grey = to_input(levels, InputSpec(size_px=32))[0]
    for channel in made:
        np.testing.assert_allclose(channel, grey, atol=1e-5)
    np.testing.assert_allclose(to_input(GREY, colours), made, atol=0.05)  # a radiograph: floats, one channel


def test_a_cast_stays_where_all_colours_share_one_mean() -> None:
    rgb = np.rint(GREY[..., None] * np.array([200, 100, 50])).astype(np.uint8)
    red, green, blue = to_input(rgb, InputSpec(size_px=32, channels=3, pixels="rgb"))
    assert red.mean() > green.mean() > blue.mean()


def test_fixed_numbers_scale_each_colour() -> None:
    spec = InputSpec(
        size_px=32, normalisation="fixed", channels=3, pixels="rgb", mean=(0.1, 0.2, 0.3), deviation=(0.5, 1, 2)
    )  # fmt: skip
    rgb = np.random.default_rng(2).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    expected = (rgb / 255 - np.array([0.1, 0.2, 0.3])) / np.array([0.5, 1, 2])
    np.testing.assert_allclose(to_input(rgb, spec), expected.transpose(2, 0, 1), atol=1e-5)


def test_only_a_network_of_colours_is_shown_them() -> None:
    photo = Photo(np.full((20, 20, 3), (200, 100, 50), dtype=np.uint8))
    assert seen(photo, InputSpec(size_px=16)).shape == (20, 20)
    assert seen(photo, InputSpec(size_px=16, channels=3)).shape == (20, 20)
    assert seen(photo, InputSpec(size_px=16, channels=3, pixels="rgb")) is photo.pixels


def test_colours_need_three_channels() -> None:
    with pytest.raises(ValueError, match="pixels 'rgb' go with three channels"):
        InputSpec(size_px=16, pixels="rgb")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((800, 800), (224, 224)),
        ((640, 853), (192, 192)),
        ((1000, 777), (512, 398)),
        ((7, 9), (3, 9)),
        ((640, 853, 3), (192, 200)),
    ],
)
def test_shrinking_is_opencvs_mean_of_areas(before: tuple[int, ...], after: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).random(before).astype(np.float32)
    theirs = cv2.resize(picture, after[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(shrunk(picture, *after), theirs, atol=1e-6)


@pytest.mark.parametrize("size", [(801, 640), (640, 480, 3), (448, 448, 3)])
def test_bytes_shrink_to_the_bytes_of_opencv(size: tuple[int, ...]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    theirs = cv2.resize(picture, (224, 224), interpolation=cv2.INTER_AREA)
    ours = resize(picture, 224)
    assert ours.dtype == np.uint8
    assert np.abs(ours.astype(int) - theirs).max() <= 1  # a half may be rounded either way
    assert (ours != theirs).mean() < 1e-3
