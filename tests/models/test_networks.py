from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from foreign_states import densenet_shapes, filled, images  # noqa: E402

from radsnap.errors import WeightsError  # noqa: E402
from radsnap.models.networks import (  # noqa: E402
    DenseNet,
    OperatingPoints,
    WithHeatMaps,
    from_public_naming,
    grad_cam,
    load_state,
)

pytestmark = pytest.mark.train


def state(
    channels: int = 1, outputs: int = 3, *, old: bool = False, prefix: str = ""
) -> dict[str, torch.Tensor]:
    """A state dict in torchvision's naming; its numbers do not depend on the spelling of its names."""
    return {
        prefix + name: torch.from_numpy(filled(name.replace("norm.", "norm").replace("conv.", "conv"), shape))
        for name, shape in densenet_shapes(channels, outputs, old=old)
    }


@pytest.fixture(scope="module")
def network() -> DenseNet:
    made = DenseNet(3)
    load_state(made, from_public_naming(state()))
    return made.eval()


def _expected(name: str) -> str:
    """Where a key of torchvision's naming belongs, by a rule of this test's own."""
    parts = name.split(".")
    if parts[0] == "classifier":
        return f"out.{parts[1]}"
    if len(parts) > 2 and parts[2].startswith("denselayer"):
        old = parts[4] in "12"
        inner = parts[3] + parts[4] if old else parts[3]
        return ".".join([*parts[:3], "layers", inner, parts[5] if old else parts[4]])
    return name


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    "prefix", ["", "module.", "module.densenet121.", "model.", "state_dict.module.densenet121."]
)
def test_every_key_of_torchvisions_naming_finds_its_place(old: bool, prefix: str, network: DenseNet) -> None:
    own = network.state_dict()
    given = state(old=old, prefix=prefix)
    renamed = from_public_naming(given)
    assert set(renamed) == set(own)
    for name, shape in densenet_shapes(1, 3, old=old):
        place = _expected(name)
        assert renamed[place] is given[prefix + name], name
        assert tuple(own[place].shape) == shape, name


def test_chexnets_classifier_in_a_sequential_is_the_head() -> None:
    given = state(3, 14, prefix="module.densenet121.")
    for part in ("weight", "bias"):
        given[f"module.densenet121.classifier.0.{part}"] = given.pop(f"module.densenet121.classifier.{part}")
    assert set(from_public_naming(given, channels=3)) == set(DenseNet(14, channels=3).state_dict())


def test_monais_own_naming_is_left_as_it_is(network: DenseNet) -> None:
    own = network.state_dict()
    monai = {key.replace("out.", "class_layers.out."): value for key, value in own.items()}
    assert set(from_public_naming(monai)) == set(own)


def test_summed_colour_filters_say_of_grey_what_three_channels_say() -> None:
    given = state(3)
    one, three = DenseNet(3), DenseNet(3, channels=3)
    load_state(one, from_public_naming(given))
    load_state(three, from_public_naming(given, channels=3))
    grey = torch.from_numpy(images(1, 1, 64, -1, 1))
    with torch.no_grad():
        torch.testing.assert_close(
            one.eval()(grey), three.eval()(grey.repeat(1, 3, 1, 1)), atol=1e-4, rtol=1e-4
        )


def test_missing_keys_are_refused_with_their_count_and_the_first_three(network: DenseNet) -> None:
    given = from_public_naming(state())
    for key in [key for key in given if "denseblock4" in key and "num_batches" not in key]:
        del given[key]
    with pytest.raises(
        WeightsError,
        match=r"this checkpoint misses 160 of the network's 727 keys, such as features\.denseblock4\.denselayer1\.",
    ):
        load_state(DenseNet(3), given)


def test_unknown_keys_and_other_shapes_are_refused() -> None:
    given = from_public_naming(state())
    with pytest.raises(WeightsError, match="has unknown 1 of the network's 727 keys, such as extra"):
        load_state(DenseNet(3), {**given, "extra": torch.zeros(1)})
    with pytest.raises(
        WeightsError, match=r"has other shapes for 2 of the network's 727 keys, such as out\.bias"
    ):
        load_state(DenseNet(4), given)


def test_a_new_head_keeps_its_own_weights_and_says_so() -> None:
    network = DenseNet(4)
    before = network.out.weight.clone()
    assert load_state(network, from_public_naming(state()), new_head=True) == ["out.bias", "out.weight"]
    torch.testing.assert_close(network.out.weight, before)


def test_closed_form_maps_are_autograds_grad_cam(network: DenseNet) -> None:
    batch = torch.from_numpy(images(2, 1, 96, -1, 1))
    logits, heat = WithHeatMaps(network)(batch)
    assert heat.shape == (2, 3, 3, 3)
    # the last rectified maps, as a module that a hook can be put on
    rectified = torch.nn.Sequential(network.features, torch.nn.ReLU())
    head = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), network.out)
    whole = torch.nn.Sequential(rectified, head)
    torch.testing.assert_close(whole(batch), logits)
    for output in range(3):
        expected = grad_cam(whole, rectified, batch, output).detach()
        assert float(expected.max()) > 0
        torch.testing.assert_close(heat[:, output].detach(), expected, atol=1e-6, rtol=1e-3)


def test_heat_maps_of_the_runtime_are_autograds_to_a_thousandth(network: DenseNet, tmp_path: Path) -> None:
    """In OpenVINO, float32, from a state dict; the way over ONNX is in the tests of importing."""
    from safetensors.torch import save_file
    from test_card import card

    from radsnap.models.card import Head, InputSpec, sha256_of, write_card
    from radsnap.models.runtime import load

    save_file(network.state_dict(), tmp_path / "tiny.safetensors")
    described = card(
        input=InputSpec(size_px=96),
        heads=(Head(name="findings", classes=("a", "b", "c"), activation="sigmoid"),),
        heat_maps=True,
        file="tiny.safetensors",
        sha256=sha256_of(tmp_path / "tiny.safetensors"),
    )
    write_card(described, tmp_path / "tiny.card.json")
    batch = images(2, 1, 96, -1, 1)
    said = load(tmp_path / "tiny.card.json", threads=1).run(batch)
    rectified = torch.nn.Sequential(network.features, torch.nn.ReLU())
    whole = torch.nn.Sequential(rectified, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), network.out)
    for output in range(3):
        expected = grad_cam(whole, rectified, torch.from_numpy(batch), output).detach().numpy()
        scale = float(expected.max())
        np.testing.assert_allclose(said["heat_maps"][:, output] / scale, expected / scale, atol=1e-3)


def test_operating_points_become_one_half_and_order_is_kept() -> None:
    points = (0.02, 0.5, 0.9)
    bend = OperatingPoints(points)
    at = torch.logit(torch.tensor([points]))
    torch.testing.assert_close(bend(at), torch.zeros(1, 3), atol=1e-5, rtol=0)
    ramp = torch.linspace(-90, 90, 400)[:, None].repeat(1, 3)
    bent = bend(ramp)
    assert bool(torch.isfinite(bent).all())
    assert bool((bent.diff(dim=0) > 0).all())


def test_operating_points_have_a_gradient_everywhere() -> None:
    logits = torch.linspace(-60, 60, 99)[:, None].requires_grad_()
    OperatingPoints((0.1,))(logits).sum().backward()
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())


def test_operating_points_outside_0_to_1_are_refused() -> None:
    with pytest.raises(WeightsError, match="operating points lie between 0 and 1"):
        OperatingPoints((0.5, float("nan")))
