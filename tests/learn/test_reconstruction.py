"""What restoring networks promise: what they learn from, and that they learn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from radsnap.learn.masking import Corruption  # noqa: E402
from radsnap.learn.reconstruction import (  # noqa: E402
    Autoencoder,
    Restored,
    Restorer,
    absolute_error,
    dropped,
    grouped,
    judge_restoring,
    restoring,
)
from radsnap.models.networks_vit import ViT  # noqa: E402
from radsnap.phantom import sample_chest  # noqa: E402


def encoder(size_px: int = 32, patch_px: int = 8, width: int = 64, depth: int = 2, channels: int = 1) -> ViT:
    torch.manual_seed(0)
    return ViT(
        1, size_px=size_px, patch_px=patch_px, width=width, depth=depth, heads=1, inner=2 * width,
        channels=channels, pool="patches",
    )  # fmt: skip


def chests(count: int = 8, size_px: int = 32) -> dict[str, torch.Tensor]:
    drawn = (sample_chest(3, k, 64).radiograph.pixels for k in range(count))
    pictures = np.stack([cv2.resize(one, (size_px, size_px)) for one in drawn])[:, None]
    pictures = (pictures - pictures.mean((1, 2, 3), keepdims=True)) / pictures.std((1, 2, 3), keepdims=True)
    return {"image": torch.from_numpy(pictures.astype(np.float32)), "place": torch.arange(count)}


@pytest.mark.parametrize("method", ["gmml", "mae"])
@pytest.mark.parametrize("channels", [1, 3])
def test_restored_pictures_have_the_size_of_what_came_in(method: str, channels: int) -> None:
    batch = chests()
    batch["image"] = batch["image"].repeat(1, channels, 1, 1)
    base = encoder(channels=channels)
    network, view = (
        (Restorer(base, channels), grouped(Corruption(), 8, 0))
        if method == "gmml"
        else (Autoencoder(base, channels, width=32), dropped(0.75, 8, 0))
    )
    seen = view(network, batch)
    assert seen.restored.shape == seen.corrupted.shape == batch["image"].shape
    assert seen.mask.shape == (8, 1, 32, 32)
    assert torch.equal(seen.original, batch["image"])


def test_the_mean_of_the_papers_blocks_is_read() -> None:
    assert Restorer(encoder(depth=12)).read_after == (6, 8, 10, 12)
    network = Restorer(encoder(depth=4), blocks=(2, 4))
    images = chests()["image"]
    base = network.encoder
    second = base.blocks[:2](base.with_token(base.embed(images)))
    fourth = base.blocks[2:](second)
    read = network.layers(base.norm((second + fourth)[:, 1:] / 2))
    # the published last layer: a transposed convolution whose kernel and stride are the patch
    maps, kernel = read.transpose(1, 2).reshape(8, 64, 4, 4), network.pixels.weight.T.reshape(64, 1, 8, 8)
    expected = torch.nn.functional.conv_transpose2d(maps, kernel, stride=8)
    expected = expected + network.pixels.bias.reshape(8, 8).repeat(4, 4)
    torch.testing.assert_close(network(images), expected, atol=1e-5, rtol=1e-4)


def test_no_gradient_comes_from_targets_that_are_not_masked() -> None:
    original = torch.randn(4, 1, 16, 16, requires_grad=True)
    restored = torch.randn(4, 1, 16, 16, requires_grad=True)
    mask = torch.rand(4, 1, 16, 16) < 0.5
    absolute_error(Restored(original, original.detach(), restored, mask)).mean().backward()
    for tensor in (original, restored):
        assert tensor.grad is not None
        assert (tensor.grad[~mask] == 0).all()
        assert (tensor.grad[mask] != 0).all()


def test_a_target_that_is_not_masked_can_hold_anything() -> None:
    original, restored = torch.randn(2, 1, 8, 8), torch.randn(2, 1, 8, 8, requires_grad=True)
    mask = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    mask[:, :, :4] = True
    spoiled = original.masked_fill(~mask, float("nan"))
    value = absolute_error(Restored(spoiled, spoiled, restored, mask)).mean()
    value.backward()
    assert torch.isfinite(restored.grad).all()
    expected = (restored - original)[:, :, :4].abs().mean()
    torch.testing.assert_close(value, expected)
    everything = absolute_error(Restored(original, original, restored, mask), "all").mean()
    torch.testing.assert_close(everything, (restored - original).abs().mean())


def test_the_encoder_of_a_masked_autoencoder_never_sees_what_was_dropped() -> None:
    network, view, batch = Autoencoder(encoder(), width=32).eval(), dropped(0.75, 8, 0), chests()
    with torch.no_grad():
        seen = view(network, batch)
        other = {**batch, "image": torch.where(seen.mask, 9.0, batch["image"])}
        again = view(network, other)
    assert torch.equal(seen.mask, again.mask)
    assert float(seen.mask.float().mean()) == 0.75
    torch.testing.assert_close(seen.restored, again.restored)


def test_the_head_of_a_later_task_is_not_trained() -> None:
    network = Restorer(encoder())
    trained = {name for name, one in network.named_parameters() if one.requires_grad}
    assert not any(name.startswith("encoder.head") for name in trained)
    assert "encoder.pos_embed" in trained


@pytest.mark.parametrize("method", ["gmml", "mae"])
def test_eight_pictures_are_learnt_by_heart(method: str) -> None:
    """The masked L1 falls five times."""
    batch = chests()
    base = encoder(width=96)
    if method == "gmml":
        network, view = Restorer(base), grouped(Corruption(share=(0.3, 0.5), alien=0.0), 8, 0)
    else:
        network, view = Autoencoder(base, width=96), dropped(0.5, 8, 0)
    objective = restoring(view)
    optimiser = torch.optim.AdamW(
        (p for p in network.parameters() if p.requires_grad), lr=2e-3, weight_decay=0
    )
    first = float(objective(network, batch).value.detach())
    for _ in range(400):
        loss = objective(network, batch).value
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if float(loss.detach()) < first / 5.5:
            break
    assert float(objective(network, batch).value.detach()) < first / 5


def test_the_judge_compares_with_each_pictures_own_mean() -> None:
    class Mean(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = torch.nn.Parameter(torch.zeros(1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(images)  # the pictures' own mean

    view = grouped(Corruption(), 8, 0)
    figures = judge_restoring(Mean(), view, [chests(5), chests(3)])
    assert figures["ratio"] == pytest.approx(1.0, abs=1e-4)
    assert figures["figure"] == pytest.approx(0.0, abs=1e-4)
    seen = view(Mean(), chests(5))
    inside = seen.original.abs()[seen.mask]
    assert figures["l1_of_mean"] == pytest.approx(float(inside.mean()), rel=0.2)
