"""Recipes: which effects, in which order, with which parameters; their JSON replays the photo bit for bit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from typing import Any

import numpy as np
from numpy.random import Generator

from radsnap.errors import UsageError
from radsnap.imaging.radiograph import ByteImage
from radsnap.photo.devices import check_presets
from radsnap.photo.effect import (
    AT_RANDOM,
    SIGHTS,
    Canvas,
    Matrix,
    Presets,
    Size,
    check_image,
    check_level,
    from_plain,
    to_plain,
    unknown,
)
from radsnap.photo.effects import EFFECTS, effect_named
from radsnap.photo.geometry import Warp, apply_warps, one_warp
from radsnap.photo.lite import FILM_LITE, SCREEN_LITE, Part
from radsnap.seeds import stream

Draw = Callable[[str, int], Generator]
"""Give the random stream of an effect by its name and its place in the chain."""

RECIPES: dict[str, tuple[Part, ...]] = {
    "identity": (Part("identity"),),
    "chexphoto-digital": (Part("random_digital"),),
    "chexphoto-photographic": (Part("glare_matte"), Part("moire"), Part("tilt")),
    "screen": (Part("screen"), Part("messenger", None, 0.7)),
    "film": (Part("film"), Part("messenger", None, 0.7)),
    "screen-lite": SCREEN_LITE,
    "film-lite": FILM_LITE,
}
_LINK = re.compile(r"([A-Za-z_][\w-]*)(?:@(.*))?")


@dataclass(frozen=True)
class Step:
    """One effect with its parameters (an instance of the effect's dataclass)."""

    effect: str
    params: Any


@dataclass(frozen=True)
class Recipe:
    """What was done to one picture of a size: steps in order. `name` and `level` say what it was drawn from."""

    name: str
    level: int
    size_px: tuple[int, int]
    steps: tuple[Step, ...]

    def to_json(self) -> str:
        """Write the recipe as one line of JSON; floats keep every bit."""
        steps = [{"effect": s.effect, "params": to_plain(s.params)} for s in self.steps]
        size = list(self.size_px)
        return json.dumps(
            {"recipe": self.name, "level": self.level, "size_px": size, "steps": steps}, allow_nan=False
        )

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read a recipe back. Raises UsageError naming the field that is wrong."""
        try:
            table = json.loads(text)
            name, level = str(table["recipe"]), check_level(table["level"])
            width, height = (int(n) for n in table["size_px"])
            rows = [(str(row["effect"]), row["params"]) for row in table["steps"]]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"this is not the JSON of a recipe ({type(error).__name__}: {error})") from error
        steps = (Step(effect, from_plain(effect_named(effect).params, p, effect)) for effect, p in rows)
        return cls(name, level, (width, height), tuple(steps))


def parse_chain(name: str, level: int) -> tuple[tuple[Part, int], ...]:
    """Read a recipe's name, or a chain of effects such as 'blur+moire@3' (@ sets the level of its effect).

    Raises UsageError for a name that is neither, or a level that is none.
    """
    check_level(level)
    if name in RECIPES:
        return tuple((part, level) for part in RECIPES[name])
    links = []
    for link in name.split("+"):
        match = _LINK.fullmatch(link.strip())
        effect = match[1].replace("-", "_") if match else link
        if match is None or effect not in EFFECTS:
            raise unknown("recipe or effect", link, {*RECIPES, *EFFECTS})
        links.append((Part(effect), _link_level(match[2], level)))
    return tuple(links)


def camera_sees(name: str) -> str:
    """Say what the photo of a recipe or chain shows: `film`, `screen`, or `digital` where there was no camera.

    One step of a film makes it a film, else one of a screen a screen. Raises UsageError for an unknown name.
    """
    seen = {part.sees or effect_named(part.effect).sees for part, _ in parse_chain(name, 1)}
    return next(sight for sight in SIGHTS if sight in seen)


def sample_recipe(
    name: str, level: int, size_hw: Size, rng: Generator, reference_width_px: int | None = None
) -> Recipe:
    """Draw a recipe's parameters for a picture of a size.

    reference_width_px: pixels of the tables count as pixels of a picture this wide (None: as published,
    they do not scale).
    """
    seed = int(rng.integers(2**62))
    return draw_recipe(name, level, size_hw, lambda effect, i: stream(seed, effect, i), reference_width_px)


def draw_recipe(
    name: str,
    level: int,
    size_hw: Size,
    draw: Draw,
    reference_width_px: int | None = None,
    presets: Presets = AT_RANDOM,
) -> Recipe:
    """Draw a recipe, each effect from a stream of its own, so that one's draws never shift another's.

    presets: names that `screen` and `film` take instead of drawing them.
    """
    if reference_width_px is not None and reference_width_px < 1:
        raise UsageError(f"the reference width is at least 1 px, got {reference_width_px}")
    scale = 1.0 if reference_width_px is None else size_hw[1] / reference_width_px
    size, steps = size_hw, []
    chain = parse_chain(name, level)
    check_presets(presets, (part.effect for part, _ in chain))
    for index, (part, at_level) in enumerate(chain):
        rng = draw(part.effect, index)
        if part.chance < 1 and rng.random() >= part.chance:
            continue
        effect = effect_named(part.effect)
        sample = part.sample or effect.sample
        params = sample(rng, at_level, Canvas(size[0], size[1], scale, presets))
        steps.append(Step(part.effect, params))
        size = effect.resized(params, size)
    return Recipe(name, level, (size_hw[1], size_hw[0]), tuple(steps))


def apply_recipe(image: ByteImage, recipe: Recipe) -> tuple[ByteImage, Matrix]:
    """Do what a recipe says. image: uint8 (H, W) or (H, W, 3) RGB of the recipe's size.

    Warps that follow each other are one warp, which interpolates once. Returns the picture (grey stays one
    channel until an effect colours it) and the homography from pixels of the image to pixels of the picture.
    """
    check_image(image)
    if (image.shape[1], image.shape[0]) != recipe.size_px:
        raise UsageError(
            f"this recipe was drawn for {recipe.size_px[0]}×{recipe.size_px[1]} px, "
            f"the image has {image.shape[1]}×{image.shape[0]}; draw it for this size"
        )
    matrix: Matrix = np.eye(3)
    for warps, group in groupby(recipe.steps, lambda step: effect_named(step.effect).warps):
        steps, size = list(group), (image.shape[0], image.shape[1])
        moves = _moves(steps, size) if warps and len(steps) > 1 else []
        if moves and one_warp(size, moves):
            image = apply_warps(image, moves)
            matrix = reduce(lambda done, move: move[0] @ done, moves, matrix)
            continue
        for step in steps:
            effect = effect_named(step.effect)
            matrix = effect.moved(step.params, (image.shape[0], image.shape[1])) @ matrix
            image = effect.apply(image, step.params)
    return image, matrix / matrix[2, 2]


def _moves(steps: list[Step], size: Size) -> list[Warp]:
    """Give each step's homography and the size of what it makes."""
    moves = []
    for step in steps:
        effect = effect_named(step.effect)
        matrix, size = effect.moved(step.params, size), effect.resized(step.params, size)
        moves.append((matrix, size))
    return moves


def _link_level(text: str | None, level: int) -> int:
    if text is None:
        return level
    return check_level(int(text) if text.isdecimal() else text)
