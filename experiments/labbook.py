"""The lab book: what the experiments share. Rows, cells that are kept, baselines, intervals, tables and figures."""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from radsnap.measure import Estimate, Metric, Undefined, replicate, resample, summarise, weighted
from radsnap.tables import Manifest, labels, paths, read_manifest, sources

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from shortcut import shortcuts

REPLICATES = 2000
SHORTCUT = "shortcut"
Plan = dict[str, Any]
D = TypeVar("D")
# What a network says of the rows of each split or test, in their order.
Said = dict[str, list[float]]
Cells = dict[tuple[str, int], list[Said]]


def opened(about: str) -> tuple[Plan, argparse.Namespace]:
    """Read the command line and the plan that it names; `only` and `table` are the options of every experiment."""
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("--only", help="train for this start or network alone, and write no table")
    parser.add_argument("--table", action="store_true", help="train nothing; write what there is")
    options = parser.parse_args()
    return tomllib.loads(options.plan.read_text()), options


def labelled(plan: Plan, source: str, split: str | None = None) -> tuple[Manifest, np.ndarray]:
    """Give the rows of a source that have the plan's label, and the label (N,): 1 or 0.

    `where` in the plan keeps rows with certain values of other columns.
    """
    manifest = read_manifest(plan["data"])
    manifest = manifest.rows((sources(manifest) == source).to_numpy())
    for column, value in plan.get("where", {}).items():
        manifest = manifest.rows((manifest.frame[column] == value).to_numpy())
    if split is not None:
        manifest = manifest.where(split=split)
    truth = labels(manifest, (plan["label"],), uncertain="ignore")[:, 0]
    known = ~np.isnan(truth)
    return manifest.rows(known), truth[known]


@dataclass(frozen=True)
class Cell:
    """One training of a grid: from which start, with how many examples (0: all), under which seed; kept in a file."""

    start: str
    number: int
    seed: int
    file: Path

    def keep(self, said: Mapping[str, np.ndarray]) -> None:
        """Keep what the network says; an interrupted cell leaves nothing that looks finished."""
        half = self.file.with_suffix(".half")
        half.write_text(json.dumps({name: values.astype(float).tolist() for name, values in said.items()}))
        half.replace(self.file)
        (self.folder / "last.ckpt").unlink(missing_ok=True)
        print(f"{self.file.stem}: done", flush=True)

    @property
    def folder(self) -> Path:
        return self.file.with_suffix("")


def cells(plan: Plan, numbers: Sequence[int], only: str | None = None) -> Iterator[Cell]:
    """List the cells of a grid, number by number."""
    for number in numbers:
        for seed in plan["seeds"]:
            for start in plan["starts"]:
                if only in (None, start):
                    yield Cell(
                        start, number, seed, Path(plan["runs"]) / f"{start}-{number or 'all'}-{seed}.json"
                    )


def run_grid(
    about: str,
    numbers: str,
    read: Callable[[Plan], D],
    run_cell: Callable[[Plan, D, Cell], None],
    write_results: Callable[[Plan, D], None],
) -> None:
    """Do what the command line asks of a grid: the cells that are not there yet, then the page. numbers: their key."""
    plan, options = opened(about)
    data = read(plan)
    if not options.table:
        for cell in cells(plan, plan[numbers], options.only):
            if not cell.file.exists():
                run_cell(plan, data, cell)
    if options.only is None:
        write_results(plan, data)


def finished(plan: Plan, numbers: Sequence[int]) -> Cells:
    """Read what the cells say, by start and number, where all seeds are done."""
    found: Cells = {}
    for cell in cells(plan, numbers):
        if cell.file.exists():
            found.setdefault((cell.start, cell.number), []).append(json.loads(cell.file.read_text()))
    return {key: runs for key, runs in found.items() if len(runs) == len(plan["seeds"])}


def kept(file: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Read an array, or make it and keep it."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, make())
    return np.load(file)


def file_features(manifest: Manifest, file: Path) -> np.ndarray:
    """Size, aspect, bytes and power spectrum of each row's file, kept in another."""
    return kept(file, lambda: np.stack([shortcuts(path) for path in paths(manifest)]))


def shortcut_model(features: np.ndarray, truth: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a linear model on what files betray; give the function that scores others."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    model.fit(features, truth)
    return lambda others: np.asarray(model.decision_function(others))


def contrast(
    metric: Metric, truth: np.ndarray, patients: np.ndarray, terms: Sequence[tuple[float, np.ndarray]]
) -> Estimate:
    """Add up a metric of several scores on the same rows, each with its share, under the same resamples of patients.

    Raises SystemExit where the metric is undefined.
    """
    drawing = resample(patients, REPLICATES)
    values = [metric(truth, scores) for _, scores in terms]
    if any(isinstance(value, Undefined) for value in values):
        raise SystemExit(f"{metric.__name__} of {len(truth)} rows: {values}")
    shares = np.array([share for share, _ in terms])
    drawn = replicate([weighted(metric, truth, scores) for _, scores in terms], drawing.blocks())
    difference = bool(shares.min() < 0)
    return _estimate(float(shares @ values), drawn @ shares, drawing, len(truth), difference)


def mean_of(values: np.ndarray, patients: np.ndarray, difference: bool = False) -> Estimate:
    """The mean of a value of each row (N,), with an interval over patients."""
    drawing = resample(patients, REPLICATES)
    drawn = replicate([lambda counts: (values @ counts) / counts.sum(axis=0)], drawing.blocks())[:, 0]
    return _estimate(float(values.mean()), drawn, drawing, len(values), difference)


def _estimate(value: float, drawn: np.ndarray, drawing: Any, n: int, difference: bool) -> Estimate:
    found = summarise(value, drawn, drawing, n, difference=difference)
    if isinstance(found, Undefined):
        raise SystemExit(found.reason)
    return found


def seeds_mean(runs: Sequence[np.ndarray], less: Sequence[np.ndarray] = ()) -> list[tuple[float, np.ndarray]]:
    """The terms of a mean over seeds, or of its difference from others'."""
    return [(1 / len(runs), one) for one in runs] + [(-1 / len(less), one) for one in less]


def shown(found: Estimate, signed: bool = False) -> str:
    """0.912 (0.880 – 0.941); a difference with its signs: +0.012 (-0.003 to +0.027)."""
    if signed:
        return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
    return f"{found.value:.3f} ({found.low:.3f} – {found.high:.3f})"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The lines of a table."""
    return [
        f"| {' | '.join(heads)} |",
        "|" + "---|" * len(heads),
        *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows),
    ]


def columns(name: str, found: Estimate) -> dict[str, float]:
    """A figure as three columns of a CSV."""
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def publish(plan: Plan, frame: pd.DataFrame, lines: Sequence[str], figure: Figure, shows: str) -> None:
    """Write the page with its figure, and the CSV beside them. shows: the figure in words."""
    target = Path(plan["results"])
    target.parent.mkdir(parents=True, exist_ok=True)
    frame.round(4).to_csv(target.with_suffix(".csv"), index=False)
    page = [f"# {plan['title']}", "", *lines, "", f"![{shows}]({target.name}.png)", ""]
    target.with_suffix(".md").write_text("\n".join(page))
    figure.suptitle(plan["title"], fontsize=10)
    figure.savefig(target.with_suffix(".png"), dpi=160)
    plt.close(figure)
    print("\n".join(page))


def panels(count: int, width_in: float, height_in: float = 3.5) -> tuple[Figure, list[Axes]]:
    """A row of bare axes, with the first one's scale."""
    figure, grid = plt.subplots(1, count, figsize=(width_in, height_in), layout="constrained", squeeze=False)
    for axes in grid[0]:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, list(grid[0])


def draw_by_number(axes: Axes, frame: pd.DataFrame, measure: str, what: str) -> None:
    """A line a start over the number of examples (columns: start, number, measure with _low and _high)."""
    places = {number: place for place, number in enumerate(sorted(frame["number"].unique()))}
    for shift, (start, part) in enumerate(frame.groupby("start")):
        at = [places[number] + 0.06 * (shift - 1) for number in part["number"]]
        style = {"linestyle": ":", "color": "0.5"} if start == SHORTCUT else {}
        axes.errorbar(at, part[measure], spread(part, measure), marker="o", capsize=3, label=start, **style)
    axes.set_xticks(list(places.values()), [f"{number:,}" for number in places])
    axes.set_xlabel(what)


def spread(part: pd.DataFrame, measure: str) -> list[pd.Series]:
    """How far the interval reaches down and up, as errorbar takes it."""
    return [part[measure] - part[f"{measure}_low"], part[f"{measure}_high"] - part[measure]]
