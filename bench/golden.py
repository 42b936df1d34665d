#!/usr/bin/env python3
"""Compare the published effects with outputs of the published generator: `python bench/golden.py DIR`.

DIR holds golden.json: a list of {input, output, effect, level, params}. Prints effect, level and PSNR of
every pair, and exits 1 when one is below its bar (40 dB for one effect, 36 dB for a chain), is of
another size, or cannot be read.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.errors import RadsnapError, UsageError
from radsnap.photo.effect import from_plain, to_plain
from radsnap.photo.effects import effect_named
from radsnap.photo.light import box_at

BAR_DB, BAR_CHAIN_DB = 40.0, 36.0
_JITTER_STEPS = (0.5, 2.0, 3.0, 4.0)
PLACES_BY_NUMBER = (  # as the published generator counts them, from 1
    "", "top-left", "left", "bottom-left", "top", "centre", "bottom", "top-right", "right", "bottom-right",
)  # fmt: skip
DIRECTIONS = ("up", "down")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Path(os.environ.get("RADSNAP_TEST_DATA", "../shared/data")).parent / "golden" / "chexphoto"
    parser.add_argument(
        "folder", type=Path, nargs="?", default=default, help="the folder that holds golden.json"
    )
    folder: Path = parser.parse_args().folder
    if folder == default and not folder.exists():
        print(f"no folder given and none at {default}: skipped")
        return 0
    try:
        pairs = json.loads((folder / "golden.json").read_text())
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{folder / 'golden.json'} cannot be read: {error}\n")
        return 2
    failed = sum(not report(folder, pair) for pair in pairs)
    print(f"{len(pairs)} pairs, {failed} below the bar or unreadable")
    return 1 if failed or not pairs else 0


def report(folder: Path, pair: Mapping[str, Any]) -> bool:
    """Print one line for a pair, and tell whether it passes."""
    name = f"{pair.get('effect', '?'):<16} {pair.get('level', '?')}  {pair.get('output', '?')}"
    try:
        given, expected = (read_grey(folder / pair[key]) for key in ("input", "output"))
        bar = BAR_CHAIN_DB if is_chain(pair) else BAR_DB
        made = replay(given, pair["effect"], pair.get("level"), pair.get("params") or {})
        if made.shape != expected.shape:
            raise UsageError(
                f"ours has {made.shape[1]}×{made.shape[0]} px, the published {expected.shape[1]}×{expected.shape[0]}"
            )
    except (RadsnapError, KeyError, TypeError, ValueError, cv2.error) as error:
        print(f"FAIL  -----     {name}  {type(error).__name__}: {error}")
        return False
    value = psnr(made, expected)
    print(f"{'ok  ' if value >= bar else 'FAIL'} {value:6.2f} dB  {name}")
    return value >= bar


def is_chain(pair: Mapping[str, Any]) -> bool:
    """Tell a chain (its params have an order of effects) from one effect."""
    order = (pair.get("params") or {}).get("order")
    return isinstance(order, list) and "digital" not in str(pair.get("effect"))


def replay(image: NDArray[np.uint8], effect: str, level: Any, params: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Do one recorded effect or chain."""
    if isinstance(params.get("order"), list):
        for name in params["order"]:
            part = params.get(name, params.get(name.split("_")[0]))
            if part is None:
                raise UsageError(f"params has no entry for {name!r} of its order")
            image = replay(image, name, level, part if isinstance(part, Mapping) else {"factor": part})
        return image
    name = effect.replace("-", "_").replace(" ", "_").lower().replace("é", "e").removeprefix("chexphoto_")
    if name in ("brightness", "contrast"):
        name += "_up" if float(params.get("factor", 1)) >= 1 else "_down"
    found = effect_named("random_digital" if name == "digital" else name)
    made = found.apply(
        image, from_plain(found.params, ours(name, level, params, (image.shape[0], image.shape[1])), name)
    )
    return np.asarray(made, np.uint8)


def ours(name: str, level: Any, params: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Give recorded params the names of ours: the record's style may spell a thing in more than one way."""
    plain = {key: value for key, value in params.items() if key != "order" or isinstance(value, list)}
    if name.endswith(DIRECTIONS):
        return {"factor": factor(name.rsplit("_", 1)[1], level, plain)}
    if name in ("random_digital", "digital"):
        return {key: digital_factor(key, level, plain) for key in ("contrast", "brightness")}
    if name == "glare_glossy":
        return glossy(plain, size)
    if name == "translation":
        x, y = first(plain, "offset_px", "shift_px", "translation_px", "offsets_px") or (
            plain["x_px"],
            plain["y_px"],
        )
        return {"x_px": x, "y_px": y, "frame_px": first(plain, "frame_px", "buffer_px", "border_px") or 100.0}
    if name == "rotation":
        return {"angle_deg": first(plain, "angle_deg", "angle", "degrees")}
    if name == "exposure":
        return {"cutoff": plain.get("cutoff", 0.5), "gain": plain.get("gain", 5.0)}
    return plain


def first(params: Mapping[str, Any], *names: str) -> Any:
    """Give the first value that is there."""
    return next((params[name] for name in names if name in params), None)


def factor(direction: str, level: Any, params: Mapping[str, Any]) -> float:
    """Read the factor of an enhancement, or work it out of the jitter."""
    given = first(params, "factor", "enhancement", "enhancement_factor", "value")
    if given is not None:
        return float(given)
    jitter = float(params["jitter"])
    step = float(first(params, "f", "step") or _JITTER_STEPS[int(level) - 1])
    return 1 + 0.2 * step + jitter if direction == "up" else 1 / (1 + 0.4 * step + jitter)


def digital_factor(kind: str, level: Any, params: Mapping[str, Any]) -> float:
    """Read the factor of one half of random-digital, flat (contrast_factor) or in a table of its own."""
    found: dict[str, Any] = {}
    for key, value in params.items():
        if not key.startswith(kind):
            continue
        rest = key.removeprefix(kind).strip("_")
        if rest in DIRECTIONS:
            found["direction"] = rest
        if isinstance(value, Mapping):
            found |= value
        elif isinstance(value, str):
            found["direction"] = value.rsplit("_", 1)[-1]
        else:
            found["jitter" if rest == "jitter" else "factor"] = value
    if not found:
        raise UsageError(f"random_digital's params have no {kind}; got {sorted(params)}")
    return factor(str(found.get("direction", "up")), level, found)


def glossy(params: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Read the box of a glossy glare: as corners, as corner and size, or as a place with sizes."""
    alpha = float(first(params, "alpha", "opacity"))
    alpha = int(alpha) / 255 if alpha > 1 else alpha
    box = first(params, "box_px", "rect_px", "corners_px")
    corner = first(params, "top_left_px", "origin_px", "position_px", "offset_px")
    sides = first(params, "size_px") or [first(params, f"{side}_px") for side in ("width", "height")]
    if None in sides:
        sides = [first(params, f"{s}_frac", f"{s}_fraction", f"{s}_box", s) for s in ("width", "height")]
        sides = [None if s is None else float(s) * n for s, n in zip(sides, reversed(size), strict=True)]
    place = first(params, "place", "location")
    if box is not None:
        points = np.asarray(box, float).reshape(-1, 2)
        x, y = points.min(axis=0).tolist()
        sides = (points.max(axis=0) - (x, y)).tolist()
    elif corner is not None or "x_px" in params:
        x, y = corner or (params["x_px"], params["y_px"])
    else:
        named = PLACES_BY_NUMBER[int(place)] if isinstance(place, int) else str(place).replace("_", "-")
        both = first(params, "along", "start", "position")
        pair = both if isinstance(both, list) else (both, both)
        along = [
            first(params, f"start_{a}", f"along_{a}", f"{a}_frac") or p or 0.5
            for a, p in zip("xy", pair, strict=True)
        ]
        found = box_at(named, (sides[0], sides[1]), (along[0], along[1]), alpha, size)
        return dict(to_plain(found))
    return {"x_px": x, "y_px": y, "width_px": sides[0], "height_px": sides[1], "alpha": alpha}


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Read an 8-bit picture; grey when its channels agree."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise UsageError(f"{path} is not a picture")
    return np.asarray(image, np.uint8)


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Give the peak signal-to-noise ratio in dB; 99 for equal pictures."""
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return 99.0 if error == 0 else min(10 * float(np.log10(255**2 / error)), 99.0)


if __name__ == "__main__":
    sys.exit(main())
