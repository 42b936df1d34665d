"""Pictures that are known exactly."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="session")
def pattern() -> NDArray[np.uint8]:
    """A smooth grey picture of 96×120 px with edges and both extremes, made from a formula."""
    y, x = np.mgrid[0:96, 0:120]
    waves = 128 + 70 * np.sin(x / 9.0) * np.cos(y / 13.0) + 50 * np.sin((x + 2 * y) / 40.0)
    picture = np.clip(waves, 0, 255)
    picture[20:40, 70:100] = 255
    picture[60:80, 10:30] = 0
    return cv2.GaussianBlur(picture, (0, 0), 1.0).astype(np.uint8)


@pytest.fixture(scope="session")
def rgb(pattern: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The pattern in three channels that differ."""
    return np.dstack([pattern, pattern[::-1], 255 - pattern])
