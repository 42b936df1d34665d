"""Corrupt connected groups of patches (GMML: group-masked model learning), for a network to restore.

Three things kept apart: `Corruption` is what is wanted, `Chance` gives random numbers by name and place, the rest is
operations on tensors of a whole batch. A picture's numbers depend on the seed and on its place in the training alone,
so that masks are the same for any number of workers and ranks. Sources: Atito et al., GMML, 2022, and SiT, 2021;
Anwar et al., SPCXR, 2022.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from radsnap.errors import UsageError
from radsnap.seeds import stream

Source = Literal["noise", "zeros", "copy"]
# So many rectangles cover the largest share with room to spare; what is drawn beyond the share is not used.
_RECTANGLES = 192
_UINT24 = 1 << 24
# Steele et al., 2014: splitmix64, its constants as signed numbers
_STEP, _FIRST, _SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15


@dataclass(frozen=True)
class Corruption:
    """How pictures are corrupted. Shares are of the area, drawn evenly between two bounds.

    sources: what a picture's corrupted places hold, one of them a picture, drawn evenly; `copy` takes them from elsewhere in
    the picture. alien: the chance that another picture of the batch shows in the same places instead, of `alien_share`.
    largest: a rectangle's longest side as a fraction of the picture's. align_px: rectangles begin and end at multiples of
    it, by default of the network's patches. as_published: with the published sampler's ways: rectangles of any pixels
    that begin inside and grow right and down, the last one not cut to the share, and a picture may be its own alien.
    """

    share: tuple[float, float] = (0.5, 0.75)
    sources: tuple[Source, ...] = get_args(Source)
    alien: float = 0.5
    alien_share: tuple[float, float] = (0.3, 0.3)
    largest: float = 0.3
    align_px: int | None = None
    as_published: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in (("share", self.share), ("alien_share", self.alien_share)):
            if not 0 < low <= high < 1:
                raise UsageError(
                    f"{name} is {low} to {high}; give two bounds between 0 and 1, the lower first"
                )
        unknown = set(self.sources) - set(get_args(Source))
        if unknown or (not self.sources and self.alien < 1):
            raise UsageError(
                f"sources are {self.sources}; choose one or more of {', '.join(get_args(Source))}, or alien = 1"
            )
        if not 0 <= self.alien <= 1 or not 0 < self.largest <= 1:
            raise UsageError(f"alien is {self.alien}, largest {self.largest}; both lie between 0 and 1")

    def align(self, patch_px: int) -> int:
        """Give the step of rectangles' sides and places, in pixels."""
        return self.align_px or (1 if self.as_published else patch_px)


@dataclass(frozen=True, eq=False)
class Corrupted:
    """Corrupted pictures (N, C, H, W) and where they are corrupted: mask (N, 1, H, W), true inside."""

    pixels: Tensor
    mask: Tensor


@dataclass(frozen=True, eq=False)
class Chance:
    """Random numbers for a batch, by name: row i depends on the seed, the name and places[i] (N,) int64 alone."""

    seed: int
    places: Tensor

    def uniform(self, name: str, count: int) -> Tensor:
        """Give (N, count) float32, evenly from [0, 1)."""
        key = int(stream(self.seed, "chance", name).integers(2**63))
        numbers = torch.arange(1, count + 1, device=self.places.device) * _STEP
        mixed = _mix(_mix(self.places ^ key)[:, None] + numbers)
        return ((mixed >> 40) & (_UINT24 - 1)).float() / _UINT24

    def normal(self, name: str, count: int) -> Tensor:
        """Give (N, count) float32 of mean 0 and deviation 1. Source: Box and Muller, 1958."""
        half = (count + 1) // 2
        radius = (-2 * torch.log1p(-self.uniform(f"{name}/radius", half))).sqrt()
        angle = 2 * math.pi * self.uniform(f"{name}/angle", half)
        return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]


def _mix(value: Tensor) -> Tensor:
    # int64 products wrap around; shifts must bring in zeros, not the sign
    value = (value ^ _shifted(value, 30)) * _FIRST
    value = (value ^ _shifted(value, 27)) * _SECOND
    return value ^ _shifted(value, 31)


def _shifted(value: Tensor, bits: int) -> Tensor:
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def corrupt(images: Tensor, plan: Corruption, chance: Chance, patch_px: int) -> Corrupted:
    """Corrupt groups of patches of normalised images (N, C, H, W).

    What is not masked stays as it is, bit by bit; every masked patch differs from what was there. Raises UsageError when
    the sides are no multiple of the alignment, and for an alien in a batch of one.
    """
    count, _, height, width = images.shape
    align = plan.align(patch_px)
    if height % align or width % align:
        raise UsageError(f"images of {height} × {width} px are no multiple of the alignment, {align} px")
    if plan.alien and count < 2 and not plan.as_published:
        raise UsageError("another image is to show in a corrupted one, but the batch holds one; give more")
    grid = (height // align, width // align)
    is_alien = chance.uniform("is alien", 1)[:, 0] < plan.alien
    owner, masked = _groups(plan, chance, grid, align, is_alien)
    cells = _cells(images, align)
    filled = _filling(plan, chance, cells, owner.flatten(1), grid, is_alien)
    mask = masked.repeat_interleave(align, dim=1).repeat_interleave(align, dim=2)[:, None]
    return Corrupted(torch.where(mask, _picture(filled, images.shape, align), images), mask)


def groups(plan: Corruption, chance: Chance, grid: tuple[int, int]) -> Tensor:
    """Draw the masked cells of pictures of `grid` cells: (N, rows, columns), true inside, by `plan.share`."""
    none = torch.zeros(len(chance.places), dtype=torch.bool, device=chance.places.device)
    return _groups(plan, chance, grid, 1, none)[1]


def _groups(
    plan: Corruption, chance: Chance, grid: tuple[int, int], align: int, is_alien: Tensor
) -> tuple[Tensor, Tensor]:
    """Which rectangle a cell belongs to, and which cells are masked, both (N, rows, columns).

    Rectangles are laid one after the other until the share is reached; the last is cut, row by row, to reach it
    exactly.
    """
    rows, columns = grid
    place, side = _rectangles(plan, chance, grid, align)
    owner = _owners(place, side, grid)
    low, high = _bounds(plan, is_alien)
    share = low + (high - low) * chance.uniform("share", 1)[:, 0].to(low)
    cells = rows * columns
    if plan.as_published:
        order, wanted = owner.flatten(1), (share * cells).ceil().long().clamp(1, cells)
    else:
        raster = torch.arange(cells, device=owner.device, dtype=torch.float64) / cells
        # cells that no rectangle reached follow at random, not from the corner on
        within = torch.where(
            owner.flatten(1) < _RECTANGLES, raster, chance.uniform("scattered", cells).double()
        )
        order = owner.flatten(1) + within
        wanted = torch.minimum((share * cells).round(), (high * cells).floor())
        wanted = torch.maximum(wanted, (low * cells).ceil()).long().clamp(1, cells)
    last = order.sort(dim=1).values.gather(1, wanted[:, None] - 1)
    return owner, (order <= last).reshape(-1, rows, columns)


def _bounds(plan: Corruption, is_alien: Tensor) -> tuple[Tensor, Tensor]:
    both = torch.tensor([plan.share, plan.alien_share], dtype=torch.float64, device=is_alien.device)
    chosen = both[is_alien.long()]
    return chosen[:, 0], chosen[:, 1]


def _rectangles(
    plan: Corruption, chance: Chance, grid: tuple[int, int], align: int
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Draw (tops, lefts), (heights, widths) of rectangles in cells, (N, rectangles) each."""
    places, sides = [], []
    for name, cells in zip(("rows", "columns"), grid, strict=True):
        where, how_long = (chance.uniform(f"{what} of {name}", _RECTANGLES) for what in ("place", "side"))
        if plan.as_published:
            # begin anywhere but in the last cell; a side in pixels, clipped, then rounded to cells
            first = (where * max(1, cells - 1)).long()
            longest = max(align + 1, int(plan.largest * cells * align))
            side = torch.minimum(align + (how_long * (longest - align)).long(), (cells - first) * align)
            side = (side / align).round().long()
        else:
            side = 1 + (how_long * max(1, int(plan.largest * cells))).long()
            # some begin off the canvas, so that corners are covered as often as the centre
            first = (where * (cells + side - 1)).long() - (side - 1)
        places.append(first)
        sides.append(side)
    return (places[0], places[1]), (sides[0], sides[1])


def _owners(place: tuple[Tensor, Tensor], side: tuple[Tensor, Tensor], grid: tuple[int, int]) -> Tensor:
    """The number of the first rectangle over each cell (N, rows, columns); cells under none: how many there are."""
    inside = []
    for first, long, cells in zip(place, side, grid, strict=True):
        at = torch.arange(cells, device=first.device)
        inside.append((at >= first[..., None]) & (at < (first + long)[..., None]))
    down, across = inside
    owner = torch.full((len(down), *grid), _RECTANGLES, dtype=torch.int16, device=down.device)
    for number in reversed(range(_RECTANGLES)):  # over rectangles, never over pictures
        owner.masked_fill_(down[:, number, :, None] & across[:, number, None, :], number)
    return owner.long()


def _filling(
    plan: Corruption, chance: Chance, cells: Tensor, owner: Tensor, grid: tuple[int, int], is_alien: Tensor
) -> Tensor:
    """What corrupted cells would hold: (N, rows · columns, C · align²), for every cell."""
    filled = torch.zeros_like(cells)
    kind = (chance.uniform("source", 1)[:, 0] * max(1, len(plan.sources))).long()
    wants = {name: ~is_alien & (kind == number) for number, name in enumerate(plan.sources)}
    if "copy" in wants:
        filled = torch.where(wants["copy"][:, None, None], _copied(plan, chance, cells, owner, grid), filled)
    if plan.alien:
        filled = torch.where(is_alien[:, None, None], cells[aliens(chance, plan.as_published)], filled)
    noisy = torch.zeros(cells.shape[:2], dtype=torch.bool, device=cells.device)
    if "noise" in wants:
        noisy |= wants["noise"][:, None]
    if not plan.as_published:
        noisy |= (filled == cells).all(dim=2)  # black on black would hide nothing
    rows = noisy.any(dim=1).nonzero()[:, 0]
    noise = Chance(chance.seed, chance.places[rows]).normal("noise", cells[0].numel())
    filled[rows] = torch.where(
        noisy[rows][..., None], noise.reshape(-1, *cells.shape[1:]).to(cells), filled[rows]
    )
    return filled


def aliens(chance: Chance, may_be_itself: bool = False) -> Tensor:
    """Which picture of the batch shows in each one (N,): along a random circle, so never the picture itself.

    Where processes or parts share a batch, the circle is of each one's own pictures.
    """
    draws = chance.uniform("alien", 1)[:, 0]
    if may_be_itself:
        return (draws * len(draws)).long()
    circle = draws.argsort(stable=True)
    partner = torch.empty_like(circle)
    partner[circle] = circle.roll(1)
    return partner


def _copied(plan: Corruption, chance: Chance, cells: Tensor, owner: Tensor, grid: tuple[int, int]) -> Tensor:
    """The picture moved by another way for each rectangle, around the edges where it leaves."""
    rows, columns = grid
    draws = chance.uniform("copied", _RECTANGLES + 1)
    least = 0 if plan.as_published else 1
    moves = (draws * (rows * columns - least)).long() + least
    move = moves.gather(1, owner)
    at = torch.arange(rows * columns, device=cells.device)
    down = (at // columns + move // columns) % rows
    across = (at % columns + move % columns) % columns
    return cells.gather(1, (down * columns + across)[..., None].expand_as(cells))


def _cells(images: Tensor, align: int) -> Tensor:
    """Cut images (N, C, H, W) into cells (N, rows · columns, C · align²)."""
    return functional.pixel_unshuffle(images, align).flatten(2).transpose(1, 2)


def _picture(cells: Tensor, shape: torch.Size, align: int) -> Tensor:
    """Put cells together again, the inverse of `_cells`."""
    _, channels, height, width = shape
    maps = cells.transpose(1, 2).reshape(-1, channels * align * align, height // align, width // align)
    return functional.pixel_shuffle(maps, align)
