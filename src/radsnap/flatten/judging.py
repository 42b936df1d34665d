"""Whether a photo is good enough to be read: what is wrong with it, in numbers and in a photographer's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.flatten.quad import SIDES, Points, Quad
from radsnap.flatten.straightening import FOCAL_FRAC, Straight, shrunk_around, straighten
from radsnap.imaging import Photo, corners_of, homography, project
from radsnap.imaging.radiograph import ByteImage, grey_bytes

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]
_MEASURED_AT_PX = 512


@dataclass(frozen=True)
class Measure:
    """One measure of a photo, its bar, whether it is missed, and what to do then."""

    name: str
    value: float
    threshold: float
    missed: bool
    sentence: str


@dataclass(frozen=True)
class Quality:
    """What is known of a photo's quality.

    measures: all of them, in order; doubt: the worst of them in units of its bar; retake: whether to
    photograph again, which is where doubt reaches 1.
    """

    measures: tuple[Measure, ...]
    doubt: float
    retake: bool

    @property
    def missed(self) -> tuple[Measure, ...]:
        """The measures that miss their bars."""
        return tuple(measure for measure in self.measures if measure.missed)


@dataclass(frozen=True)
class Bar:
    """A measure's bar. sign: 1 where more is worse, -1 where less is; retake: whether missing it asks for another photo."""

    name: str
    threshold: float
    sign: int
    retake: bool = True


# By bench/flatten_quality.py on photos of validation x-rays: beyond the bars of blur, glare and brightness the logits
# of the findings network move two to three times as far as on other photos. The others are where making a photo worse
# in that one thing moves the logits twice as far as before (bench/flatten_bars.py, docs/flatten.md). Tilt never does:
# its bar lies where trying ended; that of darkness stands lower, since only noise makes it costly. Two cropped sides cost a third more, which is worth a remark.
BARS = {
    bar.name: bar
    for bar in (
        Bar("small", 48.0, -1),
        Bar("blurred", 0.045, -1),
        Bar("glare", 0.10, 1),
        Bar("dark", 0.06, -1),
        Bar("bright", 0.76, 1),
        Bar("flat", 0.09, -1),
        Bar("tilted", 75.0, 1),
        Bar("cropped", 1.5, 1, retake=False),
        Bar("compressed", 5.8, 1),
        Bar("moire", 0.09, 1),
    )
}
RETAKE_FROM = 1.0


def quality(photo: Photo, quad: Quad, lungs: Mask | None = None, straight: Straight | None = None) -> Quality:
    """Judge a photo by its x-ray. lungs: (h, w), true on the lungs of the straightened picture, at any size.

    straight: the straightened picture, when there is one already.
    """
    made = straight or straighten(photo, quad, _MEASURED_AT_PX, turn=False)
    values = measured(photo, quad, made, lungs)
    doubt = foretold(values)
    measures = tuple(_judged(name, value, quad, lungs is not None) for name, value in values.items())
    return Quality(measures, doubt, doubt >= RETAKE_FROM)


def measured(photo: Photo, quad: Quad, straight: Straight, lungs: Mask | None = None) -> dict[str, float]:
    """Give the numbers of a photo, by the names of BARS."""
    height, width = photo.pixels.shape[:2]
    grey = _raw(photo, quad.corners_px)
    unit = grey.astype(np.float32) / np.float32(255)
    low, high = _levels(grey, 0.05, 0.95)
    size_px = photo.provenance.size_px or (width, height)
    shorter = _shorter_side(quad.corners_px) * max(size_px) / max(width, height)
    return {
        "small": shorter,
        "blurred": sharpness(unit),
        "glare": glare_share(straight.glare, lungs),
        "dark": float(unit.mean()),
        "bright": float(unit.mean()),
        "flat": high - low,
        "tilted": 0.0 if quad.cropped_already else tilt_deg(quad.corners_px, (width, height)),
        "cropped": float(sum(not seen for seen in quad.sides_seen)) if not quad.cropped_already else 0.0,
        "compressed": blockiness(photo.pixels) if size_px == (width, height) else 0.0,
        "moire": straight.moire,
    }


def foretold(values: dict[str, float]) -> float:
    """Say how near a photo is to being useless: the worst of its measures in units of their bars."""
    return max(_cost(name, value) for name, value in values.items() if BARS[name].retake)


def _cost(name: str, value: float) -> float:
    bar = BARS[name]
    if bar.sign > 0:
        return value / bar.threshold
    return bar.threshold / max(value, 1e-6)


def sharpness(grey: FloatArray) -> float:
    """Deviation of the Laplacian over that of the pixels: 0 for a flat picture; of (H, W) at most 512 px long."""
    deviation = _deviation(grey)
    # A picture of one grey has no edges to be sharp or blurred; rounding noise must not count as edges.
    edges = np.asarray(cv2.Laplacian(grey, cv2.CV_32F), np.float32)
    return _deviation(edges) / deviation if deviation > 1e-3 else 0.0


def _deviation(values: FloatArray) -> float:
    return float(cv2.meanStdDev(values)[1][0, 0])  # five times as fast as NumPy's


def glare_share(glare: Mask, lungs: Mask | None) -> float:
    """Give the share of the picture, or of the lungs where they are known, that glare covers."""
    if lungs is None:
        return float(glare.mean())
    size = (glare.shape[1], glare.shape[0])
    inside = cv2.resize(lungs.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return float(glare[inside].mean()) if inside.any() else 0.0


def tilt_deg(corners: Points, photo_size: tuple[int, int]) -> float:
    """Give the angle between the camera's axis and the x-ray's normal, for a phone's usual focal length."""
    width, height = photo_size
    focal = FOCAL_FRAC * max(width, height)
    matrix = homography(np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float), corners)
    camera = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    axes = np.linalg.inv(camera) @ matrix
    normal = np.cross(axes[:, 0], axes[:, 1])
    return float(np.rad2deg(np.arccos(min(abs(normal[2]) / float(np.linalg.norm(normal)), 1.0))))


def blockiness(pixels: ByteImage) -> float:
    """Give how much steeper the steps are at every eighth pixel, where JPEG's blocks meet: 0 none, 1 twice as steep."""
    grey = np.asarray(cv2.cvtColor(pixels[:1024, :1024], cv2.COLOR_RGB2GRAY), np.uint8)
    if min(grey.shape) < 33:
        return 0.0
    across, down = cv2.absdiff(grey[:, 1:], grey[:, :-1]), cv2.absdiff(grey[1:], grey[:-1])
    grades = []
    for axis, apart in enumerate((across, down)):
        steps = np.asarray(cv2.reduce(apart, axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F)).ravel()
        seams = steps[7::8]
        between = np.delete(steps, np.s_[7::8])
        grades.append(float(seams.mean() / max(float(between.mean()), 1e-3)) - 1)
    return max(0.0, float(np.mean(grades)))


def _levels(grey: ByteImage, *shares: float) -> list[float]:
    """Give the grey levels, in [0, 1], that these shares of the pixels (H, W) do not exceed."""
    counted = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel().cumsum()
    return [float(level) / 255 for level in np.searchsorted(counted, np.array(shares) * grey.size)]


def _raw(photo: Photo, corners: Points) -> NDArray[np.uint8]:
    """Cut the x-ray out as the photo shows it, grey, at most 512 px long."""
    edges = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    wide, tall = float((edges[0] + edges[2]) / 2), float((edges[1] + edges[3]) / 2)
    scale = min(1.0, _MEASURED_AT_PX / max(wide, tall))
    size = (max(round(wide * scale), 8), max(round(tall * scale), 8))
    smaller, shrink = shrunk_around(photo, corners, scale, grey_bytes)
    matrix = homography(project(shrink, corners), corners_of(size))
    flat = cv2.warpPerspective(smaller, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(flat, np.uint8)


def _shorter_side(corners: Points) -> float:
    edges = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    return float(min(edges[0] + edges[2], edges[1] + edges[3])) / 2


def _judged(name: str, value: float, quad: Quad, in_lungs: bool) -> Measure:
    bar = BARS[name]
    missed = value * bar.sign > bar.threshold * bar.sign
    return Measure(name, value, bar.threshold, missed, _SENTENCES[name](value, quad, in_lungs))


def _cropped(value: float, quad: Quad, in_lungs: bool) -> str:
    return (
        f"The photo cuts the x-ray off at the {_listed(quad.sides_seen)}; step back and show its whole edge."
    )


def _listed(seen: Sequence[bool]) -> str:
    missing = [side for side, there in zip(SIDES, seen, strict=True) if not there]
    return " and ".join(missing) or "edge"


_SENTENCES: Mapping[str, Callable[[float, Quad, bool], str]] = {
    "small": lambda value, quad, lungs: (
        f"The x-ray is only {value:.0f} px on its shorter side; go nearer, or send the photo uncompressed."
    ),
    "blurred": lambda value, quad, lungs: (
        "The photo is blurred; hold the camera still and focus on the x-ray."
    ),
    "glare": lambda value, quad, lungs: (
        f"Turn the lamp off or step aside: {value:.0%} of the {'lungs' if lungs else 'x-ray'} is covered by glare."
    ),
    "dark": lambda value, quad, lungs: "The x-ray is very dark; tap on it so that the camera exposes for it.",
    "bright": lambda value, quad, lungs: (
        "The x-ray is very bright; tap on it so that the camera exposes for it."
    ),
    "flat": lambda value, quad, lungs: (
        "There is little contrast; dim the room's light, or turn the screen brighter."
    ),
    "tilted": lambda value, quad, lungs: (
        f"The camera is tilted by {value:.0f} degrees; hold it square to the x-ray."
    ),
    "cropped": _cropped,
    "compressed": lambda value, quad, lungs: (
        "The photo is strongly compressed; send it as a file, not as a picture message."
    ),
    "moire": lambda value, quad, lungs: (
        "The screen's pixels make waves in the photo; go a little nearer or farther, or turn the phone a little."
    ),
}
