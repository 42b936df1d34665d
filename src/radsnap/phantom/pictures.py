"""Pictures by name: x-rays of chests and limbs, and what is no x-ray."""

from __future__ import annotations

from collections.abc import Mapping

from radsnap.imaging.radiograph import Photo
from radsnap.phantom.frontal import DEFAULT_CHANCES, sample_chest
from radsnap.phantom.lateral import lateral_chest
from radsnap.phantom.limbs import LIMBS, limb
from radsnap.phantom.others import ct_slice, document, scene
from radsnap.phantom.picture import Phantom

CHESTS_ONLY: Mapping[str, float] = {"chest": 1.0}
MIXED: Mapping[str, float] = {
    "chest": 0.4, "lateral": 0.06, "hand": 0.06, "knee": 0.06, "elbow": 0.06, "foot": 0.06,
    "document": 0.1, "scene": 0.1, "ct_slice": 0.1,
}  # fmt: skip
_NOT_XRAYS = {"document": document, "scene": scene, "ct_slice": ct_slice}


def draw(
    what: str, seed: int, key: str | int, size_px: int, chances: Mapping[str, float] = DEFAULT_CHANCES
) -> Phantom | Photo:
    """Make a picture by its name in MIXED."""
    if what in _NOT_XRAYS:
        return _NOT_XRAYS[what](seed, key, size_px)
    if what in LIMBS:
        return limb(what, seed, key, size_px)
    if what == "lateral":
        return lateral_chest(seed, key, size_px)
    return sample_chest(seed, key, size_px, chances)
