"""A closer look lays a quadrilateral square, fits a line to each side, and comes nearer with every look."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from radsnap.flatten.closer import INPUT_PX, MAP_PX, MARGIN, OUTSIDE, line_of, look_closer, square_up
from radsnap.flatten.quad import diagonal
from radsnap.imaging import corners_of, project
from radsnap.models.card import Card
from radsnap.models.runtime import load

TRUE = np.array([(110.4, 92.7), (405.1, 121.3), (380.6, 402.2), (88.9, 370.5)])


def ridge(start: float, end: float, width: float = 0.7) -> np.ndarray:
    """Draw what 64 profiles say of a line from one cell to another."""
    place = start + (end - start) * np.arange(MAP_PX) / (MAP_PX - 1)
    heat = np.exp(-0.5 * ((np.arange(MAP_PX)[:, None] - place) / width) ** 2)
    return (heat / heat.sum(axis=0)).astype(np.float32)


@pytest.mark.parametrize(("start", "end"), [(9.0, 9.0), (7.3, 12.6), (14.8, 5.1)])
def test_a_line_is_met_within_a_twentieth_of_a_cell(start: float, end: float) -> None:
    found = line_of(ridge(start, end), 0, MAP_PX - 1)
    assert found is not None
    assert found.ends == pytest.approx([0, start, MAP_PX - 1, end], abs=0.05)
    assert found.clear > 0.9


def test_a_finger_over_a_third_of_a_side_does_not_bend_it() -> None:
    heat = ridge(9.0, 12.0)
    heat[:, 20:40] = ridge(25.0, 25.0)[:, 20:40]
    found = line_of(heat, 0, MAP_PX - 1)
    assert found is not None
    assert found.ends == pytest.approx([0, 9.0, MAP_PX - 1, 12.0], abs=0.1)


def test_two_ridges_are_less_sure_than_one() -> None:
    one, both = ridge(9.0, 9.0), (ridge(9.0, 9.0) + ridge(14.0, 14.0)) / 2
    sure, unsure = line_of(one, 0, MAP_PX - 1), line_of(both, 0, MAP_PX - 1)
    assert sure is not None
    assert unsure is not None
    assert unsure.spread_cells > 5 * sure.spread_cells
    assert unsure.clear < 0.6 * sure.clear


def test_between_too_few_profiles_there_is_no_line() -> None:
    assert line_of(ridge(9.0, 9.0), 30, 34) is None


def photo() -> np.ndarray:
    pixels = np.full((480, 500), 30, np.uint8)
    cv2.fillConvexPoly(pixels, np.rint((TRUE + 0.5) * 16 - 8).astype(np.int32), 200, cv2.LINE_AA, shift=4)
    return np.repeat(pixels[..., None], 3, axis=2)


def test_a_quadrilateral_is_laid_into_the_middle_of_the_square() -> None:
    picture, onto = square_up(photo(), TRUE)
    rim = INPUT_PX * MARGIN / (1 + 2 * MARGIN)
    wanted = corners_of((INPUT_PX, INPUT_PX)) + np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)]) * rim
    assert np.abs(project(onto, TRUE) - wanted).max() < 1e-6
    inside = slice(round(rim) + 3, round(INPUT_PX - rim) - 3)
    assert picture[inside, inside].min() > 190
    assert picture[: round(rim) - 3].max() < 40


def test_what_lies_outside_of_the_photo_is_marked() -> None:
    picture, _ = square_up(photo(), corners_of((500, 480)))
    assert (picture[0, 0] == OUTSIDE).all()
    assert not (picture[INPUT_PX // 2, INPUT_PX // 2] == OUTSIDE).all()


def test_a_far_photo_is_averaged_down_before_it_is_warped() -> None:
    y, x = np.mgrid[0:2000, 0:2000]
    fine = np.where((x + y) % 2, 250, 0).astype(np.uint8)  # would alias to stripes
    picture, _ = square_up(np.repeat(fine[..., None], 3, axis=2), corners_of((2000, 2000)))
    middle = picture[60:190, 60:190].astype(float)
    assert middle.std() < 6


@dataclass(frozen=True, eq=False)
class Bright:
    """A network that sees one thing: where a bright picture begins and ends in each column and row."""

    card: Card

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        small = cv2.resize(images[0, 0], (MAP_PX, MAP_PX), interpolation=cv2.INTER_AREA)
        inside = small > 0
        heat = np.full((4, MAP_PX, MAP_PX), 1e-4, np.float32)
        for place in range(MAP_PX):
            down, across = np.flatnonzero(inside[:, place]), np.flatnonzero(inside[place])
            if len(down):
                heat[0, down[0], place] = heat[2, down[-1], place] = 1
            if len(across):
                heat[1, place, across[-1]] = heat[3, place, across[0]] = 1
        return {"logits": np.full((1, 4), 9.0, np.float32), "heat_maps": heat[None]}


@pytest.mark.parametrize("seed", range(4))
def test_each_look_comes_nearer(seed: int) -> None:
    network = Bright(load("borders").card)
    rng = np.random.default_rng(seed)
    corners = TRUE + rng.normal(0, 0.04, (4, 2)) * diagonal(TRUE)
    errors = [np.linalg.norm(corners - TRUE, axis=1).max() / diagonal(TRUE)]
    for _ in range(3):
        found = look_closer(network, photo(), corners)  # type: ignore[arg-type]
        assert found is not None
        assert found.seen == (True, True, True, True)
        corners = found.corners
        errors.append(np.linalg.norm(corners - TRUE, axis=1).max() / diagonal(TRUE))
    assert errors[-1] < 0.018  # a cell of the map, which is all that this network knows
    assert errors[-1] < errors[0] / 2


def test_without_sides_in_view_nothing_is_found() -> None:
    @dataclass(frozen=True, eq=False)
    class Blind(Bright):
        def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
            made = super().run(images)
            return {**made, "logits": -made["logits"]}

    assert look_closer(Blind(load("borders").card), photo(), TRUE) is None  # type: ignore[arg-type]
