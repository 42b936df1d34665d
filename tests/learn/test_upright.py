"""The network that says which way up a chest is learns from pictures that are turned as they are named."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from radsnap.flatten.orientation import Orientation
from radsnap.flatten.straightening import _turned
from radsnap.learn.corner_scenes import Stock, drawn_from
from radsnap.learn.upright import (
    STORED_PX,
    WAYS,
    Upright,
    _batch,
    photographed,
    picture_of,
    train_upright,
    turned,
    upright_figures,
)
from radsnap.phantom import sample_chest
from radsnap.seeds import stream


def marked(seed: int = 0) -> np.ndarray:
    """Draw a picture that lies in one way only: a bright corner, a grey edge, and noise."""
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 60, (STORED_PX, STORED_PX)).astype(np.uint8)
    picture[5:45, 5:45] = 240
    picture[:25, 45:] += 90
    return picture


@pytest.mark.parametrize("way", range(8))
def test_what_straightening_undoes_is_what_the_network_was_shown(way: int) -> None:
    lying = np.asarray(turned(marked(), way), np.uint8)
    assert np.array_equal(_turned(lying, Orientation(way % 4, way >= 4, 1.0)), marked())
    assert len(WAYS) == 8
    assert ("mirrored" in WAYS[way]) == (way >= 4)


def test_eight_ways_are_eight_pictures() -> None:
    assert len({turned(marked(), way).tobytes() for way in range(8)}) == 8


def test_a_photographed_chest_comes_back_cut_out_and_upright() -> None:
    chest = np.rint(sample_chest(2, 0, 128).radiograph.pixels * 255).astype(np.uint8)
    ground = np.full((96, 128, 3), 90, np.uint8)
    stock = Stock(drawn_from([chest]), drawn_from([ground]), drawn_from([ground]))
    wanted = picture_of(chest).astype(float)
    likeness = []
    for i in range(6):
        made = photographed(stream(1, "up", i), stock, chest, i).astype(float)
        assert made.shape == (STORED_PX, STORED_PX)
        likeness.append(np.corrcoef(made.ravel(), wanted.ravel())[0, 1])
    assert np.median(likeness) > 0.6


def test_a_handful_of_pictures_is_learnt_and_measured() -> None:
    pictures = np.stack([marked(seed) for seed in range(4)])
    torch.manual_seed(0)
    network = Upright()
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    losses = []
    for step in range(60):
        images, wanted = _batch(stream(1, "handful", step), pictures, pictures[:0], 16)
        losses.append(torch.nn.functional.cross_entropy(network(images), wanted))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[0].item() > 1.5  # an eighth each costs 2.1
    assert np.mean([loss.item() for loss in losses[-5:]]) < 0.9
    figure = upright_figures(network.eval(), "drawn", pictures)
    assert figure.value is not None
    assert figure.value > 0.7
    assert figure.n == 32


def test_training_gives_a_network_that_says_eight_things() -> None:
    pictures = np.stack([marked(seed) for seed in range(2)])
    network = train_upright(pictures, pictures, minutes=0.01, seed=1)
    assert network(torch.zeros(2, 1, 96, 96)).shape == (2, 8)
