"""From a trained network to the runtime's files: ONNX, 16-bit weights or int8, with a card."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from radsnap.models.networks import WithHeatMaps
from radsnap.models.networks_onnx import HALF

Images = NDArray[np.float32]


def to_onnx(network: nn.Module, size_px: int, path: Path, heat_maps: bool = True, channels: int = 1) -> None:
    """Write a network as one float32 ONNX file: `image` (N, channels, size, size) → `logits`, and `heat_maps`."""
    module = WithHeatMaps(network) if heat_maps else network  # type: ignore[arg-type]
    write_onnx(module, size_px, path, ["logits", "heat_maps"] if heat_maps else ["logits"], channels)


def write_onnx(module: nn.Module, size_px: int, path: Path, names: list[str], channels: int = 1) -> None:
    """Write a module that gives the named outputs as one float32 ONNX file: `image` (N, channels, size, size) in."""
    example = torch.zeros(2, channels, size_px, size_px)
    with quiet():
        program = torch.onnx.export(
            module.eval(),
            (example,),
            input_names=["image"],
            output_names=names,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
            dynamo=True,
        )
    assert program is not None
    model = program.model_proto
    del model.metadata_props[:]
    for node in model.graph.node:  # the exporter writes this machine's stack traces into the file
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    onnx.save(model, str(path))


def to_half(source: Path, path: Path) -> None:
    """Store an ONNX file's larger weights with 16 bits; the runtime still computes with 32."""
    model = onnx.load(str(source))
    graph, casts = model.graph, []
    for tensor in list(graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 256:
            continue
        small = onnx.numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}{HALF}")
        graph.initializer.remove(tensor)
        graph.initializer.append(small)
        casts.append(onnx.helper.make_node("Cast", [small.name], [tensor.name], to=onnx.TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
    onnx.save(model, str(path))


def quantise(source: Path, images: Images, path: Path, keep_last_float: bool = True) -> None:
    """Quantise an ONNX file to int8 by a few hundred images (N, channels, size, size) of the training (NNCF).

    The first convolution and what makes logits and heat maps stay in float, where a few bits would show, and so do
    the thin layers of a MobileNet or EfficientNet. Two things are for processors without VNNI: weights take half of
    int8's range, since sums of products are cut off there, most where inputs have both signs; and what reads joined
    values (a U-net's) stays in float, for OpenVINO 2026.4 computes it wrong there.
    """
    import nncf

    model = onnx.shape_inference.infer_shapes(onnx.load(str(source)))
    batches = [{"image": images[i : i + 1]} for i in range(len(images))]
    ignored = [*{*_thin(model), *_after_joins(model), *(_kept_in_float(model) if keep_last_float else [])}]
    with quiet():
        small = nncf.quantize(
            model,
            nncf.Dataset(batches),
            subset_size=len(batches),
            preset=nncf.QuantizationPreset(_preset(model)),
            ignored_scope=nncf.IgnoredScope(names=ignored) if ignored else None,
            fast_bias_correction=True,
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
        )
    onnx.save(small, str(path))


def _preset(model: onnx.ModelProto) -> str:
    """Symmetric activations where the only nonlinearity is a rectification, else asymmetric where that is closer.

    Symmetric ones the runtime requantises from int8 to int8; around an offset it goes through float32, which makes
    a DenseNet-121 a third slower.
    """
    curved = {"Erf", "Gelu", "HardSigmoid", "HardSwish", "Sigmoid", "Softmax", "Tanh"}
    return "mixed" if curved & {node.op_type for node in model.graph.node} else "performance"


_FEW = 32  # channels that a convolution adds up


def _thin(model: onnx.ModelProto) -> list[str]:
    """Name the depthwise convolutions, and in a network that has some all that add up few channels."""
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    added = {one.name: one.dims[1] for one in model.graph.initializer if len(one.dims) > 1}
    grouped = any(one.name == "group" and one.i > 1 for node in convolutions for one in node.attribute)
    return [node.name for node in convolutions if grouped and added.get(node.input[1], 1) <= _FEW]


def _after_joins(model: onnx.ModelProto) -> list[str]:
    """Name the convolutions that read a concatenation as it is."""
    nodes = model.graph.node
    joined = {name for node in nodes if node.op_type == "Concat" for name in node.output}
    return [node.name for node in nodes if node.op_type.startswith("Conv") and joined & {*node.input}]


# ReLU and ReLU6
_RECTIFIED = {"Relu", "Clip"}


def _kept_in_float(model: onnx.ModelProto) -> list[str]:
    """The first convolution, and every node after the last rectification (pooling, heads, heat maps)."""
    nodes = list(model.graph.node)
    convolutions = [node.name for node in nodes if node.op_type == "Conv"]
    last_rectified = max(
        (
            place
            for place, node in enumerate(nodes)
            if node.op_type in _RECTIFIED and _feeds_pooling(nodes, node)
        ),
        default=len(nodes),
    )
    quantisable = {"Conv", "Gemm", "MatMul", "ReduceMean", "GlobalAveragePool", "Mul", "Add", "Div"}
    tail = [node.name for node in nodes[last_rectified + 1 :] if node.op_type in quantisable]
    return [*convolutions[:1], *tail]


def _feeds_pooling(nodes: list[onnx.NodeProto], maps: onnx.NodeProto) -> bool:
    return any(
        node.op_type in {"ReduceMean", "GlobalAveragePool"} and maps.output[0] in node.input for node in nodes
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' own chatter and deprecation notes from the terminal; errors still come through."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
