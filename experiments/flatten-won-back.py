"""Read photos of test x-rays as they are and straightened, with one threshold and with one a domain; write table and figure.

usage: python experiments/flatten-won-back.py experiments/flatten-won-back.toml [--table]

What is done is not done again. Everything that decides is in the file; nothing is chosen on test rows. Photos are read by the
same code as `radsnap predict` and `radsnap predict --flatten`.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from labbook import Plan, columns, contrast, kept, labelled, markdown, opened, panels, publish, shown, spread
from matplotlib.figure import Figure

import radsnap.flatten
from radsnap.flatten.quad import POSSIBLE
from radsnap.jobs.predict import score_manifest
from radsnap.measure import auroc, choose_threshold, mcc
from radsnap.models.card import read_card, sha256_of
from radsnap.models.runtime import load, locate
from radsnap.tables import Manifest, read_manifest, write_manifest

ARMS = ("as it is", "own threshold", "straightened", "straightened, own threshold")
WON = 0.6


@dataclass(frozen=True, eq=False)
class Read:
    """What the network says of one domain's photos: logits (N,) by arm, and the threshold of each arm."""

    logits: dict[str, np.ndarray]
    bars: dict[str, float]
    how: pd.Series

    def calls(self, arm: str) -> np.ndarray:
        return np.asarray(self.logits[arm] >= self.bars[arm], float)


def main() -> None:
    plan, _ = opened(__doc__ or "")
    test, truth = labelled(plan, plan["source"], "test")
    val, val_truth = labelled(plan, plan["source"], "val")
    digital = said(plan, test, "test-digital")[0]
    bar = threshold(val_truth, said(plan, val, "val-digital")[0])
    patients = test.frame["patient_id"].to_numpy()
    rows, lines = [], []
    calls = (digital >= bar).astype(float)
    rows.append({"photos": "none (digital)", "arm": "as it is", "n": len(truth)}
                | columns("auroc", contrast(auroc, truth, patients, [(1.0, digital)]))
                | columns("mcc", contrast(mcc, truth, patients, [(1.0, calls)])))  # fmt: skip
    for name, told in plan["domains"].items():
        read = asked(plan, told, test, (val, val_truth), bar)
        seen = {"recipe": told["recipe"], "level": told["level"], "photos": name}
        for arm in ARMS:
            area = contrast(auroc, truth, patients, [(1.0, read.logits[arm])])
            match = contrast(mcc, truth, patients, [(1.0, read.calls(arm))])
            rows.append({**seen, "arm": arm, "n": area.n} | columns("auroc", area) | columns("mcc", match))
        lines += won_back(name, read, truth, patients, calls)
    frame = pd.DataFrame(rows)
    heads = ("photos", "read", "n", "AUROC (95 %)", "MCC (95 %)")
    publish(plan, frame, [*lines, "", *markdown(heads, [cells_of(row) for row in frame.itertuples()]), "", NOTE],
            drawn(frame), "MCC of photos by the way they are read")  # fmt: skip


def asked(
    plan: Plan, told: dict[str, Any], test: Manifest, val: tuple[Manifest, np.ndarray], bar: float
) -> Read:
    """Read one domain's photos of test and validation rows both ways."""
    where = f"{told['recipe']}-{told['level']}"
    photos = photographed(plan, told, test, "test", told["seed"])
    judged = photographed(plan, told, val[0], "val", told["validation_seed"])
    plain, _ = said(plan, photos, f"test-{where}")
    flat, how = said(plan, photos, f"test-{where}", flatten=True)
    bars = [
        threshold(val[1], said(plan, judged, f"val-{where}", flatten=flatten)[0]) for flatten in (False, True)
    ]
    logits = dict(zip(ARMS, (plain, plain, flat, flat), strict=True))
    return Read(logits, dict(zip(ARMS, (bar, bars[0], bar, bars[1]), strict=True)), how)


def won_back(name: str, read: Read, truth: np.ndarray, patients: np.ndarray, calls: np.ndarray) -> list[str]:
    """Say what is lost, what each arm wins back, and whether the goal is met."""
    plain, won = read.calls(ARMS[0]), read.calls(ARMS[-1])
    lost = contrast(mcc, truth, patients, [(1.0, calls), (-1.0, plain)])
    ways = ", ".join(f"{count} {way}" for way, count in read.how.value_counts().items())
    lines = [f"- MCC lost on {name} photos: {shown(lost, signed=True)} ({ways})"]
    for arm in ARMS[1:]:
        gain = contrast(mcc, truth, patients, [(1.0, read.calls(arm)), (-1.0, plain)])
        lines.append(f"- won back on {name} photos, {arm}: {shown(gain, signed=True)}")
    over = contrast(mcc, truth, patients, [(1.0, won), (-WON, calls), (WON - 1.0, plain)])
    share = (np.nan if lost.value == 0 else
             contrast(mcc, truth, patients, [(1.0, won), (-1.0, plain)]).value / lost.value)  # fmt: skip
    claim = "nothing is claimed: the loss's interval includes 0" if lost.low <= 0 else (
        "the goal is met" if over.low > 0 else "the goal is not shown")  # fmt: skip
    lines.append(
        f"- {name} photos: {share:.0%} of the loss; beyond {WON:.0%} of it by {shown(over, signed=True)}: {claim}"
    )
    return lines


def said(plan: Plan, manifest: Manifest, where: str, flatten: bool = False) -> tuple[np.ndarray, pd.Series]:
    """What the network says of rows, logits (N,), and how each photo was read; kept by the weights that took part."""
    network = load(plan["card"])
    names = ["corners", "borders", "upright"] if flatten else []
    parts = [network.card.sha256[:8], *(read_card(locate(name)).sha256[:6] for name in names)]
    if flatten:  # the confidence decides which of several ends is taken, and whether any is
        parts += [sha256_of(Path(radsnap.flatten.__file__).with_name("confidence.json"))[:6], str(POSSIBLE)]
    key = "-".join(parts)
    folder = Path(plan["runs"]) / "said"
    notes = folder / f"{where}-{key}.csv"

    def say() -> np.ndarray:
        print(f"reading {where}{', straightened' * flatten}", flush=True)
        scores = score_manifest(network, manifest, flatten=flatten)
        if scores.faults:
            raise SystemExit(f"{where}: {next(iter(scores.faults.values()))}")
        how = [scores.notes[one].flatten if one in scores.notes else "as it is" for one in scores.image_ids]
        pd.Series(how).to_csv(notes, index=False)
        column = network.card.head("findings").classes.index(plan["label"])
        return scores.logits[:, column].astype(float)

    logits = kept(folder / f"{where}-{key}.npy", say)
    return logits, pd.read_csv(notes).iloc[:, 0]


def photographed(plan: Plan, told: dict[str, Any], digital: Manifest, split: str, seed: int) -> Manifest:
    """The photos of rows, one of each, in their order; test photos are shared with other experiments."""
    recipe, level, ending = told["recipe"], told["level"], "" if split == "test" else f"-{split}"
    folder = Path(plan["photos"]) / f"{plan['source']}-{recipe}-{level}{ending}"
    if not (folder / "manifest.csv").exists():
        listed = Path(plan["runs"]) / f"{split}-digital.csv"
        listed.parent.mkdir(parents=True, exist_ok=True)
        write_manifest(digital, listed)
        words = ("photograph", listed, folder, "--recipe", recipe, "--level", level, "--seed", seed)
        subprocess.run([sys.executable, "-m", "radsnap", *map(str, words)], check=True)
    photos = read_manifest(folder / "manifest.csv")
    place = pd.Series(np.arange(len(photos)), index=photos.frame["source_image_id"])
    wanted = place[digital.frame["image_id"]].to_numpy()
    return Manifest(photos.frame.iloc[wanted].reset_index(drop=True), photos.root)


def threshold(truth: np.ndarray, logits: np.ndarray) -> float:
    return float(choose_threshold(truth, logits, "youden"))


def cells_of(row: Any) -> tuple[object, ...]:
    area = f"{row.auroc:.3f} ({row.auroc_low:.3f} – {row.auroc_high:.3f})"
    return row.photos, row.arm, row.n, area, f"{row.mcc:.3f} ({row.mcc_low:.3f} – {row.mcc_high:.3f})"


def drawn(frame: pd.DataFrame) -> Figure:
    """MCC by level, a panel a recipe and a line an arm, the digital rows as a dotted line."""
    digital, photos = float(frame["mcc"].iloc[0]), frame.iloc[1:]
    recipes = list(dict.fromkeys(photos["recipe"]))
    figure, places = panels(len(recipes), 4.2 * len(recipes))
    for axes, recipe in zip(places, recipes, strict=True):
        for shift, arm in zip((-0.09, -0.03, 0.03, 0.09), ARMS, strict=True):
            part = photos[(photos["recipe"] == recipe) & (photos["arm"] == arm)].sort_values("level")
            axes.errorbar(
                part["level"] + shift,
                part["mcc"],
                spread(part, "mcc"),
                fmt="o-",
                markersize=3,
                capsize=2,
                label=arm,
            )
        axes.axhline(digital, color="0.5", linestyle=":", label="digital")
        axes.set_xticks(sorted(set(photos["level"])))
        axes.set_xlabel("level")
        axes.set_ylabel("MCC")
        axes.set_title(f"photos of {'screens' if recipe == 'screen' else 'films'}", fontsize=9)
        axes.set_ylim(0, 1)
    figure.legend(
        *places[0].get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center", ncols=3
    )
    return figure


NOTE = (
    "Intervals: 95 %, 2000 resamples of patients, paired, for the network as it was trained (one seed). "
    "'as it is' and 'straightened' use the threshold from digital validation rows; 'own threshold' the one from photos of "
    "validation rows of that domain, read the same way. Photos are simulated: `radsnap photograph`, one of each x-ray a level."
)


if __name__ == "__main__":
    main()
