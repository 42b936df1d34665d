"""One photo: what a worker of the photograph job does. Imports no tables, so that workers start fast and stay small."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from radsnap.errors import RadsnapError
from radsnap.imaging import Bounds, encode_jpeg, read_radiograph
from radsnap.imaging.homography import corners_of, project
from radsnap.jobs.stores import Store
from radsnap.photo import Recipe, apply_recipe, load_effects
from radsnap.photo.effect import AT_RANDOM, Matrix, Presets, Size
from radsnap.photo.effects import effect_named
from radsnap.photo.recipe import draw_recipe
from radsnap.photo.shutter import grey_or_colour
from radsnap.seeds import stream


@dataclass(frozen=True)
class Failure:
    """An x-ray that could not be photographed, and why."""

    file: str
    image_id: str
    reason: str


@dataclass(frozen=True)
class Order:
    """One photo to make: its place in the list, the x-ray's id and file, the photo's file, which copy it is."""

    position: int
    image_id: str
    source: str
    target: str
    copy: int


@dataclass(frozen=True)
class Made:
    """A photo that is there. record: recipe, homography and corners as JSON; new: made by this run."""

    record: dict[str, str]
    new: bool


@dataclass(frozen=True)
class Photographer:
    """The work of one worker: read an x-ray, draw its recipe, make the photo, write it whole or not at all."""

    xrays: Store
    photos: Store
    recipe: str
    level: int
    seed: int
    reference_width_px: int | None
    quality: int
    effects: tuple[str, ...]
    look_first: bool
    presets: Presets = AT_RANDOM

    def __call__(self, order: Order) -> Made | Failure:
        with_effects(self.effects)
        new = not (self.look_first and self.photos.exists(order.target))
        try:
            xray = read_radiograph(self.xrays.image(order.source, Bounds()), name=order.source)
            pixels = grey_or_colour(xray)
            recipe = self.draw(order, (pixels.shape[0], pixels.shape[1]))
            if new:
                data = encode_jpeg(apply_recipe(pixels, recipe)[0], self.quality)
        except (RadsnapError, cv2.error, MemoryError) as error:
            return Failure(order.source, order.image_id, _reason(error))
        if new:
            self.photos.write(order.target, data)
        return Made(record_of(recipe), new)

    def draw(self, order: Order, size: Size) -> Recipe:
        """Draw the recipe of one photo, as `radsnap.photograph` does for the same seed and image_id."""
        further = ("copy", order.copy) if order.copy else ()
        return draw_recipe(
            self.recipe,
            self.level,
            size,
            lambda effect, place: stream(self.seed, order.image_id, effect, place, *further),
            self.reference_width_px,
            self.presets,
        )


def record_of(recipe: Recipe) -> dict[str, str]:
    """Give what the manifest says of a photo, from its recipe alone."""
    matrix: Matrix = np.eye(3)
    size = (recipe.size_px[1], recipe.size_px[0])
    for step in recipe.steps:
        effect = effect_named(step.effect)
        matrix = effect.moved(step.params, size) @ matrix
        size = effect.resized(step.params, size)
    matrix = matrix / matrix[2, 2]
    corners = project(matrix, corners_of(recipe.size_px))
    return {
        "recipe": recipe.to_json(),
        "corners_px": json.dumps(np.round(corners, 3).tolist()),
        "homography": json.dumps(matrix.tolist()),
    }


@cache
def with_effects(files: tuple[str, ...]) -> None:
    """Load the user's own effects, once a process."""
    for file in files:
        load_effects(file)


def _reason(error: Exception) -> str:
    if isinstance(error, RadsnapError):
        return str(error)
    return f"{type(error).__name__}: {str(error).strip() or 'out of memory'}"
