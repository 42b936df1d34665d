"""The simulated camera: moiré that sampling makes, colours that come out right, noise that follows the light."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from radsnap.errors import UsageError
from radsnap.imaging import Radiograph
from radsnap.photo import EFFECTS, Canvas, Presets, photograph
from radsnap.photo.camera import Camera, capture
from radsnap.photo.scene import Flicker, PanelScene, Subpixels, swing_of
from radsnap.seeds import stream

PLAIN = Camera(512, 256, 0.0, 0.4, 0.0, 0.0, 0.0, (1.0, 1.0, 1.0), 0.3, 0.0, 0.0, 0.0, 1)
STILL = Flicker(0.0, 0.0, 0.0)


def panel(grid: Subpixels | None, gain=(1.0, 1.0, 1.0), blur: float = 0.4) -> PanelScene:
    """An evenly lit panel that fills the photo, pixel for pixel, in a dark room."""
    plane = np.full((260, 520), 0.5, np.float32)
    dark = np.zeros((64, 128), np.float32)
    swing = swing_of(grid, np.eye(3), (256, 512), blur) if grid else (0.0, 0.0, 0.0)
    return PanelScene((plane,) * 3, np.eye(3), (dark,) * 3, grid, swing, STILL, 256, gain)


def test_an_even_panel_without_subpixels_is_even():
    assert np.ptp(capture(panel(None), PLAIN)[8:-8, 8:-8]) <= 1


@pytest.mark.parametrize("cycles", [0.45, 0.54, 0.6])
def test_moire_has_the_frequency_that_sampling_folds_down(cycles):
    """Red and blue sit at every second pixel: `cycles` a pixel shows as |cycles - 0.5|."""
    photo = capture(panel(Subpixels(cycles, 0.28, 1.0, True)), PLAIN).astype(float)
    colour = (photo[..., 0] - photo[..., 2])[64:192, 8:-8].mean(axis=0)
    spectrum = np.abs(np.fft.rfft((colour - colour.mean()) * np.hanning(colour.size)))
    peak = float(np.fft.rfftfreq(colour.size)[spectrum.argmax()])
    assert abs(peak - abs(cycles - 0.5)) < 0.006
    assert np.ptp(colour) > 2


def test_a_blurred_lens_takes_the_moire_away():
    grid = Subpixels(0.54, 0.28, 1.0, True)
    sharp, soft = (
        np.ptp(capture(panel(grid, blur=b), PLAIN)[64:192, 8:-8].astype(float), axis=1).mean()
        for b in (0.4, 1.2)
    )
    assert soft < 0.2 * sharp


def test_red_light_comes_out_red():
    photo = capture(panel(None, gain=(1.0, 0.4, 0.2)), PLAIN)
    red, green, blue = photo[8:-8, 8:-8].reshape(-1, 3).mean(axis=0)
    assert red > green + 20 > blue + 30


def test_automatic_white_balance_greys_the_mean():
    photo = capture(panel(None, gain=(1.0, 0.6, 0.4)), replace(PLAIN, awb=1.0))
    assert np.ptp(photo[8:-8, 8:-8].reshape(-1, 3).mean(axis=0)) < 2


def test_noise_grows_with_read_and_shot():
    spreads = [
        float(capture(panel(None), replace(PLAIN, read=read, shot=shot))[8:-8, 8:-8, 1].std())
        for read, shot in ((0, 0), (0.005, 0.005), (0.02, 0.03))
    ]
    assert spreads[0] < 0.5 < spreads[1] < spreads[2]


def test_sizes_that_a_mosaic_cannot_have_are_refused():
    with pytest.raises(UsageError, match="even sides of 16 to 8192 px, got 511×256"):
        capture(panel(None), replace(PLAIN, width_px=511))


@pytest.mark.parametrize("name", ["screen", "film"])
def test_screen_and_film_are_photos_of_twice_the_size(name):
    image = np.tile(np.linspace(20, 230, 300).astype(np.uint8), (280, 1))
    for level in (1, 4):
        made = EFFECTS[name].apply(
            image, EFFECTS[name].sample(stream(3, name, level), level, Canvas(280, 300))
        )
        assert max(made.shape) == 600
        assert 25 < made.mean() < 230
        assert made.std() > 10


@pytest.mark.parametrize("name", ["screen", "film"])
def test_screen_and_film_draw_named_devices(name):
    drawn = [EFFECTS[name].sample(stream(3, k), 1 + k % 4, Canvas(300, 300)) for k in range(40)]
    assert len({d.phone for d in drawn}) >= 4
    assert len({d.place for d in drawn}) == 4


@pytest.mark.parametrize("name", ["screen", "film"])
def test_presets_are_taken_and_change_nothing_that_would_be_drawn_anyway(name):
    asked = {"phone": "old-tablet", "place": "ward"} | ({"monitor": "laptop"} if name == "screen" else {})
    for k in range(12):
        drawn = EFFECTS[name].sample(stream(3, k), 2, Canvas(300, 300))
        taken = named(EFFECTS[name].sample(stream(3, k), 2, Canvas(300, 300, presets=Presets(**asked))))
        assert taken == asked
        same = Presets(**named(drawn))
        assert EFFECTS[name].sample(stream(3, k), 2, Canvas(300, 300, presets=same)) == drawn


def named(drawn):
    """Give the names that a simulation drew."""
    monitor = {"monitor": drawn.monitor.kind} if hasattr(drawn, "monitor") else {}
    return {"phone": drawn.phone, "place": drawn.place, **monitor}


@pytest.mark.parametrize(
    ("recipe", "presets", "message"),
    [
        (
            "screen",
            {"phone": "nokia"},
            r"no phone is called 'nokia' \(known: budget, flagship, mid-range, old-tab",
        ),
        ("screen", {"monitor": "labtop"}, r"no monitor is called 'labtop'; did you mean 'laptop'\?"),
        (
            "film+jpeg",
            {"monitor": "laptop"},
            "a monitor is chosen for a recipe with screen in it; this one has none",
        ),
        (
            "screen-lite",
            {"place": "ward"},
            "a place is chosen for a recipe with screen or film in it; this one",
        ),
    ],
)
def test_presets_that_do_not_serve_are_refused(recipe, presets, message):
    with pytest.raises(UsageError, match=message):
        photograph(Radiograph(np.zeros((20, 20), np.float32)), recipe, presets=Presets(**presets))
