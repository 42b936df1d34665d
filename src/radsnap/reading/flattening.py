"""A photo's x-ray, straightened before it is read; and the way back from there to the photo."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from radsnap.flatten import Quad, Straight, find, quality, straighten
from radsnap.imaging import Photo, project, resizing
from radsnap.models.card import Card
from radsnap.reading.diagnosis import Remark
from radsnap.reading.heatmaps import HeatMaps, Place
from radsnap.reading.stages import Runner

FloatArray = NDArray[np.float32]

# More than any network takes in.
_READ_AT_PX = 768


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

    def placed(self, maps: HeatMaps | None) -> HeatMaps | None:
        """Give heat maps of the straightened picture their place in the photo."""
        if maps is None:
            return None
        height, width = self.straight.radiograph.pixels.shape
        return replace(maps, place=Place(self.straight.homography, _size(self.photo), (width, height)))

    def remarks(self) -> tuple[Remark, ...]:
        """Say what spoils the photo."""
        judged = quality(self.photo, self.quad, straight=self.straight)
        return tuple(Remark(m.name, m.sentence, m.value, m.threshold) for m in judged.missed)


def flattened(photo: Photo) -> Flat | None:
    """Straighten a photo's x-ray; None where there is nothing to straighten. The quad may not be sure."""
    quad = find(photo)
    if quad is None or quad.cropped_already:
        return None
    return Flat(photo, quad, straighten(photo, quad, _READ_AT_PX))


@dataclass(frozen=True, eq=False)
class Averaged:
    """A network whose logits are the mean over its input and over other inputs (1, channels, size, size) of the same x-ray.

    For photos whose quad is not sure: the photo as it is and straightened. Heat maps are those of the input.
    """

    network: Runner
    others: tuple[FloatArray, ...]

    @property
    def card(self) -> Card:
        """The network's card."""
        return self.network.card

    def run(self, images: FloatArray) -> dict[str, FloatArray]:
        """Run the network on images (1, channels, size, size) and on the others."""
        made = self.network.run(images)
        logits = [made["logits"], *(self.network.run(other)["logits"] for other in self.others)]
        return {**made, "logits": np.asarray(np.mean(logits, axis=0), np.float32)}


def _size(photo: Photo) -> tuple[int, int]:
    return photo.pixels.shape[1], photo.pixels.shape[0]
