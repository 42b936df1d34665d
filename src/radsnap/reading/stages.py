"""The three questions of a reading, each one pass of one network: x-ray or not, which, and what is seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from radsnap.models.card import Card, Head, Isotonic, Platt, Threshold
from radsnap.models.scores import head_scores, sigmoid
from radsnap.reading.diagnosis import Finding, Gate, Kind, Word
from radsnap.reading.heatmaps import HeatMaps

FloatArray = NDArray[np.float32]

# Where the gate's card sets no operating point: more likely an x-ray than not.
_EVEN_ODDS = 0.5


class Runner(Protocol):
    """A network with its card, whatever runs it: named arrays in, named arrays out.

    run: (N, 1, size_px, size_px) → `logits` (N, outputs) and, where the card says so, `heat_maps`
    (N, outputs, h, w).
    """

    @property
    def card(self) -> Card: ...

    def run(self, images: FloatArray) -> dict[str, FloatArray]: ...


def read_gate(network: Runner, image: FloatArray) -> tuple[Gate, Mapping[str, float]]:
    """Ask whether an input (1, size, size) is an x-ray, and what the camera saw.

    The second value are the scores of `digital`, `screen` and `film`, empty where the network does not say.
    """
    card = network.card
    logits = network.run(image[None])["logits"][0]
    seen: dict[str, float] = {}
    if any(head.name == "domain" for head in card.heads):
        seen = head_scores(card, logits, card.head("domain"))
    (xray,) = head_scores(card, logits, card.head("xray")).values()
    threshold = gate_threshold(card)
    return Gate(xray, xray >= threshold, threshold), seen


def agreed(whole: Gate, straightened: Gate) -> Gate:
    """Join what the gate says of a photo and of its x-ray straightened: the mean of the logits."""
    odds = np.array([whole.xray, straightened.xray]).clip(1e-9, 1 - 1e-9)
    xray = float(sigmoid(np.mean(np.log(odds / (1 - odds)))))
    return Gate(xray, xray >= whole.threshold, whole.threshold)


def both_saw(gate: Mapping[str, float], look: Mapping[str, float]) -> Mapping[str, float]:
    """Join what the gate, and the look for the x-ray's corners, say the camera saw: the scores' geometric means, summing to 1.

    What one of them rules out stays so; where one says nothing, the other's scores stand.
    """
    joined = {name: float(np.sqrt(score * look.get(name, 0.0))) for name, score in gate.items()}
    total = sum(joined.values())
    return {name: score / total for name, score in joined.items()} if total else look or gate


def gate_threshold(card: Card) -> float:
    """Give the score from which a gate takes a picture for an x-ray: its operating point, whatever the domain."""
    (name,) = card.head("xray").classes
    point = card.domain("any").operating_points.get(name)
    return _EVEN_ODDS if point is None else point.score


def read_kind(network: Runner, image: FloatArray) -> Kind:
    """Ask which x-ray an input (1, size, size) is."""
    logits = network.run(image[None])["logits"][0]
    scores = head_scores(network.card, logits, network.card.head("kind"))
    return Kind(max(scores, key=lambda name: scores[name]), scores)


def read_findings(
    network: Runner, image: FloatArray, domain: str | None, heat_maps: bool
) -> tuple[dict[str, Finding], HeatMaps | None]:
    """Ask what is seen on an input (1, size, size), with the operating points of a domain."""
    card, head = network.card, findings_head(network.card)
    results = network.run(image[None])
    logits = results["logits"][0]
    settings = card.domain(domain or "any")
    findings = {}
    for name, logit, score in zip(
        head.classes, logits[card.span(head.name)], head_scores(card, logits, head).values(), strict=True
    ):
        point = settings.operating_points.get(name)
        word, reason = put_in_words(score, point, domain)
        probability = calibrated(float(logit), settings.calibration.get(name))
        findings[name] = Finding(score, probability, word, reason, point)
    return findings, _heat_maps(card, head, results) if heat_maps else None


def findings_head(card: Card) -> Head:
    """Give the head that a reader is asked for: `findings`, or its only one."""
    return card.heads[0] if len(card.heads) == 1 else card.head("findings")


def calibrated(logit: float, curve: Platt | Isotonic | None) -> float | None:
    """Give a logit's probability by a calibration; None without one."""
    match curve:
        case None:
            return None
        case Platt():
            return float(sigmoid(np.asarray(curve.slope * logit + curve.intercept, dtype=np.float64)))
        case Isotonic():
            knots = np.array(curve.knots, dtype=np.float64)
            return float(np.interp(logit, knots[:, 0], knots[:, 1]))


def put_in_words(score: float, point: Threshold | None, domain: str | None) -> tuple[Word, str]:
    """Give a score its word by an operating point, and the reason for it."""
    if point is None:
        where = f"for {domain} pictures" if domain else "for such pictures"
        return "not assessed", f"the model has no operating point {where}"
    if score >= point.score:
        return "likely", f"score {score:.2f}, likely from {point.score:.2f} ({point.rule})"
    if score >= point.possible:
        return (
            "possible",
            f"score {score:.2f}, possible from {point.possible:.2f}, likely from {point.score:.2f}",
        )
    return "unlikely", f"score {score:.2f}, below {point.possible:.2f}"


def _heat_maps(card: Card, head: Head, results: Mapping[str, FloatArray]) -> HeatMaps:
    if "heat_maps" not in results:
        return HeatMaps(reason=f"the model {card.name} gives no heat maps")
    maps = results["heat_maps"][0][card.span(head.name)]
    return HeatMaps(dict(zip(head.classes, maps, strict=True)), card.input.fit)
