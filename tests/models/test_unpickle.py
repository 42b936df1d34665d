from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radsnap.errors import WeightsError
from radsnap.models.unpickle import read_checkpoint


class Evil:
    """Runs a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def archive(path: Path, data: bytes, **entries: bytes) -> Path:
    """A checkpoint of torch.save's ZIP format around a pickle."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", data)
        for name, content in entries.items():
            file.writestr(f"archive/data/{name}", content)
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_a_malicious_pickle_does_not_run(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "ran"
    evils = [
        Evil(open, str(mark), "w"),
        Evil(eval, f"open({str(mark)!r}, 'w')"),
        Evil(__import__, "os"),
        Evil(getattr, "abc", "upper"),
        Evil(pickle.loads, pickle.dumps(Evil(open, str(mark), "w"))),
    ]
    import os
    import subprocess

    evils += [Evil(os.system, f"touch {mark}"), Evil(subprocess.check_call, ["touch", str(mark)])]
    for evil in evils:
        path = archive(tmp_path / "evil.pt", pickle.dumps({"weight": evil}, protocol=protocol))
        with pytest.raises(WeightsError):  # nothing in it is a tensor
            read_checkpoint(path)
        assert not mark.exists()


def test_names_of_modules_are_never_imported(tmp_path: Path) -> None:
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    import sys

    sys.path.insert(0, str(tmp_path))
    try:
        data = b"\x80\x02ctrap\nThing\n)\x81."
        with pytest.raises(WeightsError, match="no tensors in it"):
            read_checkpoint(archive(tmp_path / "t.pt", data))
        assert "trap" not in sys.modules
    finally:
        sys.path.remove(str(tmp_path))


def _storage(count: str, kind: str = "FloatStorage") -> bytes:
    return f"((S'storage'\nctorch\n{kind}\nS'0'\nS'cpu'\nI{count}\ntQ".encode()


def _tensor(offset: int, shape: str, strides: str, count: int = 4) -> bytes:
    """A pickle {'w': tensor}, by hand, with any shape."""
    build = b"ctorch._utils\n_rebuild_tensor_v2\n"
    return (
        b"(dS'w'\n" + build + b"(" + _storage(str(count))[1:]
        + f"I{offset}\n{shape}{strides}I00\nccollections\nOrderedDict\n(tRtRs.".encode()
    )  # fmt: skip


def test_a_handmade_tensor_is_read(tmp_path: Path) -> None:
    numbers = np.arange(4, dtype="<f4")
    path = archive(tmp_path / "t.pt", _tensor(1, "(I3\nt", "(I1\nt"), **{"0": numbers.tobytes()})
    np.testing.assert_array_equal(read_checkpoint(path).state["w"], [1, 2, 3])


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (1, "(I4\nt", "(I1\nt"),  # beyond the end
        (-1, "(I2\nt", "(I1\nt"),  # before the start
        (0, "(I-2\nt", "(I1\nt"),
        (0, "(I2\nt", "(I-1\nt"),
        (0, "(I1000000000\nt", "(I0\nt"),  # one number a thousand million times
        (0, "(I2\nI2\nt", "(I1\nt"),  # two sides, one stride
        (0, "(F2.5\nt", "(I1\nt"),
        (99, "(t", "(t"),
    ],
)
def test_a_tensor_cannot_reach_beyond_its_numbers(
    tmp_path: Path, offset: int, shape: str, strides: str
) -> None:
    path = archive(tmp_path / "t.pt", _tensor(offset, shape, strides), **{"0": bytes(16)})
    with pytest.raises(WeightsError, match="not a checkpoint that can be read safely"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"\x80\x02}q\x00.",
        b"\x80\x02]\x94K\x01a.",
        b"\x80\x02r\xff\xff\xff\x7f.",  # a memo index of two thousand million
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x00.",  # bytes longer than any disk
        b"\x80\x02c__builtin__\neval\n(S'1'\ntR(dS'__code__'\nI1\nsb.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(dS'build'\nI1\nsb.",  # alters a builder
        b"\x80\x02ccollections\nOrderedDict\n(dS'__init__'\nI1\nsb.",  # alters OrderedDict
        b"\x80\x02" + b"(" * 5000 + b".",
        b"\x80\x02S'storage'\nQ.",
    ],
)
def test_broken_and_hostile_pickles_are_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(archive(tmp_path / "b.pt", data))
    assert "\n" not in str(caught.value)
    assert OrderedDict(a=1)["a"] == 1


def test_a_pickle_that_holds_itself_is_refused(tmp_path: Path) -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    with pytest.raises(WeightsError, match="nested too deeply"):
        read_checkpoint(archive(tmp_path / "loop.pt", pickle.dumps(loop)))


def test_compressed_entries_are_refused_as_torch_never_writes_them(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", _tensor(0, "(I3\nt", "(I1\nt"))
        file.writestr("archive/data/0", bytes(10_000_000))
    with pytest.raises(WeightsError, match="is compressed or too large"):
        read_checkpoint(tmp_path / "bomb.pt")


def test_a_missing_file_and_one_of_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("<html>not found</html>")
    with pytest.raises(WeightsError, match="not a checkpoint that can be read safely"):
        read_checkpoint(tmp_path / "text.pt")


@pytest.mark.train
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("what", ["module", "state", "nested"])
def test_what_torch_saves_comes_back_number_by_number(tmp_path: Path, zipped: bool, what: str) -> None:
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(
        OrderedDict(
            a=torch.nn.Conv2d(1, 3, 3), b=torch.nn.BatchNorm2d(3), c=torch.nn.Linear(3, 2).to(torch.bfloat16)
        )
    )
    network.pathologies = ["Edema", ""]
    network.register_buffer("view", torch.arange(12.0).reshape(3, 4).T[1:])
    state = network.state_dict()
    saved = {
        "module": network,
        "state": state,
        "nested": {"epoch": 3, "state_dict": state, "best": np.float64(1)},
    }
    torch.save(saved[what], tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(tmp_path / "x.pt")
    assert {name.removeprefix("state_dict.") for name in found.state} == set(state)
    for name, value in found.state.items():
        expected = state[name.removeprefix("state_dict.")]
        np.testing.assert_array_equal(
            value, (expected.float() if expected.is_floating_point() else expected).numpy()
        )
    if what == "module":
        assert found.values["pathologies"] == ["Edema", ""]
    if what == "nested":
        assert found.values == {"epoch": 3}


@pytest.mark.train
def test_half_an_old_checkpoint_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    held = io.BytesIO()
    torch.save({"w": torch.zeros(1000)}, held, _use_new_zipfile_serialization=False)
    for length in (10, 200, held.tell() - 8):
        (tmp_path / "half.pt").write_bytes(held.getvalue()[:length])
        with pytest.raises(WeightsError, match="not a checkpoint that can be read safely"):
            read_checkpoint(tmp_path / "half.pt")
