"""Bring an int8 ONNX file back to floating point, its weights stored with 16 bits.

    python experiments/unquantise.py CARD

For networks whose int8 a processor computes wrong: OpenVINO 2026.4 read the lungs' U-net, in int8, with a Dice of 0.76
on a processor without VNNI and of 0.95 on one with it. CARD's file is rewritten in place, and the card with it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from radsnap.learn.export import to_half
from radsnap.models.card import read_card, sha256_of, write_card
from radsnap.models.networks_onnx import axis_of, dequantised

CAVEAT = (
    "Quantised to int8 after the training, and brought back: its weights are those of 8 bits, stored with 16."
)


def main() -> None:
    """Rewrite the file and its card."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("card", type=Path)
    path = parser.parse_args().card
    card = read_card(path)
    if card.precision != "int8":
        raise SystemExit(f"{path}: its weights are not int8 but {card.precision}")
    file = path.parent / card.file
    model = onnx.load(str(file))
    unquantise(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))
    to_half(file, file)
    told = {"sha256": sha256_of(file), "precision": "float16", "caveats": (*card.caveats, CAVEAT)}
    write_card(card.model_copy(update=told), path)


def unquantise(graph: onnx.GraphProto) -> None:
    """Multiply stored weights out, and let activations pass as they are."""
    stored = {one.name: one for one in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    now: dict[str, str] = {}
    for node in graph.node:
        if node.op_type != "DequantizeLinear":
            continue
        source = node.input[0]
        if source in stored:
            stored[source].CopyFrom(numpy_helper.from_array(_whole(node, stored), source))
            now[node.output[0]] = source
        else:
            now[node.output[0]] = made_by[source].input[0]
    kept = [node for node in graph.node if node.op_type not in ("QuantizeLinear", "DequantizeLinear")]
    for node in kept:
        node.input[:] = [_followed(name, now) for name in node.input]
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    for one in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(one)
    del graph.value_info[:]


def _whole(node: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> np.ndarray:
    weights, scale, zero = (numpy_helper.to_array(stored[name]) for name in node.input)
    return dequantised(weights, scale, zero, axis_of(node))


def _followed(name: str, now: dict[str, str]) -> str:
    while name in now:
        name = now[name]
    return name


if __name__ == "__main__":
    main()
