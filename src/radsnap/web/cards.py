"""What the page about models shows: their cards as lines for a person."""

from __future__ import annotations

from dataclasses import dataclass

from radsnap.models.card import Card, Figure
from radsnap.reading.report import kind_name

_MEASURES = {
    "auroc": "AUROC",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "dice": "Dice",
    "peak in a box": "Peak in a box",
}
_STAGES = {
    "gate": "Is it an x-ray?",
    "kind": "Which x-ray is it?",
    "findings": "What is seen on it?",
    "lungs": "Where are the lungs?",
}


@dataclass(frozen=True)
class Shown:
    """A measured figure in a table."""

    what: str
    data: str
    value: str
    n: str


@dataclass(frozen=True)
class Model:
    """A network on the page about models."""

    stage: str
    asks: str
    name: str
    sha: str
    network: str
    images: str
    licence: str
    headline: str
    caveats: tuple[str, ...]
    figures: tuple[Shown, ...]
    data: tuple[str, ...]


def model(stage: str, card: Card) -> Model:
    """Lay out a card."""
    training = card.training
    counted = "a number of pictures that its publisher does not say" if training.images is None else (
        f"{training.images:,} pictures"
    )  # fmt: skip
    first = next((figure for figure in card.figures if figure.value is not None), None)
    return Model(
        stage=stage,
        asks=_STAGES.get(stage, kind_name(stage)),
        name=card.name,
        sha=card.sha256[:12],
        network=f"{card.network}, reads {card.input.size_px} × {card.input.size_px} pixels, {card.precision}",
        images=counted,
        licence=training.licence,
        headline="" if first is None else f"{_figure(first).what}: {_figure(first).value}, n = {first.n:,}",
        caveats=card.caveats,
        figures=tuple(_figure(figure) for figure in card.figures),
        data=training.data,
    )


def _figure(figure: Figure) -> Shown:
    what = f"{_MEASURES.get(figure.measure, figure.measure.replace('_', ' '))}, {figure.subject}"
    if figure.value is None:
        return Shown(what, figure.data, f"undefined: {figure.reason}", f"{figure.n:,}")
    interval = (
        "" if figure.low is None or figure.high is None else f" ({figure.low:.2f} to {figure.high:.2f})"
    )
    return Shown(what, figure.data, f"{figure.value:.2f}{interval}", f"{figure.n:,}")
