"""Other people's ONNX files: the runtime's names for input and output, any number of images, logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from radsnap.errors import WeightsError
from radsnap.extras import need

Says = Literal["logit", "probability"]


def adapt_onnx(source: Path, target: Path, says: Says) -> tuple[int, int, int | None]:
    """Rewrite an ONNX file for the runtime: `image` (N, channels, size, size) → `logits` (N, outputs).

    says: what the file gives; probabilities are turned back into logits. Gives (channels, outputs, size_px), the
    size None where the file leaves it open. Raises WeightsError for weights kept in other files, and for other
    inputs or outputs.
    """
    onnx: Any = need("onnx", extra="onnx")
    try:
        model = onnx.load(str(source), load_external_data=False)
        onnx.checker.check_model(model)
    except (OSError, ValueError, onnx.checker.ValidationError, RuntimeError) as error:
        raise WeightsError(f"{source} cannot be read as ONNX: {str(error).splitlines()[0][:200]}") from error
    except Exception as error:  # protobuf's DecodeError, whose module moves between versions
        if type(error).__name__ != "DecodeError":
            raise
        raise WeightsError(f"{source} is not an ONNX file; get it again") from error
    graph = model.graph
    if any(one.data_location == onnx.TensorProto.EXTERNAL for one in graph.initializer):
        raise WeightsError(f"{source} keeps weights in other files; save it as one file")
    weights = {one.name for one in graph.initializer}
    inputs = [one for one in graph.input if one.name not in weights]
    if len(inputs) != 1 or len(graph.output) < 1:
        raise WeightsError(f"{source} has {len(inputs)} inputs; a model of images has one")
    shape, result = _sides(inputs[0]), _sides(graph.output[0])
    if len(shape) != 4 or shape[1] not in (1, 3) or shape[2] != shape[3]:
        raise WeightsError(f"{source} reads {shape}; expected (N, 1 or 3, size, size)")
    if len(result) != 2 or result[1] is None:
        raise WeightsError(f"{source} gives {result}; expected (N, outputs) with a known number of outputs")
    del graph.output[1:]
    _rename(graph, inputs[0].name, "image")
    _rename(graph, graph.output[0].name, "answer" if says == "probability" else "logits")
    if says == "probability":
        _append_logit(onnx, graph)
    for value in (graph.input[0], *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for place, node in enumerate(graph.node):
        node.name = f"node.{place}"  # names may be missing, and quantisers go by them
    del graph.value_info[:]  # shapes inside may hold the batch it was saved with
    onnx.save(model, str(target))
    return int(shape[1]), int(result[1]), shape[2]


def _sides(value: Any) -> list[int | None]:
    return [
        side.dim_value if side.HasField("dim_value") and side.dim_value > 0 else None
        for side in value.type.tensor_type.shape.dim
    ]


def _rename(graph: Any, old: str, new: str) -> None:
    """Rename a value everywhere; whatever had the new name before makes way."""
    names = {old: new, new: f"{new}.before"} if old != new else {}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = names.get(value.name, value.name)


def _append_logit(onnx: Any, graph: Any) -> None:
    """log p - log (1 - p), with p kept in what float32 tells from 0 and 1."""
    small, large, one = 1e-7, 1 - 1e-7, 1.0
    for name, value in (("p.low", small), ("p.high", large), ("p.one", one)):
        graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, [], [value]))
    node = onnx.helper.make_node
    graph.node.extend(
        [
            node("Clip", ["answer", "p.low", "p.high"], ["p"], name="p.clip"),
            node("Sub", ["p.one", "p"], ["q"], name="p.rest"),
            node("Div", ["p", "q"], ["odds"], name="p.odds"),
            node("Log", ["odds"], ["logits"], name="p.logit"),
        ]
    )
    graph.output[0].name = "logits"
