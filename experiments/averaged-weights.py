"""Average the weights of two trainings of one network, where one went on from the other: often better than either.

    python experiments/averaged-weights.py runs/gate-7/network.safetensors runs/gate-8/network.safetensors -o runs/gate-mean

Writes FOLDER/network.safetensors for `radsnap train --from`. Source: Wortsman et al., Model soups, 2022.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from safetensors.torch import load_file, save_file


def main() -> None:
    """Average and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, nargs=2)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    one, other = (load_file(path) for path in options.weights)
    if one.keys() != other.keys():
        raise SystemExit("the two are not weights of one network")
    mean = {
        name: ((one[name] + other[name]) / 2 if one[name].is_floating_point() else other[name]).contiguous()
        for name in one
    }
    options.output.mkdir(parents=True, exist_ok=True)
    save_file(mean, options.output / "network.safetensors")


if __name__ == "__main__":
    main()
