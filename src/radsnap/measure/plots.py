"""Figures of a study. Each takes arrays and gives a matplotlib figure; nothing is shown or written here."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from radsnap.measure.calibration import Reliability
from radsnap.measure.curves import Curve, OperatingPoint
from radsnap.measure.selective import RiskCurve
from radsnap.measure.values import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart; then line styles go round.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555", "#8C6D1F")
STYLES = ("-", "--", ":", "-.")
BANDS_UP_TO = 4  # more bands than this hide each other
INK, FAINT = "#222222", "#BBBBBB"


@dataclass(frozen=True)
class Bar:
    """One line of a forest plot: a label and its estimate, or None and in its place what gap says."""

    label: str
    estimate: Estimate | None
    group: int = 0
    gap: str = "no figure"


def colour(i: int) -> str:
    """Give the i-th colour."""
    return PALETTE[i % len(PALETTE)]


def _style(i: int) -> str:
    return STYLES[i // len(PALETTE) % len(STYLES)]


def plain(text: str) -> str:
    """Keep matplotlib from reading formulas in names, and names from growing over the figure."""
    short = text if len(text) <= 40 else text[:37] + "..."
    return short.replace("$", r"\$")


def _figure(width_in: float, height_in: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


def _bare(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8)


def _grid(figure: Figure, rows: int, columns: int) -> Any:
    return figure.subplots(rows, columns, squeeze=False)


def roc_figure(
    curves: Mapping[str, Mapping[str, Mapping[str, Curve]]],
    readers: Mapping[str, Mapping[str, OperatingPoint]],
    mean_readers: Mapping[str, OperatingPoint],
) -> Figure:
    """Draw ROC curves, a row a domain and a column a finding, with readers' points.

    curves: domain → finding → model → curve. readers: finding → reader → point.
    """
    findings = list(dict.fromkeys(finding for by in curves.values() for finding in by))
    models = list(dict.fromkeys(m for by in curves.values() for one in by.values() for m in one))
    columns = max(len(findings), 1)
    figure = _figure(2.5 * columns + 0.8, 2.6 * max(len(curves), 1) + 0.5)
    grid = _grid(figure, max(len(curves), 1), columns)
    for row, (domain, by) in enumerate(curves.items()):
        for column, finding in enumerate(findings):
            axes = grid[row][column]
            axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8)
            for model, curve in by.get(finding, {}).items():
                i = models.index(model)
                axes.plot(
                    curve.false_positive_rate, curve.true_positive_rate,
                    color=colour(i), linestyle=_style(i), linewidth=1.3, label=plain(model),
                )  # fmt: skip
            _points(axes, readers.get(finding, {}), mean_readers.get(finding))
            axes.set(
                xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1)
            )
            axes.set_title(plain(finding) if row == 0 else "", fontsize=9)
            axes.set_ylabel(f"{domain}\nsensitivity" if column == 0 else "", fontsize=8)
            axes.set_xlabel("1 - specificity" if row == len(curves) - 1 else "", fontsize=8)
            _bare(axes)
    _legend(figure, [axes for line in grid for axes in line])
    return figure


def _points(axes: Axes, readers: Mapping[str, OperatingPoint], mean: OperatingPoint | None) -> None:
    for i, point in enumerate(readers.values()):
        axes.plot(
            1 - point.specificity, point.sensitivity, "o", color=INK, markersize=4,
            markerfacecolor="white", zorder=5, label="reader" if i == 0 else None,
        )  # fmt: skip
    if mean is not None:
        axes.plot(
            1 - mean.specificity,
            mean.sensitivity,
            "P",
            color=INK,
            markersize=6,
            zorder=6,
            label="mean reader",
        )


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    found: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        columns = min(len(found), 6)
        figure.legend(
            found.values(), found.keys(), loc="outside lower center", ncols=columns, fontsize=8, frameon=False
        )


def forest_figure(panels: Mapping[str, Sequence[Bar]], zero: bool = True) -> Figure:
    """Draw estimates with their intervals, a panel a measure, the same lines in each. zero: mark no difference."""
    lines = max((len(bars) for bars in panels.values()), default=1)
    figure = _figure(3.6 * max(len(panels), 1) + 1.2, 0.26 * lines + 1.0)
    grid = _grid(figure, 1, max(len(panels), 1))[0]
    for column, (title, bars) in enumerate(panels.items()):
        axes = grid[column]
        places = -np.arange(len(bars), dtype=float)
        if zero:
            axes.axvline(0, color=FAINT, linewidth=1)
        for place, bar in zip(places, bars, strict=True):
            if bar.estimate is None:
                axes.annotate(
                    bar.gap,
                    (0, place),
                    (4, 0),
                    textcoords="offset points",
                    fontsize=7,
                    color="#888888",
                    va="center",
                )
            else:
                _line(axes, bar.estimate, float(place), colour(bar.group))
        axes.set_yticks(places, [plain(bar.label) for bar in bars] if column == 0 else [""] * len(bars))
        axes.set_ylim(-len(bars) + 0.4, 0.6)
        axes.locator_params(axis="x", nbins=6)
        axes.set_title(plain(title), fontsize=9)
        _bare(axes)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    return figure


def _line(axes: Axes, found: Estimate, place: float, tone: str) -> None:
    if not np.isnan(found.low):
        axes.plot([found.low, found.high], [place, place], color=tone, linewidth=1.6, solid_capstyle="butt")
    axes.plot(found.value, place, "s", color=tone, markersize=5)


def reliability_figure(curves: Mapping[str, Mapping[str, Reliability]]) -> Figure:
    """Draw reliability curves, a panel a model, a line a domain. curves: model → domain → curve."""
    columns = min(max(len(curves), 1), 5)
    rows = -(-max(len(curves), 1) // columns)
    figure = _figure(2.4 * columns + 0.5, 2.5 * rows + 0.5)
    panels = [axes for line in _grid(figure, rows, columns) for axes in line]
    domains = list(dict.fromkeys(domain for by in curves.values() for domain in by))
    for axes, (model, by) in zip(panels, curves.items(), strict=False):
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8)
        for domain, curve in by.items():
            tone = colour(domains.index(domain))
            axes.plot(curve.probability, curve.share, "-", color=tone, linewidth=1, label=plain(domain))
            axes.scatter(curve.probability, curve.share, s=4 + 60 * curve.n / curve.n.sum(), color=tone)
        axes.set(
            xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1)
        )
        axes.set_title(plain(model), fontsize=9)
        axes.set_xlabel("mean probability", fontsize=8)
        axes.set_ylabel("share of positives", fontsize=8)
        _bare(axes)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    _legend(figure, panels)
    return figure


def flips_figure(shares: Mapping[str, Mapping[str, tuple[float, float]]]) -> Figure:
    """Draw the decisions that turn, a panel a domain. shares: domain → model → (to positive, to negative)."""
    lines = max((len(by) for by in shares.values()), default=1)
    figure = _figure(3.4 * max(len(shares), 1) + 1.0, 0.28 * lines + 1.3)
    grid = _grid(figure, 1, max(len(shares), 1))[0]
    reach = max((max(pair) for by in shares.values() for pair in by.values()), default=0.0) or 1.0
    for column, (domain, by) in enumerate(shares.items()):
        axes = grid[column]
        places = -np.arange(len(by), dtype=float)
        gained = [pair[0] for pair in by.values()]
        lost = [-pair[1] for pair in by.values()]
        axes.barh(places, gained, color=colour(1), height=0.6, label="negative → positive")
        axes.barh(places, lost, color=colour(0), height=0.6, label="positive → negative")
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_xlim(-1.1 * reach, 1.1 * reach)
        axes.set_yticks(places, [plain(model) for model in by] if column == 0 else [""] * len(by))
        axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):.0%}")
        axes.set_title(plain(domain), fontsize=9)
        axes.set_xlabel("share of decisions", fontsize=8)
        _bare(axes)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    _legend(figure, list(grid))
    return figure


def selective_figure(curves: Mapping[str, Mapping[str, RiskCurve]]) -> Figure:
    """Draw the risk against coverage, a panel a domain, a line a model. curves: domain → model → curve."""
    count = max(len(curves), 1)
    figure = _figure(3.4 * count + 0.6, 3.2)
    grid = figure.subplots(1, count, squeeze=False, sharey=True)[0]
    models = list(dict.fromkeys(model for by in curves.values() for model in by))
    for column, (domain, by) in enumerate(curves.items()):
        axes = grid[column]
        for model, curve in by.items():
            i = models.index(model)
            axes.plot(
                curve.coverage, curve.risk, color=colour(i), linestyle=_style(i), linewidth=1.3,
                marker="o" if len(curve.risk) == 1 else None, markersize=3,
                label=f"{plain(model)}, area {curve.area:.3f}",
            )  # fmt: skip
        axes.set(xlim=(0, 1.02))
        axes.set_ylim(bottom=0)
        axes.set_title(plain(domain), fontsize=9)
        axes.set_xlabel("share of studies kept", fontsize=8)
        axes.set_ylabel("share of wrong decisions" if column == 0 else "", fontsize=8)
        axes.legend(fontsize=7, frameon=False, loc="best")
        _bare(axes)
    return figure


def sweep_figure(
    curves: Mapping[str, Mapping[str, Sequence[tuple[int, Estimate]]]], measure_name: str = "AUROC"
) -> Figure:
    """Draw a measure against level, a panel an effect. curves: effect → model → (level, estimate), 0 is clean."""
    figure = _figure(3.0 * max(len(curves), 1) + 0.6, 3.2)
    grid = figure.subplots(1, max(len(curves), 1), squeeze=False, sharey=True)[0]
    models = list(dict.fromkeys(model for by in curves.values() for model in by))
    for column, (effect, by) in enumerate(curves.items()):
        axes = grid[column]
        for model, points in by.items():
            i = models.index(model)
            levels = np.array([level for level, _ in points])
            value, low, high = (
                np.array([getattr(found, name) for _, found in points]) for name in ("value", "low", "high")
            )
            if len(models) <= BANDS_UP_TO:
                axes.fill_between(levels, low, high, color=colour(i), alpha=0.12, linewidth=0)
            axes.plot(
                levels,
                value,
                marker="o",
                markersize=3,
                color=colour(i),
                linestyle=_style(i),
                label=plain(model),
            )
        axes.set_title(plain(effect), fontsize=9)
        axes.set_xlabel("level (0: digital)", fontsize=8)
        axes.set_ylabel(measure_name if column == 0 else "", fontsize=8)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _bare(axes)
    _legend(figure, list(grid))
    return figure


def to_svg(figure: Figure) -> str:
    """Write a figure as SVG; the same bytes for the same figure."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "radsnap", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def to_png(figure: Figure, dpi: int = 150) -> bytes:
    """Write a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()
