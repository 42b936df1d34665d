"""The pictures of a manifest: decoded once, small and grey in memory, or afresh each time when there are too many."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radsnap.errors import ImageError, TrainingError
from radsnap.imaging import grey_level, read_image
from radsnap.models.preprocess import resize
from radsnap.tables import Manifest, paths

Grey = NDArray[np.uint8]
_KEEP_BYTES = 6 * 2**30


class Pictures:
    """Grey uint8 pictures (side_px, side_px) of a manifest's rows, by row number.

    They are kept in memory when all of them fit in `keep_bytes`; the loader's processes share that memory.
    """

    def __init__(self, manifest: Manifest, side_px: int, keep_bytes: int = _KEEP_BYTES) -> None:
        self.files = paths(manifest)
        self.side_px = side_px
        self.kept: Grey | None = None
        self._keeps = len(self.files) * side_px * side_px <= keep_bytes

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> Grey:
        return self.kept[row] if self.kept is not None else decode(self.files[row], self.side_px)

    def check(self, tick: Callable[[int, int], None], threads: int = 2) -> list[str]:
        """Decode every picture once, keep it if all fit, and give the errors of those that cannot be read."""
        kept = np.zeros((len(self), self.side_px, self.side_px), np.uint8) if self._keeps else None
        faults = []
        with ThreadPoolExecutor(threads) as pool:
            for row, picture in enumerate(pool.map(self._try, self.files)):
                if isinstance(picture, ImageError):
                    faults.append(str(picture))
                elif kept is not None:
                    kept[row] = picture
                tick(row + 1, len(self))
        self.kept = kept
        return faults

    def _try(self, file: Path) -> Grey | ImageError:
        try:
            return decode(file, self.side_px)
        except ImageError as error:
            return error


def decode(file: Path, side_px: int) -> Grey:
    """Read an image file as grey uint8 (side_px, side_px), stretched."""
    grey = grey_level(read_image(file, at_least_px=side_px))
    small = resize(grey, side_px).astype(np.float32)
    return np.asarray(np.rint(small * 255.0), dtype=np.uint8)


def refuse_faults(faults: list[str]) -> None:
    """Raise TrainingError when there are images that cannot be read, naming the first three."""
    if faults:
        raise TrainingError(
            f"{len(faults)} images cannot be read: {'; '.join(faults[:3])}; mend them, or leave them out "
            "with --skip-unreadable"
        )
