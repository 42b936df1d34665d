"""Pixels in and out."""

from __future__ import annotations

from radsnap.imaging.averaging import averaged
from radsnap.imaging.bounds import Bounds
from radsnap.imaging.files import encode_jpeg, read_image, read_radiograph, write_image
from radsnap.imaging.gathering import find_images
from radsnap.imaging.homography import (
    compose,
    corners_of,
    homography,
    inverse,
    is_convex,
    project,
    resizing,
    warp,
)
from radsnap.imaging.radiograph import (
    Photo,
    Provenance,
    Radiograph,
    grey_level,
    luminance,
    to_photo,
)

__all__ = [
    "Bounds",
    "Photo",
    "Provenance",
    "Radiograph",
    "averaged",
    "compose",
    "corners_of",
    "encode_jpeg",
    "find_images",
    "grey_level",
    "homography",
    "inverse",
    "is_convex",
    "luminance",
    "project",
    "read_image",
    "read_radiograph",
    "resizing",
    "to_photo",
    "warp",
    "write_image",
]
