"""From the runtime's ONNX files back to a state dict, so that a training can start from what ships."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from radsnap.errors import WeightsError
from radsnap.extras import need

Array = NDArray[Any]
_PREFIX = "network."
HALF = ".half"  # ends the names of weights stored with 16 bits
# An EfficientNet's convolutions in blocks, and the batch norms that follow them.
_AFTER = {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}


def state_from_onnx(path: Path) -> dict[str, Tensor]:
    """Read the state dict of a `DenseNet` or an `EfficientNetLite` from ONNX that `learn.export` wrote: float32, 16 bits or int8.

    8-bit weights are multiplied by their scales. A batch norm that the exporter folded into the convolution before
    it comes back as one that only adds the folded bias: right for inference, while a training should first
    `settle_norms`. Raises WeightsError for other ONNX files.
    """
    onnx: Any = need("onnx", extra="train")
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except OSError as error:
        raise WeightsError(f"no weights at {path} ({error.strerror})") from error
    except Exception as error:  # protobuf's DecodeError, whose module moves between versions
        if type(error).__name__ != "DecodeError":
            raise
        raise WeightsError(f"{path} is not an ONNX file; get it again") from error
    try:
        state = _unfolded(_values(onnx, graph))
    except (ValueError, IndexError, TypeError) as error:
        raise WeightsError(f"{path} holds weights that cannot be read ({error}); get it again") from error
    if not {"features.conv0.weight", "features.norm0.weight", "out.weight"} <= set(state):
        raise WeightsError(
            f"{path} is no DenseNet-121 or EfficientNet-Lite0 that 'radsnap train' or 'radsnap models export' wrote: "
            "its weights have other names; start from safetensors instead"
        )
    return state


def _values(onnx: Any, graph: Any) -> dict[str, Array]:
    """The network's own weights by their names, those of 8 bits multiplied out, those of 16 as they are."""
    stored = {one.name: one for one in graph.initializer}
    values: dict[str, Array] = {}
    for name, one in stored.items():
        if name.startswith(_PREFIX):
            values[name.removeprefix(_PREFIX).removesuffix(HALF)] = onnx.numpy_helper.to_array(one)
    for node in graph.node:
        if node.name.startswith(f"DequantizeLinear_{_PREFIX}"):
            parts = [onnx.numpy_helper.to_array(stored[name]) for name in node.input if name in stored]
            weights, scale, zero = parts
            values[_name_of(node)] = dequantised(weights, scale, zero, axis_of(node))
    return values


def _name_of(node: Any) -> str:
    """`DequantizeLinear_network.features....weight_1` → `features....weight`."""
    return str(node.name).removeprefix(f"DequantizeLinear_{_PREFIX}").rpartition("_")[0]


def axis_of(node: Any) -> int:
    return next((int(one.i) for one in node.attribute if one.name == "axis"), 1)


def dequantised(weights: Array, scale: Array, zero: Array, axis: int) -> Array:
    """(weights - zero) · scale, with a scale for all, or one a slice along the axis. ONNX DequantizeLinear."""
    shape = [1] * weights.ndim
    if scale.size > 1:
        shape[axis] = scale.size
    shifted = weights.astype(np.float32) - zero.astype(np.float32).reshape(shape)
    return np.asarray(shifted * scale.astype(np.float32).reshape(shape))


def _unfolded(values: Mapping[str, Array]) -> dict[str, Tensor]:
    """Give each folded bias, `convX.weight_bias`, to an identity batch norm after its convolution."""
    state: dict[str, Tensor] = {}
    epsilon = 1e-3 if any(f".{last}." in name for name in values for last in _AFTER) else 1e-5
    for name, value in values.items():
        if not name.endswith(".weight_bias"):
            state[name] = torch.from_numpy(np.array(value, dtype=np.float32))
            continue
        norm = _norm_after(name.removesuffix(".weight_bias"))
        bias = torch.from_numpy(np.array(value, dtype=np.float32))
        state |= {
            f"{norm}.weight": torch.ones_like(bias),
            f"{norm}.bias": bias,
            f"{norm}.running_mean": torch.zeros_like(bias),
            f"{norm}.running_var": torch.full_like(bias, 1 - epsilon),
        }
    return state


def _norm_after(convolution: str) -> str:
    """`features.conv0` → `features.norm0`; `...layers.conv1` → `...layers.norm2`; `..._project_conv` → `..._bn2`."""
    above, _, last = convolution.rpartition(".")
    if last in _AFTER:
        return f"{above}.{_AFTER[last]}"
    return f"{above}.norm{int(last.removeprefix('conv')) + (above != 'features')}"


@torch.no_grad()
def settle_norms(network: nn.Module, images: Tensor) -> int:
    """Give unfolded batch norms the statistics of images (N, channels, H, W); gives how many there were.

    What the network computes stays the same. Without this a training would see other activations than inference:
    in training a batch norm divides by the deviation that it meets, and a folded one has lost which that was.
    """
    network.eval()
    folded = [one for one in network.modules() if isinstance(one, nn.BatchNorm2d) and _is_unfolded(one)]
    met: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        met[norm] = (inputs[0].mean(dim=(0, 2, 3)), inputs[0].var(dim=(0, 2, 3), unbiased=False))

    hooks = [norm.register_forward_pre_hook(keep) for norm in folded]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    for norm in folded:
        mean, variance = met[norm]
        # y = x + bias = (x - mean) / sqrt(variance + eps) · weight + (bias + mean)
        norm.weight.copy_(torch.sqrt(variance + norm.eps))
        norm.bias.add_(mean)
        norm.running_mean = mean.clone()
        norm.running_var = variance.clone()
    return len(folded)


def _is_unfolded(norm: nn.BatchNorm2d) -> bool:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return bool(
        torch.all(norm.weight == 1)
        and torch.all(norm.running_mean == 0)
        and torch.allclose(
            norm.running_var, torch.full_like(norm.running_var, 1 - norm.eps), rtol=0, atol=1e-7
        )
    )
