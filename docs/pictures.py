"""Draw the README's picture: `python docs/pictures.py`. Everything in it is made by radsnap: no patient, no download."""

from __future__ import annotations

import tempfile
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import radsnap
from radsnap.imaging import read_image
from radsnap.jobs.demo import write_samples
from radsnap.reading.heatmaps import overlay

HERE = Path(__file__).parent
SHOWN = ("chest-on-a-screen", "chest-on-a-light-box", "hand-on-a-screen", "receipt")
BARS = 6
NIGHT, TEXT, MUTED, BAR = "#101418", "#e8eaed", "#8b949e", "#f0883e"


def main() -> None:
    figure = Figure(figsize=(11, 5), facecolor=NIGHT)
    grid = figure.subplots(2, len(SHOWN), height_ratios=(3, 1.3))
    figure.subplots_adjust(left=0.015, right=0.985, top=0.89, bottom=0.02, wspace=0.06, hspace=0.06)
    with tempfile.TemporaryDirectory() as folder:
        files = {file.stem: file for file in write_samples(Path(folder))}
        for column, name in enumerate(SHOWN):
            _draw(grid[0][column], grid[1][column], files[name])
    FigureCanvasAgg(figure).print_png(str(HERE / "reading.png"))


def _draw(top, bottom, file: Path) -> None:
    diagnosis = radsnap.diagnose(file, heat_maps=True)
    pixels = read_image(file).pixels
    top.set_axis_off()
    bottom.set_axis_off()
    assert diagnosis.gate is not None
    title = "x-ray" if diagnosis.gate.passed else "not an x-ray"
    if diagnosis.kind is not None:
        title = f"{title} → {diagnosis.kind.label.replace('_', ' ')}"
    if diagnosis.findings is None:
        bottom.text(0.02, 0.9, textwrap.fill(diagnosis.reason or "", 38), color=MUTED, fontsize=9, va="top")
    else:
        ranked = sorted(diagnosis.findings.items(), key=lambda item: -_height(item[1]))[:BARS]
        finding = ranked[0][0]
        title += f"\nwhere: {finding}"
        if diagnosis.heat_maps is not None:
            pixels = overlay(pixels, diagnosis.heat_maps.on(finding, *pixels.shape[:2]))
        for place, (label, one) in enumerate(ranked):
            bottom.barh(-place, _height(one), color=BAR, height=0.6)
            bottom.text(0.02, -place, f"{label}: {one.word}", color=TEXT, fontsize=8, va="center")
        bottom.set_xlim(0, 1)
    top.imshow(square(np.asarray(pixels)))
    top.set_title(title, color=TEXT, fontsize=10)


def square(pixels: np.ndarray) -> np.ndarray:
    """Cut the middle square out of a picture."""
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return pixels[top : top + side, left : left + side]


def _height(finding) -> float:
    return float(finding.score if finding.probability is None else finding.probability)


if __name__ == "__main__":
    main()
