"""Fine-tune every cell of a grid (start × number of labels × seed), then write table and figure.

usage: python experiments/few-labels.py experiments/few-labels.toml [--only START] [--table]

A cell that is done is not run again; --table makes table and figure from the cells at hand. Everything that decides is in
the file; nothing is chosen on test rows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

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
    contrast,
    draw_by_number,
    file_features,
    finished,
    labelled,
    markdown,
    mean_of,
    panels,
    publish,
    run_grid,
    seeds_mean,
    shortcut_model,
    shown,
)

from radsnap.learn.augment import Augmentation
from radsnap.learn.data import Draws, Rows
from radsnap.learn.judge import logits_of
from radsnap.learn.loop import fit
from radsnap.learn.objectives import heads_objective
from radsnap.learn.optimiser import Schedule
from radsnap.learn.pictures import Pictures, refuse_faults
from radsnap.learn.start import start_from
from radsnap.measure import Estimate, auroc, choose_threshold
from radsnap.models.card import Head, InputSpec
from radsnap.models.networks import NETWORKS
from radsnap.seeds import stream
from radsnap.tables import Manifest

MARGIN = 1.15


class Data:
    """The labelled rows of the three splits, and the pictures once they are asked for."""

    def __init__(self, plan: Plan) -> None:
        self.spec = InputSpec(size_px=plan["network"]["size_px"])
        self.parts: dict[str, Manifest] = {}
        self.truth: dict[str, np.ndarray] = {}
        for split in ("train", "val", "test"):
            self.parts[split], self.truth[split] = labelled(plan, plan["source"], split)
        self._rows: dict[str, Rows] = {}

    def patients(self, split: str) -> np.ndarray:
        return self.parts[split].frame["patient_id"].to_numpy()

    def rows(self, split: str) -> Rows:
        if split not in self._rows:
            side = round(self.spec.size_px * (MARGIN if split == "train" else 1.0))
            pictures = Pictures(self.parts[split], side)
            refuse_faults(pictures.check(lambda done, total: None))
            truth = self.truth[split][:, None]
            self._rows[split] = Rows(pictures, truth, np.ones(len(pictures)), self.spec)
        return self._rows[split]

    def chosen(self, number: int, seed: int) -> np.ndarray:
        """Choose so many people, one image each, in the proportion of the two classes; 0 gives all images."""
        truth, patients = self.truth["train"], self.patients("train")
        if number == 0:
            return np.arange(len(truth))
        rng = stream(seed, "labelled", number)
        order = rng.permutation(len(truth))
        first = pd.Series(patients[order]).drop_duplicates().index
        singles = order[first]
        ill = round(number * truth.mean())
        taken = [singles[truth[singles] == 1][:ill], singles[truth[singles] == 0][: number - ill]]
        return np.concatenate(taken)


def run_cell(plan: Plan, data: Data, cell: Cell) -> None:
    """Fine-tune one cell and keep what it says on validation and test rows."""
    weights = plan["starts"][cell.start]
    torch.manual_seed(int(stream(cell.seed, "weights").integers(2**63)))
    network = NETWORKS[plan["network"]["name"]](1, data.spec.size_px, 1)
    if weights:
        print(start_from(network, Path(weights)), flush=True)
    schedule = Schedule(
        optimiser="adamw",
        workers=0,
        seed=cell.seed,
        draws_per_epoch=plan["draws_per_epoch"]["few" if cell.number else "all"],
        **plan["schedule"],
    )
    chosen = data.chosen(cell.number, cell.seed)
    ill = data.truth["train"][chosen] == 1
    chances = np.zeros(len(data.truth["train"]))
    chances[chosen] = np.where(ill, 0.5 / ill.sum(), 0.5 / (~ill).sum())
    heads = (Head(name="findings", classes=(plan["label"],), activation="sigmoid"),)
    training = replace(data.rows("train"), weights=chances)

    def said(split: str) -> np.ndarray:
        return logits_of(network, data.rows(split))[0][:, 0]

    best = fit(
        network,
        heads_objective(heads),
        Draws.of(training, Augmentation(photo=(), **plan["augmentation"]), cell.seed),
        lambda net: {"figure": auroc(data.truth["val"], logits_of(net, data.rows("val"))[0][:, 0])},
        schedule,
        cell.folder,
        lambda step: None,
        f"{cell.start} {weights} {cell.number}",
    )
    network.load_state_dict(best)
    cell.keep({split: said(split) for split in ("val", "test")})


def shortcut_cells(plan: Plan, data: Data) -> Cells:
    """What a linear model on size, aspect and spectrum says, fitted on the same labelled images."""
    features = {
        split: file_features(part, Path(plan["runs"]) / f"shortcuts-{split}.npy")
        for split, part in data.parts.items()
    }
    found: Cells = {}
    for number in plan["labels"]:
        for seed in plan["seeds"]:
            chosen = data.chosen(number, seed)
            say = shortcut_model(features["train"][chosen], data.truth["train"][chosen])
            said = {split: say(features[split]).tolist() for split in ("val", "test")}
            found.setdefault((SHORTCUT, number), []).append(said)
    return found


def mean_auroc(data: Data, runs: list[Said], less: list[Said] = []) -> Estimate:  # noqa: B006  never written to
    """The mean AUROC of the seeds' networks, or its difference from others'."""
    terms = seeds_mean([np.array(run["test"]) for run in runs], [np.array(run["test"]) for run in less])
    return contrast(auroc, data.truth["test"], data.patients("test"), terms)


def mean_accuracy(data: Data, runs: list[Said], less: list[Said] = []) -> Estimate:  # noqa: B006
    """The mean accuracy of the seeds' networks, each at its own threshold from validation; or a difference."""
    share = correct_share(data, runs) - (correct_share(data, less) if less else 0)
    return mean_of(share, data.patients("test"), difference=bool(less))


def correct_share(data: Data, runs: list[Said]) -> np.ndarray:
    """For each test image the share of the seeds' networks that are right about it."""
    correct = []
    for run in runs:
        bar = choose_threshold(data.truth["val"], run["val"], "youden")
        correct.append((np.array(run["test"]) >= bar) == (data.truth["test"] == 1))
    return np.mean(correct, axis=0)


def write_results(plan: Plan, data: Data) -> None:
    """Write the table (markdown and CSV) and the figure."""
    done = finished(plan, plan["labels"])
    whole = len(data.truth["train"])
    rows, cells_shown = [], []
    for (start, number), runs in sorted(
        (done | shortcut_cells(plan, data)).items(), key=lambda one: (one[0][1] or whole, one[0][0])
    ):
        each = [auroc(data.truth["test"], run["test"]) for run in runs]
        area, right = mean_auroc(data, runs), mean_accuracy(data, runs)
        rows.append(
            {"start": start, "number": number or whole, **columns("auroc", area), "seeds_low": min(each),
             "seeds_high": max(each), **columns("accuracy", right), "n_test": area.n}
        )  # fmt: skip
        cells_shown.append(
            (number or whole, start, shown(area), f"{min(each):.3f} – {max(each):.3f}", shown(right))
        )
    frame = pd.DataFrame(rows)
    heads = ("labels", "start", "AUROC (95 %)", "seeds from – to", "accuracy (95 %)")
    lines = [
        *primary(plan, data, done),
        *gains(plan, data, done),
        *markdown(heads, cells_shown),
        "",
        NOTE,
    ]
    figure, (axes,) = panels(1, 5.2, 3.6)
    draw_by_number(axes, frame, "auroc", "labelled images")
    axes.set_ylabel("AUROC on test rows, mean of seeds")
    axes.legend(frameon=False)
    publish(plan, frame, lines, figure, "AUROC by number of labels")


NOTE = (
    "Intervals are over patients of the test rows, for the networks as they were trained; the spread of the seeds stands "
    "beside. `shortcut` is a linear model on the files' size, aspect ratio, bytes and power spectrum, fitted on the "
    "same labelled images: a network that does not beat it may be reading the file and not the chest. Accuracy is at a "
    "threshold from validation rows (Youden's)."
)


def primary(plan: Plan, data: Data, done: Cells) -> list[str]:
    """The comparison that was named before the first run, and the same in accuracy."""
    told = plan["primary"]
    first, second = ((told[who], told["labels"]) for who in ("first", "second"))
    if first not in done or second not in done:
        return ["The primary comparison's cells are not all there yet.", ""]
    number = told["labels"] or "all"
    gain = mean_auroc(data, done[first], done[second])
    right = mean_accuracy(data, done[first], done[second])
    return [
        f"Primary comparison: AUROC with {number} labels, {told['first']} minus {told['second']}, mean of "
        f"{len(plan['seeds'])} seeds: **{gain.value:+.3f}** (95 % interval {gain.low:+.3f} to {gain.high:+.3f}, {gain.n} test "
        f"images; {gain.method}).",
        "",
        f"Accuracy with {number} labels, {told['first']} minus {told['second']}: {shown(right, signed=True)}"
        f"{plan.get('remark', '.')}",
        "",
    ]


def gains(plan: Plan, data: Data, done: Cells) -> list[str]:
    """The same difference for the other numbers of labels."""
    told = plan["primary"]
    lines = []
    for number in sorted(
        {number for _, number in done if number != told["labels"]}, key=lambda n: n or 10**9
    ):
        first, second = (told["first"], number), (told["second"], number)
        if first in done and second in done:
            gain = shown(mean_auroc(data, done[first], done[second]), signed=True)
            lines.append(
                f"- AUROC with {number or 'all'} labels, {told['first']} minus {told['second']}: {gain}"
            )
    return [*lines, ""] if lines else []


if __name__ == "__main__":
    run_grid(__doc__ or "", "labels", Data, run_cell, write_results)
