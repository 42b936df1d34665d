"""Pages with a drawn x-ray, photos of them as radsnap's simulated camera takes them, and the truth."""

from __future__ import annotations

import os

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.imaging import Photo, project
from radsnap.markers import Examined, Frame, Identity, Limits, Shown, draw_page, examine, place, write_code
from radsnap.photo import photograph
from radsnap.photo.camera import distort
from radsnap.photo.effects import effect_named
from radsnap.photo.geometry import quad_matrix
from radsnap.photo.shutter import Photographed
from radsnap.seeds import stream

SOAK = int(os.environ.get("RADSNAP_SOAK", "1"))
SESSION, KEY = 1234567, b"a key of sixteen bytes or more"
PAGE = (960, 540)
Grey = NDArray[np.uint8]


def xray(index: int = 0, width: int = 256, height: int = 288) -> Grey:
    """Draw something like an x-ray fast: soft shapes and fine texture, different for each index."""
    rng = stream(11, "xray", index)
    coarse = cv2.resize(rng.random((9, 8), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    fine = cv2.resize(rng.random((36, 32), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.rint(255 * (0.1 + 0.5 * coarse + 0.25 * fine).clip(0, 0.95)).astype(np.uint8)


def page_of(
    number: int,
    index: int = 0,
    page: tuple[int, int] = PAGE,
    share: float = 0.8,
    key: bytes = KEY,
    session: int = SESSION,
) -> tuple[Grey, Frame]:
    """Draw the page of a picture."""
    picture = xray(index)
    frame = place(page, (picture.shape[1], picture.shape[0]), share)
    return draw_page(picture, frame, write_code(Identity(session, number), key)), frame


def shown_with(frame: Frame, index: int = 0) -> Shown:
    picture = xray(index)
    return Shown(frame, (picture.shape[1], picture.shape[0]), picture)


def examined(photo: Grey, frame: Frame, index: int = 0, limits: Limits | None = None) -> Examined:
    return examine(photo, SESSION, KEY, lambda identity: shown_with(frame, index), limits)


def shot(page: Grey, name: str, level: int = 1, seed: int = 5) -> Photographed:
    """Take a photo of a page: the recipe `screen`, sub-pixels, lens, noise and messenger included."""
    return photograph(
        Photo(np.repeat(page[..., None], 3, axis=2)), "screen", seed=seed, image_id=name, level=level
    )


def grey(made: Photographed) -> Grey:
    return np.asarray(cv2.cvtColor(made.photo.pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def truth(made: Photographed, page_hw: tuple[int, int], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the places of points of the page in a simulated photo, bent by its lens."""
    screen = made.recipe.steps[0].params
    size = (screen.camera.height_px, screen.camera.width_px)
    places = distort(screen.camera, project(quad_matrix(page_hw, screen.corners_px), points))
    for step in made.recipe.steps[1:]:
        effect = effect_named(step.effect)
        places = project(effect.moved(step.params, size), places)
        size = effect.resized(step.params, size)
    return places
