"""A photo's x-ray, straightened before it is read; and the way back from there to the photo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from radsnap.flatten import Quad, Straight, quality, straighten, survey
from radsnap.flatten.quad import SIDES
from radsnap.imaging import Photo, corners_of, project, resizing
from radsnap.reading.diagnosis import Outline, Remark
from radsnap.reading.heatmaps import HeatMaps, Place
from radsnap.reading.lungs import Chest

FloatArray = NDArray[np.float32]
Bools = NDArray[np.bool_]

# More than any network takes in.
_READ_AT_PX = 768
# Of a border's length: where the lungs cover more of it, a fifth of them or more lies behind it (docs/flatten.md).
CROPPED_FROM = 0.3


@dataclass(frozen=True, eq=False)
class Flat:
    """A photo, the quad of its x-ray, and the x-ray straightened."""

    photo: Photo
    quad: Quad
    straight: Straight

    @property
    def corners_px(self) -> tuple[tuple[float, float], ...]:
        """The corners in pixels of the photo's file, rounded to a hundredth."""
        pixels = _size(self.photo)
        size = self.photo.provenance.size_px or pixels
        corners = project(resizing(pixels, size), self.quad.corners_px)
        return tuple((round(float(x), 2), round(float(y), 2)) for x, y in corners)

    @property
    def outline(self) -> Outline:
        """Where the x-ray lies in the photo."""
        height, width = self.straight.radiograph.pixels.shape
        there = project(np.linalg.inv(self.straight.homography), corners_of((width, height)))
        shares = (there + 0.5) / _size(self.photo)
        return Outline(tuple((float(x), float(y)) for x, y in shares), width / height, self.quad.sure)

    def placed(self, maps: HeatMaps | None) -> HeatMaps | None:
        """Give heat maps of the straightened picture their place in the photo."""
        if maps is None:
            return None
        height, width = self.straight.radiograph.pixels.shape
        return replace(maps, place=Place(self.straight.homography, _size(self.photo), (width, height)))

    @property
    def open_sides(self) -> frozenset[str]:
        """The sides of the straightened picture behind which the x-ray goes on: the photo cuts it off there."""
        seen, lies = np.array(self.quad.sides_seen), self.straight.lies
        if self.straight.turned and lies is not None:  # as `upright` names corners
            seen = np.roll(seen, -lies.quarter_turns)
            seen = seen[[0, 3, 2, 1]] if lies.mirrored else seen
        return frozenset(side for side, there in zip(SIDES, seen, strict=True) if not there)

    def remarks(self, lungs: Bools | None = None) -> tuple[Remark, ...]:
        """Say what spoils the photo. lungs: (h, w), where they lie in the straightened picture, for the glare in them."""
        judged = quality(self.photo, self.quad, lungs, self.straight)
        return tuple(Remark(m.name, m.sentence, m.value, m.threshold) for m in judged.missed)


def too_cropped(chest: Chest, flat: Flat) -> str | None:
    """Say why a straightened x-ray's lungs are not read: the photo cuts too much of them off.

    None where it does not, or where nobody is sure which sides the photo cuts off.
    """
    if not flat.quad.sure:
        return None
    inside = chest.lungs > 0
    borders = {"top": inside[0], "right": inside[:, -1], "bottom": inside[-1], "left": inside[:, 0]}
    open_sides = flat.open_sides
    named = [side for side, border in borders.items() if side in open_sides and border.mean() > CROPPED_FROM]
    if chest.reason is not None and not named:
        # half a chest ends in the middle, where no lung touches the border
        named = [side for side in ("right", "left") if side in open_sides]
    if not named:
        return None
    return f"not assessed: cropped (the photo cuts the lungs off: {', '.join(named)})"


def flattened(photo: Photo) -> tuple[Mapping[str, float], Flat | None]:
    """Say what the camera saw (scores of `digital`, `screen`, `film`; may be empty), and straighten the photo's x-ray.

    None where there is nothing to straighten. The quad may not be sure.
    """
    found = survey(photo)
    if found.quad is None or found.quad.cropped_already:
        return found.domain, None
    return found.domain, Flat(photo, found.quad, straighten(photo, found.quad, _READ_AT_PX))


def _size(photo: Photo) -> tuple[int, int]:
    return photo.pixels.shape[1], photo.pixels.shape[0]
