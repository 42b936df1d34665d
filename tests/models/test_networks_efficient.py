from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from foreign_states import filled, images  # noqa: E402

from radsnap.learn.export import quantise, to_half, to_onnx  # noqa: E402
from radsnap.learn.optimiser import depths_of, frozen_layers  # noqa: E402
from radsnap.models.networks import WithHeatMaps, grad_cam, has_closed_form, load_state  # noqa: E402
from radsnap.models.networks_efficient import EfficientNetLite  # noqa: E402
from radsnap.models.networks_onnx import settle_norms, state_from_onnx  # noqa: E402
from radsnap.models.networks_state import build  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def network() -> EfficientNetLite:
    made = EfficientNetLite(3, 64)
    own = made.state_dict()
    made.load_state_dict(
        {name: torch.from_numpy(filled(name, tuple(one.shape))) for name, one in own.items()}
    )
    return made.eval()


@pytest.fixture(scope="module")
def batch() -> torch.Tensor:
    return torch.from_numpy(images(4, 3, 64, -1, 1))


@pytest.fixture(scope="module")
def exported(network: EfficientNetLite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lite") / "lite.onnx"
    to_onnx(network, 64, path, channels=3)
    return path


def test_it_has_as_many_weights_as_its_authors_say() -> None:
    """4.7 million with a thousand classes (EfficientNet-Lite's README)."""
    count = sum(one.numel() for one in EfficientNetLite(1000, 224).parameters())
    assert round(count / 1e6, 1) == 4.7


def test_a_fresh_one_says_little(batch: torch.Tensor) -> None:
    torch.manual_seed(0)
    assert EfficientNetLite(3, 64).eval()(batch).abs().max() < 5


def test_heat_maps_are_grad_cam(network: EfficientNetLite, batch: torch.Tensor) -> None:
    assert has_closed_form(network)
    logits, heat = WithHeatMaps(network)(batch)
    torch.testing.assert_close(logits, network(batch))
    for output in range(3):
        wanted = grad_cam(network, network.features, batch, output)
        torch.testing.assert_close(heat[:, output], wanted, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_float32_onnx_comes_back_as_the_network_it_was(
    network: EfficientNetLite, exported: Path, batch: torch.Tensor
) -> None:
    again = EfficientNetLite(3, 64)
    assert load_state(again, state_from_onnx(exported)) == []
    wanted = network(batch)
    bound = 1e-4 * float(wanted.abs().max())
    torch.testing.assert_close(again.eval()(batch), wanted, rtol=0, atol=bound)
    assert settle_norms(again, batch) == 49  # every convolution has one
    torch.testing.assert_close(again(batch), wanted, rtol=0, atol=bound)


@torch.no_grad()
def test_weights_of_16_bits_come_back(
    network: EfficientNetLite, exported: Path, batch: torch.Tensor, tmp_path: Path
) -> None:
    to_half(exported, tmp_path / "half.onnx")
    assert (tmp_path / "half.onnx").stat().st_size < 0.6 * exported.stat().st_size
    again = EfficientNetLite(3, 64)
    assert load_state(again, state_from_onnx(tmp_path / "half.onnx")) == []
    assert np.corrcoef(again.eval()(batch).ravel(), network(batch).ravel())[0, 1] > 0.9999


@torch.no_grad()
def test_int8_keeps_what_makes_logits_in_float_and_comes_back(
    network: EfficientNetLite, exported: Path, batch: torch.Tensor, tmp_path: Path
) -> None:
    import onnx

    quantise(exported, batch.numpy(), tmp_path / "small.onnx")
    graph = onnx.load(str(tmp_path / "small.onnx")).graph
    fed = {name for node in graph.node if node.op_type in ("Gemm", "ReduceMean") for name in node.input}
    assert not [name for name in fed if name.startswith("dq_output")]
    stored = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    whole = {
        stored[node.input[1]].shape[1]
        for node in graph.node
        if node.op_type == "Conv" and node.input[1] in stored
    }
    assert whole == {1, 3, 16, 24, 32, 1280}  # depthwise, the stem, what adds up few channels, heat maps
    small = [one for one in stored.values() if one.dtype == np.int8 and one.ndim == 4]
    assert len(small) == 28
    assert max(int(np.abs(one.astype(int)).max()) for one in small) == 64  # half the range: no sum is cut off
    again = EfficientNetLite(3, 64)
    load_state(again, state_from_onnx(tmp_path / "small.onnx"))
    assert np.corrcoef(again.eval()(batch).ravel(), network(batch).ravel())[0, 1] > 0.99


def test_a_card_of_safetensors_builds_it(network: EfficientNetLite, batch: torch.Tensor) -> None:
    built = build(network.state_dict(), "efficientnet-lite0", 64, 3)
    torch.testing.assert_close(built(batch), network(batch))


def test_blocks_are_counted_from_the_stem_to_the_last_layer(network: EfficientNetLite) -> None:
    depths = depths_of(name for name, _ in network.named_parameters())
    assert depths["features.conv0.weight"] == 0
    assert depths["features.blocks.2.3._expand_conv.weight"] == 3
    assert depths["out.weight"] == 8
    frozen = frozen_layers(network, 2)
    assert "features.blocks.1.2._project_conv.weight" in frozen
    assert "features.blocks.2.3._expand_conv.weight" not in frozen
