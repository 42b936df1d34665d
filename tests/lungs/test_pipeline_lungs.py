"""What a diagnosis says of the lungs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from drawn_lungs import BODY, LEFT, RIGHT, drawn

from radsnap.errors import WeightsError
from radsnap.imaging import Photo, write_image
from radsnap.jobs.diagnose import DiagnoseConfig, diagnose_files
from radsnap.reading.pipeline import load_pipeline


def chest(*boxes):
    """A picture whose mean brightness the tiny chain takes for a frontal chest, with dark boxes for lungs."""
    grey = drawn(320, 320, *boxes, heart=False)
    grey[grey == BODY] = 160
    return Photo(np.repeat(grey[..., None], 3, axis=2))


def pipeline(tiny_chain, lungs, reader="findings"):
    cards = [tiny_chain / f"{name}.card.json" for name in ("gate", "kind", reader)]
    return load_pipeline(cards[0], cards[1], {"chest_frontal": cards[2]}, lungs=lungs)


def test_a_diagnosis_of_a_chest_has_its_lungs_and_heat_inside_them(tiny_chain, by_tone):
    found = pipeline(tiny_chain, by_tone).diagnose(chest(LEFT, RIGHT), heat_maps=True)
    assert found.lungs["share"] == pytest.approx(0.3, abs=0.02)
    assert [side["patient"] for side in found.lungs["sides"]] == ["right", "left"]
    assert found.lungs["cut_off"] == []
    # the tiny network's heat is brightness: less of it in the dark lungs than their share of the picture
    for shares in found.lungs["heat_inside"].values():
        assert 0 < shares["lungs"] < found.lungs["share"]
        assert shares["lungs"] < shares["chest"] < 1
    assert found.cards["lungs"].name == "lungs"
    assert found.ms["lungs"] > 0
    assert json.loads(json.dumps(found.to_json()))["lungs"] == found.lungs


def test_without_heat_maps_there_is_no_heat_to_share_out(tiny_chain, by_tone):
    assert pipeline(tiny_chain, by_tone).diagnose(chest(LEFT, RIGHT)).lungs["heat_inside"] is None


def test_cut_off_lungs_are_a_remark_on_the_picture(tiny_chain, by_tone):
    cut = chest((0.2, 0.8, 0.0, 0.3), RIGHT)
    found = pipeline(tiny_chain, by_tone).diagnose(cut)
    assert found.lungs["cut_off"] == ["left"]
    assert "cut off" in [remark.name for remark in found.quality]
    assert "cut off" not in [r.name for r in pipeline(tiny_chain, None).diagnose(cut).quality]


def test_lungs_can_be_left_out_and_are_not_asked_of_other_kinds(tiny_chain, by_tone):
    off = pipeline(tiny_chain, None).diagnose(chest(LEFT, RIGHT))
    assert off.lungs is None
    assert "lungs" not in off.ms
    knee = Photo(np.full((320, 320, 3), round(0.3 * 255), np.uint8))
    said = pipeline(tiny_chain, by_tone).diagnose(knee)
    assert said.kind.label == "knee_leg"
    assert said.lungs is None


def test_a_network_that_knows_no_lungs_is_refused_when_loaded(tiny_chain):
    with pytest.raises(WeightsError, match="model gate has no head 'masks'"):
        pipeline(tiny_chain, tiny_chain / "gate.card.json")


def test_the_command_takes_another_network_or_none(tiny_chain, by_tone, tmp_path):
    write_image(tmp_path / "chest.png", chest(LEFT, RIGHT).pixels)
    models = {
        name: str(tiny_chain / f"{card}.card.json")
        for name, card in (("gate", "gate"), ("kind", "kind"), ("model", "findings"))
    }
    paths = (str(tmp_path / "chest.png"),)
    (with_lungs,) = diagnose_files(DiagnoseConfig(paths=paths, lungs=str(by_tone), **models))
    (without,) = diagnose_files(DiagnoseConfig(paths=paths, lungs=None, **models))
    assert with_lungs.lungs is not None
    assert without.lungs is None
