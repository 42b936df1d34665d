"""From maps to masks, sides, ratio and remarks, by a network whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_lungs import HEART, LEFT, LUNG, MIDDLE, RIGHT, drawn, inside, write_network

from radsnap.models.preprocess import to_input
from radsnap.models.runtime import load
from radsnap.reading.heatmaps import HeatMaps
from radsnap.reading.lungs import (
    heat_inside,
    in_diagnosis,
    lung_remarks,
    measure,
    read_lungs,
    tell_apart,
    to_json,
)


@pytest.fixture(scope="module")
def chest_of(by_tone):
    network = load(by_tone)

    def read(picture):
        return read_lungs(network, to_input(picture, network.card.input))

    return read


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize("size", [(64, 64), (300, 200), (97, 411)])
def test_a_mask_lies_where_the_lungs_lie_whatever_the_pictures_size(chest_of, size):
    picture = drawn(*size, LEFT, RIGHT)
    mask = chest_of(picture).mask(*size)
    assert mask.shape == size
    assert dice(mask, picture == LUNG) > 0.95


def test_sides_are_the_images_and_the_patients_are_the_other_way_round(chest_of):
    narrow = (0.2, 0.8, 0.7, 0.8)
    found = measure(chest_of(drawn(200, 100, LEFT, narrow)), 200, 100, spacing_mm=(0.5, 0.2))
    assert [(lung.image_side, lung.patient_side) for lung in found.sides] == [
        ("left", "right"),
        ("right", "left"),
    ]
    assert [lung.area_px for lung in found.sides] == pytest.approx([120 * 25, 120 * 10], rel=0.1)
    assert sum(lung.area_px for lung in found.sides) == found.area_px
    assert found.area_mm2 == pytest.approx(found.area_px * 0.1)
    assert found.share == found.area_px / 20000


def test_areas_in_mm_need_a_spacing(chest_of):
    found = measure(chest_of(drawn(64, 64, LEFT, RIGHT)), 64, 64)
    assert found.area_mm2 is None
    assert found.sides[0].area_mm2 is None


def test_the_cardiothoracic_ratio_is_heart_over_thorax(chest_of):
    found = measure(chest_of(drawn(400, 400, LEFT, RIGHT)), 400, 400)
    assert found.cardiothoracic_ratio == pytest.approx((0.58 - 0.42) / (0.85 - 0.15), abs=0.03)
    assert found.ratio_reason is None


def test_no_ratio_without_heart_or_with_a_side_cut_off(chest_of, tmp_path):
    assert (
        measure(chest_of(drawn(64, 64, LEFT, RIGHT, heart=False)), 64, 64).ratio_reason
        == "no heart was found"
    )
    cut = chest_of(drawn(64, 64, (0.2, 0.8, 0.0, 0.4), RIGHT))
    assert measure(cut, 64, 64).cardiothoracic_ratio is None
    assert measure(cut, 64, 64).ratio_reason == "the picture cuts the lungs off at its side"
    network = load(write_network(tmp_path, heart=False))
    chest = read_lungs(network, to_input(drawn(64, 64, LEFT, RIGHT), network.card.input))
    assert measure(chest, 64, 64).ratio_reason == "the model does not know the heart"


def test_touching_lungs_are_parted_and_keep_their_area(chest_of):
    bridge = (0.45, 0.5, 0.35, 0.65)
    picture = drawn(64, 64, LEFT, RIGHT, bridge, heart=False)
    chest = chest_of(picture)
    labels = chest.labels(64, 64)
    assert chest.reason is None
    assert (labels[inside(LEFT, 64, 64)] == 1).mean() > 0.95
    assert (labels[inside(RIGHT, 64, 64)] == 2).mean() > 0.95
    assert ((labels > 0) == chest.mask(64, 64)).all()


@pytest.mark.parametrize(
    ("boxes", "reason"),
    [
        ((), "no lungs were found"),
        ((LEFT,), "one lung was found, not two"),
        (
            ((0.1, 0.4, 0.2, 0.8), (0.6, 0.9, 0.2, 0.8)),
            "no two lungs lie side by side: one is missing, or the picture is turned",
        ),
    ],
)
def test_sides_that_cannot_be_told_apart_say_why(chest_of, boxes, reason):
    found = measure(chest_of(drawn(64, 64, *boxes)), 64, 64)
    assert found.sides == ()
    assert found.sides_reason == reason
    assert found.cardiothoracic_ratio is None


def test_a_picture_that_is_all_lung_ends_and_has_no_sides():
    labels, reason = tell_apart(np.ones((64, 64), dtype=bool))
    assert reason is not None
    assert not labels.any()


def test_specks_go_and_holes_are_filled(chest_of):
    picture = drawn(64, 64, LEFT, RIGHT, (0.02, 0.06, 0.02, 0.06), heart=False)
    picture[30:34, 15:19] = 128
    mask = chest_of(picture).mask(64, 64)
    assert not mask[:8, :8].any()
    assert mask[30:34, 15:19].all()


def test_what_a_network_did_not_see_is_no_lung(tmp_path):
    network = load(write_network(tmp_path, fit="crop"))
    picture = np.full((100, 300), LUNG, np.uint8)
    mask = read_lungs(network, to_input(picture, network.card.input)).mask(100, 300)
    assert mask[:, 102:198].all()
    assert not mask[:, :98].any()
    assert not mask[:, 202:].any()


def test_heat_is_shared_out_between_lungs_chest_and_outside(chest_of):
    picture = drawn(200, 200, LEFT, RIGHT)
    places = {"lungs": (0.5, 0.27), "between": (0.5, 0.5), "corner": (0.05, 0.05)}
    maps = {}
    for name, (row, column) in places.items():
        heat = np.zeros((20, 20), np.float32)
        heat[int(row * 20), int(column * 20)] = 3.0
        maps[name] = heat
    maps["none"] = np.zeros((20, 20), np.float32)
    shares = heat_inside(chest_of(picture), HeatMaps(maps), 200, 200)
    assert shares == {
        "lungs": {"lungs": pytest.approx(1, abs=0.01), "chest": pytest.approx(1, abs=0.01)},
        "between": {"lungs": 0, "chest": pytest.approx(1, abs=0.01)},
        "corner": {"lungs": 0, "chest": 0},
    }


def test_even_heat_has_the_lungs_share_of_the_picture(chest_of):
    chest = chest_of(drawn(200, 300, LEFT, RIGHT))
    share = measure(chest, 200, 300).share
    found = heat_inside(chest, HeatMaps({"even": np.ones((7, 7), np.float32)}), 200, 300)
    assert found["even"]["lungs"] == pytest.approx(share, abs=0.01)
    assert found["even"]["chest"] == pytest.approx(0.6 * 0.7, abs=0.02)


def test_cut_off_lungs_are_named_by_the_border(chest_of):
    below = (0.4, 1.0, 0.15, 0.4), (0.4, 1.0, 0.6, 0.85)
    (remark,) = lung_remarks(measure(chest_of(drawn(64, 64, *below, heart=False)), 64, 64))
    assert remark.name == "cut off"
    assert "(bottom)" in remark.sentence
    assert lung_remarks(measure(chest_of(drawn(64, 64, LEFT, RIGHT)), 64, 64)) == ()


def test_a_chest_from_afar_and_no_chest_are_remarked_on(chest_of):
    far = drawn(64, 64, (0.45, 0.6, 0.4, 0.48), (0.45, 0.6, 0.52, 0.6), heart=False)
    assert [r.name for r in lung_remarks(measure(chest_of(far), 64, 64))] == ["far"]
    none = drawn(64, 64, heart=False)
    assert [r.name for r in lung_remarks(measure(chest_of(none), 64, 64))] == ["no lungs"]


def test_json_has_plain_types_and_a_diagnosis_shares_only(chest_of):
    import json

    chest = chest_of(drawn(64, 64, LEFT, RIGHT))
    said = to_json(measure(chest, 64, 64, (0.1, 0.1)))
    assert json.loads(json.dumps(said)) == said
    assert said["sides"][0]["area_mm2"] == round(said["sides"][0]["area_px"] * 0.01)
    coverage = in_diagnosis(chest, HeatMaps({"Edema": np.ones((4, 4), np.float32)}), 640, 480)
    assert "area_px" not in json.dumps(coverage.said)
    assert coverage.said["share"] == pytest.approx(said["share"], abs=0.01)
    assert set(coverage.said["heat_inside"]["Edema"]) == {"lungs", "chest"}
    assert in_diagnosis(chest, None, 640, 480).said["heat_inside"] is None


def test_the_heart_has_a_mask_of_its_own(chest_of):
    picture = drawn(150, 150, LEFT, RIGHT)
    heart = chest_of(picture).heart_mask(150, 150)
    assert dice(heart, picture == HEART) > 0.9
    assert heart[inside(MIDDLE, 150, 150)].mean() > 0.9
