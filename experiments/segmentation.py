"""Train every cell of a grid (start × number of masks × seed) for lung masks, then write table and figure.

usage: python experiments/segmentation.py experiments/segmentation.toml [--only START] [--table]

A cell that is done is not run again; --table makes table and figure from the cells at hand. Everything that decides
is in the file; nothing is chosen on test rows.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from radsnap.jobs.train_lungs import mask_rows
from radsnap.learn.augment import Augmentation
from radsnap.learn.loop import fit
from radsnap.learn.optimiser import Schedule
from radsnap.learn.segmentation import MaskDraws, Masks, dice_of, mask_objective, read_masks
from radsnap.learn.start import start_from
from radsnap.measure import replicate, resample, summarise
from radsnap.models.card import InputSpec
from radsnap.models.networks_unet import SEGMENTERS, ViTSegmenter
from radsnap.seeds import stream
from radsnap.tables import Manifest, read_manifest, sources

CLASSES = ("lungs",)
MARGIN = 1.15
REPLICATES = 2000
Plan = dict[str, Any]
Said = dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("--only", help="run the cells of this start alone, and write no table")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    plan = tomllib.loads(options.plan.read_text())
    data = Data(plan)
    if not options.table:
        for number in plan["masks"]:
            for seed in plan["seeds"]:
                for name in plan["starts"]:
                    if options.only in (None, name):
                        run_cell(plan, data, name, number, seed)
    if options.only is None:
        write_results(plan, data)


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


def cell_file(plan: Plan, start: str, number: int, seed: int) -> Path:
    return Path(plan["runs"]) / f"{start}-{number or 'all'}-{seed}.json"


def run_cell(plan: Plan, data: Data, start: str, number: int, seed: int) -> None:
    """Train one cell and keep the Dice of every test row."""
    file = cell_file(plan, start, number, seed)
    if file.exists():
        return
    torch.manual_seed(int(stream(seed, "weights").integers(2**63)))
    made = plan["starts"][start]
    network = SEGMENTERS[made["network"]](len(CLASSES), plan["size_px"])
    if made["weights"]:
        if not isinstance(network, ViTSegmenter):
            raise SystemExit(f"[starts.{start}] names weights, which only a transformer takes")
        print(start_from(network.encoder, Path(made["weights"])), flush=True)
    rows = data.masks(plan["source"], "train")
    chances = np.zeros(len(rows))
    order = stream(seed, "masks", number).permutation(len(rows))
    chances[order[: number or len(rows)]] = 1 / (number or len(rows))
    training = Masks(rows.classes, rows.pictures, rows.masks, rows.known, chances, rows.groups)
    validation = data.masks(plan["source"], "val")
    best = fit(
        network,
        mask_objective(CLASSES),
        MaskDraws.of(training, Augmentation(photo=(), **plan["augmentation"]), data.spec, seed),
        lambda net: {"figure": float(np.nanmean(dice_of(net, validation, data.spec)))},
        Schedule(workers=0, seed=seed, **plan["schedule"]),
        file.with_suffix(""),
        lambda step: None,
        f"{start} {made} {number}",
    )
    network.load_state_dict(best)
    said = {
        name: dice_of(network, data.masks(source, "test"), data.spec)[:, 0].astype(float).tolist()
        for name, source in plan["tests"].items()
    }
    file.with_suffix(".half").write_text(json.dumps(said))
    file.with_suffix(".half").replace(file)
    (file.with_suffix("") / "last.ckpt").unlink()
    print(f"{file.stem}: done", flush=True)


def mean_dice(plan: Plan, data: Data, test: str, runs: list[Said], less: list[Said] | None = None):
    """Mean Dice over rows and seeds, or its difference from others', with an interval over patients."""
    patients = data.part(plan["tests"][test], "test").frame["patient_id"].to_numpy()
    values = np.mean([run[test] for run in runs], axis=0)
    if less is not None:
        values = values - np.mean([run[test] for run in less], axis=0)
    drawing = resample(patients, REPLICATES)
    drawn = replicate([lambda weights: (values @ weights) / weights.sum(axis=0)], drawing.blocks())[:, 0]
    return summarise(float(values.mean()), drawn, drawing, len(values), difference=less is not None)


def write_results(plan: Plan, data: Data) -> None:
    """Write the table (markdown and CSV) and the figure."""
    done: dict[tuple[str, int], list[Said]] = {}
    for start in plan["starts"]:
        for number in plan["masks"]:
            files = [cell_file(plan, start, number, seed) for seed in plan["seeds"]]
            if all(file.exists() for file in files):
                done[start, number] = [json.loads(file.read_text()) for file in files]
    if not done:
        raise SystemExit("no cell is done yet")
    whole = len(data.part(plan["source"], "train"))
    rows = []
    for (start, number), runs in done.items():
        for test in plan["tests"]:
            mean = mean_dice(plan, data, test, runs)
            each = [float(np.mean(run[test])) for run in runs]
            rows.append(
                {
                    "masks": number or whole, "start": start, "test": test, "dice": mean.value, "low": mean.low,
                    "high": mean.high, "seeds_low": min(each), "seeds_high": max(each), "n_test": mean.n,
                }
            )  # fmt: skip
    table = pd.DataFrame(rows).sort_values(["test", "masks", "start"])
    target = Path(plan["results"])
    target.parent.mkdir(parents=True, exist_ok=True)
    table.round(4).to_csv(target.with_suffix(".csv"), index=False)
    lines = [f"# {plan['title']}", "", *_primary(plan, data, done)]
    lines += ["| tested on | masks | start | Dice (95 %) | seeds from – to |", "|---|---|---|---|---|"]
    for row in table.itertuples():
        lines.append(
            f"| {row.test} ({row.n_test}) | {row.masks} | {row.start} | {row.dice:.3f} ({row.low:.3f} – {row.high:.3f}) | "
            f"{row.seeds_low:.3f} – {row.seeds_high:.3f} |"
        )
    lines += [
        "",
        f"Networks of {plan['size_px']} px, trained on adults' masks alone; Dice at that size, before the largest regions are "
        "chosen. Intervals are over patients of the test rows, for the networks as they were trained; the spread of the "
        "seeds stands beside.",
        "",
        f"![Dice by number of masks]({target.name}.png)",
        "",
    ]
    target.with_suffix(".md").write_text("\n".join(lines))
    draw(table, target.with_suffix(".png"), plan["title"])
    print("\n".join(lines))


def _primary(plan: Plan, data: Data, done: dict[tuple[str, int], list[Said]]) -> list[str]:
    primary = plan["primary"]
    first, second = ((primary[who], primary["masks"]) for who in ("first", "second"))
    if first not in done or second not in done:
        return ["The primary comparison's cells are not all there yet.", ""]
    gain = mean_dice(plan, data, primary["test"], done[first], done[second])
    return [
        f"Primary comparison: Dice on {primary['test']} with {primary['masks']} adults' masks, {first[0]} minus {second[0]}, "
        f"mean of {len(plan['seeds'])} seeds: **{gain.value:+.3f}** "
        f"(95 % interval {gain.low:+.3f} to {gain.high:+.3f}, {gain.n} test images; {gain.method}).",
        "",
    ]


def draw(table: pd.DataFrame, path: Path, title: str) -> None:
    """Dice over the number of masks: a panel a test, a line a start."""
    tests = sorted(table["test"].unique())
    figure, panels = plt.subplots(
        1, len(tests), figsize=(4 * len(tests), 3.4), sharey=True, layout="constrained", squeeze=False
    )
    places = {number: place for place, number in enumerate(sorted(table["masks"].unique()))}
    for axes, test in zip(panels[0], tests, strict=True):
        for shift, (start, part) in enumerate(table[table["test"] == test].groupby("start")):
            at = [places[number] + 0.06 * (shift - 1) for number in part["masks"]]
            spread = [part["dice"] - part["low"], part["high"] - part["dice"]]
            axes.errorbar(at, part["dice"], spread, marker="o", capsize=3, label=start)
        axes.set_xticks(list(places.values()), [str(number) for number in places])
        axes.set_xlabel("adults' masks")
        axes.set_title(f"tested on {test}", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_ylabel("Dice, mean of seeds")
    panels[0, -1].legend(frameon=False)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=160)


if __name__ == "__main__":
    main()
