"""At which value of each measure reading suffers: photos degraded in one thing at a time, in growing steps.

python bench/flatten_bars.py [MANIFEST] [--children 80] [--adults 20] [--only small,moire] [--keep rows.csv]

X-rays of the split val are photographed at level 2 of screen and film in turn, whole and with their true corners, and
one thing is made worse: in the camera (darkness by its exposure, low contrast by the room's light on the glass, tilt,
moiré by a sharp lens and a monitor of few pixels, also amplified up to five times) or in the photo (the others).
`measured` gives the measure, and reading is that of the straightened picture: how far the logits of the findings
network lie from those of the digital x-ray (mean over findings), and the MCC of children's pneumonia at the shipped
network's digital operating point. Rows of all steps are put into bins by their measure; the ratio is what they cost
over what the same photos cost undegraded, with 95 % intervals by x-ray. The bar is where the ratio passes 2, which
is what photos at the bars of blur, glare and brightness cost; 'never' where it stays below as far as was tried.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from radsnap.flatten import Quad, straighten
from radsnap.flatten.judging import BARS, measured
from radsnap.imaging import Photo, project, resizing
from radsnap.learn.corner_bank import KINDS, read_grey
from radsnap.models.preprocess import to_input
from radsnap.models.runtime import Network, load
from radsnap.photo.camera import distort
from radsnap.photo.effect import Canvas
from radsnap.photo.effects import EFFECTS
from radsnap.photo.film import Film
from radsnap.photo.geometry import as_quad
from radsnap.photo.screen import Screen
from radsnap.seeds import stream
from radsnap.tables import read_manifest

FINDING, READ_BY, LEVEL = "Pneumonia", "pneumonia-child", 2
COSTS_TWICE, MCC_LOST, BINS, DRAWS = 2.0, 0.1, 8, 1000
Taken = Screen | Film


def main() -> int:
    """Print a table for each sweep and where its bar lies."""
    options = parsed()
    if options.manifest is None:
        print("skipped: needs MANIFEST")
        return 0
    cv2.setNumThreads(1)
    manifest = read_manifest(options.manifest)
    frame = manifest.frame[manifest.frame["split"] == "val"]
    labelled = frame[FINDING].astype(float).isin((0.0, 1.0)) & frame["kind"].eq("cxr_paediatric")
    children = frame[labelled].sample(options.children, random_state=options.seed)
    adults = frame[frame["kind"].eq("cxr_nih")].sample(options.adults, random_state=options.seed)
    names = options.only.split(",") if options.only else list(STEPS)
    table = pd.DataFrame(list(read(pd.concat([children, adults]), manifest.root, names, options.seed)))
    if options.keep:
        table.to_csv(options.keep, index=False)
    score = load(READ_BY).card.domains["digital"].operating_points[FINDING].score
    for column in ("digital", "plain", "photo"):
        table[f"called {column}"] = table[f"child {column}"] >= np.log(score / (1 - score))
    for name in names:
        say(name, table[table["sweep"] == name])
    return 0


def read(rows: pd.DataFrame, root: Path, names: list[str], seed: int) -> Iterator[dict[str, object]]:
    """Degrade and read each x-ray; one row a sweep and step."""
    logits = reading()
    for i, (_, row) in enumerate(rows.iterrows()):
        xray = read_grey(root / str(row["path"]), 512)
        digital, child_digital = logits(xray.astype(np.float32) / np.float32(255))
        taken = drawn(stream(seed, "flatten bars", str(row["image_id"])), xray, KINDS[i % 2])
        before, child_before = logits(straighten(*shot(xray, taken), 768, turn=False).radiograph.pixels)
        for name in names:
            rng = stream(seed, "flatten bars", name, str(row["image_id"]))
            for step, (photo, quad) in STEPS[name](rng, xray, taken):
                straight = straighten(photo, quad, 768, turn=False)
                after, child_after = logits(straight.radiograph.pixels)
                if step == 0:  # a sweep with a plain photo of its own
                    before, child_before = after, child_after
                    continue
                yield {
                    "image_id": row["image_id"], "sweep": name, "step": step,
                    "value": measured(photo, quad, straight)[measure_of(name)],
                    "truth": row[FINDING] if row["kind"] == "cxr_paediatric" else np.nan,
                    "plain cost": float(np.abs(before - digital).mean()), "cost": float(np.abs(after - digital).mean()),
                    "child digital": child_digital, "child plain": child_before, "child photo": child_after,
                }  # fmt: skip


def reading() -> Callable[[np.ndarray], tuple[np.ndarray, float]]:
    """Give what reads grey pixels: the logits of the findings network, and the logit of children's pneumonia."""
    network, child = load("findings", 1), load(READ_BY, 1)
    return lambda grey: (_logits(network, grey), float(_logits(child, grey)[0]))


def measure_of(sweep: str) -> str:
    """Name the measure that a sweep drives: its first word."""
    return sweep.split()[0]


def _logits(network: Network, grey: np.ndarray) -> np.ndarray:
    return np.asarray(network.run(to_input(grey, network.card.input)[None])["logits"][0])


Shot = tuple[Photo, Quad]
Sweep = Callable[[np.random.Generator, np.ndarray, Taken], Iterator[tuple[float, Shot]]]


def drawn(rng: np.random.Generator, xray: np.ndarray, kind: str, level: int = LEVEL) -> Taken:
    """Draw a photo that shows the whole x-ray."""
    taken: Taken = EFFECTS[kind].sample(rng, level, Canvas(*xray.shape[:2]))
    return replace(taken, corners_px=as_quad(fitted(np.array(taken.corners_px), taken)))


def fitted(corners: np.ndarray, taken: Taken) -> np.ndarray:
    """Bring corners to the middle nine tenths of the photo."""
    size = np.array([taken.camera.width_px, taken.camera.height_px])
    low, high = corners.min(axis=0), corners.max(axis=0)
    scale = float((0.9 * size / (high - low)).min())
    return np.asarray((corners - (low + high) / 2) * scale + size / 2)


def shot(xray: np.ndarray, taken: Taken) -> Shot:
    """Take the photo."""
    kind = "screen" if isinstance(taken, Screen) else "film"
    with np.errstate(divide="ignore"):  # at strong tilts the panel's horizon lies in the photo
        photo = Photo(EFFECTS[kind].apply(xray, taken))
    corners = distort(taken.camera, np.array(taken.corners_px) - 0.5)
    return photo, Quad(corners, 1.0)


def in_camera(steps: tuple[float, ...], change: Callable[[Taken, float, float], Taken]) -> Sweep:
    """Make a sweep whose steps are photographed anew; the change gets a random number too."""

    def sweep(rng: np.random.Generator, xray: np.ndarray, taken: Taken) -> Iterator[tuple[float, Shot]]:
        chance = float(rng.random())
        for step in steps:
            yield step, shot(xray, change(taken, step, chance))

    return sweep


def in_photo(steps: tuple[float, ...], change: Callable[[np.ndarray, Quad, float], np.ndarray]) -> Sweep:
    """Make a sweep whose steps change the photo's pixels."""

    def sweep(rng: np.random.Generator, xray: np.ndarray, taken: Taken) -> Iterator[tuple[float, Shot]]:
        photo, quad = shot(xray, taken)
        for step in steps:
            pixels = np.ascontiguousarray(change(photo.pixels, quad, step))
            onto = resizing(photo.pixels.shape[1::-1], pixels.shape[1::-1])
            yield step, (Photo(pixels), Quad(project(onto, quad.corners_px), 1.0))

    return sweep


def darkened(taken: Taken, exposure: float, chance: float) -> Taken:
    return replace(taken, camera=replace(taken.camera, target=taken.camera.target * exposure))


def hazed(taken: Taken, haze: float, chance: float) -> Taken:
    """Let the room shine on the glass, by what a white screen gives."""
    light = tuple(haze + v for v in taken.room.haze_rgb)
    # phones subtract stray light in part, which would take this haze away again
    camera = replace(taken.camera, black=0.0)
    return replace(taken, room=replace(taken.room, haze_rgb=light), camera=camera)


def tilted(taken: Taken, angle_deg: float, chance: float) -> Taken:
    """Turn the x-ray about an axis in it that chance gives, before a camera of a phone's focal length."""
    size = (taken.camera.width_px, taken.camera.height_px)
    corners = np.array(taken.corners_px) - np.array(size) / 2
    axis, angle = np.pi * chance, np.deg2rad(angle_deg)
    along, across = np.array([np.cos(axis), np.sin(axis)]), np.array([-np.sin(axis), np.cos(axis)])
    on_axis, off_axis = corners @ along, corners @ across
    depth = 1.25 * max(size)
    seen = depth / (depth + off_axis * np.sin(angle))
    turned = on_axis[:, None] * along + (off_axis * np.cos(angle))[:, None] * across
    return replace(taken, corners_px=as_quad(fitted(turned * seen[:, None], taken)))


def with_moire(rng: np.random.Generator, xray: np.ndarray, taken: Taken) -> Iterator[tuple[float, Shot]]:
    """Show moiré, amplified more and more; 0 is the plain photo of the same lens and monitor."""
    taken = drawn(rng, xray, "screen")
    assert isinstance(taken, Screen)
    coarse, even = sharp_before_coarse(rng, taken)
    (wavy, quad), (plain, _) = shot(xray, coarse), shot(xray, even)
    waves = wavy.pixels.astype(np.float32) - plain.pixels
    for times in (0.0, 0.5, 1.0, 2.0, 3.0, 5.0):
        yield times, (Photo((plain.pixels + times * waves).clip(0, 255).astype(np.uint8)), quad)


def sharp_before_coarse(rng: np.random.Generator, taken: Screen) -> tuple[Screen, Screen]:
    """Take a sharp lens and a monitor of few pixels, which makes moiré; and the same without sub-pixels, which makes none."""
    corners = np.array(taken.corners_px)
    tall = int(np.linalg.norm(corners[3] - corners[0]) * rng.uniform(0.25, 0.8))
    camera = replace(taken.camera, blur_px=float(rng.uniform(0.35, 0.6)))
    coarse = replace(taken.monitor, pixels_tall=tall)
    even = replace(coarse, duty=1.0, fill=1.0)
    return replace(taken, camera=camera, monitor=coarse), replace(taken, camera=camera, monitor=even)


def smaller(pixels: np.ndarray, quad: Quad, shorter_px: float) -> np.ndarray:
    edges = np.linalg.norm(np.roll(quad.corners_px, -1, axis=0) - quad.corners_px, axis=1)
    scale = shorter_px / (min(edges[0] + edges[2], edges[1] + edges[3]) / 2)
    return cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def blurred(pixels: np.ndarray, quad: Quad, sigma_frac: float) -> np.ndarray:
    return cv2.GaussianBlur(pixels, (0, 0), sigma_frac * max(pixels.shape))


def lit(pixels: np.ndarray, quad: Quad, radius_frac: float) -> np.ndarray:
    """Mirror a lamp beside the middle of the x-ray."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    at = quad.corners_px.mean(axis=0) + 0.15 * (quad.corners_px[1] - quad.corners_px[0])
    size = radius_frac * max(width, height)
    lamp = 2 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * size**2))
    return (pixels + 255 * lamp[..., None]).clip(0, 255).astype(np.uint8)


def brightened(pixels: np.ndarray, quad: Quad, gain: float) -> np.ndarray:
    return (pixels * gain).clip(0, 255).astype(np.uint8)


def flattened(pixels: np.ndarray, quad: Quad, share: float) -> np.ndarray:
    """Leave a share of the contrast around the mean grey, in whole grey levels."""
    middle = float(pixels.mean())
    return np.rint(middle + share * (pixels - middle)).astype(np.uint8)


def coded(pixels: np.ndarray, quad: Quad, quality: float) -> np.ndarray:
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


STEPS: dict[str, Sweep] = {
    "small": in_photo((200, 100, 70, 50, 35, 25), smaller),
    "blurred": in_photo((0.003, 0.006, 0.01, 0.016), blurred),
    "glare": in_photo((0.06, 0.12, 0.2, 0.3), lit),
    "dark": in_camera((0.1, 0.04, 0.02, 0.01, 0.005), darkened),
    "bright": in_photo((1.3, 1.7, 2.2, 3.0), brightened),
    "flat": in_photo((0.25, 0.1, 0.05, 0.03, 0.015), flattened),
    "flat by haze": in_camera((0.1, 0.5, 2.0, 6.0, 20.0), hazed),
    "tilted": in_camera((30, 50, 60, 68, 75), tilted),
    "compressed": in_photo((20, 10, 6, 4, 2), coded),
    "moire": with_moire,
}


def say(sweep: str, rows: pd.DataFrame) -> None:
    """Print what a sweep's bins cost, from good to bad, and where that passes twice the plain photos' cost."""
    name = measure_of(sweep)
    rows = rows.assign(worse=rows["value"] * BARS[name].sign)
    edges = np.unique(np.quantile(rows["worse"], np.linspace(0, 1, BINS + 1)))
    places = np.searchsorted(edges[1:-1], rows["worse"], side="right")
    parts = [rows[places == at] for at in range(places.max() + 1)]
    counts = counted(rows, places)
    draws = np.random.default_rng(0).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), DRAWS)
    everyone, resampled = costs_of(counts.sum(axis=0)), costs_of(np.tensordot(draws, counts, 1))
    values = np.array([part["value"].median() for part in parts])
    steps = ", ".join(f"{step:g}" for step in rows["step"].unique())
    print(f"\n{sweep} ({rows['image_id'].nunique()} x-rays; steps {steps}); the bar of '{name}' is {BARS[name].threshold}")  # fmt: skip
    print(
        f"{'value':>20} {'n':>5} {'median':>8}  {'cost over the plain photo':>26}   MCC lost beyond the plain photo's"
    )
    for at, part in enumerate(parts):
        ratio, more, plain = (column[at] for column in everyone)
        print(f"{part['value'].min():9.3f} to {part['value'].max():7.3f} {len(part):5d} {values[at]:8.3f}  "
              f"{ratio:6.2f} ({interval(resampled[0][:, at])})   {more:+.3f} ({interval(resampled[1][:, at])}), plain {plain:+.3f}")  # fmt: skip
    for k, level, label in (
        (0, COSTS_TWICE, f"cost passes {COSTS_TWICE:g}"),
        (1, MCC_LOST, f"{MCC_LOST:g} of MCC is lost"),
    ):
        found = crossing(values, everyone[k], level)
        bars = [bar for bar in (crossing(values, one, level) for one in resampled[k]) if bar is not None]
        told = "never" if found is None else f"at {found:.3f}"
        print(
            f"  {label} {told} ({interval(np.array(bars))} in the {len(bars) / DRAWS:.0%} of resamples where it does)"
        )


def counted(rows: pd.DataFrame, places: np.ndarray) -> np.ndarray:
    """Sum what costs are made of: (x-rays, bins, 14): costs, plain costs, and for each reading the four counts of calls."""
    sums = [rows["cost"], rows["plain cost"]]
    truth = rows["truth"]
    for column in ("digital", "plain", "photo"):
        called = rows[f"called {column}"]
        sums += [(truth == t) & (called == c) for t in (1, 0) for c in (True, False)]
    who, _ = pd.factorize(rows["image_id"])
    made = np.zeros((int(who.max()) + 1, int(places.max()) + 1, len(sums)))
    np.add.at(made, (who, places), np.column_stack([np.asarray(one, float) for one in sums]))
    return made


def costs_of(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the ratio of costs, the MCC lost beyond what the plain photos lose, and what those lose; sums: (..., 14)."""
    digital, plain, photo = (mcc(sums[..., 2 + 4 * k : 6 + 4 * k]) for k in range(3))
    return sums[..., 0] / np.maximum(sums[..., 1], 1e-9), plain - photo, digital - plain


def crossing(values: np.ndarray, costs: np.ndarray, level: float) -> float | None:
    """Give the value where costs pass a level for good, between the bins' medians; None where they end below."""
    below = np.flatnonzero(costs < level)
    last = int(below[-1]) if len(below) else -1
    if last == len(costs) - 1:
        return None
    if last < 0:
        return float(values[0])
    share = (level - costs[last]) / (costs[last + 1] - costs[last])
    return float(values[last] + share * (values[last + 1] - values[last]))


def interval(values: np.ndarray) -> str:
    """Give the middle 95 %."""
    if not len(values):
        return "-"
    low, high = np.percentile(values, [2.5, 97.5])
    return f"{low:.3f} to {high:.3f}"


def mcc(counts: np.ndarray) -> np.ndarray:
    """Matthews' correlation of (..., 4) true positives, false negatives, false positives, true negatives; 0 where undefined."""
    tp, fn, fp, tn = np.moveaxis(counts, -1, 0)
    area = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return np.where(area > 0, (tp * tn - fp * fn) / np.sqrt(np.maximum(area, 1)), 0.0)


def parsed() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path, nargs="?")
    parser.add_argument("--children", type=int, default=80)
    parser.add_argument("--adults", type=int, default=20)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--only", help="Names of sweeps, joined by commas.")
    parser.add_argument("--keep", type=Path, help="Write the rows as CSV.")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
