"""What stays in float when a network is made int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from torch import nn  # noqa: E402

from radsnap.learn.export import quantise, write_onnx  # noqa: E402

pytestmark = pytest.mark.train


def test_transposed_convolutions_stay_in_float(tmp_path: Path) -> None:
    """Their int8 came out wrong on processors without VNNI."""
    torch.manual_seed(0)
    up = nn.ConvTranspose2d(64, 64, 2, 2)
    layers = (nn.Conv2d(1, 64, 3, 2, 1), nn.ReLU(), nn.Conv2d(64, 64, 3, 1, 1), nn.ReLU(), up, nn.ReLU())
    write_onnx(nn.Sequential(*layers, nn.Conv2d(64, 1, 1)), 32, tmp_path / "whole.onnx", ["logits"])
    images = np.random.default_rng(0).normal(size=(4, 1, 32, 32)).astype(np.float32)
    quantise(tmp_path / "whole.onnx", images, tmp_path / "small.onnx")
    nodes = onnx.load(str(tmp_path / "small.onnx")).graph.node
    made_by = {name: node.op_type for node in nodes for name in node.output}
    weights_of = {"Conv": [], "ConvTranspose": []}
    for node in nodes:
        if node.op_type in weights_of:
            weights_of[node.op_type].append(made_by.get(node.input[1], "stored"))
    assert weights_of["ConvTranspose"] == ["stored"]
    assert "DequantizeLinear" in weights_of["Conv"]
