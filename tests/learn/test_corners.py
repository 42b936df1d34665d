"""Photos to learn corners from are exact and repeatable, and what is asked of the networks is what they show."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import pytest
import torch

from radsnap.errors import ManifestError, UsageError
from radsnap.imaging.homography import corners_of
from radsnap.learn import corner_scenes
from radsnap.learn import corners as learn
from radsnap.learn.corner_bank import KINDS, Bank, draw_bank, joined, read_bank
from radsnap.learn.corner_scenes import VIEWS, Stock, draw_scene, drawn_from, share_inside, view_of
from radsnap.learn.corners import Corners, corner_loss, example, fit, in_order, targets
from radsnap.learn.tasks import DOMAINS
from radsnap.phantom import sample_chest
from radsnap.seeds import stream

TRUE = np.array([(70.0, 40.0), (200.0, 52.0), (190.0, 210.0), (60.0, 196.0)])


@pytest.fixture(scope="module")
def stock() -> Stock:
    xrays = [np.rint(sample_chest(1, i, 128).radiograph.pixels * 255).astype(np.uint8) for i in range(3)]
    rng = np.random.default_rng(0)
    others = [cv2.GaussianBlur(rng.integers(0, 256, (96, 128, 3), np.uint8), (0, 0), 3) for _ in range(2)]
    return Stock(drawn_from(xrays), drawn_from(others), drawn_from(others))


@pytest.fixture(scope="module")
def bank(stock: Stock) -> Bank:
    return draw_bank(stock, range(16), 3)


def bright(corners: np.ndarray = TRUE, size: tuple[int, int] = (256, 256)) -> np.ndarray:
    """Draw a photo whose x-ray is white on black."""
    pixels = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillConvexPoly(pixels, np.rint(corners * 16).astype(np.int32), 255, cv2.LINE_AA, shift=4)
    return np.repeat(pixels[..., None], 3, axis=2)


def test_a_photo_depends_on_the_seed_and_its_number_alone(stock: Stock, bank: Bank) -> None:
    again = draw_bank(stock, range(5), 3)
    assert np.array_equal(again.data, bank.data[: bank.starts[5]])
    assert np.array_equal(again.corners_px, bank.corners_px[:5], equal_nan=True)
    assert not np.array_equal(draw_bank(stock, range(1), 4).data, again.data[: again.starts[1]])


def test_a_stored_bank_comes_back(bank: Bank, tmp_path: Path) -> None:
    bank.save(tmp_path / "folder" / "bank.npz")
    back = read_bank(tmp_path / "folder" / "bank.npz")
    assert len(back) == 16
    assert np.array_equal(back.photo(7), bank.photo(7))
    assert np.array_equal(back.corners_px, bank.corners_px, equal_nan=True)


def test_a_bank_drawn_in_parts_is_the_same(stock: Stock, bank: Bank) -> None:
    parts = joined([draw_bank(stock, range(5), 3), draw_bank(stock, range(5, 16), 3)])
    for name in ("data", "starts", "views", "levels", "domains"):
        assert np.array_equal(getattr(parts, name), getattr(bank, name))
    assert np.array_equal(parts.corners_px, bank.corners_px, equal_nan=True)


def test_a_missing_bank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no bank of photos at .*; draw one first"):
        read_bank(tmp_path / "none.npz")


def test_a_bank_is_used_by_the_settings_it_was_drawn_by_alone(bank: Bank, tmp_path: Path) -> None:
    path = tmp_path / "bank.npz"
    bank.save(path, "seed 1")
    assert [file.name for file in tmp_path.iterdir()] == ["bank.npz"]
    assert len(read_bank(path, "seed 1")) == 16
    with pytest.raises(UsageError, match=r"bank\.npz was drawn by other settings or from other data"):
        read_bank(path, "seed 2")
    np.savez(path, data=bank.data)
    with pytest.raises(
        UsageError, match=r"bank\.npz was drawn before settings were kept; give another folder"
    ):
        read_bank(path, "seed 1")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UsageError, match=r"bank\.npz cannot be read .*; remove it, and it is drawn again"):
        read_bank(path, "seed 1")


def test_a_bank_that_could_not_be_written_is_not_there(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(file: BinaryIO, **_: object) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", killed)
    with pytest.raises(KeyboardInterrupt):
        bank.save(tmp_path / "bank.npz")
    assert not (tmp_path / "bank.npz").exists()


def test_an_empty_stock_is_refused() -> None:
    with pytest.raises(ManifestError, match="at least one picture"):
        drawn_from([])


@pytest.mark.parametrize("kind", ["screen", "film"])
def test_the_corners_are_where_the_picture_is(stock: Stock, kind: str) -> None:
    """Oracle: a white picture shows its corners to the eye of a threshold."""
    white = np.full((160, 128), 255, np.uint8)
    found = 0
    for i in range(24):
        photo, corners = corner_scenes.take(stream(2, kind, i), stock, white, 1, kind)  # type: ignore[arg-type]
        height, width = photo.shape[:2]
        middle = corners.mean(axis=0)
        inner, outer = middle + 0.9 * (corners - middle), middle + 1.06 * (corners - middle)
        if not ((outer > 0) & (outer < (width - 1, height - 1))).all():
            continue
        found += 1
        mask = np.zeros((height, width), np.uint8)
        cv2.fillConvexPoly(mask, np.rint(inner).astype(np.int32), 1)
        assert photo[mask > 0].mean() > 60
    assert found


def test_views_are_told_by_what_shows_besides(stock: Stock) -> None:
    whole = corners_of((200, 100))
    assert view_of((100, 200), whole) == "filling"
    assert view_of((100, 200), whole * 0.99) is None  # a fiftieth besides: a toss-up
    assert view_of((100, 200), whole * 0.9) == "framed"
    assert share_inside((100, 200), whole * 0.5) == pytest.approx(0.25, abs=0.01)
    views = {draw_scene(stream(1, "views", i), stock, 2, "screen").view for i in range(40)}
    assert views == set(VIEWS)


def test_corners_are_ordered_as_the_photo_shows_them() -> None:
    for shift in range(4):
        for turned in (TRUE, TRUE[::-1]):
            assert np.array_equal(in_order(np.roll(turned, shift, axis=0)), TRUE)


def test_maps_are_distances_to_the_sides() -> None:
    seen, maps = targets(TRUE)
    assert seen.all()
    cells = (TRUE + 0.5) / 4 - 0.5
    y, x = np.mgrid[0:64, 0:64]
    points = np.stack([x, y], axis=-1).astype(float)
    for side in range(4):
        along = np.linspace(cells[side], cells[(side + 1) % 4], 2000)
        away = np.min([((points - p) ** 2).sum(axis=-1) for p in along], axis=0)
        assert np.abs(maps[1 + side] - np.exp(-away / 2)).max() < 0.01
    area = abs(cv2.contourArea(TRUE.astype(np.float32)))
    assert maps[0].sum() * 16 == pytest.approx(area, rel=0.02)


BELOW = TRUE + np.array([0.0, 150.0])


def test_a_side_out_of_view_is_not_asked_for() -> None:
    seen, _ = targets(BELOW)
    assert seen.tolist() == [1, 1, 0, 1]


def test_a_handful_of_photos_is_learnt(bank: Bank) -> None:
    costs: list[float] = []
    places = np.flatnonzero(bank.views == VIEWS.index("framed"))[:4]

    def batch_of(step: int, done: float) -> tuple[torch.Tensor, ...]:
        made = [example(bank.photo(p), bank.corners_px[p].astype(float), 1, 2, None, 128) for p in places]
        images = (torch.from_numpy(np.stack([m.image for m in made])).float() / 255 - 0.5) / 0.25
        sides, maps = (torch.from_numpy(np.stack([getattr(m, name) for m in made])) for name in ("sides", "maps"))  # fmt: skip
        return images, torch.tensor([1] * len(made)), sides, torch.tensor([m.domain for m in made]), maps

    def cost(logits: torch.Tensor, maps: torch.Tensor, rest: tuple[torch.Tensor, ...]) -> torch.Tensor:
        made = corner_loss(logits, maps, rest)
        costs.append(made.item())
        return made

    torch.manual_seed(0)
    fit(Corners(), batch_of, cost, 0.2, 3e-2, lambda *_: None, lambda _: None)
    assert costs[-1] < 0.6 * costs[0]


def test_an_example_of_a_cropped_picture_has_no_sides() -> None:
    made = learn.example(bright(), corners_of((256, 256)), VIEWS.index("filling"), 0, None)
    assert made.sides.tolist() == [0, 0, 0, 0]
    assert made.maps[1:].max() == 0
    assert made.maps[0].min() == 1


def test_a_photo_without_an_xray_asks_for_nothing() -> None:
    rng = np.random.default_rng(0)
    made = learn.example(bright(), np.full((4, 2), np.nan), VIEWS.index("nothing"), -1, rng)
    assert made.view == VIEWS.index("nothing")
    assert made.maps.max() == 0


def test_a_map_and_its_corners_are_projected_alike() -> None:
    photo, corners = bright(TRUE / 2, (128, 128)), TRUE / 2
    made = learn.example(photo, corners, VIEWS.index("framed"), 0, None)
    inside = cv2.resize(made.image[0], (64, 64), interpolation=cv2.INTER_AREA) > 127
    assert ((made.maps[0] > 0.5) == inside).mean() > 0.985


def test_a_scene_says_what_the_camera_saw(stock: Stock) -> None:
    drawn = [draw_scene(stream(5, "domain", i), stock, 1, KINDS[i % 2]) for i in range(60)]
    assert {(made.view == "nothing", made.domain == -1) for made in drawn} == {(True, True), (False, False)}
    digital = [made for made in drawn if made.domain == DOMAINS.index("digital")]
    assert digital
    assert all(made.view == "filling" for made in digital)
    photos = [DOMAINS[made.domain] == KINDS[i % 2] for i, made in enumerate(drawn) if made.domain > 0]
    assert all(photos)
    assert len(photos) > 40


def test_domains_are_asked_of_digital_x_rays_mostly_in_grey_and_seldom_of_grey_photos() -> None:
    photo = np.full((64, 64, 3), (90, 120, 150), np.uint8)
    grey = dict.fromkeys(DOMAINS, 0)
    asked_of_grey = dict(grey)
    for domain, name in enumerate(DOMAINS):
        for i in range(300):
            rng = stream(6, name, i)
            made = example(photo, corners_of((64, 64)), VIEWS.index("filling"), domain, rng, 128)
            plain = bool((made.image == made.image[:1]).all())
            grey[name] += plain
            asked_of_grey[name] += plain and made.domain == domain
            assert made.domain == domain or plain
    assert grey["digital"] > 240
    assert asked_of_grey["digital"] == grey["digital"]
    for name in KINDS:
        assert 30 < grey[name] < 100
        assert asked_of_grey[name] < 0.5 * grey[name]


def test_the_loss_asks_for_the_domain() -> None:
    maps = torch.zeros(2, 5, 8, 8)
    rest = (torch.tensor([2, 2]), torch.zeros(2, 4))
    logits = torch.zeros(2, 10)
    told = logits.clone()
    told[:, 8] = 9.0  # a screen
    costs = {
        domain: [
            float(corner_loss(x, maps, (*rest, torch.tensor([domain] * 2), maps))) for x in (logits, told)
        ]
        for domain in (-1, 0, 1)
    }
    assert costs[-1][0] == costs[-1][1]
    assert costs[1][1] < costs[1][0]
    assert costs[0][1] - costs[0][0] > 3 * (costs[1][0] - costs[1][1])  # digital ones are few and count more
