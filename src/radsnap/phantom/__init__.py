"""Radiographs made from projected anatomy, with the truth about them: test and demo data without a download."""

from radsnap.phantom.frontal import DEFAULT_CHANCES, FINDINGS_DRAWN, Lesion, chest, sample_chest
from radsnap.phantom.lateral import lateral_chest
from radsnap.phantom.limbs import LIMBS, limb
from radsnap.phantom.others import ct_slice, document, scene
from radsnap.phantom.picture import Exposure, Phantom, sample_exposure
from radsnap.phantom.pictures import CHESTS_ONLY, MIXED, draw
from radsnap.phantom.thorax import Anatomy, sample_anatomy

__all__ = [
    "CHESTS_ONLY", "DEFAULT_CHANCES", "FINDINGS_DRAWN", "LIMBS", "MIXED", "Anatomy", "Exposure", "Lesion", "Phantom",
    "chest", "ct_slice", "document", "draw", "lateral_chest", "limb", "sample_anatomy", "sample_chest",
    "sample_exposure", "scene",
]  # fmt: skip
