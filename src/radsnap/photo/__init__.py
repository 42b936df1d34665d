"""How a photo changes an x-ray: effects, recipes, the screen-and-camera simulation.

    made = photograph(radiograph, "screen", seed=7, image_id="p1s1", level=2)
    made.photo, made.corners_px, made.recipe.to_json()

A recipe is a name of RECIPES or a chain of effects, `blur+moire@3`: joined by +, and @ sets the level of
its own effect, where the recipe's level would not do.
"""

from radsnap.photo.effect import LEVELS, Canvas, Effect, Presets
from radsnap.photo.effects import EFFECTS, load_effects
from radsnap.photo.recipe import (
    RECIPES,
    Recipe,
    Step,
    apply_recipe,
    camera_sees,
    parse_chain,
    sample_recipe,
)
from radsnap.photo.shutter import Photographed, photograph

__all__ = [
    "EFFECTS",
    "LEVELS",
    "RECIPES",
    "Canvas",
    "Effect",
    "Photographed",
    "Presets",
    "Recipe",
    "Step",
    "apply_recipe",
    "camera_sees",
    "load_effects",
    "parse_chain",
    "photograph",
    "sample_recipe",
]
