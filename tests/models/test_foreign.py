"""Other people's networks through ours, against what their own classes said (see goldens/make_foreign.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from foreign_states import densenet_shapes, filled, images  # noqa: E402

from radsnap.errors import WeightsError  # noqa: E402
from radsnap.models.card import InputSpec  # noqa: E402
from radsnap.models.networks_state import densenet, vit_of, with_outputs  # noqa: E402
from radsnap.models.networks_vit import from_vit_naming  # noqa: E402
from radsnap.models.preprocess import normalise  # noqa: E402

pytestmark = pytest.mark.train

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "goldens" / "foreign.json").read_text())
XRV = GOLDEN["torchxrayvision"]


def densenet_state(channels: int, outputs: int) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(filled(name, shape)) for name, shape in densenet_shapes(channels, outputs)}


def filled_state(shapes: list[tuple[str, list[int]]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(filled(name, tuple(shape))) for name, shape in shapes}


@pytest.mark.parametrize(("channels", "outputs"), [(1, 18), (3, 14)])
def test_torchxrayvisions_densenet_gives_its_outputs_through_ours(channels: int, outputs: int) -> None:
    network = densenet(densenet_state(channels, outputs), channels)
    batch = torch.from_numpy(images(2, channels, 64, -1024, 1024))
    with torch.no_grad():
        pooled = network.feature_maps(batch).mean(dim=(2, 3))
        logits = network(batch)
    expected = np.array(XRV[f"features_{channels}"])
    np.testing.assert_allclose(
        pooled[:, ::64].numpy(), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max()
    )
    wanted = np.array(XRV[f"logits_{channels}"])
    np.testing.assert_allclose(logits.numpy(), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


def test_its_operating_point_calibration_is_kept_in_our_scores() -> None:
    network = densenet(densenet_state(1, 18), 1, tuple(XRV["op_threshs"]))
    batch = torch.from_numpy(images(2, 1, 64, -1024, 1024))
    with torch.no_grad():
        logits = network(batch)
        scores = torch.sigmoid(logits)
    np.testing.assert_allclose(scores.numpy(), XRV["bent"], atol=1e-5)


def test_outputs_that_were_not_trained_are_left_out() -> None:
    batch = torch.from_numpy(images(2, 1, 64, -1024, 1024))
    with torch.no_grad():
        logits = densenet(with_outputs(densenet_state(1, 18), [1, 16]), 1)(batch)
    wanted = np.array(XRV["logits_1"])[:, [1, 16]]
    np.testing.assert_allclose(logits.numpy(), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


def test_our_fixed_normalisation_is_its_own() -> None:
    levels = images(1, 1, 64, 0, 255)[0, 0].round()
    spec = InputSpec(size_px=64, normalisation="fixed", mean=0.5, deviation=1 / 2048)
    ours = normalise(levels.astype(np.uint8), spec)[::16, ::16]
    np.testing.assert_allclose(ours, XRV["normalised"], atol=1e-3)  # of 2048


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_timms_transformer_gives_its_outputs_through_ours(pool: str) -> None:
    network = vit_of(filled_state(GOLDEN["timm"][pool]["state"]))
    with torch.no_grad():
        logits = network(torch.from_numpy(images(2, 3, 32, -1, 1)))
    np.testing.assert_allclose(logits.numpy(), GOLDEN["timm"][pool]["logits"], atol=1e-5)


# how version 4 of transformers names what version 5, of the golden, does
VERSION_4 = (
    ("vit.layers.", "vit.encoder.layer."),
    ("attention.q_proj", "attention.attention.query"),
    ("attention.k_proj", "attention.attention.key"),
    ("attention.v_proj", "attention.attention.value"),
    ("attention.o_proj", "attention.output.dense"),
    ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
)


@pytest.mark.parametrize("version", [4, 5])
def test_transformers_transformer_gives_its_outputs_through_ours(version: int) -> None:
    state = filled_state(GOLDEN["transformers"]["state"])
    if version == 4:
        for new, old in VERSION_4:
            state = {name.replace(new, old): value for name, value in state.items()}
    network = vit_of({f"module.{name}": value for name, value in state.items()})
    with torch.no_grad():
        logits = network(torch.from_numpy(images(2, 3, 32, -1, 1)))
    np.testing.assert_allclose(logits.numpy(), GOLDEN["transformers"]["logits"], atol=1e-5)


def test_queries_keys_and_values_go_into_one_layer_in_this_order() -> None:
    parts = {
        f"vit.encoder.layer.0.attention.attention.{part}.weight": torch.full((2, 2), float(number))
        for number, part in enumerate(("query", "key", "value"))
    }
    (name,) = from_vit_naming(parts)
    assert name == "blocks.0.attn.qkv.weight"
    assert from_vit_naming(parts)[name][:, 0].tolist() == [0, 0, 1, 1, 2, 2]


def test_what_is_no_transformer_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"has no patch_embed.proj.weight: it is no vision transformer"):
        vit_of(densenet_state(1, 2))
    state = filled_state(GOLDEN["timm"]["token"]["state"])
    with pytest.raises(WeightsError, match="a width of 128 does not divide into 3 heads"):
        vit_of(state, heads=3)
    state["pos_embed"] = torch.zeros(1, 18, 128)
    with pytest.raises(WeightsError, match="18 positions are not a class token and a square of patches"):
        vit_of(state)
    del state["blocks.1.mlp.fc1.bias"]
    state["pos_embed"] = torch.zeros(1, 17, 128)
    with pytest.raises(WeightsError, match="misses 1 of the network's"):
        vit_of(state)


def test_what_is_no_densenet_is_refused() -> None:
    with pytest.raises(WeightsError, match="has no linear layer 'classifier' with a bias"):
        densenet({"conv1.weight": torch.zeros(3)})
