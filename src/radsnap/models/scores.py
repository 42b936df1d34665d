"""From a network's logits to the scores of its heads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from radsnap.models.card import Card, Head

FloatArray = NDArray[np.float32]


def head_scores(card: Card, logits: FloatArray, head: Head) -> dict[str, float]:
    """Turn the logits (outputs,) of an image into the scores of one head, in [0, 1]."""
    values = logits[card.span(head.name)].astype(np.float64)
    if head.activation == "softmax":
        powers = np.exp(values - values.max())
        scores = powers / powers.sum()
    else:
        scores = sigmoid(values)
    return dict(zip(head.classes, scores.tolist(), strict=True))


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-logit)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))
