"""What closer looks are asked for is where the borders lie, and a few strips are learnt."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from radsnap.flatten.quad import diagonal
from radsnap.flatten.strips import CELLS, COARSE, COLUMNS, FINE, LONG_PX, OUTSIDE, WIDE_PX, placements
from radsnap.learn.corners import fit
from radsnap.learn.strips import ExportedStrips, Strips, profiles, strip_example, strip_loss, supposed

TRUE = np.array([(70.0, 40.0), (200.0, 52.0), (190.0, 210.0), (60.0, 196.0)])
BELOW = TRUE + np.array([0.0, 150.0])


def bright() -> np.ndarray:
    """Draw a photo whose x-ray is white on black."""
    large = np.zeros((2048, 2048), np.uint8)
    cv2.fillConvexPoly(large, np.rint((TRUE + 0.5) * 8 - 0.5).astype(np.int32), 255)
    pixels = np.asarray(cv2.resize(large, (256, 256), interpolation=cv2.INTER_AREA), np.uint8)
    return np.repeat(pixels[..., None], 3, axis=2)


@pytest.mark.parametrize("reach", [COARSE, FINE])
@pytest.mark.parametrize("seed", range(4))
def test_columns_meet_the_border_where_the_picture_turns_bright(seed: int, reach: float) -> None:
    made = strip_example(bright(), TRUE, np.random.default_rng(seed), reach, light=False)
    strips = made.image.transpose(1, 2, 0).reshape(4, WIDE_PX, LONG_PX, 3)
    compared = 0
    for side in range(4):
        for column in np.flatnonzero(np.isfinite(made.meets[side]))[2:-2]:  # corners are no border
            at = made.meets[side, column]
            if not 3 < at < CELLS - 4:
                continue  # it lies beyond the strip, and is asked for at the strip's edge
            x = column * LONG_PX // COLUMNS + LONG_PX // COLUMNS // 2
            inside = strips[side, :, x, 1] > 127
            assert np.argmax(inside) == pytest.approx(at, abs=1.6)
            compared += 1
    assert compared > 20


def test_a_side_out_of_view_is_not_asked_for() -> None:
    meets = profiles(BELOW, placements(BELOW, FINE), (256, 256))
    assert np.isfinite(meets).any(axis=1).tolist() == [True, True, False, True]


def test_a_border_beyond_the_strip_is_asked_for_at_its_edge() -> None:
    away = TRUE + np.array([0.0, 60.0])  # the supposed sides lie far below the true ones
    meets = profiles(TRUE, placements(away, FINE), (256, 256))
    assert np.nanmin(meets[0]) == np.nanmax(meets[0]) == 0  # above, which is outside of the top
    assert np.nanmin(meets[2]) == np.nanmax(meets[2]) == CELLS - 1


@pytest.mark.parametrize("reach", [COARSE, FINE])
def test_supposed_corners_are_off_by_what_a_strip_can_mend(reach: float) -> None:
    away = np.array(
        [
            np.linalg.norm(supposed(np.random.default_rng(i), TRUE, (256, 256), reach) - TRUE, axis=1).max()
            for i in range(80)
        ]
    ) / (reach * diagonal(TRUE))
    assert 0.2 < np.median(away) < 0.9
    assert (away < 1).mean() > 0.6


def test_light_does_not_touch_what_lies_outside() -> None:
    lit = strip_example(bright(), BELOW, np.random.default_rng(3), COARSE)
    outside = (lit.image.transpose(1, 2, 0) == OUTSIDE).all(axis=2)
    assert outside.mean() > 0.1


def test_the_exported_columns_sum_to_one() -> None:
    with torch.inference_mode():
        logits, ridges = ExportedStrips(Strips().eval())(torch.zeros(2, 3, 256, 256))
    assert logits.shape == (2, 4)
    assert ridges.shape == (2, 4, CELLS, COLUMNS)
    assert ridges.sum(dim=2).numpy() == pytest.approx(1.0, abs=1e-4)


def test_a_strip_is_judged_by_its_own_pixels_and_the_others() -> None:
    torch.manual_seed(0)
    network = Strips().eval()
    one = torch.randn(1, 3, 256, 256)
    other = one.clone()
    other[:, :, WIDE_PX:] = 0.0  # the first strip stays
    with torch.inference_mode():
        before, after = network(one)[1][0], network(other)[1][0]
    assert (before[1] - after[1]).abs().max() > (before[0] - after[0]).abs().max() > 0


def test_what_fits_costs_less_than_what_does_not() -> None:
    made = strip_example(bright(), TRUE, np.random.default_rng(0), FINE, light=False)
    meets = torch.from_numpy(made.meets)[None]
    rest = (torch.from_numpy(made.sides)[None], meets)
    logits = torch.full((1, 4), 8.0)
    cells = torch.arange(CELLS)[:, None]

    def maps(shift: float) -> torch.Tensor:
        at = torch.nan_to_num(meets, nan=30.0)[:, :, None] + shift
        return -((cells - at) ** 2) / (2 * 0.8**2)

    right, off = (float(strip_loss(logits, maps(shift), rest)) for shift in (0.0, 1.0))
    assert right < off - 0.2


def test_a_handful_of_strips_is_learnt() -> None:
    costs: list[float] = []
    made = [strip_example(bright(), TRUE, np.random.default_rng(i), COARSE) for i in range(4)]
    images = (torch.from_numpy(np.stack([one.image for one in made])).float() / 255 - 0.5) / 0.25
    rest = tuple(
        torch.from_numpy(np.stack([getattr(one, name) for one in made])) for name in ("sides", "meets")
    )

    def cost(logits: torch.Tensor, maps: torch.Tensor, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
        loss = strip_loss(logits, maps, batch)
        costs.append(loss.item())
        return loss

    torch.manual_seed(0)
    fit(Strips(), lambda step, done: (images, *rest), cost, 0.2, 2e-2, lambda *_: None, lambda _: None)
    assert costs[-1] < 0.8 * costs[0]
