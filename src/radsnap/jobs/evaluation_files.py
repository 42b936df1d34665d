"""An evaluation as files: figures.csv, and the confusion matrix as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from radsnap.jobs.evaluate import Evaluation
from radsnap.measure import Confusion
from radsnap.models.card import Figure


def write(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write figures.csv and figure.png into a folder; give their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "figures.csv"
    pd.DataFrame([figure.model_dump() for figure in evaluation.figures]).to_csv(table, index=False)
    picture = folder / "figure.png"
    if evaluation.confusion is not None:
        _draw_confusion(evaluation.confusion, picture)
    else:
        _draw_intervals(evaluation, picture)
    return [table, picture]


def _draw_confusion(confusion: Confusion, path: Path) -> None:
    from matplotlib.figure import Figure as Picture

    names, table = confusion.classes, confusion.table
    side = 2.6 + 0.5 * len(names)
    figure = Picture(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(table), strict=True):
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, str(table[row, column]), ha="center", va="center", color=colour)
    axes.set_xticks(range(len(names)), labels=[str(name) for name in names], rotation=45, ha="right")
    axes.set_yticks(range(len(names)), labels=[str(name) for name in names])
    axes.set_xlabel("said")
    axes.set_ylabel("truth")
    figure.savefig(path)


def _draw_intervals(evaluation: Evaluation, path: Path) -> None:
    from matplotlib.figure import Figure as Picture

    shown = [one for one in evaluation.figures if one.value is not None][::-1]
    figure = Picture(figsize=(8, 1 + 0.32 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    values = np.array([one.value for one in shown], dtype=float)
    low, high = (np.array([getattr(one, end) for one in shown], dtype=float) for end in ("low", "high"))
    places = np.arange(len(shown))
    axes.hlines(places, low, high, color="0.5", linewidth=1.5)
    axes.plot(values, places, "o", color="C0")
    axes.set_yticks(range(len(shown)), labels=[_label(one) for one in shown])
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path)


def _label(figure: Figure) -> str:
    """Name a bar by what was measured of what: one picture shows figures of several measures."""
    return f"{figure.measure.replace('_', ' ')}, {figure.subject} (n={figure.n})"
