"""Moiré: whether its measure tells how much there is, and what taking it out wins in reading.

python bench/flatten_moire.py [MANIFEST] [--split val] [--children 120] [--adults 40]

X-rays are photographed at levels 2 to 4 of `screen`: as the recipe draws it, which hardly ever shows moiré, and with a
sharp lens before a monitor of few pixels, which mostly does; each also with a monitor without sub-pixels, which shows
the same without moiré. Beside them stand the published moiré on the digital x-ray, films, and digital x-rays. The truth
is the deviation of what the sub-pixels add to the cut-out x-ray over the x-ray's own. Reading is that of the picture
straightened by the true corners, as `straighten` makes it and with its moiré left in: the distance of the logits of
the findings network to those of the digital x-ray, and AUROC and MCC (digital operating point) of children's pneumonia,
with 95 % intervals of the difference by x-ray.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy.stats import rankdata, spearmanr

from flatten_bars import FINDING, READ_BY, Shot, drawn, reading, sharp_before_coarse, shot
from radsnap.flatten import Quad, moire
from radsnap.flatten.straightening import MOIRE_FROM, cut_out, glare_of, size_of, toned
from radsnap.imaging import Photo, corners_of
from radsnap.learn.corner_bank import read_grey
from radsnap.models.runtime import load
from radsnap.photo.effect import Canvas
from radsnap.photo.effects import EFFECTS
from radsnap.photo.screen import Screen
from radsnap.seeds import stream
from radsnap.tables import read_manifest

DRAWS, STRONG = 500, 0.05
FREE = ("screen without", "film", "digital")


def main() -> int:
    """Print both tables."""
    options = parsed()
    if options.manifest is None:
        print("skipped: needs MANIFEST")
        return 0
    cv2.setNumThreads(1)
    manifest = read_manifest(options.manifest)
    frame = manifest.frame[manifest.frame["split"] == options.split]
    labelled = frame[FINDING].astype(float).isin((0.0, 1.0)) & frame["kind"].eq("cxr_paediatric")
    children = frame[labelled].sample(options.children, random_state=options.seed)
    adults = frame[frame["kind"].eq("cxr_nih")].sample(options.adults, random_state=options.seed)
    table = pd.DataFrame(list(read(pd.concat([children, adults]), manifest.root, options.seed)))
    if options.keep:
        table.to_csv(options.keep, index=False)
    measured(table)
    won(table)
    return 0


def read(rows: pd.DataFrame, root: Path, seed: int) -> Iterator[dict[str, object]]:
    """Photograph, straighten and read each x-ray; one row a photo."""
    logits = reading()
    for i, (_, row) in enumerate(rows.iterrows()):
        xray = read_grey(root / str(row["path"]), 512)
        level = 2 + i % 3
        digital, child = logits(xray.astype(np.float32) / np.float32(255))
        for name, (photo, quad), plain in shots(xray, level, seed, str(row["image_id"])):
            pixels = straightened(photo, quad)
            strength = moire.strength(moire.shrunk(pixels))
            left, child_left = logits(pixels)
            less, child_less = logits(moire.reduced(pixels)) if strength >= MOIRE_FROM else (left, child_left)
            yield {
                "image_id": row["image_id"], "kind": name, "level": level, "strength": strength,
                "added": 0.0 if plain is None else added(photo, plain, quad),
                "truth": row[FINDING] if row["kind"] == "cxr_paediatric" else np.nan, "child digital": child,
                "cost left": float(np.abs(left - digital).mean()), "cost less": float(np.abs(less - digital).mean()),
                "child left": child_left, "child less": child_less,
            }  # fmt: skip


def shots(xray: np.ndarray, level: int, seed: int, image_id: str) -> Iterator[tuple[str, Shot, Photo | None]]:
    """Give what is read of an x-ray: a name, a photo with its quad, and where it has moiré the same photo without."""
    whole = Quad(corners_of((xray.shape[1], xray.shape[0])), 1.0)
    shown = Photo(np.repeat(xray[..., None], 3, axis=2))
    yield "digital", (shown, whole), None
    rng = stream(seed, "flatten moire", image_id)
    yield "film", shot(xray, drawn(rng, xray, "film", level)), None
    taken = drawn(rng, xray, "screen", level)
    assert isinstance(taken, Screen)
    even = replace(taken, monitor=replace(taken.monitor, duty=1.0, fill=1.0))
    plain, quad = shot(xray, even)
    yield "screen without", (plain, quad), None
    yield "screen as drawn", shot(xray, taken), plain
    coarse, even = sharp_before_coarse(rng, taken)
    yield "screen, sharp and coarse", shot(xray, coarse), shot(xray, even)[0]
    published = EFFECTS["moire"]
    lines = published.sample(rng, level, Canvas(*xray.shape[:2]))
    yield f"published, level {level}", (Photo(published.apply(shown.pixels, lines)), whole), shown


def straightened(photo: Photo, quad: Quad) -> np.ndarray:
    """Straighten as `straighten` does, and leave the moiré in."""
    size = size_of(quad.corners_px, (photo.pixels.shape[1], photo.pixels.shape[0]), 768)
    flat, _ = cut_out(photo, quad.corners_px, size)
    return toned(np.asarray(cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY), np.uint8), glare_of(flat))


def added(photo: Photo, plain: Photo, quad: Quad) -> float:
    """Give the deviation of what moiré adds to the cut-out, exposure set aside, over that of the cut-out without."""
    size = size_of(quad.corners_px, (photo.pixels.shape[1], photo.pixels.shape[0]), moire.MEASURED_AT_PX)
    wavy, even = (
        cv2.cvtColor(cut_out(p, quad.corners_px, size)[0], cv2.COLOR_RGB2GRAY).astype(np.float32)
        for p in (photo, plain)
    )
    return float((wavy * (even.mean() / max(float(wavy.mean()), 1e-3)) - even).std() / even.std())


def measured(table: pd.DataFrame) -> None:
    """Print how the measure follows the truth, and what it reads where there is none."""
    print(
        f"{'':26} {'n':>4}  truth: median, most; above {STRONG}    measure: median, 95 %, most; from {MOIRE_FROM}"
    )
    for name, part in table.groupby("kind"):
        print(f"{name:26} {len(part):4d}  {part['added'].median():.3f}, {part['added'].max():.3f}; {(part['added'] > STRONG).mean():6.1%}"
              f"              {part['strength'].median():.4f}, {part['strength'].quantile(0.95):.4f}, {part['strength'].max():.4f}; "
              f"{(part['strength'] >= MOIRE_FROM).mean():.1%}")  # fmt: skip
    none = table.loc[table["kind"].isin(FREE), "strength"].to_numpy()
    for name in ("screen, sharp and coarse", "published"):
        part = table[table["kind"].str.startswith(name)]
        strong = part.loc[part["added"] > STRONG, "strength"].to_numpy()
        print(f"{name}: Spearman {spearmanr(part['strength'], part['added'])[0]:.3f} (n {len(part)}); above {STRONG} against the {len(none)} "
              f"without any: AUROC {auroc(np.r_[np.ones(len(strong)), np.zeros(len(none))], np.r_[strong, none]):.3f}")  # fmt: skip


def won(table: pd.DataFrame) -> None:
    """Print what reading costs with moiré left in and reduced."""
    score = load(READ_BY).card.domains["digital"].operating_points[FINDING].score
    bar = float(np.log(score / (1 - score)))
    kind, strong = table["kind"], table["strength"] >= MOIRE_FROM
    sharp = kind.eq("screen, sharp and coarse")
    groups = {
        "screen as drawn": kind.eq("screen as drawn"),
        "screen, sharp and coarse": sharp,
        "  of them reduced": sharp & strong,
        **{name: kind.eq(name) for name in sorted(kind.unique()) if name.startswith("published")},
        **{name: kind.eq(name) for name in FREE},
    }
    print("\nleft in -> reduced, difference; children: AUROC and MCC (of the digital x-rays)")
    for name, chosen in groups.items():
        part, known = table[chosen], table[chosen & table["truth"].notna()]
        costs = part[["cost left", "cost less"]].to_numpy()
        print(f"{name:26} n {len(part)}, {(part['strength'] >= MOIRE_FROM).mean():.0%} reduced: |Δlogit| "
              + paired(costs, lambda rows: rows.mean(axis=0)))  # fmt: skip
        truth = known["truth"].to_numpy(float)
        if not 0 < truth.mean() < 1:
            continue
        reads = known[["truth", "child left", "child less", "child digital"]].to_numpy(float)
        for label, score_of in (("AUROC", auroc), ("MCC", lambda t, v: mcc(t, v >= bar))):
            both = paired(
                reads, lambda rows, f=score_of: np.array([f(rows[:, 0], rows[:, k]) for k in (1, 2)])
            )
            print(f"{'':26} {label} {both} ({score_of(truth, reads[:, 3]):.3f}), n {len(known)}")


def paired(rows: np.ndarray, measure: Callable[[np.ndarray], np.ndarray]) -> str:
    """Measure with moiré left in and reduced, and the difference with its interval."""
    rng = np.random.default_rng(0)
    before, after = measure(rows)
    draws = np.array([measure(rows[rng.integers(len(rows), size=len(rows))]) for _ in range(DRAWS)])
    low, high = np.nanpercentile(draws[:, 1] - draws[:, 0], [2.5, 97.5])
    return f"{before:.3f} -> {after:.3f}, {after - before:+.3f} ({low:+.3f} to {high:+.3f})"


def auroc(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the curve by ranks; nan where one side is missing."""
    positive, ranks = truth == 1, rankdata(score)
    n, m = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m)) if n and m else float("nan")


def mcc(truth: np.ndarray, called: np.ndarray) -> float:
    """Matthews' correlation; 0 where one side is constant."""
    pair = np.array([truth, called], float)
    return float(np.corrcoef(pair)[0, 1]) if pair.std(axis=1).min() > 0 else 0.0


def parsed() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path, nargs="?")
    parser.add_argument("--split", default="val", choices=("val", "test"))
    parser.add_argument("--children", type=int, default=120)
    parser.add_argument("--adults", type=int, default=40)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--keep", type=Path, help="Write the rows as CSV.")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
