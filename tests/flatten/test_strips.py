"""Closer looks cut a strip along each side, find the border in it, and come nearer with every look."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from radsnap.flatten.quad import diagonal
from radsnap.flatten.strips import (
    BEYOND,
    CELLS,
    COARSE,
    COLUMNS,
    FINE,
    LONG_PX,
    OUTSIDE,
    WIDE_PX,
    comfortable,
    laid,
    look_closer,
    placements,
)
from radsnap.imaging import Photo, corners_of, project
from radsnap.models.card import Card
from radsnap.models.runtime import load

TRUE = np.array([(110.4, 92.7), (405.1, 121.3), (380.6, 402.2), (88.9, 370.5)])


def photo() -> np.ndarray:
    pixels = np.full((480, 500), 30, np.uint8)
    cv2.fillConvexPoly(pixels, np.rint((TRUE + 0.5) * 16 - 8).astype(np.int32), 200, cv2.LINE_AA, shift=4)
    return np.repeat(pixels[..., None], 3, axis=2)


def test_a_side_lies_along_the_middle_of_its_strip_its_outside_up() -> None:
    placed = placements(TRUE, FINE)
    rim = LONG_PX * BEYOND / (1 + 2 * BEYOND)
    for side in range(4):
        ends = project(placed[side], TRUE[[side, (side + 1) % 4]])
        middle = WIDE_PX / 2 - 0.5
        assert ends == pytest.approx(np.array([(rim - 0.5, middle), (LONG_PX - rim - 0.5, middle)]), abs=1e-4)
    strips = laid(photo(), placed).reshape(4, WIDE_PX, LONG_PX, 3)[:, :, 40:-40]
    assert strips[:, : WIDE_PX // 2 - 4].max() < 50
    assert strips[:, WIDE_PX // 2 + 4 :].min() > 180


def test_a_strip_reaches_so_far_of_the_diagonal() -> None:
    placed = placements(TRUE, COARSE)
    for side in range(4):
        back = project(np.linalg.inv(placed[side]), np.array([(10.0, -0.5), (10.0, WIDE_PX - 0.5)]))
        assert np.linalg.norm(back[1] - back[0]) == pytest.approx(2 * COARSE * diagonal(TRUE), rel=1e-4)


def test_what_lies_outside_of_the_photo_is_marked() -> None:
    strips = laid(photo(), placements(corners_of((500, 480)), FINE)).reshape(4, WIDE_PX, LONG_PX, 3)
    assert (strips[:, 0] == OUTSIDE).all()
    assert not (strips[:, -1, LONG_PX // 2] == OUTSIDE).all(axis=-1).any()


def test_a_large_photo_is_averaged_down_before_strips_are_cut() -> None:
    y, x = np.mgrid[0:1800, 0:1800]
    fine = np.repeat(np.where((x + y) % 2, 250, 0).astype(np.uint8)[..., None], 3, axis=2)  # would alias
    corners = corners_of((1800, 1800)) * 0.8 + 180
    small, there = comfortable(Photo(fine), corners)
    assert diagonal(there) == pytest.approx(450, rel=0.01)
    assert laid(small, placements(there, FINE)).reshape(4, WIDE_PX, LONG_PX, 3)[:, 10:-10].std() < 6
    same, kept = comfortable(Photo(photo()), TRUE)
    assert same.shape == (480, 500, 3)
    assert kept is TRUE


@dataclass(frozen=True, eq=False)
class Bright:
    """A network that sees one thing: where in each column a strip turns bright."""

    card: Card

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        strips = images[0, 1].reshape(4, WIDE_PX, LONG_PX)  # green is dark outside of the photo
        columns = strips[:, :, LONG_PX // COLUMNS // 2 :: LONG_PX // COLUMNS]
        at = (columns > 0).argmax(axis=1)
        heat = np.full((4, CELLS, COLUMNS), 1e-4, np.float32)
        np.put_along_axis(heat, at[:, None], 1.0, axis=1)
        return {"logits": np.full((1, 4), 9.0, np.float32), "heat_maps": heat[None]}


@pytest.mark.parametrize("seed", range(4))
def test_each_look_comes_nearer(seed: int) -> None:
    network = Bright(load("borders").card)
    rng = np.random.default_rng(seed)
    corners = TRUE + rng.normal(0, 0.03, (4, 2)) * diagonal(TRUE)
    errors = [np.linalg.norm(corners - TRUE, axis=1).max() / diagonal(TRUE)]
    for reach in (COARSE, FINE, FINE):
        found = look_closer(network, photo(), corners, reach)  # type: ignore[arg-type]
        assert found is not None
        assert found.seen == (True, True, True, True)
        assert found.moved == pytest.approx(
            np.linalg.norm(found.corners - corners, axis=1).max() / diagonal(corners)
        )
        corners = found.corners
        errors.append(np.linalg.norm(corners - TRUE, axis=1).max() / diagonal(TRUE))
    assert errors[1] < 0.01
    assert errors[-1] < 0.003
    assert errors[-1] < errors[0] / 4


def test_without_sides_in_view_nothing_is_found() -> None:
    @dataclass(frozen=True, eq=False)
    class Blind(Bright):
        def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
            made = super().run(images)
            return {**made, "logits": -made["logits"]}

    assert look_closer(Blind(load("borders").card), photo(), TRUE, FINE) is None  # type: ignore[arg-type]


def test_a_side_out_of_view_stands_at_the_photos_edge() -> None:
    @dataclass(frozen=True, eq=False)
    class Topless(Bright):
        def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
            made = super().run(images)
            return {**made, "logits": made["logits"] * (-1, 1, 1, 1)}

    found = look_closer(Topless(load("borders").card), photo(), TRUE, FINE)  # type: ignore[arg-type]
    assert found is not None
    assert found.seen == (False, True, True, True)
    assert (found.corners[:2, 1] < 0.5).all()  # parallel to the bottom, as far out as the photo reaches
    assert np.abs(found.corners[2:] - TRUE[2:]).max() < 3
