"""What every effect promises: sizes and types, identity at strength 0, corners where the pixels are."""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import replace

import cv2
import numpy as np
import pytest

from radsnap.errors import UsageError
from radsnap.imaging.homography import corners_of, project
from radsnap.photo import (
    EFFECTS,
    LEVELS,
    Canvas,
    Effect,
    Recipe,
    Step,
    apply_recipe,
    geometry,
    light,
    load_effects,
    moire,
    optics,
    sample_recipe,
    sensor,
    stripes,
    tone,
)
from radsnap.photo import recipe as recipe_module
from radsnap.photo.camera import Camera, distort, ideal
from radsnap.photo.effect import from_plain, to_plain
from radsnap.photo.film import Curl
from radsnap.photo.geometry import Rotation, Tilt, Translation, apply_warps, quad_matrix
from radsnap.seeds import stream

COLOURING = {"tint", "stripes", "reflection", "place", "screen", "film"}
STRENGTH_ZERO = {
    "blur": optics.Blur(0.0),
    "motion": optics.Motion(1),
    "brightness_up": tone.Brightness(1.0),
    "brightness_down": tone.Brightness(1.0),
    "contrast_up": tone.Contrast(1.0),
    "contrast_down": tone.Contrast(1.0),
    "random_digital": tone.RandomDigital(1.0, 1.0),
    "glare_matte": light.GlareMatte((20.0, 20.0), 50.0, 0.0, 170.0),
    "glare_glossy": light.GlareGlossy(3.0, 3.0, 40.0, 40.0, 0.0),
    "moire": moire.Moire(1.0, 2.5, 0.0, (90.0, 91.0), 0.5, ((3.0, 4.0), (5.0, 6.0))),
    "tilt": Tilt(((0, 0), (120, 0), (120, 96), (0, 96))),
    "rotation": Rotation(0.0),
    "translation": Translation(0.0, 0.0, 0.0),
    "tint": tone.Tint((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "noise": sensor.Noise(0.0, 0.0, True, 3),
    "stripes": stripes.Stripes(5.0, 3.0, 0.0, 0.0, 0.0, (0.0, 0.1, 0.2)),
    "reflection": light.Reflection(0.5, 0.5, 0.2, 0.2, 0.05, (0.0, 0.0, 0.0)),
    "uneven_light": light.UnevenLight(0.0, 0.0, 0.0, 0.0, 1.0, 0.0, True),
}
NO_ZERO = {"identity", "exposure", "jpeg", "messenger", "place", "screen", "film"}


def test_every_effect_has_a_strength_zero_or_none():
    assert set(STRENGTH_ZERO) | NO_ZERO == set(EFFECTS)


@pytest.mark.parametrize("name", STRENGTH_ZERO)
def test_strength_zero_is_the_identity(name, pattern, rgb):
    for image in (pattern, rgb):
        made = EFFECTS[name].apply(image, STRENGTH_ZERO[name])
        expected = image if made.ndim == image.ndim else np.dstack([image] * 3)
        assert np.array_equal(made, expected)


@pytest.mark.parametrize("name", list(EFFECTS))
@pytest.mark.parametrize("level", LEVELS)
def test_sizes_types_and_change(name, level, pattern, rgb):
    effect = EFFECTS[name]
    params = effect.sample(stream(2, name, level), level, Canvas(96, 120))
    for image in (pattern, rgb):
        before = image.copy()
        made = effect.apply(image, params)
        assert np.array_equal(image, before)
        assert made.dtype == np.uint8
        assert made.shape[:2] == effect.resized(params, (96, 120))
        assert made.ndim == (3 if image.ndim == 3 or name in COLOURING else 2)
        expected = image if made.ndim == image.ndim else np.dstack([image] * 3)
        # a reflection, a glare or stripes may fall where they change little, but never nothing
        if name != "identity":
            assert made.shape != expected.shape or not np.array_equal(made, expected)


@pytest.mark.parametrize("name", list(EFFECTS))
def test_params_are_frozen_and_survive_json(name):
    effect = EFFECTS[name]
    params = effect.sample(stream(4, name), 3, Canvas(200, 300))
    assert from_plain(effect.params, to_plain(params)) == params
    assert type(params).__dataclass_params__.frozen  # type: ignore[attr-defined]


def corner_dots(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a bright dot near each corner; gives the picture and the dots' centres (x, y)."""
    inset = 0.1 * min(height, width)
    at = np.array(
        [
            (inset, inset),
            (width - 1 - inset, inset),
            (width - 1 - inset, height - 1 - inset),
            (inset, height - 1 - inset),
        ]
    )
    y, x = np.mgrid[0:height, 0:width]
    sigma = 0.012 * max(height, width)
    dots = sum(np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma**2)) for u, v in at)
    return np.rint(90 + 160 * np.minimum(dots, 1)).astype(np.uint8), at


def centroid(image: np.ndarray, near: np.ndarray, reach: int) -> np.ndarray:
    x0, y0 = (np.rint(near) - reach).astype(int)
    patch = image[max(y0, 0) : y0 + 2 * reach + 1, max(x0, 0) : x0 + 2 * reach + 1].astype(float)
    patch = np.maximum(patch - np.percentile(patch, 60) - 0.35 * np.ptp(patch), 0)
    y, x = np.mgrid[0 : patch.shape[0], 0 : patch.shape[1]]
    return np.array(
        [(patch * x).sum() / patch.sum() + max(x0, 0), (patch * y).sum() / patch.sum() + max(y0, 0)]
    )


@pytest.mark.parametrize("name", ["tilt", "rotation", "translation", "place", "messenger", "screen", "film"])
def test_corners_agree_with_the_pixels(name):
    height, width = (1700, 2000) if name == "messenger" else (240, 300)
    image, at = corner_dots(height, width)
    effect, errors = EFFECTS[name], []
    for k in range(8):
        params = effect.sample(stream(31, name, k), 1, Canvas(height, width))
        if name == "film":  # tape, writing and mirrored lamps may lie on a dot
            params = replace(params, strokes=(), notes=(), room=replace(params.room, patches=()))
        made = effect.apply(image, params)
        grey = made if made.ndim == 2 else cv2.cvtColor(made, cv2.COLOR_RGB2GRAY)
        where = project(effect.moved(params, (height, width)), at)
        if name in ("screen", "film"):  # inside the corners the lens bends what the homography keeps straight
            pose = quad_matrix((height, width), params.corners_px)
            where = distort(params.camera, project(pose, at))
        reach = round(0.035 * max(made.shape))
        for point in where:
            if (point > reach).all() and (point < np.array([made.shape[1], made.shape[0]]) - reach).all():
                errors.append(np.hypot(*(centroid(grey, point, reach) - point)))
    assert len(errors) >= (1 if name == "translation" else 6)
    assert np.mean(errors) <= 1.0


def test_a_film_that_curls_bends_between_corners_that_stay():
    height, width = 400, 320
    at = np.array([[20.0, 20.0], [299.0, 20.0], [20.0, 200.0], [299.0, 200.0], [20.0, 379.0], [299.0, 379.0]])
    image = np.zeros((height, width), np.uint8)
    for x, y in at.astype(int):
        cv2.circle(image, (x, y), 3, 255, -1)
    flat = EFFECTS["film"].sample(stream(7, "flat"), 1, Canvas(height, width))
    flat = replace(flat, strokes=(), notes=(), room=replace(flat.room, patches=()), curl=None)
    bent = replace(flat, curl=Curl(True, 0.05, 0.0, 0.0, 1.2))
    seen = []
    for film in (flat, bent):
        made = cv2.cvtColor(EFFECTS["film"].apply(image, film), cv2.COLOR_RGB2GRAY)
        pose = distort(film.camera, project(quad_matrix((height, width), film.corners_px), at))
        seen.append([centroid(made, point, round(0.03 * max(made.shape))) for point in pose])
    moved = np.hypot(*(np.array(seen[1]) - np.array(seen[0])).T)
    scale = np.hypot(*(np.array(seen[0][1]) - np.array(seen[0][0]))) / 279
    # in the middle z / distance = 0.05 / 1.2 of the way from the foot, here 139.5 px
    assert moved[2:4] == pytest.approx(0.05 / 1.2 * 139.5 * scale, rel=0.15)
    assert (moved[[0, 1, 4, 5]] < 1.5).all()


def one_by_one(image: np.ndarray, recipe: Recipe) -> np.ndarray:
    for step in recipe.steps:
        image = EFFECTS[step.effect].apply(image, step.params)
    return image


@pytest.mark.parametrize(
    "chain", ["tilt+rotation+translation", "rotation+tilt", "translation+translation", "blur+tilt+tilt+moire"]
)
@pytest.mark.parametrize("level", LEVELS)
def test_warps_that_follow_each_other_are_one(chain, level, monkeypatch):
    """Black where every single warp leaves black; elsewhere equal but for the interpolations saved."""
    y, x = np.mgrid[0:240, 0:300]
    smooth = np.rint(140 + 60 * np.sin(x / 14.0) * np.cos(y / 18.0)).astype(np.uint8)
    flat = np.full_like(smooth, 200)
    warps = []
    monkeypatch.setattr(
        geometry, "apply_warps", lambda *given, made=apply_warps: warps.append(1) or made(*given)
    )
    monkeypatch.setattr(recipe_module, "apply_warps", geometry.apply_warps)
    for k in range(3):
        recipe = sample_recipe(chain, level, smooth.shape, stream(17, chain, k))
        warps.clear()
        made, matrix = apply_recipe(smooth, recipe)
        assert len(warps) == 1
        apart = one_by_one(smooth, recipe)
        assert made.shape == apart.shape
        if "moire" not in chain:  # a rim of a pixel is half covered, and may fall to either side
            inks = [im > 100 for im in (apply_recipe(flat, recipe)[0], one_by_one(flat, recipe))]
            rim = (
                cv2.morphologyEx(inks[1].astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) > 0
            )
            assert (inks[0] == inks[1])[~rim].all()
            error = made.astype(float)[inks[1] & ~rim] - apart[inks[1] & ~rim]
            assert np.abs(error).max() <= 8
            assert np.sqrt(np.mean(error**2)) <= 1.2
        product, size = np.eye(3), smooth.shape
        for step in recipe.steps:
            effect = EFFECTS[step.effect]
            product, size = effect.moved(step.params, size) @ product, effect.resized(step.params, size)
        assert np.allclose(matrix, product / product[2, 2])


@pytest.mark.parametrize("chain", ["tilt+rotation+translation", "rotation+tilt+tilt"])
def test_corners_of_one_warp_agree_with_the_pixels(chain):
    image, at = corner_dots(480, 600)
    errors = []
    for k in range(8):
        made, matrix = apply_recipe(image, sample_recipe(chain, 1, image.shape, stream(32, chain, k)))
        for point in project(matrix, at):
            if (point > 25).all() and (point < np.array(made.shape[::-1]) - 25).all():
                errors.append(np.hypot(*(centroid(made, point, 20) - point)))
    assert len(errors) >= 20
    assert np.mean(errors) <= 1.0


def test_warps_that_turn_a_picture_inside_out_stay_apart(pattern):
    mirrored = Tilt(((120, 0), (0, 0), (0, 96), (120, 96)))
    recipe = Recipe("tilt+tilt", 1, (120, 96), (Step("tilt", mirrored), Step("tilt", mirrored)))
    assert np.array_equal(apply_recipe(pattern, recipe)[0], one_by_one(pattern, recipe))


def test_lens_distortion_and_its_inverse_agree():
    camera = Camera(400, 300, 0.03, 0.5, 0, 0, 0, (1, 1, 1), 0.2, 0, 0, 0, 1)
    points = np.array([(-20.0, -10.0), (199.5, 149.5), (390.0, 290.0), (10.0, 250.0)])
    seen = distort(camera, points)
    x, y = ideal(camera, *(seen[:, c].astype(np.float32) for c in (0, 1)))
    assert np.allclose(np.column_stack([x, y]), points, atol=1e-3)
    assert np.abs(seen - points).max() > 2


@pytest.mark.parametrize("name", ["screen", "film"])
def test_corners_are_those_that_the_lens_draws(name):
    params = EFFECTS[name].sample(stream(8), 4, Canvas(200, 160))
    corners = project(EFFECTS[name].moved(params, (200, 160)), corners_of((160, 200)))
    assert np.allclose(corners, distort(params.camera, np.array(params.corners_px) - 0.5), atol=1e-6)


def test_an_effect_of_ones_own_is_the_file_in_the_docstring(tmp_path, pattern):
    code = textwrap.dedent(re.split(r"\n\n(?=\s+from dataclasses)", inspect.getdoc(Effect) or "")[1])
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    (tmp_path / "vignette.py").write_text(code)
    try:
        assert load_effects(tmp_path / "vignette.py") == ("vignette",)
        recipe = sample_recipe("vignette@4+blur", 1, pattern.shape, stream(1))
        made, _ = apply_recipe(pattern, recipe)
        assert made[0, 0] < pattern[0, 0]
        assert type(recipe).from_json(recipe.to_json()).steps[1] == recipe.steps[1]
        with pytest.raises(UsageError, match="'vignette' is in use"):
            load_effects(tmp_path / "vignette.py")
    finally:
        EFFECTS.pop("vignette", None)


def test_files_without_effects_are_refused(tmp_path):
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(UsageError, match=r"has no dict EFFECTS"):
        load_effects(tmp_path / "empty.py")
    with pytest.raises(UsageError, match="no file of effects at"):
        load_effects(tmp_path / "absent.py")


def test_parameters_out_of_bounds_are_refused(pattern):
    with pytest.raises(UsageError, match="JPEG takes quality 1 to 100"):
        EFFECTS["jpeg"].apply(pattern, sensor.Jpeg(0))
    with pytest.raises(UsageError, match="at most 2000 px"):
        EFFECTS["motion"].apply(pattern, optics.Motion(10**9))
    with pytest.raises(UsageError, match="moire takes upsample 2"):
        EFFECTS["moire"].apply(pattern, moire.Moire(1, 2, 0.5, (90, 90), 0.5, ((0, 0), (0, 0)), 3))
