"""Starting from others' weights: they say through our networks what they said in their own (goldens/make_starts.py)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from safetensors.torch import save_file  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from foreign_states import densenet_shapes, filled, images  # noqa: E402

from radsnap.errors import WeightsError  # noqa: E402
from radsnap.learn.start import start_from  # noqa: E402
from radsnap.models.networks import NETWORKS, DenseNet  # noqa: E402
from radsnap.models.networks_eva import EvaX  # noqa: E402
from radsnap.models.networks_vit import ViT  # noqa: E402

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "goldens" / "starts.json").read_text())
FOREIGN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "goldens" / "foreign.json").read_text())
TINY = {"width": 128, "depth": 2, "heads": 2}


def written(path: Path, shapes: list[tuple[str, list[int]]], prefix: str = "") -> Path:
    state = {prefix + name: torch.from_numpy(filled(name, tuple(shape))) for name, shape in shapes}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"model": state, "epoch": 7}, path)
    return path


@pytest.mark.parametrize("form", ["joined", "apart"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_eva_x_says_what_it_says_in_timm(form: str, suffix: str, tmp_path: Path) -> None:
    file = written(tmp_path / f"eva{suffix}", GOLDEN["eva-x"][form]["state"])
    network = EvaX(3, size_px=32, patch_px=8, inner=int(128 * 8 / 3), normed=form == "apart", **TINY).eval()
    report = start_from(network, file, head=True)
    assert report.coverage == 1.0
    assert report.missing == report.unexpected == ()
    with torch.no_grad():
        logits = network(torch.from_numpy(images(2, 3, 32, -1, 1)))
    np.testing.assert_allclose(logits.numpy(), GOLDEN["eva-x"][form]["logits"], atol=1e-5)


def test_a_masked_autoencoders_transformer_says_the_same_tokens(tmp_path: Path) -> None:
    extra = [("decoder_pred.weight", [4, 4]), ("mask_token", [1, 1, 4])]
    file = written(tmp_path / "mae.pth", GOLDEN["mae"]["state"] + extra)
    network = ViT(5, size_px=32, patch_px=8, inner=512, pool="patches", **TINY).eval()
    report = start_from(network, file)
    assert report.coverage == 1.0
    assert report.unexpected == ("decoder_pred.weight", "mask_token")
    assert "2 unexpected: decoder_pred.weight, mask_token" in str(report)
    with torch.no_grad():
        tokens = network.norm(network.tokens(torch.from_numpy(images(2, 3, 32, -1, 1))))
    np.testing.assert_allclose(tokens[:, :, ::16].numpy(), GOLDEN["mae"]["tokens"], atol=1e-5)


def test_rad_dino_says_the_same_tokens(tmp_path: Path) -> None:
    file = written(tmp_path / "dino.safetensors", GOLDEN["rad-dino"]["state"])
    network = ViT(5, size_px=28, patch_px=14, inner=512, pool="patches", **TINY).eval()
    report = start_from(network, file)
    assert report.coverage == 1.0
    assert report.unexpected == ("embeddings.mask_token",)
    with torch.no_grad():
        tokens = network.norm(network.tokens(torch.from_numpy(images(2, 3, 28, -1, 1))))
    np.testing.assert_allclose(tokens[:, :, ::16].numpy(), GOLDEN["rad-dino"]["tokens"], atol=1e-5)


def test_efficientnet_lite0_says_what_it_says_in_its_own_package(tmp_path: Path) -> None:
    golden = GOLDEN["efficientnet-lite0"]
    file = written(tmp_path / "lite.pth", golden["state"])
    network = NETWORKS["efficientnet-lite0"](3, 64, 3).eval()
    report = start_from(network, file, head=True)
    assert report.coverage == 1.0
    assert report.missing == report.unexpected == ()
    with torch.no_grad():
        logits = network(torch.from_numpy(images(2, 3, 64, -1, 1)))
    wanted = np.array(golden["logits"])
    np.testing.assert_allclose(logits.numpy(), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


def test_a_densenet_of_torchvisions_naming_says_what_it_said(tmp_path: Path) -> None:
    shapes = [(name, list(shape)) for name, shape in densenet_shapes(1, 18)]
    file = written(tmp_path / "xrv.safetensors", shapes, prefix="module.")
    network = DenseNet(18).eval()
    assert start_from(network, file, head=True).coverage == 1.0
    with torch.no_grad():
        logits = network(torch.from_numpy(images(2, 1, 64, -1024, 1024)))
    wanted = np.array(FOREIGN["torchxrayvision"]["logits_1"])
    np.testing.assert_allclose(logits.numpy(), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


def test_colours_become_one_grey_and_positions_another_size(tmp_path: Path) -> None:
    file = written(tmp_path / "mae.safetensors", GOLDEN["mae"]["state"])
    three = ViT(1, size_px=32, patch_px=8, inner=512, pool="patches", **TINY).eval()
    one = ViT(1, size_px=32, patch_px=8, inner=512, channels=1, pool="patches", **TINY).eval()
    start_from(three, file)
    assert start_from(one, file).adapted == {"patch_embed.proj.weight": "3 channels to 1"}
    grey = torch.from_numpy(images(2, 1, 32, -1, 1))
    with torch.no_grad():
        torch.testing.assert_close(one.tokens(grey), three.tokens(grey.repeat(1, 3, 1, 1)))
    larger = ViT(1, size_px=64, patch_px=8, inner=512, channels=1, pool="patches", **TINY).eval()
    assert start_from(larger, file).adapted["pos_embed"] == "positions of 4 × 4 to 8 × 8"
    # the network itself does the same with images of another size
    big = torch.from_numpy(images(2, 1, 64, -1, 1))
    with torch.no_grad():
        torch.testing.assert_close(one.tokens(big), larger.tokens(big))


def test_one_grey_becomes_three_colours_to_the_same_answer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    grey = NETWORKS["vit-tiny-16"](2, 32, 1).eval()
    save_file(grey.state_dict(), tmp_path / "grey.safetensors")
    colour = NETWORKS["vit-tiny-16"](2, 32, 3).eval()
    start_from(colour, tmp_path / "grey.safetensors", head=True)
    batch = torch.from_numpy(images(2, 1, 32, -1, 1))
    with torch.no_grad():
        torch.testing.assert_close(colour(batch.repeat(1, 3, 1, 1)), grey(batch), atol=1e-5, rtol=1e-4)


def test_the_last_layer_stays_the_tasks_own(tmp_path: Path) -> None:
    network = NETWORKS["vit-tiny-16"](2, 32, 1)
    save_file(network.state_dict(), tmp_path / "one.safetensors")
    other = NETWORKS["vit-tiny-16"](5, 32, 1)
    before = other.out.weight.clone()
    report = start_from(other, tmp_path / "one.safetensors")
    assert torch.equal(other.out.weight, before)
    assert report.missing == report.unexpected == ()
    assert torch.equal(other.state_dict()["cls_token"], network.state_dict()["cls_token"])


@pytest.mark.parametrize("name", ["eva-x-tiny", "eva-x-small"])
def test_eva_x_by_name_takes_what_its_authors_publish(name: str, tmp_path: Path) -> None:
    """Names as in their files: w1, w2, w3, tables of angles, one norm, a head of the pre-training."""
    network = NETWORKS[name](2, 32, 1)
    state = {}
    for key, value in network.state_dict().items():
        new = key.replace("mlp.fc1_g", "mlp.w1").replace("mlp.fc1_x", "mlp.w2").replace("mlp.fc2", "mlp.w3")
        if key.endswith("qkv.bias"):
            query, _, last = value.chunk(3)
            state[new.replace("qkv.bias", "q_bias")] = query + 0.0
            state[new.replace("qkv.bias", "v_bias")] = last + 0.0
        elif not key.startswith("head."):
            state[new] = value + 0.0
    state |= {
        "rope.freqs_cos": torch.zeros(4, 64),
        "mask_token": torch.zeros(1),
        "lm_head.bias": torch.zeros(2),
    }
    save_file(state, tmp_path / "eva.safetensors")
    report = start_from(NETWORKS[name](2, 32, 1), tmp_path / "eva.safetensors")
    assert report.coverage == 1.0
    assert report.unexpected == ("lm_head.bias", "mask_token")


def test_another_architecture_is_refused_and_the_network_left_as_it_was(tmp_path: Path) -> None:
    save_file({"layer1.0.conv1.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "resnet.safetensors")
    network = NETWORKS["vit-tiny-16"](2, 32, 1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(WeightsError, match=r"covers 0\.0% of the network, less than 95%") as error:
        start_from(network, tmp_path / "resnet.safetensors")
    assert "1 unexpected: layer1.0.conv1.weight" in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_half_a_checkpoint_needs_a_lower_bar_and_names_what_is_missing(tmp_path: Path) -> None:
    network = NETWORKS["vit-tiny-16"](2, 32, 1)
    state = {key: value for key, value in network.state_dict().items() if "blocks.7." not in key}
    save_file(state, tmp_path / "half.safetensors")
    with pytest.raises(WeightsError, match=r"covers 91\.\d% of the network"):
        start_from(NETWORKS["vit-tiny-16"](2, 32, 1), tmp_path / "half.safetensors")
    report = start_from(NETWORKS["vit-tiny-16"](2, 32, 1), tmp_path / "half.safetensors", least=0.9)
    assert len(report.missing) == 12
    assert all(key.startswith("blocks.7.") for key in report.missing)
    assert "12 missing: blocks.7." in str(report)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weights at"):
        start_from(NETWORKS["vit-tiny-16"](2, 32, 1), tmp_path / "gone.safetensors")
