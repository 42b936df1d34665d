"""A decoded picture before it is a Radiograph or a Photo: samples, their peak, and the way up."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.imaging.radiograph import ByteImage, FloatImage

Samples = NDArray[np.uint8 | np.uint16]

# What EXIF's orientations 2 to 8 ask for to stand upright (CIPA DC-008, 4.6.4): transpose first, then flip.
_TURNS: dict[int, tuple[bool, int | None]] = {
    2: (False, 1),
    3: (False, -1),
    4: (False, 0),
    5: (True, None),
    6: (True, 1),
    7: (True, -1),
    8: (True, 0),
}


@dataclass(frozen=True, eq=False)
class Raster:
    """Samples (H, W) or (H, W, 3) RGB, uint8 or uint16, where `peak` is full white.

    `size` is the file's (width, height) before any reduced decoding, upright once the raster is; `damage` as in
    `Provenance`.
    """

    samples: Samples
    peak: int
    format: str
    size: tuple[int, int]
    steps: tuple[str, ...] = ()
    damage: str | None = None

    def turned(self, orientation: int) -> Raster:
        """Stand the picture upright by EXIF's orientation; unknown values leave it as it is."""
        if orientation not in _TURNS:
            return self
        transpose, flip = _TURNS[orientation]
        samples: NDArray[Any] = cv2.transpose(self.samples) if transpose else self.samples
        samples = samples if flip is None else cv2.flip(samples, flip)
        size = self.size[::-1] if transpose else self.size
        return replace(
            self,
            samples=np.ascontiguousarray(samples, dtype=self.samples.dtype),
            size=(size[0], size[1]),
            steps=(*self.steps, f"turned upright (EXIF {orientation})"),
        )

    def grey(self) -> FloatImage:
        """Give float32 (H, W) in [0, 1]: the full range of the samples, colour by its luma (Rec. 601)."""
        samples: NDArray[Any] = self.samples
        if samples.ndim == 3:
            samples = np.asarray(cv2.cvtColor(samples, cv2.COLOR_RGB2GRAY))
        scaled = np.divide(samples, np.float32(self.peak), dtype=np.float32)
        return np.asarray(
            np.minimum(scaled, np.float32(1), out=scaled) if samples.max() > self.peak else scaled
        )

    def rgb(self) -> ByteImage:
        """Give uint8 (H, W, 3): the full range of the samples, scaled to 8 bits and rounded."""
        samples: NDArray[Any] = self.samples
        if samples.dtype != np.uint8 or self.peak != 255:
            table = np.minimum(np.arange(np.iinfo(samples.dtype).max + 1) * (255 / self.peak), 255)
            samples = np.rint(table).astype(np.uint8)[samples]
        if samples.ndim == 2:
            samples = np.asarray(cv2.cvtColor(samples, cv2.COLOR_GRAY2RGB))
        return np.ascontiguousarray(samples, dtype=np.uint8)


def over_black(rgba: ByteImage) -> ByteImage:
    """Lay a transparent picture (H, W, 4) on black, the ground of an x-ray viewer."""
    alpha = rgba[..., 3:]
    if bool((alpha == 255).all()):
        return np.ascontiguousarray(rgba[..., :3])
    product = rgba[..., :3].astype(np.uint16) * alpha
    return ((product + 127) // 255).astype(np.uint8)


def exif_orientation(tiff: bytes) -> int:
    """Read the orientation (tag 274) from the first directory of an EXIF block; 1 when it has none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    (start,) = struct.unpack(order + "I", tiff[4:8])
    count = tiff[start : start + 2]
    if len(count) < 2:
        return 1
    for index in range(min(struct.unpack(order + "H", count)[0], 1000)):
        entry = tiff[start + 2 + 12 * index : start + 14 + 12 * index]
        if len(entry) == 12 and struct.unpack(order + "HH", entry[:4]) == (274, 3):
            return int(struct.unpack(order + "H", entry[8:10])[0])
    return 1
