"""Fine-tune every cell of a grid (start × number of labels × seed), then write table and figure.

usage: python experiments/few-labels.py experiments/few-labels.toml [--only START] [--table]

A cell that is done is not run again; --table makes table and figure from the cells at hand. Everything that decides is in
the file; nothing is chosen on test rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from radsnap.learn.augment import Augmentation
from radsnap.learn.data import Draws, Rows
from radsnap.learn.judge import logits_of
from radsnap.learn.loop import fit
from radsnap.learn.objectives import heads_objective
from radsnap.learn.optimiser import Schedule
from radsnap.learn.pictures import Pictures, refuse_faults
from radsnap.learn.start import start_from
from radsnap.measure import (
    auroc,
    choose_threshold,
    estimate,
    replicate,
    resample,
    summarise,
    weighted,
)
from radsnap.models.card import Head, InputSpec
from radsnap.models.networks import NETWORKS
from radsnap.seeds import stream
from radsnap.tables import Manifest, labels, paths, read_manifest, sources

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from shortcut import shortcuts

MARGIN = 1.15
REPLICATES = 2000
Plan = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("--only", help="run the cells of this start alone, and write no table")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    plan = tomllib.loads(options.plan.read_text())
    data = Data(plan)
    if not options.table:
        for number in plan["labels"]:
            for seed in plan["seeds"]:
                for start, weights in plan["starts"].items():
                    if options.only in (None, start):
                        run_cell(plan, data, start, weights, number, seed)
    if options.only is None:
        write_results(plan, data)


class Data:
    """The rows of the three splits, and the pictures once they are asked for."""

    def __init__(self, plan: Plan) -> None:
        manifest = read_manifest(plan["data"])
        manifest = manifest.rows((sources(manifest) == plan["source"]).to_numpy())
        self.spec = InputSpec(size_px=plan["network"]["size_px"])
        self.parts: dict[str, Manifest] = {}
        self.truth: dict[str, np.ndarray] = {}
        for split in ("train", "val", "test"):
            part = manifest.where(split=split)
            truth = labels(part, (plan["label"],), uncertain="ignore")
            known = ~np.isnan(truth[:, 0])
            self.parts[split], self.truth[split] = part.rows(known), truth[known]
        self._rows: dict[str, Rows] = {}

    def patients(self, split: str) -> np.ndarray:
        return self.parts[split].frame["patient_id"].to_numpy()

    def rows(self, split: str) -> Rows:
        if split not in self._rows:
            side = round(self.spec.size_px * (MARGIN if split == "train" else 1.0))
            pictures = Pictures(self.parts[split], side)
            refuse_faults(pictures.check(lambda done, total: None))
            self._rows[split] = Rows(pictures, self.truth[split], np.ones(len(pictures)), self.spec)
        return self._rows[split]

    def labelled(self, number: int, seed: int) -> np.ndarray:
        """Choose so many children, one image each, in the proportion of the two classes; 0 gives all images."""
        truth, patients = self.truth["train"][:, 0], self.patients("train")
        if number == 0:
            return np.arange(len(truth))
        rng = stream(seed, "labelled", number)
        order = rng.permutation(len(truth))
        first = pd.Series(patients[order]).drop_duplicates().index
        singles = order[first]
        ill = round(number * truth.mean())
        chosen = [singles[truth[singles] == 1][:ill], singles[truth[singles] == 0][: number - ill]]
        return np.concatenate(chosen)


def cell_file(plan: Plan, start: str, number: int, seed: int) -> Path:
    return Path(plan["runs"]) / f"{start}-{number or 'all'}-{seed}.json"


def run_cell(plan: Plan, data: Data, start: str, weights: str, number: int, seed: int) -> None:
    """Fine-tune one cell and keep what it says on validation and test rows."""
    file = cell_file(plan, start, number, seed)
    if file.exists():
        return
    chosen = data.labelled(number, seed)
    torch.manual_seed(int(stream(seed, "weights").integers(2**63)))
    network = NETWORKS[plan["network"]["name"]](1, data.spec.size_px, 1)
    if weights:
        report = start_from(network, Path(weights))
        print(report, flush=True)
    schedule = Schedule(
        optimiser="adamw",
        workers=0,
        seed=seed,
        draws_per_epoch=plan["draws_per_epoch"]["few" if number else "all"],
        **plan["schedule"],
    )
    chances = np.zeros(len(data.truth["train"]))
    truth = data.truth["train"][chosen, 0]
    chances[chosen] = np.where(truth == 1, 0.5 / (truth == 1).sum(), 0.5 / (truth == 0).sum())
    heads = (Head(name="findings", classes=(plan["label"],), activation="sigmoid"),)
    training = replace(data.rows("train"), weights=chances)
    best = fit(
        network,
        heads_objective(heads),
        Draws.of(training, Augmentation(photo=(), **plan["augmentation"]), seed),
        lambda net: {"figure": auroc(data.truth["val"][:, 0], logits_of(net, data.rows("val"))[0][:, 0])},
        schedule,
        file.with_suffix(""),
        lambda step: None,
        f"{start} {weights} {number}",
    )
    network.load_state_dict(best)
    said = {
        split: logits_of(network, data.rows(split))[0][:, 0].astype(float).tolist()
        for split in ("val", "test")
    }
    file.with_suffix(".half").write_text(json.dumps(said))
    file.with_suffix(".half").replace(file)
    (file.with_suffix("") / "last.ckpt").unlink()
    validation = auroc(data.truth["val"][:, 0], said["val"])
    print(f"{file.stem}: validation AUROC {validation:.3f}", flush=True)


def shortcut_scores(plan: Plan, data: Data) -> dict[int, list[dict[str, list[float]]]]:
    """What a linear model on size, aspect and spectrum says, fitted on the same labelled images."""
    kept = Path(plan["runs"]) / "shortcuts.npz"
    if not kept.exists():
        found = {
            split: np.stack([shortcuts(path) for path in paths(part)]) for split, part in data.parts.items()
        }
        np.savez(kept, allow_pickle=False, **found)
    features = np.load(kept)
    said: dict[int, list[dict[str, list[float]]]] = {}
    for number in plan["labels"]:
        said[number] = []
        for seed in plan["seeds"]:
            chosen = data.labelled(number, seed)
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
            model.fit(features["train"][chosen], data.truth["train"][chosen, 0])
            said[number].append(
                {split: model.decision_function(features[split]).tolist() for split in ("val", "test")}
            )
    return said


def mean_over_seeds(
    data: Data, runs: list[dict[str, list[float]]], less: list[dict[str, list[float]]] | None = None
):
    """The mean AUROC of the seeds' networks, or its difference from others', with an interval over patients."""
    truth, plan = data.truth["test"][:, 0], resample(data.patients("test"), REPLICATES)
    values, columns = [], []
    for sign, group in ((1, runs), (-1, less or [])):
        for run in group:
            values.append(sign * auroc(truth, run["test"]))
            columns.append((sign, weighted(auroc, truth, run["test"])))
    drawn = replicate([column for _, column in columns], plan.blocks())
    signs = np.array([sign for sign, _ in columns])
    return summarise(
        float(np.sum(values)) / len(runs),
        drawn @ signs / len(runs),
        plan,
        len(truth),
        difference=less is not None,
    )


def mean_accuracy(
    data: Data, runs: list[dict[str, list[float]]], less: list[dict[str, list[float]]] | None = None
):
    """The mean accuracy of the seeds' networks, each at its own threshold from validation (Youden's); or a difference."""
    share = correct_share(data, runs) - (0 if less is None else correct_share(data, less))
    return estimate(
        lambda _truth, score: float(np.mean(score)), data.truth["test"][:, 0], share, data.patients("test"),
        replicates=REPLICATES,
    )  # fmt: skip


def correct_share(data: Data, runs: list[dict[str, list[float]]]) -> np.ndarray:
    """For each test image the share of the seeds' networks that are right about it."""
    correct = []
    for run in runs:
        bar = choose_threshold(data.truth["val"][:, 0], run["val"], "youden")
        correct.append((np.array(run["test"]) >= bar) == (data.truth["test"][:, 0] == 1))
    return np.mean(correct, axis=0)


def write_results(plan: Plan, data: Data) -> None:
    """Write the table (markdown and CSV) and the figure."""
    done: dict[tuple[str, int], list[dict[str, list[float]]]] = {}
    for start in plan["starts"]:
        for number in plan["labels"]:
            files = [cell_file(plan, start, number, seed) for seed in plan["seeds"]]
            if all(file.exists() for file in files):
                done[start, number] = [json.loads(file.read_text()) for file in files]
    for number, said in shortcut_scores(plan, data).items():
        done["shortcut", number] = said
    rows = []
    for (start, number), runs in done.items():
        each = [auroc(data.truth["test"][:, 0], run["test"]) for run in runs]
        area, right = mean_over_seeds(data, runs), mean_accuracy(data, runs)
        rows.append(
            {
                "start": start, "labels": number or len(data.truth["train"]), "auroc": area.value, "low": area.low,
                "high": area.high, "seeds_low": min(each), "seeds_high": max(each), "accuracy": right.value,
                "accuracy_low": right.low, "accuracy_high": right.high, "n_test": area.n,
            }
        )  # fmt: skip
    table = pd.DataFrame(rows).sort_values(["labels", "start"])
    primary = plan["primary"]
    first, second = ((primary[who], primary["labels"]) for who in ("first", "second"))
    target = Path(plan["results"])
    target.parent.mkdir(parents=True, exist_ok=True)
    table.round(4).to_csv(target.with_suffix(".csv"), index=False)
    lines = [f"# {plan['title']}", ""]
    if first in done and second in done:
        gain = mean_over_seeds(data, done[first], done[second])
        lines += [
            f"Primary comparison: AUROC with {primary['labels']} labels, {primary['first']} minus {primary['second']}, "
            f"mean of {len(plan['seeds'])} seeds: **{gain.value:+.3f}** "
            f"(95 % interval {gain.low:+.3f} to {gain.high:+.3f}, {gain.n} test images; {gain.method}).",
            "",
        ]
        right = mean_accuracy(data, done[first], done[second])
        lines += [
            f"Accuracy with {primary['labels']} children, {primary['first']} minus {primary['second']}: "
            f"{right.value:+.3f} ({right.low:+.3f} to {right.high:+.3f}); the paper claims about 0.25 on its own small "
            "set of children, which is not public.",
            "",
        ]
    lines += [
        "| labels | start | AUROC (95 %) | seeds from – to | accuracy (95 %) |",
        "|---|---|---|---|---|",
    ]
    for row in table.itertuples():
        lines.append(
            f"| {row.labels} | {row.start} | {row.auroc:.3f} ({row.low:.3f} – {row.high:.3f}) | "
            f"{row.seeds_low:.3f} – {row.seeds_high:.3f} | "
            f"{row.accuracy:.3f} ({row.accuracy_low:.3f} – {row.accuracy_high:.3f}) |"
        )
    lines += [
        "",
        "Intervals are over patients of the test rows, for the networks as they were trained; the spread of the seeds stands "
        "beside. `shortcut` is a linear model on the files' size, aspect ratio, bytes and power spectrum, fitted on the "
        "same labelled images: a network that does not beat it may be reading the file and not the chest. Accuracy is at a "
        "threshold from validation rows (Youden's).",
        "",
        f"![AUROC by number of labels]({target.name}.png)",
        "",
    ]
    target.with_suffix(".md").write_text("\n".join(lines))
    draw(table, target.with_suffix(".png"), plan["title"])
    print("\n".join(lines))


def draw(table: pd.DataFrame, path: Path, title: str) -> None:
    """AUROC over the number of labels, a line a start."""
    figure, axes = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    places = {number: place for place, number in enumerate(sorted(table["labels"].unique()))}
    for shift, (start, part) in enumerate(table.groupby("start")):
        at = [places[number] + 0.06 * (shift - 1) for number in part["labels"]]
        spread = [part["auroc"] - part["low"], part["high"] - part["auroc"]]
        style = {"linestyle": ":", "color": "0.5"} if start == "shortcut" else {}
        axes.errorbar(at, part["auroc"], spread, marker="o", capsize=3, label=start, **style)
    axes.set_xticks(list(places.values()), [f"{number:,}" for number in places])
    axes.set_xlabel("labelled images")
    axes.set_ylabel("AUROC on test rows, mean of seeds")
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=160)


if __name__ == "__main__":
    main()
