"""Train networks that differ in one thing, test them on x-rays and on photos of the same, write table and figure.

usage: python experiments/compare-networks.py experiments/photo-augment.toml [--only NETWORK] [--table]

What is done is not done again; --table makes table and figure from what is there. Everything that decides is in the
file; nothing is chosen on test rows. Networks are read as they ship (int8), by the same code as `radsnap predict`.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from labbook import (
    SHORTCUT,
    Plan,
    columns,
    contrast,
    file_features,
    kept,
    labelled,
    markdown,
    opened,
    panels,
    publish,
    shortcut_model,
    shown,
    spread,
)
from matplotlib.figure import Figure
from scipy.special import logit

from radsnap.jobs.predict import score_manifest
from radsnap.measure import Estimate, Metric, auroc, choose_threshold, mcc
from radsnap.models.runtime import load
from radsnap.tables import Manifest, read_manifest, write_manifest


def main() -> None:
    plan, options = opened(__doc__ or "")
    if not options.table:
        for name in plan["networks"]:
            if options.only in (None, name) and not card_of(plan, name).exists():
                train(plan, name)
    if options.only is None:
        write_results(plan)


def radsnap(*words: str) -> None:
    print("radsnap", *words, flush=True)
    subprocess.run([sys.executable, "-m", "radsnap", *words], check=True)


def card_of(plan: Plan, name: str) -> Path:
    network = plan["networks"][name]
    called = network.get("name", f"{Path(plan['results']).name.split('-')[0]}-{name}")
    return Path(network.get("folder", f"{plan['runs']}/{name}")) / f"{called}.card.json"


def train(plan: Plan, name: str) -> None:
    card, network = card_of(plan, name), plan["networks"][name]
    radsnap(
        *("train", "findings", "--data", plan["data"], "--source", network["source"]),
        *("-o", str(card.parent), "--labels", plan["label"]),
        *("--name", card.name.removesuffix(".card.json"), *plan["training"]["options"], *network["options"]),
    )


@dataclass(frozen=True, eq=False)
class Test:
    """A test set in the order of its digital rows: truth and patients (N,); whether it is photos."""

    name: str
    source: str
    photos: bool
    manifest: Manifest
    truth: np.ndarray
    patients: np.ndarray

    @property
    def file_name(self) -> str:
        return self.name.replace(", ", "-")


def test_of(plan: Plan, name: str) -> Test:
    """Read a test set; its photos are made once."""
    told = plan["tests"][name]
    digital, truth = labelled(plan, told["source"], "test")
    manifest = photos_of(plan, told, digital) if "recipe" in told else digital
    patients = digital.frame["patient_id"].to_numpy()
    return Test(name, told["source"], "recipe" in told, manifest, truth, patients)


def photos_of(plan: Plan, told: dict[str, Any], digital: Manifest) -> Manifest:
    """The photos of rows, one of each, in their order."""
    folder = Path(plan["photos"]) / f"{told['source']}-{told['recipe']}-{told['level']}"
    if not (folder / "manifest.csv").exists():
        listed = folder.parent / f"{told['source']}-test.csv"
        listed.parent.mkdir(parents=True, exist_ok=True)
        write_manifest(digital, listed)
        radsnap(
            *("photograph", str(listed), str(folder), "--recipe", told["recipe"]),
            *("--level", str(told["level"]), "--seed", str(told["seed"])),
        )
    photos = read_manifest(folder / "manifest.csv")
    place = pd.Series(np.arange(len(photos)), index=photos.frame["source_image_id"])
    wanted = place[digital.frame["image_id"]].to_numpy()
    return Manifest(photos.frame.iloc[wanted].reset_index(drop=True), photos.root)


def logits(plan: Plan, name: str, manifest: Manifest, where: str) -> np.ndarray:
    """What a network says of rows (N,), kept by the hash of its weights."""
    network = load(card_of(plan, name))

    def say() -> np.ndarray:
        scores = score_manifest(network, manifest)
        if scores.faults:
            raise SystemExit(f"{where}: {scores.faults[0]}")
        return scores.logits[:, network.card.head("findings").classes.index(plan["label"])].astype(float)

    return kept(Path(plan["runs"]) / "said" / f"{name}-{network.card.sha256[:8]}-{where}.npy", say)


@dataclass(eq=False)
class Found:
    """What the networks that are trained say: logits and decisions (N,) by network and test."""

    plan: Plan
    tests: dict[str, Test]
    said: dict[tuple[str, str], np.ndarray]
    called: dict[tuple[str, str], np.ndarray]

    @property
    def networks(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in self.said))

    def weigh(self, metric: Metric, test: str, *terms: tuple[float, str, str]) -> Estimate:
        """Add up a metric of (share, network, test) on the rows of a test, whose photos are the same rows."""
        of = self.said if metric is auroc else self.called
        rows = self.tests[test]
        return contrast(
            metric, rows.truth, rows.patients, [(share, of[name, where]) for share, name, where in terms]
        )


def ask_all(plan: Plan) -> Found:
    """Ask every trained network about every test."""
    found = Found(plan, {name: test_of(plan, name) for name in plan["tests"]}, {}, {})
    for name in plan["networks"]:
        if not card_of(plan, name).exists():
            print(f"{name} is not trained yet: left out")
            continue
        bar = threshold_of(plan, name)
        for where, test in found.tests.items():
            found.said[name, where] = logits(plan, name, test.manifest, test.file_name)
            found.called[name, where] = (found.said[name, where] >= bar).astype(float)
    return found


def threshold_of(plan: Plan, name: str) -> float:
    """The logit from which a network says yes, the same on all tests.

    Youden's on digital validation rows, and on photos of them where the network's `thresholds_on` names some; or, where
    the plan says so, the operating point of the network's card.
    """
    network = plan["networks"][name]
    if plan.get("threshold") == "card":
        point = load(card_of(plan, name)).card.domains["digital"].operating_points[plan["label"]]
        return float(logit(point.score))
    sets = {f"val-{network['source']}": labelled(plan, network["source"], "val")}
    if photos := network.get("thresholds_on"):
        sets["val-photos"] = labelled(plan | {"data": photos}, network["source"], "val")
    said = [logits(plan, name, manifest, where) for where, (manifest, _) in sets.items()]
    truth = np.concatenate([truth for _, truth in sets.values()])
    return float(choose_threshold(truth, np.concatenate(said), "youden"))


def shortcut_rows(plan: Plan, found: Found) -> list[dict[str, Any]]:
    """What a linear model on files' properties reaches, fitted on each source's training rows."""
    folder = Path(plan["runs"]) / "said"
    rows = []
    for source in dict.fromkeys(network["source"] for network in plan["networks"].values()):
        training, truth = labelled(plan, source, "train")
        say = shortcut_model(file_features(training, folder / f"shortcut-train-{source}.npy"), truth)
        for test in found.tests.values():
            if not test.photos:
                scores = say(file_features(test.manifest, folder / f"shortcut-{test.file_name}.npy"))
                area = contrast(auroc, test.truth, test.patients, [(1.0, scores)])
                rows.append(
                    {"network": SHORTCUT, "trained_on": source, "test": test.name, "n": area.n}
                    | columns("auroc", area)
                )
    return rows


def write_results(plan: Plan) -> None:
    """Write the table (markdown and CSV) and the figure."""
    found = ask_all(plan)
    rows = []
    for name in found.networks:
        for where in found.tests:
            area = found.weigh(auroc, where, (1.0, name, where))
            match = found.weigh(mcc, where, (1.0, name, where))
            told = {"network": name, "trained_on": plan["networks"][name]["source"], "test": where}
            rows.append(told | {"n": area.n} | columns("auroc", area) | columns("mcc", match))
    frame = pd.DataFrame(rows + shortcut_rows(plan, found))
    lines = won_back(found, plan["base"]) if plan["base"] else drifted(found)
    heads = ("network", "trained on", "test rows", "n", "AUROC (95 %)", "MCC (95 %)")
    publish(
        plan, frame, [*lines, "", *markdown(heads, [cells_of(row) for row in frame.itertuples()]), "", NOTE],
        drawn(frame), "MCC and AUROC of each network",
    )  # fmt: skip


NOTE = (
    "Intervals: 95 %, 2000 resamples of patients, for the networks as they were trained (one seed). MCC is at one threshold per "
    "network, chosen on validation rows: digital ones, or (names with +) digital ones and photos of them. `shortcut` is a linear model on the files' size, aspect ratio, bytes "
    "and power spectrum, fitted on the training rows of the source named beside it: a network that does not beat it may be "
    "reading the file and not the chest. Photos, where there are any, are simulated: `radsnap photograph`, one of each test x-ray."
)


def cells_of(row: Any) -> tuple[object, ...]:
    match = "" if np.isnan(row.mcc) else f"{row.mcc:.3f} ({row.mcc_low:.3f} – {row.mcc_high:.3f})"
    area = f"{row.auroc:.3f} ({row.auroc_low:.3f} – {row.auroc_high:.3f})"
    return row.network, row.trained_on, row.test, row.n, area, match


def won_back(found: Found, base: str) -> list[str]:
    """Say what the base network loses on photos, and how much of it each other one wins back."""
    others = [name for name in found.networks if name != base]
    digital = next(where for where, test in found.tests.items() if not test.photos)
    lines = []
    for name in others:
        kept_up = found.weigh(auroc, digital, (1.0, name, digital), (-1.0, base, digital))
        lines.append(f"- AUROC on digital rows, `{name}` minus `{base}`: {shown(kept_up, signed=True)}")
    for where, test in found.tests.items():
        if not test.photos:
            continue
        lost = found.weigh(mcc, where, (1.0, base, digital), (-1.0, base, where))
        lines.append(f"- MCC that `{base}` loses on {where} photos: {shown(lost, signed=True)}")
        for name in others:
            won = found.weigh(mcc, where, (1.0, name, where), (-1.0, base, where))
            half = found.weigh(mcc, where, (1.0, name, where), (-0.5, base, digital), (-0.5, base, where))
            lines.append(
                f"  - `{name}` wins back {shown(won, signed=True)}, {share_of(won, lost)}; above half of it by "
                f"{shown(half, signed=True)}: **{verdict(half, lost)}**"
            )
    return lines


def share_of(won: Estimate, lost: Estimate) -> str:
    return f"{won.value / lost.value:.0%} of the loss" if lost.low > 0 else "no share, as the loss includes 0"


def verdict(half: Estimate, lost: Estimate) -> str:
    """A claim needs a loss, and an interval above half of it."""
    if lost.low <= 0:
        return "no claim"
    return "wins back at least half" if half.low > 0 else "half is not shown"


def drifted(found: Found) -> list[str]:
    """Say what another source costs each network beside its twin trained there, and what photos cost at home."""
    networks = found.plan["networks"]
    lines = []
    for where, test in found.tests.items():
        for name in found.networks:
            twin = twin_at(found, name, test.source)
            if test.photos or twin in (None, name):
                continue
            lost = found.weigh(auroc, where, (1.0, name, where), (-1.0, twin, where))
            lines.append(f"- AUROC on {where}, `{name}` minus `{twin}`: {shown(lost, signed=True)}")
    for name in found.networks:
        home = networks[name]["source"]
        digital = next(w for w, test in found.tests.items() if test.source == home and not test.photos)
        for where, test in found.tests.items():
            if test.photos and test.source == home:
                lost = found.weigh(auroc, where, (1.0, name, where), (-1.0, name, digital))
                bars = found.weigh(mcc, where, (1.0, name, where), (-1.0, name, digital))
                lines.append(
                    f"- `{name}`, {where} minus {digital}: AUROC {shown(lost, signed=True)}, MCC at its fixed threshold "
                    f"{shown(bars, signed=True)}"
                )
    return lines


def twin_at(found: Found, name: str, source: str) -> str | None:
    """The network trained alike (same `kind`, where kinds are named) on another source."""
    networks = found.plan["networks"]
    for other in found.networks:
        alike = networks[other].get("kind") == networks[name].get("kind")
        if alike and networks[other]["source"] == source:
            return other
    return None


def drawn(frame: pd.DataFrame) -> Figure:
    """MCC and AUROC of each network on each test set, with intervals."""
    tests = list(dict.fromkeys(frame["test"]))
    figure, row = panels(2, 2.6 + 1.5 * len(tests), 3.8)
    names = [name for name in dict.fromkeys(frame["network"]) if name != SHORTCUT]
    for axes, measure in zip(row, ("mcc", "auroc"), strict=True):
        for shift, name in enumerate(names):
            part = frame[frame["network"] == name].set_index("test").loc[tests]
            at = np.arange(len(tests)) + 0.14 * (shift - (len(names) - 1) / 2)
            axes.errorbar(at, part[measure], spread(part, measure), fmt="o", capsize=3, label=name)
        axes.set_xticks(range(len(tests)), [one.replace(", ", ",\n") for one in tests])
    row[0].set_ylabel("MCC at a fixed threshold")
    row[1].set_ylabel("AUROC")
    for style, (source, part) in zip(
        "xd+s", frame[frame["network"] == SHORTCUT].groupby("trained_on"), strict=False
    ):
        at = [tests.index(one) for one in part["test"]]
        row[1].plot(at, part["auroc"], style, color="0.5", label=f"{SHORTCUT}, {source}")
    row[1].legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    main()
