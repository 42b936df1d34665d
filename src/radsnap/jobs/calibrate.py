"""Calibrate a model anew on a user's own images: probabilities and operating points per domain, and was it enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from radsnap.errors import ManifestError, UsageError
from radsnap.jobs.predict import score_manifest
from radsnap.jobs.progress import Report, silent
from radsnap.measure import (
    Estimate,
    Isotonic,
    Platt,
    Recalibration,
    Setting,
    Undefined,
    recalibrate,
)
from radsnap.models import card as cards
from radsnap.models import store
from radsnap.models.card import Card, Domain, Figure, Threshold
from radsnap.models.runtime import load, locate
from radsnap.reading.stages import findings_head
from radsnap.tables import Manifest, labels, read_manifest


class CalibrateConfig(BaseModel):
    """What `radsnap calibrate` is told. `force` takes settings over that show no gain, too.

    flatten: photos are straightened before they are read, as `diagnose` does; settings hold for photos so read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    manifest: Path
    output: Path
    name: str | None = None
    uncertain: Literal["ones", "zeros", "ignore"] = "ignore"
    split: str | None = None
    flatten: bool = True
    force: bool = False
    replace: bool = False
    replicates: int = Field(default=2000, ge=100)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Calibration:
    """The new card, what was found by (domain, finding), which of it was taken over, and the files that failed."""

    card: Card
    path: Path
    found: Mapping[tuple[str, str], Recalibration | Undefined]
    adopted: frozenset[tuple[str, str]]
    faults: Mapping[str, str]


def calibrate(config: CalibrateConfig, report: Report = silent) -> Calibration:
    """Recalibrate a model on a manifest's rows and write it, weights and card, into a folder of its name.

    Raises ManifestError when no finding has enough labels in any domain, UsageError for a model whose findings exclude
    each other: their scores depend on one another, so that none has a curve or a point of its own.
    """
    manifest = read_manifest(config.manifest)
    if config.split:
        manifest = manifest.where(split=config.split)
    network = load(config.model)
    card, head = network.card, findings_head(network.card)
    if head.activation == "softmax":
        raise UsageError(
            f"the findings of {card.name} exclude each other (softmax), and calibration sets each one by itself; "
            "import the model without --one-of where they can be present together"
        )
    truth = labels(manifest, head.classes, uncertain=config.uncertain, absent="unknown")
    known = ~np.isnan(truth).all(axis=1)
    if not known.any():
        raise ManifestError(
            f"{config.manifest}: no row has a label of {', '.join(head.classes[:5])}; fill the labels of these columns"
        )
    manifest, truth = manifest.rows(np.asarray(known)), truth[known]
    scores = score_manifest(network, manifest, report, flatten=config.flatten)
    read = manifest.frame["image_id"].isin(scores.image_ids).to_numpy()
    found = _find(config, card, manifest.rows(read), truth[read], scores.logits[:, card.span(head.name)])
    if all(isinstance(one, Undefined) for one in found.values()):
        (domain, finding), first = next(iter(found.items()))
        raise ManifestError(
            f"{config.manifest}: nothing to calibrate on; {finding} on {domain} pictures: {first}"
        )
    adopted = frozenset(
        key
        for key, one in found.items()
        if isinstance(one, Recalibration) and (config.force or one.verdict in ("better", "new"))
    )
    new = _card(config, card, found, adopted)
    path = store.add(new, locate(config.model).parent / card.file, config.output, replace=config.replace)
    return Calibration(new, path, found, adopted, scores.faults)


def _find(
    config: CalibrateConfig,
    card: Card,
    manifest: Manifest,
    truth: NDArray[np.float32],
    logits: NDArray[np.float32],
) -> dict[tuple[str, str], Recalibration | Undefined]:
    domains, patients = (manifest.frame[name].to_numpy(dtype=np.str_) for name in ("domain", "patient_id"))
    found: dict[tuple[str, str], Recalibration | Undefined] = {}
    for domain in sorted(set(domains) - {""}):
        settings = card.domain(domain)
        for column, finding in enumerate(findings_head(card).classes):
            rows = (domains == domain) & ~np.isnan(truth[:, column])
            if rows.any():
                found[domain, finding] = recalibrate(
                    logits[rows, column].astype(np.float64),
                    truth[rows, column],
                    patients[rows],
                    _old(settings, finding),
                    config.replicates,
                    config.seed,
                )
    return found


def _old(settings: Domain, finding: str) -> Setting | None:
    curve, point = settings.calibration.get(finding), settings.operating_points.get(finding)
    if curve is None and point is None:
        return None
    threshold = None if point is None else point.score
    if curve is None:  # a published point: the score itself is read as the probability
        return Setting(Platt(1.0, 0.0), threshold)
    if isinstance(curve, cards.Platt):
        return Setting(Platt(curve.slope, curve.intercept), threshold)
    return Setting(Isotonic(*zip(*curve.knots, strict=True)), threshold)


def _card(
    config: CalibrateConfig,
    card: Card,
    found: Mapping[tuple[str, str], Recalibration | Undefined],
    adopted: frozenset[tuple[str, str]],
) -> Card:
    """Put what was adopted into a copy of the card, with the figures that speak for it."""
    domains = dict(card.domains)
    figures = []
    for (domain, finding), one in found.items():
        if not isinstance(one, Recalibration) or (domain, finding) not in adopted:
            continue
        settings = domains.get(domain) or card.domain(domain)
        points, curves = dict(settings.operating_points), dict(settings.calibration)
        points[finding] = _point(one)
        curves[finding] = _curve(one.setting.map)
        domains[domain] = Domain(operating_points=points, calibration=curves)
        data = f"{config.manifest.name} {domain}, out of fold"
        for measure, value in (("sensitivity", one.sensitivity), ("specificity", one.specificity)):
            figures.append(_figure(measure, finding, data, value))
    fresh = {figure.data for figure in figures}
    kept = tuple(figure for figure in card.figures if figure.data not in fresh)
    said = f"Calibrated on {config.manifest.name}: {', '.join(sorted({domain for domain, _ in adopted})) or 'nothing'}"
    said += "; photos straightened." if config.flatten else "; photos as they are."
    name = config.name or f"{card.name}-calibrated"
    return card.model_copy(
        update={
            "name": name,
            "domains": domains,
            "figures": (*kept, *figures),
            "caveats": (*card.caveats, said),
        }
    )


def _point(one: Recalibration) -> Threshold:
    assert one.setting.threshold is not None  # a recalibration always has one
    n = one.positives + one.negatives
    return Threshold(
        score=one.setting.threshold, possible=one.possible, rule=f"calibrated: {one.point_name}", n=n
    )


def _curve(curve: Platt | Isotonic) -> cards.Platt | cards.Isotonic:
    if isinstance(curve, Platt):
        return cards.Platt(slope=curve.a, intercept=curve.b)
    return cards.Isotonic(knots=tuple(zip(curve.scores, curve.probabilities, strict=True)))


def _figure(measure: str, finding: str, data: str, value: Estimate | Undefined) -> Figure:
    if isinstance(value, Undefined):
        return Figure(
            measure=measure, subject=finding, data=data, value=None, low=None, high=None, n=0, method="",
            reason=value.reason,
        )  # fmt: skip
    return Figure(
        measure=measure, subject=finding, data=data, value=value.value, low=value.low, high=value.high,
        n=value.n, method=value.method,
    )  # fmt: skip
