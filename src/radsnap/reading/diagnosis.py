"""What a reading gives back: frozen values, and their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from radsnap import __version__
from radsnap.models.card import Card, Threshold
from radsnap.reading.heatmaps import HeatMaps

SCHEMA = 1
Word = Literal["likely", "possible", "unlikely", "not assessed"]
WORDS: tuple[Word, ...] = ("likely", "possible", "unlikely", "not assessed")


@dataclass(frozen=True)
class Gate:
    """Whether the picture is an x-ray: its score in [0, 1], and the score from which it passes."""

    xray: float
    passed: bool
    threshold: float

    def to_json(self) -> dict[str, Any]:
        """Give what the JSON of a diagnosis holds of it."""
        return {"xray": _rounded(self.xray), "passed": self.passed}


@dataclass(frozen=True)
class Kind:
    """Which x-ray it is: the best label, and the scores of all, which sum to 1."""

    label: str
    scores: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """Give what the JSON of a diagnosis holds of it."""
        return {"label": self.label, "scores": {name: _rounded(score) for name, score in self.scores.items()}}


@dataclass(frozen=True)
class Finding:
    """One finding: the network's score in [0, 1], its calibrated probability, and a word for both.

    `probability` is None where the domain has no calibration; `reason` says why the word is what it is.
    """

    score: float
    probability: float | None
    word: Word
    reason: str
    operating_point: Threshold | None = None

    def to_json(self) -> dict[str, Any]:
        """Give what the JSON of a diagnosis holds of it."""
        return {
            "score": _rounded(self.score),
            "probability": None if self.probability is None else _rounded(self.probability),
            "word": self.word,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Remark:
    """Something about the picture that may spoil its reading: a measure, its bar, and a sentence."""

    name: str
    sentence: str
    value: float
    threshold: float

    def to_json(self) -> dict[str, Any]:
        """Give what the JSON of a diagnosis holds of it."""
        return {
            "name": self.name,
            "sentence": self.sentence,
            "value": _rounded(self.value),
            "threshold": self.threshold,
        }


@dataclass(frozen=True)
class Outline:
    """Where an x-ray lies in a photo: its corners as shares of the photo's sides, and its own width over its height.

    The first corner is the upper left one of the x-ray put upright, the others follow clockwise. `sure` tells
    whether it was found surely; one that was not is straightened too.
    """

    corners: tuple[tuple[float, float], ...]
    aspect: float
    sure: bool

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON's types."""
        corners = [[_rounded(share) for share in corner] for corner in self.corners]
        return {"corners": corners, "aspect": _rounded(self.aspect), "sure": self.sure}


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """One picture, read as far as the chain went.

    `findings` is None when the chain stopped before them; `reason` then says why. `ok` is False when the
    file could not be read at all; `error` then says why. `cards` are those of the networks that ran, by
    stage; `ms` are milliseconds by stage. `heat_maps` is None unless asked for. `outline` is where an x-ray was found
    in a photo, and whether surely; `corners_px` are its corners in pixels of the file.
    """

    path: str | None
    ok: bool = True
    error: str | None = None
    reason: str | None = None
    domain: str | None = None
    corners_px: tuple[tuple[float, float], ...] | None = None
    lungs: Mapping[str, Any] | None = None
    gate: Gate | None = None
    kind: Kind | None = None
    findings: Mapping[str, Finding] | None = None
    quality: tuple[Remark, ...] = ()
    cards: Mapping[str, Card] = field(default_factory=dict)
    ms: Mapping[str, float] = field(default_factory=dict)
    heat_maps: HeatMaps | None = field(default=None, repr=False)
    outline: Outline | None = None

    @classmethod
    def failed(cls, path: str, error: str) -> Diagnosis:
        """Stand for a file that could not be read."""
        return cls(path=path, ok=False, error=error)

    def to_json(self) -> dict[str, Any]:
        """Give the diagnosis as JSON's types; heat maps are not part of it."""
        result: dict[str, Any] = {
            "schema": SCHEMA,
            "path": self.path,
            "ok": self.ok,
            "error": self.error,
            "domain": self.domain,
            "corners_px": None if self.corners_px is None else [list(corner) for corner in self.corners_px],
            "lungs": None if self.lungs is None else dict(self.lungs),
            "gate": self.gate and self.gate.to_json(),
            "kind": self.kind and self.kind.to_json(),
        }
        if self.findings is not None:
            result["findings"] = {name: finding.to_json() for name, finding in self.findings.items()}
        elif self.ok:
            result["reason"] = self.reason
        result["quality"] = [remark.to_json() for remark in self.quality]
        result["model"] = {"radsnap": __version__} | {
            stage: {"name": card.name, "sha256": card.sha256} for stage, card in self.cards.items()
        }
        result["ms"] = {stage: round(duration, 1) for stage, duration in self.ms.items()}
        return result

    def said(self, *words: Word) -> list[str]:
        """Name the findings that carry one of these words, the highest score first."""
        findings = self.findings or {}
        named = [name for name, finding in findings.items() if finding.word in words]
        return sorted(named, key=lambda name: -findings[name].score)


def _rounded(value: float) -> float:
    # Six decimals tell scores near 0 and 1 apart and keep a line of JSON readable.
    return round(float(value), 6)
