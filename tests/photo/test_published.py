"""The published effects, against slow and plain versions of their definitions, and against their outputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from radsnap.photo import EFFECTS, Canvas
from radsnap.photo.geometry import Rotation, Tilt, Translation
from radsnap.photo.light import PLACES, GlareMatte, box_at
from radsnap.photo.moire import Moire
from radsnap.photo.optics import Motion
from radsnap.photo.tone import Brightness, Contrast, Exposure, RandomDigital
from radsnap.seeds import stream

BENCH = Path(__file__).parents[2] / "bench" / "golden.py"
TINY = Path(__file__).parent / "golden"


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    error = float(np.mean((a.astype(float) - b) ** 2))
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def plain_mask(height: int, width: int, moire: Moire, which: int) -> NDArray[np.bool_]:
    """Draw one mask pixel by pixel in float64, as its definition says."""
    side, s = 2 * max(height, width), moire.spread
    dark = np.arange(side) % (moire.thickness_px + moire.gap_px) < moire.thickness_px
    dx, dy = moire.offsets_px[which]
    x = np.arange(width)[None] + round((side - width) // 2 + dx) + 0.5 - side / 2
    y = np.arange(height)[:, None] + round((side - height) // 2 + dy) + 0.5 - side / 2
    a = np.deg2rad(moire.angles_deg[which])
    u = np.floor(np.cos(a) * x - np.sin(a) * y + side / 2 + (1e-9 if moire.angles_deg[which] == 90 else 0))
    v = np.floor(np.sin(a) * x + np.cos(a) * y + side / 2 + (1e-9 if moire.angles_deg[which] == 90 else 0))
    row = np.floor(side / 2 + (v + 0.5 - side / 2) * s / (1 - (1 - s) * (u + 0.5) / side))
    seen = (u >= 0) & (u < side) & (v >= 0) & (v < side) & (row >= 0) & (row < side)
    return np.where(seen, dark[row.clip(0, side - 1).astype(int)], False)


def plain_moire(image: NDArray[np.uint8], moire: Moire) -> NDArray[np.uint8]:
    """Enlarge by Pillow, darken under two drawn masks, reduce by Pillow."""
    height, width = image.shape
    double = Image.fromarray(image).resize((2 * width, 2 * height), Image.Resampling.LANCZOS)
    light = 1 - int(255 * moire.opacity) / 255
    factor = np.ones((2 * height, 2 * width))
    for which in (0, 1):
        factor[plain_mask(2 * height, 2 * width, moire, which)] *= light
    dark = Image.fromarray(np.rint(np.asarray(double) * factor).astype(np.uint8))
    return np.asarray(dark.resize((width, height), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_moire_is_what_enlarging_masking_and_reducing_gives(pattern, level):
    image = cv2.resize(pattern, (300, 240), interpolation=cv2.INTER_CUBIC)
    moire = EFFECTS["moire"].sample(stream(3, level), level, Canvas(240, 300))
    assert psnr(EFFECTS["moire"].apply(image, moire), plain_moire(image, moire)) >= 42


def test_moire_leaves_the_picture_where_the_masks_do_not_reach(pattern):
    moire = Moire(1, 2.5, 0.35, (45.0, 90.0), 0.5, ((400.0, -300.0), (90.0, 500.0)))
    assert psnr(EFFECTS["moire"].apply(pattern, moire), plain_moire(pattern, moire)) >= 38


def test_moire_has_no_seams_between_bands(pattern):
    image = np.full((203, 151), 200, np.uint8)
    moire = EFFECTS["moire"].sample(stream(9), 4, Canvas(203, 151))
    assert psnr(EFFECTS["moire"].apply(image, moire)[4:-4, 4:-4], plain_moire(image, moire)[4:-4, 4:-4]) >= 50


@pytest.mark.parametrize("factor", [0.0, 0.4, 0.77, 1.0, 1.11, 1.8])
def test_brightness_and_contrast_are_pillows_to_the_bit(pattern, factor):
    image = Image.fromarray(pattern)
    bright = EFFECTS["brightness_up"].apply(pattern, Brightness(factor))
    assert np.array_equal(bright, np.asarray(ImageEnhance.Brightness(image).enhance(factor)))
    contrast = EFFECTS["contrast_up"].apply(pattern, Contrast(factor))
    assert np.array_equal(contrast, np.asarray(ImageEnhance.Contrast(image).enhance(factor)))


def test_random_digital_is_contrast_then_brightness(pattern):
    both = EFFECTS["random_digital"].apply(pattern, RandomDigital(1.6, 0.7))
    one = EFFECTS["contrast_up"].apply(pattern, Contrast(1.6))
    assert np.array_equal(both, EFFECTS["brightness_down"].apply(one, Brightness(0.7)))


def test_exposure_is_the_sigmoid(pattern):
    made = EFFECTS["exposure"].apply(pattern, Exposure(0.5, 5.0))
    expected = 255 / (1 + np.exp(5 * (0.5 - pattern / 255.0)))
    assert np.abs(made - expected).max() <= 1


@pytest.mark.parametrize("length", [2, 3, 10, 25, 45])
def test_motion_is_one_row_of_a_square_kernel(pattern, length):
    kernel = np.zeros((length, length), np.float32)
    kernel[(length - 1) // 2] = 1 / length
    expected = cv2.filter2D(
        pattern, -1, kernel, anchor=(length // 2, length // 2), borderType=cv2.BORDER_REFLECT_101
    )
    made = EFFECTS["motion"].apply(pattern, Motion(length))
    assert np.abs(made.astype(int) - expected).max() <= 1


def test_glare_is_its_formula(pattern):
    glare = GlareMatte((70.3, 20.8), 30.0, 200.0, 190.0)
    y, x = np.mgrid[0:96, 0:120]
    bell = np.exp(-((x - 70.3) ** 2 + (y - 20.8) ** 2) / 1800)
    alpha = np.floor(np.minimum(190, 200 * bell / bell.max())) / 255
    assert (
        np.abs(EFFECTS["glare_matte"].apply(pattern, glare) - (pattern + alpha * (255 - pattern))).max() <= 1
    )


def test_tilt_has_a_hard_black_edge():
    white = np.full((100, 140), 255, np.uint8)
    made = EFFECTS["tilt"].apply(white, Tilt(((10, 8), (133, 12), (128, 93), (6, 97))))
    assert set(np.unique(made)) == {0, 255}
    assert (
        abs(
            int((made > 0).sum()) - int(cv2.contourArea(np.float32([(10, 8), (133, 12), (128, 93), (6, 97)])))
        )
        < 60
    )


@pytest.mark.parametrize("angle", [5, -10, 15, 20])
def test_rotation_turns_counter_clockwise_on_a_grown_canvas(pattern, angle):
    height, width = pattern.shape
    made = EFFECTS["rotation"].apply(pattern, Rotation(float(angle)))
    cosine, sine = np.cos(np.deg2rad(abs(angle))), np.sin(np.deg2rad(abs(angle)))
    assert made.shape == (int(height * cosine + width * sine), int(height * sine + width * cosine))
    pillow = Image.fromarray(pattern).rotate(angle, Image.Resampling.BILINEAR, expand=True)
    offset = np.subtract(pillow.size, made.shape[::-1])
    assert np.abs(offset).max() <= 2
    middle = np.asarray(pillow).astype(float)[30:-30, 30:-30].mean()
    assert abs(made[30:-30, 30:-30].mean() - middle) < 3
    assert made[0, 0] == made[-1, -1] == 0


def test_translation_shrinks_into_a_frame_and_moves(pattern):
    image = cv2.resize(pattern, (480, 400), interpolation=cv2.INTER_CUBIC)
    made = EFFECTS["translation"].apply(image, Translation(20, -40))
    assert made[60:260, 120:400].any()
    outside = np.ones(made.shape, bool)
    outside[60:260, 120:400] = False
    assert not made[outside].any()
    shrunk = Image.fromarray(image).transform(
        (280, 200), Image.Transform.AFFINE, (480 / 280, 0, 0, 0, 2, 0), Image.Resampling.BICUBIC
    )
    assert psnr(made[60:260, 120:400], np.asarray(shrunk)) > 40


@pytest.mark.parametrize("place", PLACES)
def test_glossy_boxes_lie_at_their_place(place):
    black = np.zeros((200, 300), np.uint8)
    made = EFFECTS["glare_glossy"].apply(black, box_at(place, (60.7, 30.2), (0.41, 0.62), 0.8, (200, 300)))
    ys, xs = np.nonzero(made)
    assert set(np.unique(made)) == {0, 204}
    assert (np.ptp(xs) + 1) in (60, 61)
    assert (np.ptp(ys) + 1) in (30, 31)
    assert ("left" in place) == (xs.min() == 0)
    assert ("right" in place) == (xs.max() == 299)
    assert ("top" in place) == (ys.min() == 0)
    assert ("bottom" in place) == (ys.max() == 199)


def run_bench(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCH), str(folder)], capture_output=True, text=True, check=False
    )


def test_bench_passes_on_the_tiny_goldens_and_says_what_is_wrong(tmp_path):
    done = run_bench(TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "moire" in done.stdout
    for name in ("input.png", "moire_4.png"):
        (tmp_path / name).write_bytes((TINY / name).read_bytes())
    pair = next(p for p in json.loads((TINY / "golden.json").read_text()) if p["effect"] == "moire")
    wrong = pair | {"params": pair["params"] | {"gap_px": 2.5}}
    (tmp_path / "golden.json").write_text(json.dumps([pair, wrong, pair | {"effect": "sepia"}]))
    done = run_bench(tmp_path)
    assert done.returncode == 1
    assert "no effect is called 'sepia'" in done.stdout
    assert done.stdout.count("FAIL") == 2


@pytest.mark.shared
def test_published_outputs_are_met(shared_data):
    folder = shared_data.parent / "golden" / "chexphoto"
    if not (folder / "golden.json").exists():
        pytest.skip(f"no published outputs at {folder}")
    done = run_bench(folder)
    assert done.returncode == 0, done.stdout
