"""A photo is read by its straightened x-ray, and what is told of it is told of the photo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from radsnap.flatten import Quad, straighten
from radsnap.imaging import Photo, Provenance, Radiograph, project
from radsnap.reading import flattening
from radsnap.reading.flattening import Flat, flattened
from radsnap.reading.heatmaps import HeatMaps, Place
from radsnap.reading.pipeline import Pipeline, load_pipeline

CORNERS = np.array([(60.0, 30.0), (250.0, 44.0), (236.0, 200.0), (70.0, 190.0)])


@pytest.fixture(scope="module")
def chain(tiny_chain: Path) -> Pipeline:
    return load_pipeline(*(tiny_chain / f"{name}.card.json" for name in ("gate", "kind")), {
        "chest_frontal": tiny_chain / "findings.card.json",
    })  # fmt: skip


def photo(outside: int = 128) -> Photo:
    """Draw a textured quadrilateral of middle grey on an even ground."""
    pixels = np.full((240, 320, 3), outside, np.uint8)
    texture = np.where(np.arange(240)[:, None] % 2, 102, 152).astype(np.uint8)
    mask = np.zeros((240, 320), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(CORNERS).astype(np.int32), 1)
    pixels[mask > 0] = np.repeat(np.broadcast_to(texture, (240, 320))[..., None], 3, axis=2)[mask > 0]
    return Photo(pixels)


def found(quad: Quad | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flattening, "find", lambda photo: quad)


def test_heat_lands_on_the_photo_where_it_lay_on_the_straightened_picture() -> None:
    flat = straighten(photo(), Quad(CORNERS, 1.0), 200, turn=False)
    height, width = flat.radiograph.pixels.shape
    heat = np.zeros((8, 8), np.float32)
    heat[1, 6] = 1  # upper right
    place = Place(flat.homography, (320, 240), (width, height))
    for scale in (1, 2):
        on = HeatMaps({"a": heat}, place=place).on("a", 240 * scale, 320 * scale)
        assert on.shape == (240 * scale, 320 * scale)
        y, x = np.unravel_index(int(on.argmax()), on.shape)
        spot = np.array([[(6.5 / 8) * width - 0.5, (1.5 / 8) * height - 0.5]])
        wanted = project(np.linalg.inv(flat.homography), spot)[0] * scale
        assert np.abs(wanted - (x, y)).max() < 6 * scale
        assert on[5, 5] == 0  # beside the x-ray
        assert 0 <= on.min() <= on.max() <= 1


def test_corners_are_told_in_pixels_of_the_file() -> None:
    small = Photo(photo().pixels, Provenance(size_px=(640, 480)))
    flat = Flat(small, Quad(CORNERS, 1.0), straighten(small, Quad(CORNERS, 1.0), 200, turn=False))
    assert np.abs(np.array(flat.corners_px) - (CORNERS * 2 + 0.5)).max() < 0.01


@pytest.mark.parametrize("quad", [None, Quad(CORNERS, 1.0, cropped_already=True)])
def test_without_a_sure_quad_the_photo_is_read_as_it_is(
    quad: Quad | None, chain: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(quad, monkeypatch)
    assert flattened(photo()) is None
    read, plain = chain.diagnose(photo(), heat_maps=True), replace(chain, flatten=False).diagnose(photo())
    assert read.corners_px is None
    assert read.findings == plain.findings
    assert read.heat_maps is not None
    assert read.heat_maps.place is None


def test_an_unsure_quad_is_averaged_with_the_whole_photo(
    chain: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(Quad(CORNERS, 0.3), monkeypatch)
    given = photo(outside=136)
    seen = flattened(given)
    assert seen is not None
    whole = replace(chain, flatten=False).diagnose(given)
    cut = replace(chain, flatten=False).diagnose(seen.straight.radiograph)
    both = chain.diagnose(given, heat_maps=True)
    assert both.corners_px is None  # nobody is told of corners that are not sure
    assert both.findings is not None
    for name, finding in both.findings.items():
        logits = [
            np.log(r.findings[name].score / (1 - r.findings[name].score)) for r in (whole, cut) if r.findings
        ]
        assert finding.score == pytest.approx(1 / (1 + np.exp(-np.mean(logits))), abs=1e-4)
    assert abs(logits[0] - logits[1]) > 0.01


def test_a_sure_quad_is_read_straightened(chain: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    found(Quad(CORNERS, 1.0), monkeypatch)
    result = chain.diagnose(photo(), heat_maps=True)
    assert result.corners_px is not None
    assert np.abs(np.array(result.corners_px) - CORNERS).max() < 0.01
    assert result.heat_maps is not None
    assert result.heat_maps.place is not None
    assert result.heat_maps.place.picture_px == (320, 240)
    assert "flatten" in result.ms


def test_the_switch_leaves_photos_as_they_are(chain: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    found(Quad(CORNERS, 1.0), monkeypatch)
    assert replace(chain, flatten=False).diagnose(photo()).corners_px is None


def test_a_radiograph_is_never_flattened(chain: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(photo: Photo) -> Quad:
        raise AssertionError("a digital x-ray needs no corners")

    monkeypatch.setattr(flattening, "find", refuse)
    grey = photo().pixels[..., 0].astype(np.float32) / 255
    assert chain.diagnose(Radiograph(grey)).corners_px is None


def test_what_is_clearly_no_xray_stays_none_whatever_is_found_in_it(
    chain: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(Quad(CORNERS, 1.0), monkeypatch)
    dark = Photo(np.full((240, 320, 3), 5, np.uint8))
    result = chain.diagnose(dark)
    assert result.gate is not None
    assert not result.gate.passed
    assert "flatten" not in result.ms
