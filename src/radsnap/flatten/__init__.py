"""The way back from a photo to the x-ray: find it, straighten it, say whether the photo is good enough.

quad = find(photo)
if quad is not None and quad.sure and not quad.cropped_already:
    radiograph = rectify(photo, quad)
    judged = quality(photo, quad)
"""

from radsnap.flatten.corners import Survey, find, survey
from radsnap.flatten.judging import Measure, Quality, quality
from radsnap.flatten.quad import Quad
from radsnap.flatten.straightening import Straight, rectify, straighten

__all__ = [
    "Measure",
    "Quad",
    "Quality",
    "Straight",
    "Survey",
    "find",
    "quality",
    "rectify",
    "straighten",
    "survey",
]
