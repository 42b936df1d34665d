"""What the corruption of groups of patches promises."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from scipy import ndimage, stats  # noqa: E402

from radsnap.errors import UsageError  # noqa: E402
from radsnap.learn.masking import Chance, Corruption, aliens, corrupt, groups  # noqa: E402

MANY = torch.arange(600)
PLANS = {
    "all": Corruption(),
    "noise": Corruption(sources=("noise",), alien=0),
    "zeros": Corruption(sources=("zeros",), alien=0),
    "copy": Corruption(sources=("copy",), alien=0),
    "alien": Corruption(sources=(), alien=1),
    "pixels": Corruption(align_px=1),
    "published": Corruption(as_published=True),
}


def images(count: int = 12, channels: int = 1, size: int = 64) -> torch.Tensor:
    """Smooth pictures with a black border, as x-rays have."""
    rng = np.random.default_rng(5)
    smooth = ndimage.gaussian_filter(rng.normal(size=(count, channels, size, size)), (0, 0, 4, 4))
    smooth /= smooth.std()
    smooth[..., :16, :] = smooth[..., :, :8] = -2.0
    return torch.from_numpy(smooth.astype(np.float32))


def cells_of(mask: torch.Tensor, patch: int) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(mask.float(), patch)[:, 0]


@pytest.mark.parametrize("name", PLANS)
def test_pixels_outside_the_mask_are_bit_identical(name: str) -> None:
    given = images()
    made = corrupt(given, PLANS[name], Chance(1, MANY[:12]), 8)
    outside = ~made.mask.expand_as(given)
    assert torch.equal(made.pixels[outside].view(torch.int32), given[outside].view(torch.int32))


@pytest.mark.parametrize("name", ["all", "noise", "zeros", "copy", "alien"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_masked_patch_differs_from_what_was_there(name: str, channels: int) -> None:
    given = images(channels=channels)
    given[:, :, :8, :16] = 0.0  # zeros on zeros would hide nothing, nor would a black border on another
    made = corrupt(given, PLANS[name], Chance(1, MANY[:12]), 8)
    changed = torch.nn.functional.max_pool2d((made.pixels != given).float(), 8).amax(dim=1)
    masked = cells_of(made.mask, 8)
    assert set(masked.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(changed, masked)


@pytest.mark.parametrize("share", [(0.5, 0.75), (0.25, 0.3), (0.3, 0.3), (0.05, 0.9)])
@pytest.mark.parametrize("grid", [(8, 8), (14, 14), (7, 10)])
def test_the_realised_share_lies_within_its_bounds(share: tuple[float, float], grid: tuple[int, int]) -> None:
    plan = Corruption(share=share)
    count = groups(plan, Chance(2, MANY), grid).sum(dim=(1, 2))
    cells = grid[0] * grid[1]
    assert int(count.min()) >= np.ceil(share[0] * cells) or share[0] == share[1]
    assert int(count.max()) <= max(np.floor(share[1] * cells), np.ceil(share[0] * cells))
    if share == (0.05, 0.9):
        assert stats.kstest(count.numpy() / cells, stats.uniform(0.05, 0.85).cdf).statistic < 0.08


def test_corners_are_masked_about_as_often_as_the_centre() -> None:
    for grid in ((8, 8), (14, 14)):
        often = groups(Corruption(), Chance(3, MANY), grid).float().mean(dim=0)
        centre = often[grid[0] // 2, grid[1] // 2]
        corners = often[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert float(corners.min() / centre) >= 0.85
        assert float(corners.max() / centre) <= 1.15


def test_masked_patches_stand_in_groups() -> None:
    """Compared with as many patches strewn at random, far fewer stand alone."""
    mask = groups(Corruption(share=(0.3, 0.3)), Chance(4, MANY[:200]), (14, 14)).numpy()
    rng = np.random.default_rng(0)
    strewn = np.stack([rng.permutation(one.ravel()).reshape(one.shape) for one in mask])

    def pieces(masks: np.ndarray) -> float:
        return float(np.mean([ndimage.label(one)[1] for one in masks]))

    assert pieces(mask) < 0.5 * pieces(strewn)


def test_larger_rectangles_make_fewer_groups() -> None:
    counts = [
        np.mean([ndimage.label(one)[1] for one in groups(plan, Chance(5, MANY[:100]), (20, 20)).numpy()])
        for plan in (Corruption(share=(0.3, 0.3), largest=largest) for largest in (0.05, 0.2, 0.6))
    ]
    assert counts[0] > 2 * counts[1] > 2 * counts[2]


def test_the_published_sampler_leaves_the_first_corner_out() -> None:
    """The published code's own figures: 7 % of the time in the first patch, 73 % in the centre."""
    plan = Corruption(as_published=True)
    assert plan.align(16) == 1
    often = groups(plan, Chance(6, MANY[:60]), (224, 224)).float().mean(dim=0)
    patches = often.reshape(14, 16, 14, 16).mean(dim=(1, 3))
    assert float(patches[0, 0]) == pytest.approx(0.07, abs=0.04)
    assert float(patches[7, 7]) == pytest.approx(0.73, abs=0.06)


def test_an_alien_is_never_the_picture_itself() -> None:
    for count in (2, 3, 8):
        for first in range(40):
            partner = aliens(Chance(7, torch.arange(first, first + count)))
            assert sorted(partner.tolist()) == list(range(count))
            assert not (partner == torch.arange(count)).any()
    published = [aliens(Chance(7, torch.arange(k, k + 8)), may_be_itself=True) for k in range(40)]
    assert any((partner == torch.arange(8)).any() for partner in published)


def test_an_aliens_places_show_the_same_places_of_another_picture() -> None:
    given = images()
    made = corrupt(given, PLANS["alien"], Chance(8, MANY[:12]), 8)
    partner = aliens(Chance(8, MANY[:12]))
    same_black = torch.nn.functional.interpolate(
        (torch.nn.functional.max_pool2d((given != given[partner]).float(), 8) == 0).float(), scale_factor=8
    ).bool()
    inside = made.mask & ~same_black
    assert torch.equal(made.pixels[inside], given[partner][inside])


def test_zeros_are_zero_and_noise_is_normal() -> None:
    given = images(count=64) + 3.0
    zeros = corrupt(given, PLANS["zeros"], Chance(9, MANY[:64]), 8)
    assert (zeros.pixels[zeros.mask] == 0).all()
    noise = corrupt(given, PLANS["noise"], Chance(9, MANY[:64]), 8)
    values = noise.pixels[noise.mask].double().numpy()
    assert stats.kstest(values[:20000], "norm").pvalue > 1e-3


def test_a_copy_comes_from_elsewhere_in_the_same_picture() -> None:
    given = torch.arange(4 * 64 * 64, dtype=torch.float32).reshape(4, 1, 64, 64)
    made = corrupt(given, PLANS["copy"], Chance(10, MANY[:4]), 8)
    for number in range(4):
        where = made.mask[number]
        assert torch.isin(made.pixels[number][where], given[number]).all()
        moved = (made.pixels[number] - given[number])[where]
        assert (moved != 0).all()


def test_same_masks_whatever_the_batch_and_its_order() -> None:
    """So also for any number of workers and ranks, which share batches out."""
    whole = groups(Corruption(), Chance(11, MANY[:24]), (8, 8))
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    shuffled = groups(Corruption(), Chance(11, MANY[:24][order]), (8, 8))
    assert torch.equal(shuffled, whole[order])
    ranks = [groups(Corruption(), Chance(11, part), (8, 8)) for part in MANY[:24].chunk(3)]
    assert torch.equal(torch.cat(ranks), whole)
    assert not torch.equal(groups(Corruption(), Chance(12, MANY[:24]), (8, 8)), whole)
    assert not torch.equal(groups(Corruption(), Chance(11, MANY[24:48]), (8, 8)), whole)


def test_contents_too_follow_from_the_place_where_no_other_picture_is_asked() -> None:
    plan = Corruption(alien=0)
    given = images(12)
    whole = corrupt(given, plan, Chance(13, MANY[:12]), 8).pixels
    parts = [corrupt(given[k : k + 4], plan, Chance(13, MANY[k : k + 4]), 8).pixels for k in (0, 4, 8)]
    assert torch.equal(torch.cat(parts), whole)


def test_the_stream_of_numbers_is_even_and_independent_of_its_neighbours() -> None:
    chance = Chance(14, torch.arange(-500, 500))
    draws = chance.uniform("a", 40).double()
    assert stats.kstest(draws.flatten().numpy(), "uniform").pvalue > 1e-3
    table = np.corrcoef(draws.T.numpy())
    assert np.abs(table - np.eye(40)).max() < 0.15
    rows = np.corrcoef(draws[:100].numpy())
    assert abs(rows[np.triu_indices(100, 1)].mean()) < 0.01
    assert not torch.equal(draws, chance.uniform("b", 40).double())


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"share": (0.8, 0.2)}, r"share is 0\.8 to 0\.2; give two bounds between 0 and 1, the lower first"),
        ({"sources": ("smoke",)}, "choose one or more of noise, zeros, copy, or alien = 1"),
        ({"sources": ()}, "choose one or more of noise, zeros, copy, or alien = 1"),
        ({"alien": 1.5}, r"alien is 1\.5, largest 0\.3; both lie between 0 and 1"),
    ],
)
def test_what_makes_no_sense_is_refused(told: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Corruption(**told)


def test_sides_that_do_not_fit_and_a_lone_alien_are_refused() -> None:
    with pytest.raises(UsageError, match="images of 60 × 64 px are no multiple of the alignment, 16 px"):
        corrupt(torch.zeros(2, 1, 60, 64), Corruption(), Chance(0, MANY[:2]), 16)
    with pytest.raises(
        UsageError, match="another image is to show in a corrupted one, but the batch holds one"
    ):
        corrupt(images(1), Corruption(), Chance(0, MANY[:1]), 16)
