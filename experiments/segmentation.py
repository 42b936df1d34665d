"""Train every cell of a grid (start × number of masks × seed) for lung masks, then write table and figure.

usage: python experiments/segmentation.py experiments/segmentation.toml [--only START] [--table]

A cell that is done is not run again; --table makes table and figure from the cells at hand. Everything that decides
is in the file; nothing is chosen on test rows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from labbook import (
    SHORTCUT,
    Cell,
    Cells,
    Plan,
    Said,
    columns,
    draw_by_number,
    finished,
    markdown,
    mean_of,
    panels,
    publish,
    run_grid,
    shown,
)

from radsnap.jobs.train_lungs import mask_rows
from radsnap.learn.augment import Augmentation
from radsnap.learn.loop import fit
from radsnap.learn.optimiser import Schedule
from radsnap.learn.segmentation import MaskDraws, Masks, dice_of, mask_objective, read_masks
from radsnap.learn.start import start_from
from radsnap.measure import Estimate
from radsnap.models.card import InputSpec
from radsnap.models.networks_unet import SEGMENTERS, ViTSegmenter
from radsnap.seeds import stream
from radsnap.tables import Manifest, read_manifest, sources

CLASSES = ("lungs",)
MARGIN = 1.15


class Data:
    """The rows with masks of every source and split, and their pictures once they are asked for."""

    def __init__(self, plan: Plan) -> None:
        manifest = read_manifest(plan["data"])
        self.manifest = manifest.rows((manifest.frame["mask"] != "").to_numpy())
        self.spec = InputSpec(size_px=plan["size_px"])
        self._read: dict[tuple[str, str], Masks] = {}

    def part(self, source: str, split: str) -> Manifest:
        return self.manifest.rows((sources(self.manifest) == source).to_numpy()).where(split=split)

    def masks(self, source: str, split: str) -> Masks:
        if (source, split) not in self._read:
            side = round(self.spec.size_px * (MARGIN if split == "train" else 1.0))
            rows = mask_rows(self.part(source, split))
            self._read[source, split] = read_masks(rows, CLASSES, side, {source: 1.0})
        return self._read[source, split]


def run_cell(plan: Plan, data: Data, cell: Cell) -> None:
    """Train one cell and keep the Dice of every test row."""
    made = plan["starts"][cell.start]
    torch.manual_seed(int(stream(cell.seed, "weights").integers(2**63)))
    network = SEGMENTERS[made["network"]](len(CLASSES), plan["size_px"])
    if made["weights"]:
        if not isinstance(network, ViTSegmenter):
            raise SystemExit(f"[starts.{cell.start}] names weights, which only a transformer takes")
        print(start_from(network.encoder, Path(made["weights"])), flush=True)
    rows = data.masks(plan["source"], "train")
    chances, taken = np.zeros(len(rows)), chosen(rows, cell.number, cell.seed)
    chances[taken] = 1 / len(taken)
    training = replace(rows, weights=chances)
    validation = data.masks(plan["source"], "val")
    best = fit(
        network,
        mask_objective(CLASSES),
        MaskDraws.of(training, Augmentation(photo=(), **plan["augmentation"]), data.spec, cell.seed),
        lambda net: {"figure": float(np.nanmean(dice_of(net, validation, data.spec)))},
        Schedule(workers=0, seed=cell.seed, **plan["schedule"]),
        cell.folder,
        lambda step: None,
        f"{cell.start} {made} {cell.number}",
    )
    network.load_state_dict(best)
    tests = {name: data.masks(source, "test") for name, source in plan["tests"].items()}
    cell.keep({name: dice_of(network, rows, data.spec)[:, 0] for name, rows in tests.items()})


def chosen(rows: Masks, number: int, seed: int) -> np.ndarray:
    """Choose the rows of a cell: so many, drawn by its seed; 0 gives all."""
    return stream(seed, "masks", number).permutation(len(rows))[: number or len(rows)]


def shortcut_cells(plan: Plan, data: Data) -> Cells:
    """What a network that sees no picture reaches: the mean of the same masks, where it is above a half."""
    training, side = data.masks(plan["source"], "train"), plan["size_px"]
    found: Cells = {}
    for number in plan["masks"]:
        for seed in plan["seeds"]:
            mean = training.masks[chosen(training, number, seed), 0].mean(axis=0)
            said = cv2.resize(mean, (side, side), interpolation=cv2.INTER_AREA) > 127.5
            run: Said = {}
            for test, source in plan["tests"].items():
                truth = data.masks(source, "test").masks[:, 0] > 127
                run[test] = 2 * (truth & said).sum(axis=(1, 2)) / (truth.sum(axis=(1, 2)) + said.sum())
            found.setdefault((SHORTCUT, number), []).append(run)
    return found


def mean_dice(plan: Plan, data: Data, test: str, runs: list[Said], less: list[Said] = []) -> Estimate:  # noqa: B006
    """Mean Dice over rows and seeds, or its difference from others', with an interval over patients."""
    patients = data.part(plan["tests"][test], "test").frame["patient_id"].to_numpy()
    values = np.mean([run[test] for run in runs], axis=0)
    if less:
        values = values - np.mean([run[test] for run in less], axis=0)
    return mean_of(values, patients, difference=bool(less))


def write_results(plan: Plan, data: Data) -> None:
    """Write the table (markdown and CSV) and the figure."""
    done = finished(plan, plan["masks"])
    if not done:
        raise SystemExit("no cell is done yet")
    whole, shortcuts = len(data.part(plan["source"], "train")), shortcut_cells(plan, data)
    rows, cells_shown = [], []
    for test in sorted(plan["tests"]):
        for (start, number), runs in sorted(
            (done | shortcuts).items(), key=lambda one: (one[0][1] or whole, one[0][0])
        ):
            mean = mean_dice(plan, data, test, runs)
            each = [float(np.mean(run[test])) for run in runs]
            rows.append(
                {"number": number or whole, "start": start, "test": test, **columns("dice", mean),
                 "seeds_low": min(each), "seeds_high": max(each), "n_test": mean.n}
            )  # fmt: skip
            cells_shown.append(
                (
                    f"{test} ({mean.n})",
                    number or whole,
                    start,
                    shown(mean),
                    f"{min(each):.3f} – {max(each):.3f}",
                )
            )
    frame = pd.DataFrame(rows)
    heads = ("tested on", "masks", "start", "Dice (95 %)", "seeds from – to")
    note = (
        f"Networks of {plan['size_px']} px, trained on adults' masks alone; Dice at that size, before the largest regions are "
        "chosen. Intervals are over patients of the test rows, for the networks as they were trained; the spread of the "
        "seeds stands beside. `shortcut` sees no picture: it is the mean of the same masks, where that is above a half."
    )
    lines = [*comparisons(plan, data, done), "", *markdown(heads, cells_shown), "", note]
    tests = sorted(plan["tests"])
    figure, row = panels(len(tests), 4 * len(tests))
    for axes, test in zip(row, tests, strict=True):
        draw_by_number(axes, frame[frame["test"] == test], "dice", "adults' masks")
        axes.set_title(f"tested on {test}", fontsize=10)
    row[0].set_ylabel("Dice, mean of seeds")
    row[-1].legend(frameon=False)
    publish(plan, frame, lines, figure, "Dice by number of masks")


def comparisons(plan: Plan, data: Data, done: Cells) -> list[str]:
    """The comparison that was named before the first run, and the same for other numbers of masks and tests."""
    told = plan["primary"]
    lines = []
    for number in plan["masks"]:
        for test in plan["tests"]:
            first, second = (told["first"], number), (told["second"], number)
            if first not in done or second not in done:
                continue
            gain = mean_dice(plan, data, test, done[first], done[second])
            said = (
                f"Dice on {test} with {number or 'all'} adults' masks, {told['first']} minus {told['second']}"
            )
            if (number, test) == (told["masks"], told["test"]):
                lines.insert(
                    0,
                    f"Primary comparison: {said}, mean of {len(plan['seeds'])} seeds: **{gain.value:+.3f}** (95 % interval "
                    f"{gain.low:+.3f} to {gain.high:+.3f}, {gain.n} test images; {gain.method}).\n",
                )
            else:
                lines.append(f"- {said}: {shown(gain, signed=True)}")
    return lines


if __name__ == "__main__":
    run_grid(__doc__ or "", "masks", Data, run_cell, write_results)
