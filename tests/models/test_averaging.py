from __future__ import annotations

import numpy as np
import pytest

from radsnap.models.averaging import AVERAGES, averaged, views

IMAGES = np.random.default_rng(0).normal(size=(2, 3, 20, 30)).astype(np.float32)


@pytest.mark.parametrize("average", AVERAGES)
def test_views_have_the_shape_of_the_images_and_begin_with_them(average):
    made = views(IMAGES, average)
    assert all(view.shape == IMAGES.shape and view.dtype == np.float32 for view in made)
    np.testing.assert_array_equal(made[0], IMAGES)
    assert len(made) == {"none": 1, "flip": 2, "crops": 6}[average]


def test_crops_lie_at_the_corners_and_in_the_middle():
    ramp = np.broadcast_to(np.arange(30, dtype=np.float32), (1, 1, 20, 30))
    left, right = [view.mean() for view in views(ramp, "crops")[1:3]]
    assert left == pytest.approx(13.0, abs=0.01)  # the mean of 0 to 26
    assert right == pytest.approx(16.0, abs=0.01)
    assert views(ramp, "crops")[5].mean() == pytest.approx(14.5, abs=0.6)


def test_what_the_views_say_is_averaged():
    def run(images):
        return images[:, :, 0, 0]

    expected = (IMAGES[:, :, 0, 0] + IMAGES[:, :, 0, -1]) / 2
    np.testing.assert_allclose(averaged(run, IMAGES, "flip"), expected, rtol=1e-6)
    np.testing.assert_array_equal(averaged(run, IMAGES, "none"), IMAGES[:, :, 0, 0])
