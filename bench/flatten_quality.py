"""What a photo's quality costs in reading, and whether 'retake' tells the costly photos.

python bench/flatten_quality.py [MANIFEST] [--split test] [--photos 400] [--rounds 1] [--fit] [--exact]

Photos are simulated of the split's chests (levels 1 to 4 of screen and film, hard backgrounds, some spoilt further),
found and straightened; the cost is how far the logits of the findings network lie from those of the digital x-ray
(mean over findings). `--fit` (on the split val) prints the measure at which the cost has risen by half over the
median photo's. It prints cost and fixed-threshold MCC of accepted and retake photos, the latter for children's pneumonia
by the shipped network at its own digital operating point: goal, a loss at least three times as large.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from radsnap.flatten import Quad, straighten
from radsnap.flatten.corners import find
from radsnap.flatten.judging import BARS, RETAKE_FROM, foretold, measured
from radsnap.flatten.lines import quad_of
from radsnap.imaging import Photo, corners_of, project, resizing
from radsnap.learn.corner_bank import KINDS, read_grey, stock_of
from radsnap.learn.corner_scenes import Stock, drawn_from, take
from radsnap.learn.corners import in_order, targets
from radsnap.models.preprocess import to_input
from radsnap.models.runtime import Network, load
from radsnap.seeds import stream
from radsnap.tables import read_manifest

FINDING, READ_BY = "Pneumonia", "pneumonia-child"


def main() -> int:
    """Print bars or losses; 1 when the goal is missed."""
    options = parsed()
    if options.manifest is None:
        print("skipped: needs MANIFEST")
        return 0
    manifest = read_manifest(options.manifest)
    frame = manifest.frame[~manifest.frame["kind"].str.startswith("photo_")]
    rows = frame[(frame["split"] == options.split) & frame["kind"].isin(("cxr_paediatric", "cxr_nih"))]
    rows = rows.sample(min(options.photos, len(rows)), random_state=options.seed)
    grounds = stock_of(frame[frame["kind"].str.startswith("nonxray")], manifest.root, 4, 5, options.split)
    seeds = range(options.seed, options.seed + options.rounds)
    table = pd.DataFrame(
        [row for seed in seeds for row in read(rows, manifest.root, grounds, seed, options.exact)]
    )
    if options.keep:
        table.to_csv(options.keep, index=False)
    return fit(table) if options.fit else judge(table)


def read(rows: pd.DataFrame, root: Path, grounds: Stock, seed: int, exact: bool):  # type: ignore[no-untyped-def]
    """Photograph, find, straighten and read each x-ray; one row a photo."""
    network, child = load("findings"), load(READ_BY)
    for i, (_, row) in enumerate(rows.iterrows()):
        rng = stream(seed, "flatten quality", str(row["image_id"]))
        xray = read_grey(root / str(row["path"]), 512)
        stock = Stock(drawn_from([xray]), grounds.ground, grounds.other)
        level = 1 + i % 4
        pixels, truth = take(rng, stock, xray, level, KINDS[i // 4 % 2])
        photo = Photo(np.ascontiguousarray(spoilt(rng, pixels)))
        truth = project(resizing(pixels.shape[1::-1], photo.pixels.shape[1::-1]), truth)
        quad = cut(photo, truth) if exact else find(photo)
        used = quad is not None and quad.sure and not quad.cropped_already
        whole = Quad(corners_of((photo.pixels.shape[1], photo.pixels.shape[0])), 1.0, cropped_already=True)
        judged = quad if used and quad is not None else whole
        straight = straighten(photo, judged, 768, turn=False)
        before, after = xray.astype(np.float32) / np.float32(255), straight.radiograph.pixels
        moved = np.abs(logits(network, after) - logits(network, before))
        values = measured(photo, judged, straight)
        yield {
            "image_id": row["image_id"], "kind": row["kind"], "level": level, "used": used,
            "truth": row.get(FINDING, np.nan), "digital": logits(child, before)[0], "photo": logits(child, after)[0],
            "cost": float(moved.mean()), "doubt": foretold(values), **values,
        }  # fmt: skip


def cut(photo: Photo, truth: np.ndarray) -> Quad:
    """Give the quad that a perfect finder would give: the photo's edge stands for sides out of view."""
    size = (photo.pixels.shape[1], photo.pixels.shape[0])
    onto = resizing(size, (256, 256))
    drawn = in_order(project(onto, truth))
    seen, maps = targets(drawn)
    coarse = quad_of(maps, seen > 0)
    if coarse is None:
        return Quad(corners_of(size), 1.0, cropped_already=True)
    return Quad(project(resizing((64, 64), size), coarse.corners), 1.0, False, coarse.seen)


def spoilt(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Spoil two photos in five further: blur, a lamp, darkness, a small or strongly compressed picture."""
    height, width = pixels.shape[:2]
    which = rng.random()
    if which < 0.08:
        return cv2.GaussianBlur(pixels, (0, 0), float(rng.uniform(1, 8)))
    if which < 0.2:
        y, x = np.mgrid[0:height, 0:width]
        at, size = (
            rng.uniform(0.25, 0.75, 2) * (width, height),
            float(rng.uniform(0.05, 0.3)) * max(width, height),
        )
        lamp = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * size**2)) * float(rng.uniform(0.4, 2.0))
        return (pixels + 255 * lamp[..., None]).clip(0, 255).astype(np.uint8)
    if which < 0.26:
        return (pixels * float(rng.uniform(0.03, 0.4))).astype(np.uint8)
    if which < 0.33:
        scale = float(rng.uniform(0.08, 0.5))
        return cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if which < 0.4:
        _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(3, 30))])
        return cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return pixels


def logits(network: Network, grey: np.ndarray) -> np.ndarray:
    """Read grey pixels."""
    return network.run(to_input(grey, network.card.input)[None])["logits"][0]


def fit(table: pd.DataFrame) -> int:
    """Print for each measure what photos beyond its bar cost, and where the cost has clearly risen."""
    middle = float(table["cost"].median())
    print(
        f"{len(table)} photos, cost: median {middle:.3f}, mean {table['cost'].mean():.3f}; used {table['used'].mean():.1%}"
    )
    for name, bar in BARS.items():
        ordered = table.sort_values(name, ascending=bar.sign > 0)
        shares = [(share, ordered[name].iloc[-max(int(len(ordered) * share), 1)], ordered["cost"].iloc[-max(int(len(ordered) * share), 1):].mean()) for share in (0.05, 0.1, 0.2)]  # fmt: skip
        beyond = table[table[name] * bar.sign > bar.threshold * bar.sign]
        print(f"{name:11s} bar {bar.threshold:7.3f}: {len(beyond):4d} beyond, cost {beyond['cost'].mean():.3f}; worst "
              + ", ".join(f"{share:.0%} from {value:.3f}: {cost:.3f}" for share, value, cost in shares))  # fmt: skip
    for bar in (0.8, 1.0, 1.25, 1.5, 2.0):
        again = table["doubt"] >= bar
        print(f"doubt ≥ {bar}: {again.mean():.1%}, cost {table.loc[again, 'cost'].mean():.3f} against {table.loc[~again, 'cost'].mean():.3f}")  # fmt: skip
    return 0


def judge(table: pd.DataFrame) -> int:
    """Print what accepted and retake photos lose: in logits, and in MCC at the digital operating point."""
    score = load(READ_BY).card.domains["digital"].operating_points[FINDING].score
    table["again"] = table["doubt"] >= RETAKE_FROM
    for column in ("digital", "photo"):
        table[f"called {column}"] = table[column] >= np.log(score / (1 - score))
    known = table[table["kind"].eq("cxr_paediatric") & table["truth"].astype(float).isin((0.0, 1.0))]
    for name, again in (("accepted", False), ("retake", True)):
        group, labelled = table[table["again"] == again], known[known["again"] == again]
        changed = float((labelled["called digital"] != labelled["called photo"]).mean())
        print(f"{name:9s} n {len(group)} (labelled {len(labelled)}): |Δlogit| mean {group['cost'].mean():.3f}; MCC of "
              f"{FINDING} loses {lost(labelled):+.3f}; calls changed {changed:.1%}")  # fmt: skip
    costs = resampled(table, lambda drawn: by_side(drawn, lambda part: part["cost"].mean()))
    losses = resampled(known, lambda drawn: by_side(drawn, lost))
    accepted, retake = by_side(table, lambda part: part["cost"].mean())
    print(f"|Δlogit| ratio {retake / accepted:.2f} ({interval(costs[:, 1] / costs[:, 0])})")
    accepted, retake = by_side(known, lost)
    print(f"MCC lost by retake photos {retake:.3f} ({interval(losses[:, 1])}), by accepted ones {accepted:.3f} "
          f"({interval(losses[:, 0])}); ratio {retake / accepted:.1f} (goal 3); more than accepted ones by "
          f"{retake - accepted:.3f} ({interval(losses[:, 1] - losses[:, 0])})")  # fmt: skip
    return int(retake < 3 * max(accepted, 0))


def by_side(table: pd.DataFrame, measure: Callable[[pd.DataFrame], float]) -> tuple[float, float]:
    """Measure accepted and retake photos."""
    return measure(table[~table["again"]]), measure(table[table["again"]])


def lost(table: pd.DataFrame) -> float:
    """Give the MCC that photos lose at the digital operating point."""
    truth = table["truth"].astype(float)
    return mcc(truth, table["called digital"]) - mcc(truth, table["called photo"])


def resampled(table: pd.DataFrame, measure: Callable[[pd.DataFrame], tuple[float, float]]) -> np.ndarray:
    """Measure 500 resamples of the x-rays, each with all of its photos: (500, 2)."""
    rng, photos = np.random.default_rng(0), [part for _, part in table.groupby("image_id")]
    drawn = (rng.integers(len(photos), size=len(photos)) for _ in range(500))
    return np.array([measure(pd.concat([photos[i] for i in places])) for places in drawn])


def interval(values: np.ndarray) -> str:
    """Give the middle 95 %."""
    low, high = np.percentile(values, [2.5, 97.5])
    return f"{low:.3f} to {high:.3f}"


def mcc(truth: pd.Series, called: pd.Series) -> float:
    """Matthews' correlation; 0 where one side is constant."""
    if truth.nunique() < 2 or called.nunique() < 2:
        return 0.0
    return float(np.corrcoef(truth.to_numpy(float), called.to_numpy(float))[0, 1])


def parsed() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path, nargs="?")
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--rounds", type=int, default=1, help="Photos of each x-ray.")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--exact", action="store_true", help="Take the true corners instead of those found.")
    parser.add_argument("--keep", type=Path, help="Write the rows as CSV.")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
