"""How much the simulated phones' lenses bend a straight side of an x-ray: is it worth estimating?

python bench/lens.py [--photos 200]

Prints quantiles, over photos of screens and films at all levels, of the greatest distance of a side from the line
through its ends, in per cent of the x-ray's diagonal. The bar for corners is 1 %.
"""

from __future__ import annotations

import argparse

import numpy as np

from radsnap.photo import sample_recipe
from radsnap.photo.camera import distort
from radsnap.seeds import stream

SIZE_HW = (1024, 1024)


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=200, help="of screens, and of films")
    count = parser.parse_args().photos
    bends = [bend(kind, i) for kind in ("screen", "film") for i in range(count)]
    half, nine, most = np.quantile(bends, [0.5, 0.9, 1.0])
    print(
        f"a side bends by {half:.2%} of the diagonal (median), {nine:.2%} (90 %), {most:.2%} (most); n = {len(bends)}"
    )


def bend(kind: str, number: int) -> float:
    """Draw a photo's parameters and give the greatest bend of its four sides."""
    params = sample_recipe(kind, 1 + number % 4, SIZE_HW, stream(1, "lens", kind, number)).steps[0].params
    corners, share = np.asarray(params.corners_px, float), np.linspace(0, 1, 41)[:, None]
    worst = 0.0
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        side = distort(params.camera, start + share * (end - start))
        along = (side[-1] - side[0]) / np.linalg.norm(side[-1] - side[0])
        away = (side - side[0]) @ np.array([-along[1], along[0]])
        worst = max(worst, float(np.abs(away).max()))
    return worst / float(np.linalg.norm(corners[2] - corners[0]))


if __name__ == "__main__":
    main()
