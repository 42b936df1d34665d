"""Train networks that differ in one thing, test them on x-rays and on photos of the same, write table and figure.

usage: python experiments/compare-networks.py experiments/photo-augment.toml [--only NETWORK] [--table]

What is done is not done again; --table makes table and figure from what is there. Everything that decides is in the
file; nothing is chosen on test rows. Networks are read as they ship (int8), by the same code as `radsnap predict`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from radsnap.jobs.predict import score_manifest
from radsnap.measure import (
    Estimate,
    Metric,
    auroc,
    choose_threshold,
    mcc,
    replicate,
    resample,
    summarise,
    weighted,
)
from radsnap.models.runtime import load
from radsnap.tables import Manifest, labels, paths, read_manifest, sources, write_manifest

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from shortcut import shortcuts

REPLICATES = 2000
Plan = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("--only", help="train this network alone, and write no table")
    parser.add_argument("--table", action="store_true", help="train and photograph nothing")
    options = parser.parse_args()
    plan = tomllib.loads(options.plan.read_text())
    if not options.table:
        for name in plan["networks"]:
            if options.only in (None, name):
                train(plan, name)
    if options.only is None:
        write_results(plan)


def rows(plan: Plan, source: str, split: str | None = None) -> Manifest:
    """The labelled rows of a source."""
    manifest = read_manifest(plan["data"])
    manifest = manifest.rows((sources(manifest) == source).to_numpy())
    manifest = manifest.rows(~np.isnan(labels(manifest, (plan["label"],), uncertain="ignore")[:, 0]))
    return manifest.where(split=split) if split else manifest


def written(plan: Plan, source: str) -> Path:
    """The test rows of a source as a file of their own, for `radsnap photograph`."""
    path = Path(plan["photos"]) / f"{source}-test.csv"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_manifest(rows(plan, source, "test"), path)
    return path


def radsnap(*words: str) -> None:
    print("radsnap", *words, flush=True)
    subprocess.run([sys.executable, "-m", "radsnap", *words], check=True)


def card_of(plan: Plan, name: str) -> Path:
    network = plan["networks"][name]
    called = network.get("name", f"photo-{name}")
    return Path(network.get("folder", f"{plan['runs']}/{name}")) / f"{called}.card.json"


def train(plan: Plan, name: str) -> None:
    card = card_of(plan, name)
    if card.exists():
        return
    network = plan["networks"][name]
    radsnap(
        *("train", "findings", "--data", plan["data"], "--source", network["source"]),
        *("-o", str(card.parent), "--labels", plan["label"]),
        *("--name", card.name.removesuffix(".card.json"), *plan["training"]["options"], *network["options"]),
    )


@dataclass(frozen=True, eq=False)
class Test:
    """A test set in the order of its digital rows: truth and patients (N,)."""

    manifest: Manifest
    truth: np.ndarray
    patients: np.ndarray


def test_of(plan: Plan, name: str) -> Test:
    told = plan["tests"][name]
    digital = rows(plan, told["source"], "test")
    truth = labels(digital, (plan["label"],), uncertain="ignore")[:, 0]
    manifest = digital
    if "recipe" in told:
        folder = Path(plan["photos"]) / f"{told['source']}-{told['recipe']}-{told['level']}"
        if not (folder / "manifest.csv").exists():
            radsnap(
                *("photograph", str(written(plan, told["source"])), str(folder)),
                *("--recipe", told["recipe"], "--level", str(told["level"]), "--seed", str(told["seed"])),
            )
        photos = read_manifest(folder / "manifest.csv")
        place = pd.Series(np.arange(len(photos)), index=photos.frame["source_image_id"])
        manifest = Manifest(
            photos.frame.iloc[place[digital.frame["image_id"]]].reset_index(drop=True), photos.root
        )
    return Test(manifest, truth, digital.frame["patient_id"].to_numpy())


def kept(file: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Read an array, or make it and keep it."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, make())
    return np.load(file)


def logits(plan: Plan, name: str, manifest: Manifest, where: str) -> np.ndarray:
    """What a network says of rows (N,)."""
    card = card_of(plan, name)
    network = load(card)
    file = Path(plan["runs"]) / "said" / f"{name}-{network.card.sha256[:8]}-{where}.npy"

    def say() -> np.ndarray:
        scores = score_manifest(network, manifest)
        assert not scores.faults
        return scores.logits[:, network.card.head("findings").classes.index(plan["label"])].astype(float)

    return kept(file, say)


def shortcut_logits(plan: Plan, source: str, test: Test, where: str) -> np.ndarray:
    """What a linear model on size, aspect, bytes and spectrum says, fitted on a source's training rows."""

    def features(manifest: Manifest) -> np.ndarray:
        return np.stack([shortcuts(path) for path in paths(manifest)])

    training = rows(plan, source, "train")
    folder = Path(plan["runs"]) / "said"
    given = kept(folder / f"shortcut-train-{source}.npy", lambda: features(training))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    model.fit(given, labels(training, (plan["label"],), uncertain="ignore")[:, 0])
    return np.asarray(
        model.decision_function(kept(folder / f"shortcut-{where}.npy", lambda: features(test.manifest)))
    )


def contrast(metric: Metric, test: Test, said: list[tuple[float, np.ndarray]]) -> Estimate:
    """A weighted sum of a metric of several scores on the same rows, under the same resamples of patients."""
    resamples = resample(test.patients, REPLICATES)
    values = [share * metric(test.truth, scores) for share, scores in said]
    drawn = replicate([weighted(metric, test.truth, scores) for _, scores in said], resamples.blocks())
    shares = np.array([share for share, _ in said])
    return summarise(
        float(np.sum(values)), drawn @ shares, resamples, len(test.truth), difference=len(said) > 1
    )


def write_results(plan: Plan) -> None:
    """Write the table (markdown and CSV) and the figure."""
    tests = {name: test_of(plan, name) for name in plan["tests"]}
    said: dict[tuple[str, str], np.ndarray] = {}
    called: dict[tuple[str, str], np.ndarray] = {}
    table = []
    for name, network in plan["networks"].items():
        if not card_of(plan, name).exists():
            print(f"{name} is not trained yet: left out")
            continue
        validation = rows(plan, network["source"], "val")
        truth = labels(validation, (plan["label"],), uncertain="ignore")[:, 0]
        bar = choose_threshold(truth, logits(plan, name, validation, f"val-{network['source']}"), "youden")
        for where, test in tests.items():
            said[name, where] = logits(plan, name, test.manifest, where.replace(", ", "-"))
            called[name, where] = (said[name, where] >= bar).astype(float)
            table.append(row(name, where, test, said[name, where], called[name, where]))
    for where, test in tests.items():
        if "recipe" not in plan["tests"][where]:
            scores = shortcut_logits(plan, plan["tests"][where]["source"], test, where.replace(", ", "-"))
            table.append(row("shortcut", where, test, scores, None))
    frame = pd.DataFrame(table)
    target = Path(plan["results"])
    target.parent.mkdir(parents=True, exist_ok=True)
    frame.round(4).to_csv(target.with_suffix(".csv"), index=False)
    lines = [f"# {plan['title']}", "", *comparisons(plan, tests, said, called), "", *as_markdown(frame)]
    lines += ["", *(NOTES), "", f"![MCC and AUROC of each network]({target.name}.png)", ""]
    target.with_suffix(".md").write_text("\n".join(lines))
    draw(frame, target.with_suffix(".png"), plan["title"])
    print("\n".join(lines))


NOTES = [
    "Intervals: 95 %, 2000 resamples of patients, for the networks as they were trained (one seed). MCC is at one threshold per "
    "network, from its digital validation rows (Youden's). `shortcut` is a linear model on the files' size, aspect ratio, bytes "
    "and power spectrum, fitted on the training rows of the same source: a network that does not beat it may be reading the file "
    "and not the chest. Photos are simulated: level 3 of `radsnap photograph`, one photo of each test x-ray.",
]


def row(name: str, where: str, test: Test, scores: np.ndarray, called: np.ndarray | None) -> dict[str, Any]:
    area = contrast(auroc, test, [(1.0, scores)])
    cells = {
        "network": name,
        "test": where,
        "n": area.n,
        "auroc": area.value,
        "auroc_low": area.low,
        "auroc_high": area.high,
    }
    if called is not None:
        match = contrast(mcc, test, [(1.0, called)])
        cells |= {"mcc": match.value, "mcc_low": match.low, "mcc_high": match.high}
    return cells


def comparisons(
    plan: Plan,
    tests: dict[str, Test],
    said: dict[tuple[str, str], np.ndarray],
    called: dict[tuple[str, str], np.ndarray],
) -> list[str]:
    """The primary comparison in words: what is lost and won back, or what another population costs."""
    done = list(dict.fromkeys(name for name, _ in said))
    lines: list[str] = []
    if not plan["base"]:
        for where, test in tests.items():
            if "recipe" in plan["tests"][where]:
                continue
            home = next(n for n in done if plan["networks"][n]["source"] == plan["tests"][where]["source"])
            for name in done:
                if name != home:
                    lost = contrast(auroc, test, [(1.0, said[name, where]), (-1.0, said[home, where])])
                    lines.append(
                        f"- AUROC on {where}, the {name}' network minus the {home}' own: {shown(lost)}"
                    )
        for name in done:
            for where, test in tests.items():
                source = plan["tests"][where]["source"]
                if "recipe" in plan["tests"][where] and source == plan["networks"][name]["source"]:
                    digital = next(w for w in tests if plan["tests"][w] == {"source": source})
                    lost = contrast(auroc, test, [(1.0, said[name, where]), (-1.0, said[name, digital])])
                    bars = contrast(mcc, test, [(1.0, called[name, where]), (-1.0, called[name, digital])])
                    lines.append(
                        f"- {name}' network, {where} minus digital: AUROC {shown(lost)}, MCC at its fixed threshold {shown(bars)}"
                    )
        return lines
    base = plan["base"]
    for name in done:
        if name == base:
            continue
        test = tests["digital"]
        kept_up = contrast(auroc, test, [(1.0, said[name, "digital"]), (-1.0, said[base, "digital"])])
        lines.append(f"- AUROC on digital rows, `{name}` minus `{base}`: {shown(kept_up)}")
    for where, test in tests.items():
        if where == "digital":
            continue
        lost = contrast(mcc, test, [(1.0, called[base, "digital"]), (-1.0, called[base, where])])
        lines.append(f"- MCC that `{base}` loses on {where} photos: {shown(lost)}")
        for name in done:
            if name == base:
                continue
            won = contrast(mcc, test, [(1.0, called[name, where]), (-1.0, called[base, where])])
            half = contrast(
                mcc,
                test,
                [(1.0, called[name, where]), (-0.5, called[base, "digital"]), (-0.5, called[base, where])],
            )
            share = (
                f"{won.value / lost.value:.0%} of the loss"
                if lost.low > 0
                else "no claim, the loss includes 0"
            )
            verdict = "wins back at least half" if half.low > 0 and lost.low > 0 else "half is not shown"
            lines.append(
                f"  - `{name}` wins back {shown(won)}, {share}; above half of it by {shown(half)}: **{verdict}**"
            )
    return lines


def shown(found: Estimate) -> str:
    return f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def as_markdown(frame: pd.DataFrame) -> list[str]:
    lines = ["| network | test rows | n | AUROC (95 %) | MCC (95 %) |", "|---|---|---|---|---|"]
    for one in frame.itertuples():
        match = "" if np.isnan(one.mcc) else f"{one.mcc:.3f} ({one.mcc_low:.3f} – {one.mcc_high:.3f})"
        lines.append(
            f"| {one.network} | {one.test} | {one.n} | {one.auroc:.3f} ({one.auroc_low:.3f} – {one.auroc_high:.3f}) | {match} |"
        )
    return lines


def draw(frame: pd.DataFrame, path: Path, title: str) -> None:
    """MCC and AUROC of each network on each test set, with intervals."""
    tests = list(dict.fromkeys(frame["test"]))
    figure, panels = plt.subplots(1, 2, figsize=(2.6 + 1.3 * len(tests), 3.6), layout="constrained")
    names = [name for name in dict.fromkeys(frame["network"]) if name != "shortcut"]
    for axes, measure in zip(panels, ("mcc", "auroc"), strict=True):
        for shift, name in enumerate(names):
            part = frame[frame["network"] == name].set_index("test").loc[tests]
            at = np.arange(len(tests)) + 0.14 * (shift - (len(names) - 1) / 2)
            spread = [part[measure] - part[f"{measure}_low"], part[f"{measure}_high"] - part[measure]]
            axes.errorbar(at, part[measure], spread, fmt="o", capsize=3, label=name)
        if measure == "auroc":
            part = frame[frame["network"] == "shortcut"]
            axes.plot(
                [tests.index(one) for one in part["test"]], part["auroc"], "x", color="0.5", label="shortcut"
            )
        axes.set_xticks(range(len(tests)), [one.replace(", ", ",\n") for one in tests])
        axes.set_ylabel({"mcc": "MCC at a fixed threshold", "auroc": "AUROC"}[measure])
        axes.spines[["top", "right"]].set_visible(False)
    panels[1].legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=160)


if __name__ == "__main__":
    main()
