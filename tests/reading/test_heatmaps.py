"""Heat lies where the network looked, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from radsnap.reading.heatmaps import HeatMaps, by_autograd, colour, overlay, relative, upsample


def one_hot_cell(row: int, column: int) -> np.ndarray:
    heat = np.zeros((8, 8), dtype=np.float32)
    heat[row, column] = 3.0
    return heat


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 7), (2, 5), (7, 3)])
def test_the_brightest_place_is_the_cells_own(row: int, column: int) -> None:
    heat = upsample(relative(one_hot_cell(row, column)), 400, 240)
    assert heat.shape == (400, 240)
    peak_y, peak_x = np.argwhere(heat >= heat.max() - 1e-6).mean(axis=0)
    assert abs((peak_y + 0.5) / 50 - (row + 0.5)) <= 0.55
    assert abs((peak_x + 0.5) / 30 - (column + 0.5)) <= 0.55


def test_heat_stays_within_its_range() -> None:
    heat = upsample(relative(np.random.default_rng(0).random((8, 8), dtype=np.float32)), 333, 517)
    assert heat.min() >= 0.0
    assert heat.max() <= 1.0


@pytest.mark.parametrize(("height", "width"), [(300, 500), (500, 300)])
def test_what_a_cropping_network_did_not_see_has_no_heat(height: int, width: int) -> None:
    heat = HeatMaps({"Mass": np.ones((8, 8), dtype=np.float32)}, "crop").on("Mass", height, width)
    inside = np.zeros((height, width), dtype=bool)
    top, left = (height - 300) // 2, (width - 300) // 2
    inside[top : top + 300, left : left + 300] = True
    assert heat == pytest.approx(inside.astype(np.float32), abs=1e-6)


def test_a_map_without_heat_stays_cold() -> None:
    assert not relative(np.zeros((8, 8), dtype=np.float32)).any()


def test_the_picture_is_untouched_where_it_is_cold_and_at_opacity_zero() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    cold = np.full((64, 48), 0.2, dtype=np.float32)
    assert np.array_equal(overlay(picture, cold, 1.0), picture)
    assert np.array_equal(overlay(picture, np.ones_like(cold), 0.0), picture)
    assert np.array_equal(
        overlay(picture, np.ones_like(cold), 1.0)[0, 0], colour(np.ones((1, 1), np.float32))[0, 0, :3]
    )


def test_hotter_is_more_opaque_and_brighter() -> None:
    paint = colour(np.linspace(0.25, 1, 64, dtype=np.float32)[None]).astype(int)[0]
    assert (np.diff(paint[:, 3]) >= 0).all()
    assert (np.diff(paint[:, :2].sum(axis=1)) >= 0).all()


@pytest.mark.train
def test_autograd_gives_the_closed_form_for_pooling_and_one_linear_layer() -> None:
    torch = pytest.importorskip("torch")

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.maps = torch.nn.Sequential(torch.nn.Conv2d(1, 6, 8, stride=8), torch.nn.ReLU())
            self.out = torch.nn.Linear(6, 3)

        def forward(self, images: object) -> object:
            return self.out(self.maps(images).mean(dim=(2, 3)))

    torch.manual_seed(0)
    network = Pooled()
    images = np.random.default_rng(2).random((2, 1, 32, 32), dtype=np.float32)
    heat = by_autograd(network, network.maps, images, outputs=3)
    maps = network.maps(torch.from_numpy(images)).detach().numpy()
    weights = network.out.weight.detach().numpy()
    expected = np.maximum(np.einsum("nchw,kc->nkhw", maps, weights), 0) / 16
    assert heat.shape == (2, 3, 4, 4)
    assert heat.max() > 0
    assert heat == pytest.approx(expected, abs=1e-6)
