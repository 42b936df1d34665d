"""Every effect by name: a plain dict, to which users add their own."""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.random import Generator

from radsnap.errors import UsageError
from radsnap.imaging.radiograph import ByteImage
from radsnap.photo import film, geometry, light, moire, optics, screen, sensor, stripes, tone
from radsnap.photo.effect import Canvas, Effect, unknown


@dataclass(frozen=True)
class Identity:
    """Nothing to say."""


def sample_identity(rng: Generator, level: int, canvas: Canvas) -> Identity:
    return Identity()


def apply_identity(image: ByteImage, identity: Identity) -> ByteImage:
    return image.copy()


EFFECTS: dict[str, Effect[Any]] = {
    "identity": Effect(Identity, sample_identity, apply_identity),
    # as published
    "blur": Effect(optics.Blur, optics.sample_blur, optics.apply_blur),
    "motion": Effect(optics.Motion, optics.sample_motion, optics.apply_motion),
    "brightness_up": Effect(tone.Brightness, tone.sample_brightness_up, tone.apply_brightness),
    "brightness_down": Effect(tone.Brightness, tone.sample_brightness_down, tone.apply_brightness),
    "contrast_up": Effect(tone.Contrast, tone.sample_contrast_up, tone.apply_contrast),
    "contrast_down": Effect(tone.Contrast, tone.sample_contrast_down, tone.apply_contrast),
    "random_digital": Effect(tone.RandomDigital, tone.sample_random_digital, tone.apply_random_digital),
    "glare_matte": Effect(light.GlareMatte, light.sample_glare_matte, light.apply_glare_matte, sees="screen"),
    "glare_glossy": Effect(
        light.GlareGlossy, light.sample_glare_glossy, light.apply_glare_glossy, sees="screen"
    ),
    "moire": Effect(moire.Moire, moire.sample_moire, moire.apply_moire, sees="screen"),
    "tilt": Effect(
        geometry.Tilt,
        geometry.sample_tilt,
        geometry.apply_tilt,
        geometry.tilt_matrix,
        warps=True,
        sees="screen",
    ),
    "rotation": Effect(
        geometry.Rotation,
        geometry.sample_rotation,
        geometry.apply_rotation,
        geometry.rotation_matrix,
        geometry.rotated_size,
        warps=True,
    ),
    "translation": Effect(
        geometry.Translation,
        geometry.sample_translation,
        geometry.apply_translation,
        geometry.translation_matrix,
        warps=True,
    ),
    "exposure": Effect(tone.Exposure, tone.sample_exposure, tone.apply_exposure),
    # our own
    "tint": Effect(tone.Tint, tone.sample_tint, tone.apply_tint),
    "noise": Effect(sensor.Noise, sensor.sample_noise, sensor.apply_noise),
    "jpeg": Effect(sensor.Jpeg, sensor.sample_jpeg, sensor.apply_jpeg),
    "stripes": Effect(stripes.Stripes, stripes.sample_stripes, stripes.apply_stripes, sees="screen"),
    "reflection": Effect(light.Reflection, light.sample_reflection, light.apply_reflection, sees="screen"),
    "uneven_light": Effect(
        light.UnevenLight, light.sample_uneven_light, light.apply_uneven_light, sees="screen"
    ),
    "messenger": Effect(
        sensor.Messenger,
        sensor.sample_messenger,
        sensor.apply_messenger,
        sensor.messenger_matrix,
        sensor.messenger_size,
    ),
    "screen": Effect(
        screen.Screen,
        screen.sample_screen,
        screen.apply_screen,
        screen.screen_matrix,
        screen.screen_size,
        sees="screen",
    ),
    "film": Effect(
        film.Film, film.sample_film, film.apply_film, film.film_matrix, film.film_size, sees="film"
    ),
    "place": Effect(
        geometry.Place,
        geometry.sample_place,
        geometry.apply_place,
        geometry.place_matrix,
        geometry.place_size,
        sees="screen",
    ),
}


def effect_named(name: str) -> Effect[Any]:
    """Find an effect; hyphens do as well as underscores. Raises UsageError with the nearest name."""
    found = EFFECTS.get(name.replace("-", "_"))
    if found is None:
        raise unknown("effect", name, EFFECTS)
    return found


def load_effects(path: Path | str) -> tuple[str, ...]:
    """Run a Python file of the user's and add its dict EFFECTS to ours; gives the names added.

    The file is code and is run as such: load only files that you trust. Raises UsageError when it
    is missing, has no such dict, or takes a name that is in use.
    """
    if not Path(path).is_file():
        raise UsageError(f"no file of effects at {path}")
    added = runpy.run_path(str(path)).get("EFFECTS")
    if not isinstance(added, dict) or not all(isinstance(e, Effect) for e in added.values()):
        raise UsageError(f"{path} has no dict EFFECTS of radsnap.photo.Effect")
    for name in added:
        if "-" in name or "+" in name or "@" in name or name in EFFECTS:
            raise UsageError(
                f"{path}: {name!r} is in use or has one of the signs -, + and @; choose another name"
            )
    EFFECTS.update(added)
    return tuple(added)
