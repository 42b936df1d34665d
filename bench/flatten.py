"""Find, straighten and judge a 12 megapixel photo, beside a contour-based OpenCV document scanner.

python bench/flatten.py [--photo FILE] [--rounds N]

Both get the same decoded photo (4000 × 3000 px unless a file is named), in turn, on two cores; decoding is timed
apart, whole and at the reduced size that radsnap's reading asks for. Without a file the photo is a phantom's,
simulated at 2048 px and enlarged. Memory is what a fresh process needs above its state with the networks loaded.
`diagnose` is the whole reading of the photo's file. Goals: 150 ms, 300 ms for diagnose, 150 MB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

import radsnap
from radsnap.flatten import find, quality, straighten
from radsnap.imaging import Photo, encode_jpeg, project, read_image, resizing
from radsnap.phantom import sample_chest
from radsnap.photo import photograph

SIZE = (4000, 3000)
READ_AT_LEAST_PX = 640
STRAIGHT_PX = 768


def main() -> int:
    """Print times, errors and memory; 1 when a goal is missed."""
    options = parsed()
    cv2.setNumThreads(2)
    photo, truth = picture(options.photo)
    if options.only_memory:
        ours(Photo(np.zeros((64, 64, 3), np.uint8)))
        find(Photo(cv2.resize(photo.pixels, (400, 300))))
        loaded = peak_mb()
        ours(photo)
        print(peak_mb() - loaded)
        return 0
    spent: dict[str, list[float]] = {"radsnap": [], "scanner": []}
    for _ in range(options.rounds):
        for name, work in (("radsnap", ours), ("scanner", scanner)):
            start = time.perf_counter()
            work(Photo(photo.pixels))
            spent[name].append(1000 * (time.perf_counter() - start))
    for name, ms in spent.items():
        print(f"{name:8s} median {np.median(ms):6.1f} ms, 10 to 90 %: {np.percentile(ms, 10):.1f} to {np.percentile(ms, 90):.1f} ms, n = {len(ms)}")  # fmt: skip
    ratio = np.median(np.array(spent["radsnap"]) / np.array(spent["scanner"]))
    print(f"ratio    {ratio:.2f} (radsnap / scanner)")
    if truth is not None:
        quad = find(photo)
        found = None if quad is None else quad.corners_px
        print(
            f"error    radsnap {error(found, truth)}, scanner {error(scanner(photo), truth)} of the diagonal"
        )
    data = encode_jpeg(photo.pixels, 90)
    for label, at_least in (("whole", None), ("reduced", READ_AT_LEAST_PX)):
        start = time.perf_counter()
        small = read_image(data, at_least_px=at_least)
        print(f"decode   {label}: {1000 * (time.perf_counter() - start):.0f} ms, {small.pixels.shape[1]} × {small.pixels.shape[0]} px")  # fmt: skip
    whole = diagnosed(data, options.rounds)
    print(f"diagnose {whole:.0f} ms in all, decoding and heat maps too (goal 300 or less)")
    memory_mb = memory()
    latency = float(np.median(spent["radsnap"]))
    print(f"memory   {memory_mb} MB above the loaded process (goal 150 or less)")
    print(
        f"per photo {latency:.0f} ms (goal 150 or less), load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    return int(latency > 150 or memory_mb > 150 or whole > 300)


def ours(photo: Photo) -> None:
    """Find, straighten as for reading, judge."""
    quad = find(photo)
    if quad is not None:
        straight = straighten(photo, quad, STRAIGHT_PX)
        quality(photo, quad, straight=straight)


def diagnosed(data: bytes, rounds: int) -> float:
    """Give the median time in ms of reading the photo's file to the end, networks loaded."""
    spent = []
    for turn in range(rounds + 2):
        start = time.perf_counter()
        radsnap.diagnose(data, heat_maps=True)
        if turn >= 2:
            spent.append(1000 * (time.perf_counter() - start))
    return float(np.median(spent))


def scanner(photo: Photo) -> np.ndarray | None:
    """Find the largest four-sided contour and warp it, as document scanners do (Canny, contours, polygon)."""
    scale = 512 / max(photo.pixels.shape[:2])
    small = cv2.resize(photo.pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    grey = cv2.bilateralFilter(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), 9, 40, 40)
    middle = float(np.median(grey))
    edges = cv2.dilate(cv2.Canny(grey, 0.66 * middle, 1.33 * middle), np.ones((3, 3), np.uint8))
    outlines, _ = cv2.findContours(edges, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    for outline in sorted(outlines, key=cv2.contourArea, reverse=True)[:8]:
        shape = cv2.approxPolyDP(outline, 0.02 * cv2.arcLength(outline, True), True)
        if len(shape) == 4 and cv2.isContourConvex(shape) and cv2.contourArea(shape) > 0.05 * grey.size:
            corners = (shape.reshape(4, 2) + 0.5) / scale - 0.5
            target = np.array(
                [(0, 0), (STRAIGHT_PX, 0), (STRAIGHT_PX, STRAIGHT_PX), (0, STRAIGHT_PX)], np.float32
            )
            matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
            cv2.warpPerspective(photo.pixels, matrix, (STRAIGHT_PX, STRAIGHT_PX))
            return np.asarray(corners)
    return None


def error(found: np.ndarray | None, truth: np.ndarray) -> str:
    """Give the worst corner's error in per cent of the diagonal."""
    if found is None:
        return "none found"
    ways = [np.roll(turned, shift, axis=0) for turned in (found, found[::-1]) for shift in range(4)]
    worst = min(float(np.linalg.norm(way - truth, axis=1).max()) for way in ways)
    return f"{worst / np.linalg.norm(truth[2] - truth[0]):.2%}"


def picture(file: Path | None) -> tuple[Photo, np.ndarray | None]:
    """Give the photo, and the corners when it is a simulated one."""
    if file is not None:
        image = read_image(file)
        if not isinstance(image, Photo):
            raise SystemExit(f"{file} is a digital x-ray, not a photo")
        return image, None
    made = photograph(sample_chest(3, 0, 1024).radiograph, "film", seed=4, image_id="bench", level=2)
    size = SIZE if made.photo.pixels.shape[1] > made.photo.pixels.shape[0] else SIZE[::-1]
    pixels = np.asarray(cv2.resize(made.photo.pixels, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    onto = resizing((made.photo.pixels.shape[1], made.photo.pixels.shape[0]), size)
    return Photo(pixels), project(onto, made.corners_px)


def memory() -> int:
    """Measure the memory of one photo in a fresh process."""
    command = [sys.executable, __file__, "--only-memory"]
    return round(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def peak_mb() -> float:
    """Give the peak of resident memory so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def parsed() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only-memory", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
