"""Recipes: the same photo from their JSON, whatever else is done; clear words for what they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from radsnap.errors import UsageError
from radsnap.imaging.radiograph import Photo, Radiograph
from radsnap.photo import (
    EFFECTS,
    LEVELS,
    RECIPES,
    Recipe,
    apply_recipe,
    camera_sees,
    photograph,
    sample_recipe,
)
from radsnap.seeds import stream

CHAIN = "blur+moire@3+tint+tilt"


@pytest.mark.parametrize("name", [*RECIPES, CHAIN])
@pytest.mark.parametrize("level", LEVELS)
def test_json_replays_the_photo_bit_for_bit(name, level, pattern):
    recipe = sample_recipe(name, level, pattern.shape, stream(11, name, level))
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    made, matrix = apply_recipe(pattern, recipe)
    replayed, replayed_matrix = apply_recipe(pattern, again)
    assert np.array_equal(made, replayed)
    assert np.array_equal(matrix, replayed_matrix)


@pytest.mark.parametrize("name", [n for n in RECIPES if n != "identity"])
def test_every_recipe_changes_the_picture_and_differs_by_image(name, pattern):
    radiograph = Radiograph((pattern / 255).astype(np.float32))
    one, two = (photograph(radiograph, name, 5, image_id, level=2) for image_id in ("a", "b"))
    assert one.recipe != two.recipe
    assert one.photo.pixels.shape != two.photo.pixels.shape or not np.array_equal(
        one.photo.pixels, two.photo.pixels
    )
    same = photograph(radiograph, name, 5, "a", level=2)
    assert np.array_equal(one.photo.pixels, same.photo.pixels)
    assert one.recipe == same.recipe
    assert one.corners_px.shape == (4, 2)


def test_streams_by_name_are_independent(pattern):
    """An effect's draws depend on its name and place, not on what the others draw."""
    photo = Photo(np.dstack([pattern] * 3))
    first = photograph(photo, "blur+moire", 5, "a", level=2).recipe.steps[1]
    second = photograph(photo, "noise@4+moire", 5, "a", level=2).recipe.steps[1]
    assert first == second
    assert first != photograph(photo, "blur+moire", 6, "a", level=2).recipe.steps[1]


def test_a_recorded_recipe_needs_no_seed(pattern):
    photo = Photo(np.dstack([pattern] * 3))
    made = photograph(photo, "screen", 5, "a", level=3)
    again = photograph(photo, Recipe.from_json(made.recipe.to_json()), seed=99, image_id="other")
    assert np.array_equal(made.photo.pixels, again.photo.pixels)
    assert np.array_equal(made.corners_px, again.corners_px)


def test_published_recipes_are_what_they_are_said_to_be():
    steps = sample_recipe("chexphoto-photographic", 1, (90, 80), stream(1)).steps
    assert [s.effect for s in steps] == ["glare_matte", "moire", "tilt"]
    assert [s.effect for s in sample_recipe("chexphoto-digital", 1, (90, 80), stream(1)).steps] == [
        "random_digital"
    ]


def test_grey_stays_grey_until_something_colours_it(pattern):
    assert (
        apply_recipe(pattern, sample_recipe("chexphoto-photographic", 4, pattern.shape, stream(1)))[0].ndim
        == 2
    )
    assert apply_recipe(pattern, sample_recipe("blur+tint", 4, pattern.shape, stream(1)))[0].ndim == 3


def test_tables_scale_to_a_reference_width():
    plain = sample_recipe("blur+glare_matte+translation", 2, (500, 640), stream(3))
    scaled = sample_recipe("blur+glare_matte+translation", 2, (500, 640), stream(3), reference_width_px=320)
    assert [s.params.radius_px for s in (plain.steps[0], scaled.steps[0])] == [3.0, 6.0]
    assert [s.params.sigma_px for s in (plain.steps[1], scaled.steps[1])] == [100.0, 200.0]
    assert abs(plain.steps[2].params.x_px) == 40
    assert abs(scaled.steps[2].params.x_px) == 50  # no more than fits the picture
    with pytest.raises(UsageError, match="reference width is at least 1 px, got 0"):
        sample_recipe("blur", 1, (5, 5), stream(3), reference_width_px=0)


def test_links_take_levels_of_their_own():
    blur, motion = sample_recipe("blur@4+motion", 2, (90, 80), stream(1)).steps
    assert blur.params.radius_px == 10.0
    assert motion.params.length_px == 10
    assert sample_recipe("glare-matte", 1, (90, 80), stream(1)).steps[0].effect == "glare_matte"


@pytest.mark.parametrize("level", [0, 5, -1, 1.0, True, "2", None])
def test_levels_are_one_to_four(level):
    with pytest.raises(UsageError, match=r"a level is 1, 2, 3 or 4, got"):
        sample_recipe("blur", level, (9, 9), stream(1))


@pytest.mark.parametrize("name", ["blur@5", "blur@", "blur@x", "moire@0"])
def test_levels_of_links_are_one_to_four(name):
    with pytest.raises(UsageError, match="a level is 1, 2, 3 or 4"):
        sample_recipe(name, 1, (9, 9), stream(1))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("moir", "moire"),
        ("glaer", "glare_glossy"),
        ("scren", "screen"),
        ("blur+tiltt", "tilt"),
        ("chexphoto-digial", "chexphoto-digital"),
    ],
)
def test_unknown_names_get_the_nearest_known(name, near):
    with pytest.raises(UsageError, match=f"no recipe or effect is called .*; did you mean '{near}'"):
        sample_recipe(name, 1, (9, 9), stream(1))


@pytest.mark.parametrize("name", ["", "+", "blur+", "blur++tilt", "a b"])
def test_chains_with_holes_are_refused(name):
    with pytest.raises(UsageError, match="no recipe or effect is called"):
        sample_recipe(name, 1, (9, 9), stream(1))


def test_a_recipe_is_for_one_size(pattern):
    recipe = sample_recipe("tilt", 1, (50, 60), stream(1))
    with pytest.raises(UsageError, match="drawn for 60×50 px, the image has 120×96"):
        apply_recipe(pattern, recipe)
    with pytest.raises(UsageError, match="an effect takes uint8 pixels"):
        apply_recipe(pattern.astype(np.float32), recipe)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("not json", "this is not the JSON of a recipe"),
        ("[]", "this is not the JSON of a recipe"),
        ({"level": 7}, "a level is 1, 2, 3 or 4, got 7"),
        ({"steps": [{"effect": "blurr", "params": {}}]}, "did you mean 'blur'"),
        ({"steps": [{"effect": "blur", "params": {"radius": 1}}]}, "did you mean 'radius_px'"),
        ({"steps": [{"effect": "blur", "params": {"radius_px": "1"}}]}, "blur.radius_px is a float, got '1'"),
        ({"steps": [{"effect": "blur", "params": {}}]}, "radius_px"),
        (
            {"steps": [{"effect": "tilt", "params": {"corners_px": [[1, 2]]}}]},
            "tilt.corners_px has 4 entries, got 1",
        ),
        ({"size_px": [1]}, "this is not the JSON of a recipe"),
    ],
)
def test_broken_records_are_refused_by_field(change, message):
    text = sample_recipe("blur", 1, (9, 9), stream(1)).to_json()
    broken = change if isinstance(change, str) else json.dumps(json.loads(text) | change)
    with pytest.raises(UsageError, match=message):
        Recipe.from_json(broken)


def test_not_finite_parameters_are_refused():
    text = sample_recipe("blur", 1, (9, 9), stream(1)).to_json()
    with pytest.raises(UsageError, match="radius_px is a float, got nan"):
        Recipe.from_json(text.replace("1.5", "NaN"))


def test_peak_memory_stays_under_300_mb_at_2828_by_2320():
    code = (
        "import re, numpy as np, cv2; cv2.setNumThreads(1)\n"
        "from radsnap.photo import sample_recipe, apply_recipe\nfrom radsnap.seeds import stream\n"
        "image = np.tile(np.arange(2828, dtype=np.uint8), (2320, 1))\n"
        "data = cv2.imencode('.jpg', image)[1]\n"
        "image = cv2.imdecode(data, 0)\n"
        "recipe = sample_recipe('chexphoto-photographic', 4, image.shape, stream(1))\n"
        "cv2.imencode('.jpg', apply_recipe(image, recipe)[0])\n"
        # not ru_maxrss, which a process inherits from the one that started it
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) <= 300


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        *((name, "digital") for name in ("identity", "chexphoto-digital", "blur", "rotation", "jpeg")),
        *((name, "digital") for name in ("brightness_up", "tint", "blur+noise@2")),
        *((name, "screen") for name in ("screen", "screen-lite", "chexphoto-photographic", "moire")),
        *((name, "screen") for name in ("tint+screen", "glare_matte+moire@3")),
        *((name, "film") for name in ("film", "film-lite", "tint+film", "film@2+moire", "screen+film")),
    ],
)
def test_a_recipe_is_a_photo_of_what_its_camera_sees(name, domain):
    assert camera_sees(name) == domain


def test_an_effect_of_ones_own_declares_what_it_sees(monkeypatch):
    monkeypatch.setitem(EFFECTS, "glow", replace(EFFECTS["tint"], sees="film"))
    assert camera_sees("blur+glow") == "film"
    with pytest.raises(UsageError, match=r"one of film, screen, digital; got 'xray'"):
        replace(EFFECTS["tint"], sees="xray")
