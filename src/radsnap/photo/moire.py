"""The published moiré: two masks of dark lines at twice the size, nearest-neighbour, then reduced.

What one sees is the aliasing of that sampling, so every rounding counts. Nothing of it needs a picture
of the mask: a mask of rows is known by its row number, and under the published perspective that is

    row(x, y) = D/2 + (y - D/2) · s / (1 - (1 - s) · x / D)

for pixel centres (x, y) of the squeezed square of side D, s its spread. The picture is not enlarged
either: multiplying it by the masks' product, reduced, is what remains when the picture is smooth over
a pixel (46 to 57 dB from enlarging it on real x-rays).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from radsnap.errors import UsageError
from radsnap.imaging.radiograph import ByteImage
from radsnap.photo.effect import Canvas

_GAPS_PX = (20.0, 4.5, 2.5, 1.0)
_OPACITIES = (0.05, 0.15, 0.35, 0.5)
_STRIP = 32  # rows of a mask at a time, so that its floats stay in the cache
_BAND = 32  # rows of the picture at a time
_LOBES = 3


Strip = Callable[[int, NDArray[np.uint8]], None]
"""Write the strip of a mask that starts at a row: 1 on a line, 0 beside it."""
Seen = NDArray[np.bool_] | None


@dataclass(frozen=True)
class Moire:
    """Lines of thickness_px every thickness_px + gap_px, at `upsample` times the picture's size.

    Each mask turns by its angle (counter-clockwise) and shifts by its offset (x, y), in those pixels.
    """

    thickness_px: float
    gap_px: float
    opacity: float
    angles_deg: tuple[float, float]
    spread: float
    offsets_px: tuple[tuple[float, float], tuple[float, float]]
    upsample: int = 2


def sample_moire(rng: Generator, level: int, canvas: Canvas) -> Moire:
    angle = 90 + float(rng.normal(0, 1))
    (ax, ay), (bx, by) = rng.uniform(0, 100, (2, 2)).tolist()
    thick, gap, opacity = 1.0 * canvas.scale, _GAPS_PX[level - 1] * canvas.scale, _OPACITIES[level - 1]
    return Moire(thick, gap, opacity, (90.0, angle), 0.5, ((ax, ay), (bx, by)))


def apply_moire(image: ByteImage, moire: Moire) -> ByteImage:
    """Darken by the two masks, reduced by an anti-aliased Lanczos filter."""
    if moire.upsample != 2 or not 0 < moire.spread <= 1 or moire.thickness_px <= 0 or moire.gap_px < 0:
        raise UsageError(
            "moire takes upsample 2, spread in (0, 1], thickness_px > 0 and gap_px >= 0, got "
            f"{moire.upsample}, {moire.spread}, {moire.thickness_px} and {moire.gap_px}"
        )
    light = 255 - int(255 * moire.opacity)
    if light >= 255:
        return image.copy()
    weights = np.zeros(256, np.uint8)
    weights[:3] = 255, light, round(light * light / 255)
    draw = _weigher(image.shape[0], image.shape[1], moire, weights)
    height, width = image.shape[:2]
    result = np.empty_like(image)
    band = np.empty((2 * (_BAND + 2 * _LOBES), 2 * width), np.uint8)
    sums = np.empty((2, _BAND + 2 * _LOBES, width), np.float32)
    low = high = 0  # the rows of the picture whose masks are in the band
    for top in range(0, height, _BAND):
        bottom = min(top + _BAND, height)
        start, end = max(top - _LOBES, 0), min(bottom + _LOBES, height)
        kept = 2 * (high - start)
        band[:kept] = band[2 * (start - low) : 2 * (high - low)].copy()
        for row in range(2 * high, 2 * end, _STRIP):
            draw(row, band[row - 2 * start : min(row + _STRIP, 2 * end) - 2 * start])
        low, high = start, end
        factor = halve(band[: 2 * (end - start)], sums[:, : end - start])[top - start : bottom - start]
        weight = factor if image.ndim == 2 else cv2.merge([factor] * 3)
        result[top:bottom] = cv2.multiply(image[top:bottom], weight, scale=1 / 255, dtype=cv2.CV_8U)
    return result


def _weigher(height: int, width: int, moire: Moire, weights: NDArray[np.uint8]) -> Strip:
    """Prepare strips, at twice the size, of weights[number of lines over a pixel]; the number is 0, 1 or 2."""
    h2, w2 = 2 * height, 2 * width
    side = 2 * max(h2, w2)
    period = moire.thickness_px + moire.gap_px
    line = (np.arange(max(side, 1 << 16)) % period < moire.thickness_px).astype(np.uint8)
    index = np.empty((_STRIP, w2), np.uint16)  # buffers are reused: new ones cost more than the sums in them
    first, second = (
        _Mask(
            side,
            moire.spread,
            angle,
            round((side - w2) // 2 + dx),
            round((side - h2) // 2 + dy),
            w2,
            h2,
            line,
            index,
        )
        for angle, (dx, dy) in zip(moire.angles_deg, moire.offsets_px, strict=True)
    )
    lines = [_upright_lines(m) if m.angle_deg == 90 else _turned_lines(m) for m in (first, second)]
    count, more = np.empty((2, _STRIP, w2), np.uint8)

    def draw(start: int, into: NDArray[np.uint8]) -> None:
        rows = len(into)
        lines[0](start, count[:rows])
        lines[1](start, more[:rows])
        cv2.add(count[:rows], more[:rows], count[:rows])
        cv2.LUT(count[:rows], weights, into)

    return draw


@dataclass(frozen=True, eq=False)
class _Mask:
    """A turned mask of lines and the part of it that the picture sees, in pixels of the turned square."""

    side: int
    spread: float
    angle_deg: float
    left: int
    top: int
    width: int
    height: int
    line: NDArray[np.uint8]
    index: NDArray[np.uint16]

    def covers(self, left: int, top: int, right: int, bottom: int) -> bool:
        """Tell whether the square of lines reaches over a box of it."""
        return left >= 0 and top >= 0 and right < self.side and bottom < self.side

    def look_up(self, number: NDArray[np.float32], into: NDArray[np.uint8], seen: Seen) -> None:
        """Tell by its row number whether a pixel is in a line; outside the square there are none."""
        if seen is None and self.side <= 1 << 16:
            index = self.index[: len(number)]
            np.copyto(index, number, casting="unsafe")
            cv2.LUT(index, self.line[: 1 << 16], into)
        else:
            into[:] = self.line[number.clip(0, self.side - 1).astype(np.int64)]
            if seen is not None:
                into *= seen


def _upright_lines(mask: _Mask) -> Strip:
    """Prepare strips of a mask turned by 90 degrees, exactly a transposition: x is the row, y the column."""
    side, s = mask.side, mask.spread
    x = side - 1 - np.arange(mask.top, mask.top + mask.height)
    y = np.arange(mask.left, mask.left + mask.width)
    slope = (s / (1 - (1 - s) * (x + 0.5) / side)).astype(np.float32)
    from_middle = (y + 0.5 - side / 2).astype(np.float32)
    number = np.empty((_STRIP, mask.width), np.float32)
    covered = mask.covers(int(y[0]), int(x[-1]), int(y[-1]), int(x[0]))

    def draw(start: int, into: NDArray[np.uint8]) -> None:
        here = slice(start, start + len(into))
        row = np.multiply(slope[here, None], from_middle, out=number[: len(into)])
        row += np.float32(side / 2)
        seen = (
            None
            if covered
            else np.logical_and.outer((x[here] >= 0) & (x[here] < side), (y >= 0) & (y < side))
        )
        mask.look_up(row, into, seen)

    return draw


def _turned_lines(mask: _Mask) -> Strip:
    """Prepare strips of a mask turned by any angle: nearest-neighbour, so both coordinates are floored.

    A strip is the first one plus a constant, since the turn is linear; everything counts from the middle.
    """
    side, s, a = mask.side, mask.spread, np.deg2rad(mask.angle_deg)
    u = np.arange(mask.width) + (mask.left + 0.5 - side / 2)
    v = np.arange(_STRIP) + (mask.top + 0.5 - side / 2)
    x0 = np.subtract.outer(-np.sin(a) * v, -np.cos(a) * u).astype(np.float32)
    y0 = np.add.outer(np.cos(a) * v, np.sin(a) * u).astype(np.float32)
    corners = [(x, y) for y in (v[0], v[0] + mask.height - 1) for x in (u[0], u[-1])]
    reach = max(
        max(abs(np.cos(a) * x - np.sin(a) * y), abs(np.sin(a) * x + np.cos(a) * y)) for x, y in corners
    )
    buffers, slant = np.empty((4, _STRIP, mask.width), np.float32), (1 - s) / side

    def draw(start: int, into: NDArray[np.uint8]) -> None:
        rows = len(into)
        x, y, below, above = buffers[:, :rows]
        np.subtract(x0[:rows], np.float32(np.sin(a) * start), out=x)
        np.add(y0[:rows], np.float32(np.cos(a) * start), out=y)
        np.floor(x, out=x)
        np.floor(y, out=y)
        # row = side/2 + s · (y + 0.5) / (1 - slant · (x + 0.5 + side/2)), over the common denominator
        cv2.addWeighted(x, -slant, x, 0, 1 - slant * (0.5 + side / 2), below)
        cv2.addWeighted(y, s, below, side / 2, 0.5 * s, above)
        cv2.divide(above, below, above)
        near = reach < side / 2 - 1
        seen = None if near else (np.abs(x + 0.5) < side / 2) & (np.abs(y + 0.5) < side / 2)
        mask.look_up(above, into, seen)

    return draw


def halve(mask: NDArray[np.uint8], sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reduce to half the size by an anti-aliased Lanczos filter, in four parts: even and odd rows and columns.

    sums: two float32 buffers of the reduced size, overwritten; the result is the first of them.
    """
    height, width = mask.shape[0] // 2, mask.shape[1] // 2
    parts = mask.reshape(height, 2, width, 2)
    total, summed = sums
    even = _lanczos(np.arange(1.0 - _LOBES, _LOBES + 1) - 0.25)
    taps, anchors = (even, even[::-1].copy()), (_LOBES - 1, _LOBES)
    for r in (0, 1):
        for c, part in enumerate(cv2.split(parts[:, r])):
            into, anchor = (summed if r or c else total), (anchors[c], anchors[r])
            cv2.sepFilter2D(part, cv2.CV_32F, taps[c], taps[r], into, anchor, 0, cv2.BORDER_REPLICATE)
            if into is summed:
                total += summed
    return np.asarray(total, np.float32)


def _lanczos(at: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sample the Lanczos window; the samples of the even and of the odd pixels each sum to a half."""
    value = np.sinc(at) * np.sinc(at / _LOBES)
    return np.asarray(value / value.sum() / 2)
