"""Radiographs made from projected anatomy, with the truth about them: test and demo data without a download."""

from collections.abc import Callable, Mapping

from radsnap.imaging.radiograph import Photo
from radsnap.phantom.frontal import DEFAULT_CHANCES, FINDINGS_DRAWN, Lesion, chest, sample_chest
from radsnap.phantom.others import ct_slice, document, scene
from radsnap.phantom.picture import Exposure, Phantom, sample_exposure
from radsnap.phantom.thorax import Anatomy, sample_anatomy
from radsnap.phantom.views import LIMBS, lateral_chest, limb

CHESTS_ONLY: Mapping[str, float] = {"chest": 1.0}
MIXED: Mapping[str, float] = {
    "chest": 0.4, "lateral": 0.06, **dict.fromkeys(LIMBS, 0.06), "document": 0.1, "scene": 0.1, "ct_slice": 0.1,
}  # fmt: skip
_OTHERS: dict[str, Callable[[int, str | int, int], Phantom | Photo]] = {
    "lateral": lateral_chest, "document": document, "scene": scene, "ct_slice": ct_slice,
}  # fmt: skip


def draw(
    what: str, seed: int, key: str | int, size_px: int, chances: Mapping[str, float] = DEFAULT_CHANCES
) -> Phantom | Photo:
    """Make a picture by its name in MIXED; chances: of a chest's findings."""
    if what == "chest":
        return sample_chest(seed, key, size_px, chances)
    return limb(what, seed, key, size_px) if what in LIMBS else _OTHERS[what](seed, key, size_px)


__all__ = [
    "CHESTS_ONLY", "DEFAULT_CHANCES", "FINDINGS_DRAWN", "LIMBS", "MIXED", "Anatomy", "Exposure", "Lesion", "Phantom",
    "chest", "ct_slice", "document", "draw", "lateral_chest", "limb", "sample_anatomy", "sample_chest",
    "sample_exposure", "scene",
]  # fmt: skip
