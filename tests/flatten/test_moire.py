"""Moiré is measured by what is there, and what is taken out of a picture is moiré."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from radsnap.flatten import Quad, straighten
from radsnap.flatten.moire import reduced, shrunk, strength
from radsnap.flatten.straightening import MOIRE_FROM, toned
from radsnap.imaging import Photo, corners_of, project
from radsnap.phantom import limb, sample_chest
from radsnap.photo.effect import Canvas
from radsnap.photo.effects import EFFECTS
from radsnap.seeds import stream

XRAY = np.rint(sample_chest(2, 0, 512).radiograph.pixels * 220 + 15).astype(np.uint8)


def unit(grey: np.ndarray) -> np.ndarray:
    return np.asarray(grey, np.float32) / np.float32(255)


def published(level: int, xray: np.ndarray = XRAY) -> np.ndarray:
    effect = EFFECTS["moire"]
    lines = effect.sample(stream(1, "lines", level), level, Canvas(*xray.shape))
    return np.asarray(effect.apply(xray, lines))


def on_a_screen(subpixels: bool, xray: np.ndarray = XRAY) -> tuple[Photo, Quad]:
    """Photograph by a sharp lens a monitor of few pixels, or one whose pixels are even."""
    effect, size = EFFECTS["screen"], xray.shape
    taken = effect.sample(stream(5, "screen"), 2, Canvas(*size))
    monitor = replace(taken.monitor, pixels_tall=360)
    if not subpixels:
        monitor = replace(monitor, duty=1.0, fill=1.0)
    taken = replace(taken, monitor=monitor, camera=replace(taken.camera, blur_px=0.4))
    corners = project(effect.moved(taken, size), corners_of((size[1], size[0])))
    return Photo(effect.apply(xray, taken)), Quad(corners, 1.0)


def test_a_digital_xray_and_a_blurred_one_have_none() -> None:
    assert strength(unit(XRAY)) < 0.005
    assert strength(cv2.GaussianBlur(unit(XRAY), (0, 0), 4)) < 0.005
    for part in ("hand", "knee"):
        assert strength(shrunk(limb(part, 1, "a", 512).radiograph.pixels)) < 0.01


def test_noise_is_no_moire() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, XRAY.shape).astype(np.float32)
    assert strength(unit(XRAY) + noise) < 0.005


def test_more_moire_reads_higher() -> None:
    measured = [strength(unit(published(level))) for level in (1, 2, 3)]
    assert measured == sorted(measured)
    assert measured[1] > 10 * strength(unit(XRAY))
    assert measured[1] > MOIRE_FROM


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_half_the_waves_read_half(share: float) -> None:
    waves = unit(published(3)) - unit(XRAY)
    whole = strength(unit(XRAY) + waves)
    assert strength(unit(XRAY) + np.float32(share) * waves) == pytest.approx(share * whole, rel=0.35)


def test_the_screens_pixels_are_seen_and_nothing_else_of_a_screen() -> None:
    read = {there: straighten(*on_a_screen(there), 512, turn=False).moire for there in (True, False)}
    assert read[True] > MOIRE_FROM
    assert read[False] < 0.005


def test_a_picture_of_300_px_is_enough_and_a_smaller_one_than_a_tile_has_none() -> None:
    small = np.asarray(cv2.resize(XRAY, (300, 300), interpolation=cv2.INTER_AREA))
    assert strength(unit(published(3, small))) > MOIRE_FROM > strength(unit(small))
    assert strength(unit(published(3)[:60, :300])) == 0.0


def test_contrast_and_brightness_change_nothing() -> None:
    grey = unit(published(2))
    assert strength(0.2 + 0.3 * grey) == pytest.approx(strength(grey), rel=1e-3)


@pytest.mark.parametrize("level", [2, 3])
def test_what_is_taken_out_is_moire(level: int) -> None:
    wavy = unit(published(level))
    even = unit(XRAY) * (wavy.mean() / unit(XRAY).mean())
    assert (reduced(wavy) - even).std() < 0.6 * (wavy - even).std()


@pytest.mark.parametrize("size", [(512, 512), (333, 401), (240, 200), (700, 900)])
def test_a_picture_without_moire_stays_nearly_as_it_is(size: tuple[int, int]) -> None:
    grey = np.asarray(cv2.resize(unit(XRAY), size[::-1], interpolation=cv2.INTER_AREA), np.float32)
    made = reduced(grey)
    assert made.shape == grey.shape
    assert made.dtype == np.float32
    assert np.abs(made - grey).std() < 0.01


def test_straightening_reduces_moire_where_there_is_some() -> None:
    photo, quad = on_a_screen(True)
    flat = straighten(photo, quad, 512, turn=False)
    plain = straighten(*on_a_screen(False), 512, turn=False)
    assert strength(flat.radiograph.pixels) < 0.4 * flat.moire
    assert "moire reduced" in flat.radiograph.provenance.steps[-1]
    assert "moire" not in plain.radiograph.provenance.steps[-1]


def test_straightening_leaves_other_pictures_to_the_bit() -> None:
    photo = Photo(np.repeat(XRAY[..., None], 3, axis=2))
    flat = straighten(photo, Quad(corners_of((XRAY.shape[1], XRAY.shape[0])), 1.0), 512, turn=False)
    assert np.array_equal(flat.radiograph.pixels, toned(XRAY, flat.glare))


@pytest.mark.parametrize("grey", [0.0, 0.4, 1.0])
def test_a_picture_of_one_grey_has_none(grey: float) -> None:
    even = np.full((200, 300), grey, np.float32)
    assert strength(even) == 0.0
    assert np.abs(reduced(even) - even).max() < 1e-5
