"""Where a network looked: heat maps brought to the picture's size, coloured and laid over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.extras import need
from radsnap.imaging import compose, inverse, resizing, warp

if TYPE_CHECKING:
    from torch import nn

FloatArray = NDArray[np.float32]
ByteArray = NDArray[np.uint8]

# Heat is shown relative to a map's own maximum; below this share of it the picture stays as it is.
_CLEAR_BELOW = 0.25


@dataclass(frozen=True, eq=False)
class Place:
    """Where a straightened picture of seen_px (width, height) lies in a picture of picture_px.

    homography: 3×3 from pixels of the picture to pixels of the straightened one.
    """

    homography: NDArray[np.float64]
    picture_px: tuple[int, int]
    seen_px: tuple[int, int]


@dataclass(frozen=True, eq=False)
class HeatMaps:
    """Heat by finding: float32 (h, w), zero or more, over the part of the picture that the network saw.

    `fit` is the card's: `stretch` saw the whole picture, `crop` its central square. `place` says which part of
    the picture was straightened for the network; None where it saw the picture itself. Without maps,
    `reason` says why.
    """

    maps: Mapping[str, FloatArray] = field(default_factory=dict)
    fit: str = "stretch"
    reason: str | None = None
    place: Place | None = None

    def on(self, name: str, height: int, width: int) -> FloatArray:
        """Bring the map of a finding to a picture's size: float32 (height, width) in [0, 1]."""
        heat = relative(self.maps[name])
        if self.place is None:
            return upsample(heat, height, width, self.fit)
        seen = upsample(heat, self.place.seen_px[1], self.place.seen_px[0], self.fit)
        back = compose(inverse(self.place.homography), resizing(self.place.picture_px, (width, height)))
        return np.clip(warp(seen, back, (width, height)), 0, 1)


def relative(heat: FloatArray) -> FloatArray:
    """Divide by the maximum: [0, 1]. A map without heat stays zero."""
    peak = float(heat.max(initial=0.0))
    return heat / np.float32(peak) if peak > 0 else np.zeros_like(heat)


def upsample(heat: FloatArray, height: int, width: int, fit: str = "stretch") -> FloatArray:
    """Bring heat (h, w) in [0, 1] to (height, width), smoothly; what the network did not see is zero."""
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        result = np.zeros((height, width), dtype=np.float32)
        result[top : top + side, left : left + side] = upsample(heat, side, side)
        return result
    smooth = np.asarray(cv2.resize(heat, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)
    return np.clip(smooth, 0, 1, out=smooth)  # a cubic overshoots


def colour(heat: FloatArray) -> ByteArray:
    """Colour heat in [0, 1]: RGBA uint8 (H, W, 4), clear where cold, through red and orange to yellow."""
    levels = np.rint(heat * 255).astype(np.uint8)
    return np.asarray(_PALETTE[levels])


def overlay(picture: ByteArray, heat: FloatArray, opacity: float = 0.6) -> ByteArray:
    """Lay heat (H, W) in [0, 1] over a picture (H, W, 3) RGB uint8; opacity in [0, 1] is that of full heat."""
    paint = colour(heat)
    share = paint[..., 3:].astype(np.float32) * np.float32(opacity / 255)
    return np.asarray(np.rint(picture * (1 - share) + paint[..., :3] * share), dtype=np.uint8)


def by_autograd(network: nn.Module, layer: nn.Module, images: FloatArray, outputs: int) -> FloatArray:
    """Compute Grad-CAM by autograd, for networks without the closed form: (N, outputs, h, w).

    `layer` gives the maps to weigh, images are (N, 1, H, W). Raises MissingExtra without torch.
    """
    torch = need("torch", extra="train")
    from radsnap.models.networks import grad_cam

    batch = torch.from_numpy(np.ascontiguousarray(images))
    maps = [grad_cam(network, layer, batch, output).detach().numpy() for output in range(outputs)]
    return np.stack(maps, axis=1)


def _palette() -> ByteArray:
    """256 steps of RGBA. The hues keep clear of the greys below them and end bright, for dark rooms."""
    at = np.linspace(0, 1, 256)
    stops = [0.0, 0.35, 0.6, 0.85, 1.0]
    red = np.interp(at, stops, [96, 176, 232, 255, 255])
    green = np.interp(at, stops, [16, 32, 92, 184, 242])
    blue = np.interp(at, stops, [64, 56, 24, 40, 150])
    rise = np.clip((at - _CLEAR_BELOW) / (1 - _CLEAR_BELOW), 0, 1)
    alpha = 255 * rise**0.6
    return np.rint(np.stack([red, green, blue, alpha], axis=1)).astype(np.uint8)


_PALETTE = _palette()
