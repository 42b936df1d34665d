"""The pictures of a manifest: decoded once and kept small in memory, or afresh each time when there are too many."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radsnap.errors import ImageError, TrainingError
from radsnap.imaging import Photo, grey_level, read_image
from radsnap.models.preprocess import resize
from radsnap.tables import Manifest, paths

Picture = NDArray[np.uint8]
_KEEP_BYTES = 6 * 2**30


class Pictures:
    """Pictures of a manifest's rows by row number, uint8: grey (side_px, side_px), or `rgb` (side_px, side_px, 3).

    They are kept in memory when all of them fit in `keep_bytes`; the loader's processes share that memory.
    """

    def __init__(
        self, manifest: Manifest, side_px: int, keep_bytes: int = _KEEP_BYTES, rgb: bool = False
    ) -> None:
        self.files = paths(manifest)
        self.side_px = side_px
        self.rgb = rgb
        self.unreadable: list[int] = []
        self.kept: Picture | None = None
        self._shape = (len(self.files), side_px, side_px, *((3,) if rgb else ()))
        self._keeps = math.prod(self._shape) <= keep_bytes

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> Picture:
        return self.kept[row] if self.kept is not None else decode(self.files[row], self.side_px, self.rgb)

    def check(self, tick: Callable[[int, int], None], threads: int = 2) -> list[str]:
        """Decode every picture once, keep it if all fit, and give the errors of those that cannot be read.

        `unreadable` then holds their rows.
        """
        kept = np.zeros(self._shape, np.uint8) if self._keeps else None
        faults, self.unreadable = [], []
        with ThreadPoolExecutor(threads) as pool:
            for row, picture in enumerate(pool.map(self._try, self.files)):
                if isinstance(picture, ImageError):
                    faults.append(str(picture))
                    self.unreadable.append(row)
                elif kept is not None:
                    kept[row] = picture
                tick(row + 1, len(self))
        self.kept = kept
        return faults

    def _try(self, file: Path) -> Picture | ImageError:
        try:
            return decode(file, self.side_px, self.rgb)
        except ImageError as error:
            return error


def decode(file: Path, side_px: int, rgb: bool = False) -> Picture:
    """Read an image file as uint8 (side_px, side_px), stretched: grey, or with `rgb` its colours (side_px, side_px, 3)."""
    image = read_image(file, at_least_px=side_px)
    if rgb and isinstance(image, Photo):
        return np.asarray(resize(image.pixels, side_px), dtype=np.uint8)
    small = resize(grey_level(image), side_px).astype(np.float32)
    grey = np.asarray(np.rint(small * 255.0), dtype=np.uint8)
    return np.repeat(grey[..., None], 3, axis=2) if rgb else grey


def refuse_faults(faults: list[str]) -> None:
    """Raise TrainingError when there are images that cannot be read, naming the first three."""
    if faults:
        raise TrainingError(
            f"{len(faults)} images cannot be read: {'; '.join(faults[:3])}; mend them, or leave them out "
            "with --skip-unreadable"
        )
