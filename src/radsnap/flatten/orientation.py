"""Which way up a frontal chest is, and whether it is mirrored; when not sure, nobody turns it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radsnap.models.preprocess import to_input
from radsnap.models.runtime import Network, load

FloatArray = NDArray[np.float32]
# Chosen on validation photos: so sure, a turn is wrong in fewer than 1 of 200 chests that were upright.
SURE = 0.9


@dataclass(frozen=True)
class Orientation:
    """How a picture lies: quarter turns clockwise from upright, mirrored or not, and how sure (0 to 1)."""

    quarter_turns: int
    mirrored: bool
    confidence: float

    @property
    def sure(self) -> bool:
        """Whether the picture may be turned without asking a person."""
        return self.confidence >= SURE

    @property
    def upright(self) -> bool:
        """Whether nothing needs to be turned."""
        return self.quarter_turns == 0 and not self.mirrored


def orientation(grey: FloatArray, model: str | Path = "upright") -> Orientation:
    """Judge how a frontal chest (H, W) in [0, 1] lies. Other x-rays give a low confidence."""
    network = _kept(str(model))
    logits = network.run(to_input(grey, network.card.input)[None])["logits"][0].astype(np.float64)
    powers = np.exp(logits - logits.max())
    scores = powers / powers.sum()
    way = int(scores.argmax())
    return Orientation(way % 4, way >= 4, float(scores[way]))


def upright(corners: NDArray[np.float64], lies: Orientation) -> NDArray[np.float64]:
    """Name corners of a picture that lies so from the x-ray's own upper left: upper left, upper right, and on."""
    # The network names what was done to an upright x-ray: mirrored first, then turned clockwise.
    named = np.roll(corners, -lies.quarter_turns, axis=0)
    return named[[1, 0, 3, 2]] if lies.mirrored else named


@cache
def _kept(model: str) -> Network:
    return load(model)
