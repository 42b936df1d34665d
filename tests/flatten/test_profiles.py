"""The line that most profiles agree on is found to a fraction of a cell, and a doubt shows."""

from __future__ import annotations

import numpy as np
import pytest

from radsnap.flatten.profiles import Line, lines_of

CELLS = 64


def ridge(start: float, end: float, width: float = 0.7) -> np.ndarray:
    """Draw what 64 profiles say of a line from one cell to another."""
    place = start + (end - start) * np.arange(CELLS) / (CELLS - 1)
    heat = np.exp(-0.5 * ((np.arange(CELLS)[:, None] - place) / width) ** 2)
    return (heat / heat.sum(axis=0)).astype(np.float32)


def line_of(heat: np.ndarray) -> Line:
    """Fit the line of one map, beside another."""
    found, _ = lines_of(np.stack([heat, ridge(40.0, 30.0)]), 0, CELLS - 1)
    return found


@pytest.mark.parametrize(("start", "end"), [(9.0, 9.0), (7.3, 12.6), (14.8, 5.1)])
def test_a_line_is_met_within_a_twentieth_of_a_cell(start: float, end: float) -> None:
    found = line_of(ridge(start, end))
    assert found.ends == pytest.approx([0, start, CELLS - 1, end], abs=0.05)
    assert found.clear > 0.9


def test_a_finger_over_a_third_of_a_side_does_not_bend_it() -> None:
    heat = ridge(9.0, 12.0)
    heat[:, 20:40] = ridge(25.0, 25.0)[:, 20:40]
    found = line_of(heat)
    assert found.ends == pytest.approx([0, 9.0, CELLS - 1, 12.0], abs=0.1)


def test_two_ridges_are_less_sure_than_one() -> None:
    one, both = ridge(9.0, 9.0), (ridge(9.0, 9.0) + ridge(14.0, 14.0)) / 2
    sure, unsure = line_of(one), line_of(both)
    assert unsure.spread_cells > 5 * sure.spread_cells
    assert unsure.clear < 0.6 * sure.clear
