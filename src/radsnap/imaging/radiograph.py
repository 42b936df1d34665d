"""The two kinds of picture: a radiograph with a pixel contract, and a photo as a camera gives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.errors import ImageError
from radsnap.imaging.averaging import half, may_halve

FloatImage = NDArray[np.float32]
ByteImage = NDArray[np.uint8]


@dataclass(frozen=True)
class Provenance:
    """Where pixels came from. `source` is a path or a name; `view` is PA, AP, LL ... or None.

    `size_px` is the (width, height) of the file, upright: more than the pixels' where it was decoded
    at a reduced size; None where pixels did not come from a file. `damage` is what the decoder said of a
    file that is partly broken; None of a sound one.
    """

    source: str = ""
    format: str = ""
    modality: str | None = None
    body: str | None = None
    view: str | None = None
    steps: tuple[str, ...] = ()
    size_px: tuple[int, int] | None = None
    damage: str | None = None


@dataclass(frozen=True, eq=False)
class Radiograph:
    """A digital x-ray. pixels: float32 (H, W) in [0, 1], bone bright; spacing_mm: (row, column) or None."""

    pixels: FloatImage
    spacing_mm: tuple[float, float] | None = None
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != np.float32 or self.pixels.size == 0:
            raise ImageError(
                f"a Radiograph needs float32 pixels (H, W), got {self.pixels.dtype} {self.pixels.shape}"
            )
        low, high = float(self.pixels.min()), float(self.pixels.max())
        if not (low >= 0.0 and high <= 1.0):  # also refuses NaN
            raise ImageError(f"a Radiograph's pixels lie in [0, 1], got {low:.4g} to {high:.4g}")


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture from a camera. pixels: uint8 (H, W, 3), RGB, upright."""

    pixels: ByteImage
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise ImageError(
                f"a Photo needs uint8 pixels (H, W, 3), got {self.pixels.dtype} {self.pixels.shape}"
            )
        if self.pixels.size == 0:
            raise ImageError("a Photo needs at least one pixel")

    def halved(self, least: tuple[int, int]) -> Photo:
        """Halve the photo while it keeps `least` (width, height) and its sides are even.

        The halves are kept, for a large photo is looked at more than once.
        """
        return self._half.halved(least) if may_halve(self.pixels, least) else self

    @cached_property
    def _half(self) -> Photo:
        return Photo(half(self.pixels), self.provenance)


def to_photo(radiograph: Radiograph) -> Photo:
    """Show a radiograph as a grey 8-bit picture, the way a viewer would put it on a screen."""
    grey = np.rint(radiograph.pixels * 255).astype(np.uint8)
    return Photo(np.repeat(grey[..., None], 3, axis=2), radiograph.provenance)


def luminance(photo: Photo) -> FloatImage:
    """Give the luma of a photo: float32 (H, W) in [0, 1], 0.299 R + 0.587 G + 0.114 B (Rec. 601).

    The weights are those of JPEG, so that a grey photo gives back its grey to 8 bits.
    """
    return np.asarray(np.divide(grey_bytes(photo.pixels), np.float32(255), dtype=np.float32))


def grey_level(image: Radiograph | Photo) -> FloatImage:
    """Give what a network sees: float32 (H, W) in [0, 1], a radiograph's pixels or a photo's luma."""
    return image.pixels if isinstance(image, Radiograph) else luminance(image)


def grey_bytes(rgb: ByteImage) -> ByteImage:
    """Give the luma of RGB (H, W, 3) as uint8 (H, W), rounded."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
