from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from foreign_states import densenet_shapes, filled  # noqa: E402

from radsnap.errors import WeightsError  # noqa: E402
from radsnap.imaging import grey_level  # noqa: E402
from radsnap.learn.export import to_onnx  # noqa: E402
from radsnap.models.networks import NETWORKS, DenseNet, WithHeatMaps, from_public_naming, load_state  # noqa: E402
from radsnap.models.networks_onnx import settle_norms, state_from_onnx  # noqa: E402
from radsnap.models.preprocess import to_input  # noqa: E402
from radsnap.models.runtime import DEFAULTS, load  # noqa: E402
from radsnap.phantom import sample_chest  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def network() -> DenseNet:
    made = DenseNet(3)
    state = {name: torch.from_numpy(filled(name, shape)) for name, shape in densenet_shapes(1, 3)}
    load_state(made, from_public_naming(state))
    return made.eval()


@pytest.fixture(scope="module")
def exported(network: DenseNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    to_onnx(network, 64, path)
    return path


@pytest.fixture(scope="module")
def batch() -> torch.Tensor:
    return torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(5))


def _from(path: Path, outputs: int, channels: int = 1) -> DenseNet:
    made = DenseNet(outputs, channels)
    assert load_state(made, state_from_onnx(path)) == []
    return made.eval()


@torch.no_grad()
def test_float32_onnx_comes_back_as_the_network_it_was(
    network: DenseNet, exported: Path, batch: torch.Tensor
) -> None:
    torch.testing.assert_close(_from(exported, 3)(batch), network(batch), rtol=0, atol=1e-4)


@torch.no_grad()
def test_settled_norms_compute_the_same_and_know_what_they_meet(
    network: DenseNet, exported: Path, batch: torch.Tensor
) -> None:
    again = _from(exported, 3)
    assert (
        settle_norms(again, batch) == 59
    )  # the one after the first convolution, and one in each of 58 layers
    torch.testing.assert_close(again(batch), network(batch), rtol=0, atol=1e-4)
    met = again.features.get_submodule("conv0")(batch)
    norm = again.features.get_submodule("norm0")
    torch.testing.assert_close(norm.running_mean, met.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, met.var(dim=(0, 2, 3), correction=0), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_settled_first_norm_says_in_training_what_it_says_in_inference(
    exported: Path, batch: torch.Tensor
) -> None:
    again = _from(exported, 3)
    settle_norms(again, batch)
    first = torch.nn.Sequential(again.features.get_submodule("conv0"), again.features.get_submodule("norm0"))
    inferred = first(batch)
    torch.testing.assert_close(first.train()(batch), inferred, rtol=0, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", ["gate", "kind", "findings"])
def test_int8_agrees_with_the_float_network_of_its_weights_on_phantoms(name: str) -> None:
    """Logits of the shipped networks correlate by 0.99 or more, heat maps of findings by 0.98."""
    shipped = load(name, threads=1)
    spec = shipped.card.input
    made = NETWORKS[shipped.card.network](shipped.card.outputs, spec.size_px, spec.channels)
    load_state(made, state_from_onnx(DEFAULTS / f"{name}.onnx"))
    module = WithHeatMaps(made).eval()
    images = np.stack([to_input(grey_level(sample_chest(3, k, 320).radiograph), spec) for k in range(4)])
    said, (logits, heat) = shipped.run(images), module(torch.from_numpy(images))
    assert np.corrcoef(said["logits"].ravel(), logits.numpy().ravel())[0, 1] > 0.99
    if name == "findings":
        assert np.corrcoef(said["heat_maps"].ravel(), heat.numpy().ravel())[0, 1] > 0.98


@torch.no_grad()
def test_grey_weights_read_a_grey_picture_of_three_channels_alike(network: DenseNet, exported: Path) -> None:
    three = DenseNet(3, channels=3)
    load_state(three, from_public_naming(state_from_onnx(exported), channels=3))
    grey = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(6))
    torch.testing.assert_close(three.eval()(grey.repeat(1, 3, 1, 1)), network(grey), rtol=0, atol=1e-4)


def test_text_named_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_text("this is not a network")
    with pytest.raises(WeightsError, match=r"no\.onnx is not an ONNX file"):
        state_from_onnx(tmp_path / "no.onnx")


def test_onnx_of_another_architecture_is_refused(tiny_chain: Path) -> None:
    with pytest.raises(WeightsError, match="is no DenseNet-121 or EfficientNet-Lite0 that 'radsnap train'"):
        state_from_onnx(tiny_chain / "gate.onnx")


def test_missing_onnx_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights at"):
        state_from_onnx(tmp_path / "none.onnx")
