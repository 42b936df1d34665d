"""A network made int8 says what it said, whatever its layers hand on, also on processors without VNNI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

import openvino  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from radsnap.learn.export import quantise, write_onnx  # noqa: E402

pytestmark = pytest.mark.train


class _Unet(nn.Module):
    """One step down and up; what comes up has both signs, and may be joined with what went down."""

    def __init__(self, joined: bool) -> None:
        super().__init__()
        self.joined = joined
        self.first = nn.Conv2d(1, 32, 3, padding=1)
        self.down = nn.Sequential(
            nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()
        )
        self.up = nn.ConvTranspose2d(64, 32, 2, 2)
        self.last = nn.Sequential(
            nn.Conv2d(64 if joined else 32, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 1, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        level = torch.relu(self.first(image))
        up = self.up(self.down(level))
        return self.last(torch.cat([level, up], 1) if self.joined else up)


@pytest.mark.parametrize("joined", [False, True])
def test_values_of_both_signs_are_computed_right(joined: bool, tmp_path: Path) -> None:
    """Without half of the range, or with what reads the joined values in int8, logits are off by a third or more."""
    torch.manual_seed(0)
    whole, small = tmp_path / "whole.onnx", tmp_path / "small.onnx"
    write_onnx(_Unet(joined), 32, whole, ["logits"])
    images = np.random.default_rng(0).normal(size=(8, 1, 32, 32)).astype(np.float32)
    quantise(whole, images, small)
    float32, int8 = (said(path, images) for path in (whole, small))
    assert 0 < np.abs(int8 - float32).mean() < 0.06 * float32.std()


def said(path: Path, images: np.ndarray) -> np.ndarray:
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(str(path)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled([images])["logits"])
