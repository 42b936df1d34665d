"""Frontal phantoms: the same from the same seed, true masks, findings where their boxes say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from radsnap.errors import UsageError
from radsnap.phantom import FINDINGS_DRAWN, Anatomy, Lesion, Phantom, chest, sample_anatomy, sample_chest
from radsnap.seeds import stream

PATIENT = Anatomy(seed=5)
SIZE = 256


@pytest.fixture(scope="module")
def healthy() -> Phantom:
    return chest(PATIENT, size_px=SIZE)


def _changed(one: Phantom, other: Phantom) -> np.ndarray:
    return np.abs(one.radiograph.pixels - other.radiograph.pixels)


def _inside(phantom: Phantom, finding: str, margin: float) -> np.ndarray:
    inside = np.zeros(phantom.radiograph.pixels.shape, bool)
    for x, y, width, height in phantom.boxes[finding]:
        rows = slice(max(0, int(y - margin)), int(y + height + margin) + 1)
        inside[rows, max(0, int(x - margin)) : int(x + width + margin) + 1] = True
    return inside


def test_same_seed_and_name_give_the_same_pixels_masks_and_boxes() -> None:
    one, two = sample_chest(3, "a", 128), sample_chest(3, "a", 128)
    assert np.array_equal(one.radiograph.pixels, two.radiograph.pixels)
    assert one.findings == two.findings
    assert one.boxes == two.boxes
    assert all(np.array_equal(one.masks[name], two.masks[name]) for name in one.masks)


def test_another_name_gives_another_patient() -> None:
    one, two = sample_chest(3, "a", 128).radiograph.pixels, sample_chest(3, "b", 128).radiograph.pixels
    assert one.shape != two.shape or np.abs(one - two).mean() > 0.02


@pytest.mark.parametrize("size_px", [64, 255, 1024])
def test_longer_side_is_as_asked_and_masks_fit(size_px: int) -> None:
    made = chest(replace(PATIENT, image_aspect=0.83), [Lesion("Nodule")], size_px)
    assert made.radiograph.pixels.shape == (size_px, round(size_px * 0.83))
    assert made.radiograph.pixels.dtype == np.float32
    assert {mask.shape for mask in made.masks.values()} == {made.radiograph.pixels.shape}
    assert made.radiograph.spacing_mm is not None


def test_masks_and_boxes_stay_in_place_when_the_size_doubles() -> None:
    small, large = (chest(PATIENT, [Lesion("Pleural Effusion", 0.6)], size) for size in (512, 1024))
    for name in ("lungs", "heart"):
        assert (small.masks[name] == large.masks[name][::2, ::2]).mean() > 0.995
    difference = np.array(small.boxes["Pleural Effusion"]) * 2 - np.array(large.boxes["Pleural Effusion"])
    assert np.abs(difference).max() <= 12


@pytest.mark.parametrize("seed", range(6))
def test_lungs_are_darker_than_what_lies_between_them(seed: int) -> None:
    made = chest(sample_anatomy(stream(seed, "patient")), size_px=SIZE)
    pixels, lungs, heart = made.radiograph.pixels, made.masks["lungs"], made.masks["heart"]
    assert np.median(pixels[lungs & ~heart]) + 0.1 < np.median(pixels[heart & ~lungs])


def test_lungs_reach_behind_the_heart(healthy: Phantom) -> None:
    behind = healthy.masks["lungs"] & healthy.masks["heart"]
    assert behind.sum() > 0.2 * healthy.masks["heart"].sum()


def test_heart_widens_with_cardiomegaly() -> None:
    ratios = []
    for severity in (0.0, 0.2, 0.6, 1.0):
        lesions = [Lesion("Cardiomegaly", severity)] if severity else []
        masks = chest(PATIENT, lesions, SIZE).masks
        columns = [np.flatnonzero(masks[name].any(0)) for name in ("heart", "lungs")]
        ratios.append(np.ptp(columns[0]) / np.ptp(columns[1]))
    assert ratios == sorted(ratios)
    assert ratios[0] < 0.5 < ratios[1]
    assert ratios[-1] > 0.6


@pytest.mark.parametrize("finding", [name for name in FINDINGS_DRAWN if name != "Edema"])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_finding_changes_pixels_in_its_box_and_hardly_any_outside(
    healthy: Phantom, finding: str, side: int
) -> None:
    sick = chest(PATIENT, [Lesion(finding, 0.7, side)], SIZE)
    changed, inside = _changed(healthy, sick), _inside(sick, finding, 0.01 * SIZE)
    assert changed[inside].max() > 0.05
    assert (changed[~inside] > 0.04).mean() < 0.003
    assert changed[inside].mean() > 5 * changed[~inside].mean()


def test_edema_changes_both_lungs_and_has_a_box_for_each(healthy: Phantom) -> None:
    sick = chest(PATIENT, [Lesion("Edema", 0.7)], SIZE)
    assert len(sick.boxes["Edema"]) == 2
    changed = _changed(healthy, sick)
    half = SIZE // 2
    assert min(changed[:, :half].mean(), changed[:, half:].mean()) > 0.005


@pytest.mark.parametrize("finding", ["Consolidation", "Pleural Effusion", "Edema", "Nodule", "Pneumothorax"])
def test_more_severe_changes_more(healthy: Phantom, finding: str) -> None:
    change = [_changed(healthy, chest(PATIENT, [Lesion(finding, s)], SIZE)).sum() for s in (0.2, 0.6, 1.0)]
    assert change == sorted(change)


def test_effusion_brightens_and_pneumothorax_darkens(healthy: Phantom) -> None:
    fluid, free = (chest(PATIENT, [Lesion(name, 0.7)], SIZE) for name in ("Pleural Effusion", "Pneumothorax"))
    wet = (fluid.radiograph.pixels - healthy.radiograph.pixels)[_inside(fluid, "Pleural Effusion", 0)]
    air = (free.radiograph.pixels - healthy.radiograph.pixels)[_inside(free, "Pneumothorax", 0)]
    assert wet.mean() > 0.05
    assert (air < -0.02).mean() > 0.1


def test_sampled_findings_follow_their_chances() -> None:
    none = sample_chest(1, 0, 64, {})
    every = sample_chest(1, 0, 64, dict.fromkeys(FINDINGS_DRAWN, 1.0))
    assert none.findings == {}
    assert set(every.findings) == set(FINDINGS_DRAWN)


def test_spellings_of_findings_are_understood() -> None:
    assert set(chest(PATIENT, [Lesion("effusion")], 64).findings) == {"Pleural Effusion"}


@pytest.mark.parametrize(
    ("lesion", "size_px", "message"),
    [
        (Lesion("Hernia"), 64, "a phantom cannot show 'Hernia'; it can show: Cardiomegaly, Atelectasis"),
        (Lesion("Edema", 0.0), 64, r"a severity in \(0, 1\] and side -1 or 1, got 0.0, 1"),
        (Lesion("Edema", 0.5, 0), 64, "got 0.5, 0"),
        (Lesion("Edema"), 8, "a phantom needs at least 32 px, got 8"),
    ],
)
def test_what_cannot_be_drawn_is_refused(lesion: Lesion, size_px: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        chest(PATIENT, [lesion], size_px)


def test_golden_means_of_sixteen_tiles() -> None:
    """np.round(chest(Anatomy(seed=5), size_px=64).radiograph.pixels.reshape(4, 16, 4, 16).mean((1, 3)), 2)"""
    tiles = chest(PATIENT, size_px=64).radiograph.pixels.reshape(4, 16, 4, 16).mean((1, 3))
    assert np.abs(tiles - np.array(GOLDEN)).max() < 0.03


GOLDEN = [
    [0.37, 0.44, 0.46, 0.38],
    [0.3, 0.43, 0.52, 0.32],
    [0.3, 0.65, 0.79, 0.36],
    [0.38, 0.81, 0.83, 0.51],
]
