"""A bank of small photos with their corners: drawn once, read many times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radsnap.errors import UsageError
from radsnap.imaging import Radiograph, encode_jpeg, read_image, read_radiograph, to_photo
from radsnap.imaging.radiograph import ByteImage
from radsnap.learn.corner_scenes import VIEWS, CornerScene, Stock, draw_scene, drawn_from, shrunk
from radsnap.learn.kept import Arrays, keep, kept
from radsnap.phantom import LIMBS, document, limb, sample_chest, scene
from radsnap.seeds import stream

LONG_PX = 512
KINDS: tuple[Literal["screen"], Literal["film"]] = ("screen", "film")
_XRAY_PX = 256  # the simulation then takes photos of 512 px, which it does in about 15 ms
_OTHER_PX = 512


@dataclass(frozen=True, eq=False)
class Bank:
    """Photos as JPEG in one array of bytes, where each begins, their views (places in VIEWS), levels, corners (N, 4, 2), domains (places in DOMAINS, or -1)."""

    data: NDArray[np.uint8]
    starts: NDArray[np.int64]
    views: NDArray[np.int8]
    levels: NDArray[np.int8]
    corners_px: NDArray[np.float32]
    domains: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.views)

    def photo(self, place: int) -> ByteImage:
        """Decode a photo (H, W, 3)."""
        coded = self.data[self.starts[place] : self.starts[place + 1]]
        decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
        return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)

    def save(self, path: Path, settings: str = "") -> None:
        """Write the bank as one file, whole or not at all, with the settings it was drawn by."""
        arrays: Arrays = {"data": self.data, "starts": self.starts, "views": self.views,
                          "levels": self.levels, "corners_px": self.corners_px, "domains": self.domains}  # fmt: skip
        keep(path, arrays, settings)


def read_bank(path: Path, settings: str = "") -> Bank:
    """Read a bank. Raises UsageError when there is none, when it is broken, and when it was drawn by other settings."""
    arrays = kept(path, settings)
    if arrays is None:
        raise UsageError(f"no bank of photos at {path}; draw one first")
    return Bank(**arrays)


def stock_of(
    rows: pd.DataFrame, root: Path, phantoms: int, seed: int, split: str, xray_px: int = _XRAY_PX
) -> Stock:
    """Read what scenes of a split are made of: its x-rays, its pictures of other things, and phantoms.

    xray_px: the x-rays' longer side; the simulation's photos have twice that. Raises ManifestError for a split without
    x-rays, or with nothing to put around them, where too few phantoms are drawn instead.
    """
    mine = rows[rows["split"] == split]
    kinds = mine["kind"].astype(str)
    xrays, digital = [], []
    for path in mine.loc[~kinds.str.startswith("nonxray"), "path"]:
        whole = read_grey(root / path, LONG_PX)
        xrays.append(_small(whole, xray_px))
        digital.append(encode_jpeg(whole))  # a tenth of the memory
    ground, medical = (
        [read_colour(root / path) for path in mine.loc[kinds.isin(wanted), "path"]]
        for wanted in (("nonxray_photo", "nonxray_document"), ("nonxray_medical",))
    )
    xrays += [_phantom(seed, f"{split}{key}", key) for key in range(phantoms)]
    ground += [
        draw(seed, f"{split}{k}", _OTHER_PX).pixels
        for k in range(phantoms // 8)
        for draw in (scene, document)
    ]
    around = drawn_from(ground, f"picture of other things of split '{split}'")
    coded = drawn_from(digital) if digital else None
    return Stock(
        drawn_from(xrays, f"x-ray of split '{split}'"),
        around,
        drawn_from(ground + medical, "picture"),
        None if coded is None else lambda rng: _decoded(coded(rng)),
    )


def _decoded(coded: bytes) -> ByteImage:
    return np.asarray(cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


def _phantom(seed: int, name: str, key: int) -> ByteImage:
    """Draw a phantom: three chests to a limb."""
    part = list(LIMBS)[key // 4 % len(LIMBS)]
    drawn = sample_chest(seed, name, _XRAY_PX) if key % 4 else limb(part, seed, name, _XRAY_PX)
    return np.rint(drawn.radiograph.pixels * 255).astype(np.uint8)


def draw_bank(stock: Stock, numbers: range, seed: int) -> Bank:
    """Draw photos of all levels, of screens and films in turn; photo i depends on (seed, i) alone."""
    coded: list[bytes] = []
    scenes: list[CornerScene] = []
    for i in numbers:
        made = draw_scene(stream(seed, "corner scene", i), stock, _level(i), KINDS[i % 2])
        small, corners, _ = shrunk(made.photo, made.corners_px, LONG_PX)
        coded.append(encode_jpeg(small, 90, "4:4:4"))
        scenes.append(replace(made, photo=small[:0], corners_px=corners))
    return Bank(
        np.frombuffer(b"".join(coded), np.uint8),
        np.cumsum([0, *(len(data) for data in coded)], dtype=np.int64),
        np.array([VIEWS.index(made.view) for made in scenes], np.int8),
        np.array([_level(i) for i in numbers], np.int8),
        np.array([made.corners_px for made in scenes], np.float32).reshape(-1, 4, 2),
        np.array([made.domain for made in scenes], np.int8),
    )


def _level(number: int) -> int:
    return 1 + number // 2 % 4


def joined(banks: Sequence[Bank]) -> Bank:
    """Make one bank of several."""
    ends = np.cumsum([0, *(len(bank.data) for bank in banks)])
    starts = [bank.starts[:-1] + end for bank, end in zip(banks, ends, strict=False)]
    return Bank(
        np.concatenate([bank.data for bank in banks]),
        np.concatenate([*starts, ends[-1:]]).astype(np.int64),
        *(
            np.concatenate([getattr(bank, name) for bank in banks])
            for name in ("views", "levels", "corners_px", "domains")
        ),
    )


def read_grey(path: Path, long_px: int = _XRAY_PX) -> ByteImage:
    """Read an x-ray as grey (H, W) of so many pixels on its longer side."""
    return _small(np.rint(read_radiograph(path).pixels * 255).astype(np.uint8), long_px)


def read_colour(path: Path) -> ByteImage:
    """Read a picture as RGB (H, W, 3), 512 px on its longer side."""
    image = read_image(path)
    photo = to_photo(image) if isinstance(image, Radiograph) else image
    return _small(photo.pixels, _OTHER_PX)


def _small(pixels: ByteImage, long_px: int) -> ByteImage:
    scale = long_px / max(pixels.shape[:2])
    size = (max(round(pixels.shape[1] * scale), 16), max(round(pixels.shape[0] * scale), 16))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.ascontiguousarray(cv2.resize(pixels, size, interpolation=method))
