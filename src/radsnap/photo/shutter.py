"""Take the photo: an x-ray and a recipe's name in, a photo with its recipe and its corners out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radsnap.errors import UsageError
from radsnap.imaging.homography import corners_of, project
from radsnap.imaging.radiograph import ByteImage, Photo, Provenance, Radiograph
from radsnap.photo.effect import AT_RANDOM, Matrix, Presets
from radsnap.photo.recipe import Recipe, apply_recipe, draw_recipe
from radsnap.seeds import stream


@dataclass(frozen=True, eq=False)
class Photographed:
    """A photo and how it came about.

    homography: 3×3 from pixels of the x-ray to pixels of the photo; corners_px: the x-ray's outer
    corners in the photo, (4, 2), top-left, top-right, bottom-right, bottom-left; they may lie outside.
    """

    photo: Photo
    recipe: Recipe
    homography: Matrix
    corners_px: NDArray[np.float64]


def photograph(
    image: Radiograph | Photo,
    recipe: str | Recipe,
    seed: int = 0,
    image_id: str = "",
    level: int = 1,
    reference_width_px: int | None = None,
    presets: Presets = AT_RANDOM,
) -> Photographed:
    """Make an x-ray look like a phone photo.

    recipe: a name of RECIPES, a chain such as "blur+moire@3", or a recorded Recipe (then seed, image_id
    and level change nothing, and the photo is the recorded one bit for bit). Each effect draws from
    the stream (seed, image_id, effect, its place), whatever else is done, by whom and in which order.
    presets: phone, place and monitor of `screen` and `film` by name, instead of drawn ones.
    Raises UsageError for an unknown recipe, level or preset.
    """
    pixels = grey_or_colour(image)
    if isinstance(recipe, Recipe):
        drawn = recipe
    else:
        drawn = draw_recipe(
            recipe,
            level,
            (pixels.shape[0], pixels.shape[1]),
            lambda effect, place: stream(seed, image_id, effect, place),
            reference_width_px,
            presets,
        )
    made, matrix = apply_recipe(pixels, drawn)
    if made.ndim == 2:
        made = np.repeat(made[..., None], 3, axis=2)
    steps = (*image.provenance.steps, f"photographed: {drawn.name}, level {drawn.level}")
    source = image.provenance
    photo = Photo(
        made, Provenance(source.source, source.format, source.modality, source.body, source.view, steps)
    )
    corners = project(matrix, corners_of((pixels.shape[1], pixels.shape[0])))
    return Photographed(photo, drawn, matrix, corners)


def grey_or_colour(image: Radiograph | Photo) -> ByteImage:
    """Give the 8-bit pixels: one channel for a radiograph and for a photo whose channels are equal."""
    if isinstance(image, Radiograph):
        return np.asarray(np.rint(image.pixels * np.float32(255)), np.uint8)
    if not isinstance(image, Photo):
        raise UsageError(f"photograph takes a Radiograph or a Photo, got {type(image).__name__}")
    red, green, blue = (image.pixels[..., c] for c in range(3))
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return np.ascontiguousarray(green)
    return image.pixels
