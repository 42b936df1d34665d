"""A photo is read by its straightened x-ray, and what is told of it is told of the photo."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
import pytest

from radsnap.flatten import Quad, Survey, straighten, straightening
from radsnap.imaging import Photo, Provenance, Radiograph, project
from radsnap.models.card import Card, Head
from radsnap.reading import flattening, pipeline
from radsnap.reading.diagnosis import Gate
from radsnap.reading.flattening import Flat, flattened, too_cropped
from radsnap.reading.heatmaps import HeatMaps, Place
from radsnap.reading.lungs import Chest, tell_apart
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


def found(
    quad: Quad | None, monkeypatch: pytest.MonkeyPatch, domain: Mapping[str, float] = MappingProxyType({})
) -> None:
    monkeypatch.setattr(flattening, "survey", lambda photo: Survey(quad, domain))


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


@pytest.mark.parametrize("confidence", [0.3, 1.0])
def test_an_outline_runs_from_the_corner_that_is_upper_left_when_upright(
    confidence: float, chain: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = straightening.Orientation(1, False, 0.99)
    found(Quad(CORNERS, confidence), monkeypatch)
    monkeypatch.setattr(straightening, "orientation", lambda grey: turn)
    read = chain.diagnose(photo())
    assert read.outline is not None
    assert read.outline.sure == (confidence == 1.0)
    assert read.corners_px is not None
    size = np.array((320, 240))
    corners = np.array(read.outline.corners) * size - 0.5
    assert np.abs(corners - straightening.upright(CORNERS, turn)).max() < 0.05
    assert read.outline.aspect == pytest.approx(1 / straightening.aspect_of(CORNERS, (320, 240)), rel=0.02)


@pytest.mark.parametrize("quad", [None, Quad(CORNERS, 1.0, cropped_already=True)])
def test_without_a_sure_quad_the_photo_is_read_as_it_is(
    quad: Quad | None, chain: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(quad, monkeypatch)
    assert flattened(photo()) == ({}, None)
    read, plain = chain.diagnose(photo(), heat_maps=True), replace(chain, flatten=False).diagnose(photo())
    assert (read.corners_px, read.outline) == (None, None)
    assert read.findings == plain.findings
    assert read.heat_maps is not None
    assert read.heat_maps.place is None


@pytest.mark.parametrize("quad", [Quad(CORNERS, 0.9), Quad(CORNERS, 1.0, cropped_already=True), None])
def test_gate_and_first_look_say_together_what_the_camera_saw_and_the_gate_alone_where_there_is_no_look(
    quad: Quad | None, chain: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = (Gate(0.9, True, 0.5), {"digital": 0.7, "screen": 0.1, "film": 0.2})
    monkeypatch.setattr(pipeline, "read_gate", lambda network, image: said)
    found(quad, monkeypatch, {"digital": 0.05, "screen": 0.3, "film": 0.65})
    assert chain.diagnose(photo()).domain == "film"
    assert replace(chain, flatten=False).diagnose(photo()).domain == "digital"
    found(quad, monkeypatch)  # a shape in which nothing is looked for
    assert chain.diagnose(photo()).domain == "digital"


def test_an_unsure_quad_is_straightened_and_the_gate_asked_of_both(
    chain: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(Quad(CORNERS, 0.3), monkeypatch)
    given = photo(outside=136)
    _, seen = flattened(given)
    assert seen is not None
    whole = replace(chain, flatten=False).diagnose(given)
    cut = replace(chain, flatten=False).diagnose(seen.straight.radiograph)
    read = chain.diagnose(given, heat_maps=True)
    assert read.kind == cut.kind
    assert read.gate is not None
    assert whole.gate is not None
    assert cut.gate is not None
    assert whole.gate.xray != cut.gate.xray
    odds = [math.log(gate.xray / (1 - gate.xray)) for gate in (whole.gate, cut.gate, read.gate)]
    assert odds[2] == pytest.approx((odds[0] + odds[1]) / 2, abs=1e-6)
    assert read.findings is not None
    assert cut.findings is not None
    for name, finding in read.findings.items():
        assert finding.score == cut.findings[name].score
    assert read.outline is not None
    assert not read.outline.sure  # the page says so where it draws the corners
    assert read.heat_maps is not None
    assert read.heat_maps.place is not None


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
    def refuse(photo: Photo) -> Survey:
        raise AssertionError("a digital x-ray needs no corners")

    monkeypatch.setattr(flattening, "survey", refuse)
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


class Seen:
    """A lung network of which only the card is asked."""

    def __init__(self, card: Card) -> None:
        self.card = card.model_copy(
            update={"heads": (Head(name="masks", classes=("lungs",), activation="sigmoid"),)}
        )

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        raise AssertionError("the lungs are given")


def chest(*open_rows: int, lungs: int = 2) -> Chest:
    """Two lungs side by side, the given rows at the top reaching over the border."""
    logits = np.full((64, 64), -1.0, np.float32)
    for left in (8, 38)[:lungs]:
        logits[12:56, left : left + 18] = 1
        logits[list(open_rows), left : left + 18] = 1
    sides, reason = tell_apart(logits > 0)
    return Chest(logits, None, sides, reason)


def cut(seen: tuple[bool, bool, bool, bool]) -> Flat:
    quad = Quad(CORNERS, 1.0, sides_seen=seen)
    return Flat(photo(), quad, straighten(photo(), quad, 200, turn=False))


def test_lungs_that_a_photo_cuts_off_are_not_read() -> None:
    cropped = chest(*range(12))
    said = too_cropped(cropped, cut((False, True, True, True)))
    assert said == "not assessed: cropped (the photo cuts the lungs off: top)"
    assert too_cropped(cropped, cut((True, True, True, False))) is None  # its top is the x-ray's own border
    unsure = cut((False, True, True, True))
    assert too_cropped(cropped, replace(unsure, quad=replace(unsure.quad, confidence=0.5))) is None
    assert too_cropped(chest(), cut((False, False, False, False))) is None


def test_half_a_chest_is_cropped_where_the_photo_ends_and_ill_where_it_does_not() -> None:
    half = chest(lungs=1)
    assert half.reason == "one lung was found, not two"
    assert too_cropped(half, cut((True, False, True, True))) == (
        "not assessed: cropped (the photo cuts the lungs off: right)"
    )
    assert too_cropped(half, cut((True, True, True, True))) is None


@pytest.mark.parametrize(("turns", "mirrored", "open_side"), [
    (0, False, "top"), (1, False, "left"), (2, False, "bottom"), (0, True, "top"), (1, True, "right"),
])  # fmt: skip
def test_a_side_out_of_view_is_named_as_the_upright_picture_shows_it(
    turns: int, mirrored: bool, open_side: str
) -> None:
    flat = cut((False, True, True, True))
    lies = straightening.Orientation(turns, mirrored, 1.0)
    turned = replace(flat, straight=replace(flat.straight, lies=lies, turned=True))
    assert turned.open_sides == {open_side}
    corners = straightening.upright(CORNERS, lies)  # upper left first, clockwise
    side = ("top", "right", "bottom", "left").index(open_side)
    ends = {tuple(corners[side]), tuple(corners[(side + 1) % 4])}
    assert ends == {tuple(CORNERS[0]), tuple(CORNERS[1])}


def test_a_cropped_photo_is_a_result_with_its_reason(
    chain: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(Quad(CORNERS, 1.0, sides_seen=(False, True, True, True)), monkeypatch)
    monkeypatch.setattr(pipeline, "read_lungs", lambda network, image: chest(*range(12)))
    result = replace(chain, lungs=Seen(chain.gate.card)).diagnose(photo())
    assert result.ok
    assert result.findings is None
    assert result.reason == "not assessed: cropped (the photo cuts the lungs off: top)"
    assert result.lungs is not None


def test_glare_is_counted_in_the_lungs(chain: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    found(Quad(CORNERS, 1.0), monkeypatch)
    burnt = Photo(photo().pixels.copy())
    burnt.pixels[60:170, 90:150] = 255  # the left lung's place, a fifth of the picture
    monkeypatch.setattr(pipeline, "read_lungs", lambda network, image: chest())
    frontal = chain.diagnose(photo()).kind
    monkeypatch.setattr(pipeline, "read_kind", lambda network, image: frontal)  # the tiny one sees brightness
    result = replace(chain, lungs=Seen(chain.gate.card)).diagnose(burnt)
    glare = [remark for remark in result.quality if remark.name == "glare"]
    assert len(glare) == 1
    assert "of the lungs is covered by glare" in glare[0].sentence
