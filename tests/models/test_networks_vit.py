"""radsnap's own transformers by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from foreign_states import images  # noqa: E402

from radsnap.errors import UsageError  # noqa: E402
from radsnap.models.networks import NETWORKS, WithHeatMaps, grad_cam, has_closed_form  # noqa: E402
from radsnap.models.networks_vit import Attention, ViT, positions, to_channels  # noqa: E402


def test_every_name_builds_a_network_of_its_outputs_size_and_channels() -> None:
    parameters = {}
    for name, build in NETWORKS.items():
        if "base" in name or "small" in name:
            continue
        size_px = 56 if name.endswith("-14") else 64
        network = build(3, size_px, 1).eval()
        with torch.no_grad():
            assert network(torch.zeros(2, 1, size_px, size_px)).shape == (2, 3), name
        assert has_closed_form(network), name
        parameters[name] = sum(one.numel() for one in network.parameters()) / 1e6
    assert parameters["vit-tiny-16"] == pytest.approx(5.4, abs=0.2)
    assert {f"vit-{size}-{patch}" for size in ("tiny", "small", "base") for patch in (8, 14, 16)} <= set(
        NETWORKS
    )


def test_closed_form_maps_are_autograds_grad_cam() -> None:
    torch.manual_seed(0)
    network = NETWORKS["vit-tiny-16"](3, 64, 1).eval()
    torch.nn.init.normal_(network.out.weight)
    network.out.weight.data[1] = -network.out.weight.data[0]  # where one is dark the other is bright
    batch = torch.from_numpy(images(2, 1, 64, -1, 1))
    logits, heat = WithHeatMaps(network)(batch)
    assert heat.shape == (2, 3, 4, 4)

    class Maps(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return network.feature_maps(pictures)

    maps = Maps()
    head = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), network.out)
    whole = torch.nn.Sequential(maps, head)
    torch.testing.assert_close(whole(batch), logits)
    for output in range(3):
        expected = grad_cam(whole, maps, batch, output).detach()
        torch.testing.assert_close(heat[:, output].detach(), expected, atol=1e-6, rtol=1e-3)
    assert float(heat[:, :2].detach().amax(dim=1).min()) > 0


def test_the_exported_network_says_what_torch_says(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from radsnap.learn.export import to_onnx

    torch.manual_seed(0)
    network = ViT(
        2, size_px=32, patch_px=8, width=64, depth=2, heads=1, inner=64, channels=1, pool="patches"
    ).eval()
    to_onnx(network, 32, tmp_path / "vit.onnx")
    batch = images(3, 1, 32, -1, 1)
    logits, heat = onnxruntime.InferenceSession(str(tmp_path / "vit.onnx")).run(None, {"image": batch})
    with torch.no_grad():
        wanted = WithHeatMaps(network)(torch.from_numpy(batch))
    np.testing.assert_allclose(logits, wanted[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(heat, wanted[1].numpy(), atol=1e-5)


def test_a_card_of_safetensors_finds_its_network_by_name() -> None:
    from radsnap.models.networks_state import build

    torch.manual_seed(0)
    network = NETWORKS["vit-tiny-16"](2, 32, 1).eval()
    made = build(network.state_dict(), "vit-tiny-16", 32, 1)
    batch = torch.from_numpy(images(2, 1, 32, -1, 1))
    with torch.no_grad():
        assert torch.equal(made(batch), network(batch))


def test_training_on_a_processor_attends_as_the_fused_kernel_does() -> None:
    torch.manual_seed(0)
    attention = Attention(128, 2)
    tokens = torch.randn(2, 17, 128)
    torch.testing.assert_close(attention.train()(tokens), attention.eval()(tokens), atol=1e-5, rtol=1e-4)


def test_a_path_is_dropped_in_training_alone_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    network = ViT(1, size_px=16, patch_px=8, width=64, depth=3, heads=1, inner=64, channels=1)
    network.set_drop_path(0.5)
    assert [block.drop_path for block in network.blocks] == [0, 0.25, 0.5]
    block = network.blocks[2]
    tokens = torch.randn(1, 5, 64).expand(4000, -1, -1)
    with torch.no_grad():
        still = block.eval()(tokens[:1]) - tokens[:1]
        each = block.train()(tokens) - tokens
        moved = each.mean(dim=0, keepdim=True)
        assert 0.2 < float((each.abs().amax(dim=(1, 2)) == 0).float().mean()) < 0.3  # around both branches
    assert float((moved - still).norm() / still.norm()) < 0.1


def test_positions_move_to_another_grid_and_stay_on_their_own() -> None:
    here = torch.randn(1, 16, 8)
    assert positions(here, (4, 4)) is here
    assert positions(here, (7, 5)).shape == (1, 35, 8)
    flat = torch.ones(1, 16, 8)
    torch.testing.assert_close(positions(flat, (9, 9)), torch.ones(1, 81, 8))


def test_filters_go_from_colour_to_grey_and_back() -> None:
    filters = torch.randn(4, 3, 8, 8)
    grey = to_channels(filters, 1)
    assert torch.equal(grey, filters.sum(dim=1, keepdim=True))
    back = to_channels(grey, 3)
    torch.testing.assert_close(back.sum(dim=1, keepdim=True), grey)


def test_sides_of_no_whole_number_of_patches_are_refused() -> None:
    with pytest.raises(
        UsageError, match="100 px are no whole number of patches of 16 px; the nearest are 96 and 112"
    ):
        NETWORKS["vit-tiny-16"](1, 100, 1)
