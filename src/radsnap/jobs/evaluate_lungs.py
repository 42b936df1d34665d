"""Dice of a lung network on a manifest's masks, at each picture's own size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radsnap.errors import ImageError, ManifestError
from radsnap.imaging import grey_level, read_image
from radsnap.jobs.progress import Progress, Report
from radsnap.models.preprocess import to_input
from radsnap.reading.lungs import read_lungs
from radsnap.reading.stages import Runner
from radsnap.tables import Manifest


@dataclass(frozen=True, eq=False)
class DiceOfRows:
    """Dice (N,) of the rows that have a mask and could be read, in the manifest's order; and the errors of others."""

    rows: Manifest
    dice: NDArray[np.float64]
    faults: tuple[str, ...]


def dice_of_rows(network: Runner, manifest: Manifest, report: Report) -> DiceOfRows:
    """Compare a network's lungs with the column `mask`: 2 |A ∩ B| / (|A| + |B|), after what `segment` does.

    Raises ManifestError where no row has a mask.
    """
    if "mask" not in manifest.frame.columns or not (manifest.frame["mask"] != "").any():
        raise ManifestError("no row has a lung mask; give a manifest with paths in the column 'mask'")
    masked = manifest.rows((manifest.frame["mask"] != "").to_numpy())
    values = np.full(len(masked), np.nan)
    faults = []
    for place in range(len(masked)):
        try:
            values[place] = _dice(network, masked, place)
        except ImageError as error:
            faults.append(str(error))
        report(Progress(place + 1, len(masked)))
    read = ~np.isnan(values)
    return DiceOfRows(masked.rows(read), values[read], tuple(faults))


def _dice(network: Runner, masked: Manifest, place: int) -> float:
    row = masked.frame.iloc[place]
    parts = [grey_level(read_image(masked.root / part)) > 0.5 for part in row["mask"].split("|")]
    truth = np.logical_or.reduce(parts)
    grey = grey_level(read_image(masked.root / row["path"]))
    said = read_lungs(network, to_input(grey, network.card.input)).mask(*truth.shape)
    both = int(truth.sum()) + int(said.sum())
    return 1.0 if both == 0 else 2 * int((truth & said).sum()) / both
