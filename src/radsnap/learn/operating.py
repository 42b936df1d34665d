"""Operating points and calibration of a trained network, per domain, from its validation logits."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from radsnap.measure import Undefined, choose_threshold, fit_platt
from radsnap.models.card import Domain, Head, Isotonic, Platt, Threshold

Array = NDArray[np.float32]
# With fewer of either class a threshold is a matter of luck; the finding is then 'not assessed'.
FEWEST = 5
POSSIBLE_SENSITIVITY = 0.9
Rule = Literal["youden", "midpoint"]


def domain_settings(
    heads: tuple[Head, ...], said: dict[str, tuple[Array, Array]], rule: Rule = "youden"
) -> dict[str, Domain]:
    """Choose operating points and calibrations of sigmoid heads on validation data.

    said: domain → (logits, targets), (N, outputs) each. `score` of an operating point follows the rule: `youden`
    maximises sensitivity + specificity - 1; `midpoint` lies half-way between the median logits of the two classes,
    for data that tell the classes apart so well that Youden's index is flat between them. `possible` reaches a
    sensitivity of 0.9; both are on the sigmoid's scale.
    """
    return {domain: _domain(heads, logits, targets, rule) for domain, (logits, targets) in said.items()}


def _domain(heads: tuple[Head, ...], logits: Array, targets: Array, rule: Rule) -> Domain:
    points: dict[str, Threshold] = {}
    calibration: dict[str, Platt | Isotonic] = {}
    start = 0
    for head in heads:
        if head.activation == "sigmoid":
            for column, name in enumerate(head.classes, start):
                known = ~np.isnan(targets[:, column])
                truth, logit = targets[known, column], logits[known, column].astype(np.float64)
                if min((truth == 1).sum(), (truth == 0).sum()) < FEWEST:
                    continue
                points[name] = _point(truth, logit, rule)
                fitted = fit_platt(logit, truth)
                calibration[name] = Platt(slope=fitted.a, intercept=fitted.b)
        start += len(head.classes)
    return Domain(operating_points=points, calibration=calibration)


def _point(truth: NDArray[np.float32], logit: NDArray[np.float64], rule: Rule) -> Threshold:
    score = expit(logit)
    possible = choose_threshold(truth, score, "sensitivity", POSSIBLE_SENSITIVITY)
    assert not isinstance(possible, Undefined)  # both classes are there
    if rule == "midpoint":
        likely = float(expit((np.median(logit[truth == 1]) + np.median(logit[truth == 0])) / 2))
    else:
        chosen = choose_threshold(truth, score, "youden")
        assert not isinstance(chosen, Undefined)
        likely = chosen
    return Threshold(score=likely, possible=min(likely, possible), rule=rule, n=len(truth))
