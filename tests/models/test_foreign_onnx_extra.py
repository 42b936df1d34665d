"""Somebody else's ONNX file needs one small package, and says which."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from radsnap.errors import MissingExtra
from radsnap.models.foreign_onnx import adapt_onnx


def test_the_error_names_the_small_extra_and_not_torchs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)  # as if it were not installed
    with pytest.raises(MissingExtra, match=r"the package 'onnx'.*pip install \"radsnap\[onnx\]\""):
        adapt_onnx(tmp_path / "a.onnx", tmp_path / "b.onnx", "logit")
