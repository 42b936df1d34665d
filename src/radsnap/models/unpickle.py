"""Read a PyTorch checkpoint without running anything in it: tensors and plain values, the rest as inert stubs.

A pickle is a program that may call any function by name. Here every name it asks for, but for those that
rebuild tensors and ordered dictionaries, is answered with an empty class that keeps what it is given and
does nothing. Both formats of `torch.save` are read, by numpy: ZIP (since 1.6) and the older stream.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radsnap.errors import WeightsError

Array = NDArray[Any]
MAX_BYTES = 4 * 1024**3
_MAX_DEPTH = 64
_OLD_MAGIC = 0x1950A86A20F9469CFC6C
_OLD_PROTOCOL = 1001
_DTYPES: Mapping[str, str] = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1",
    "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
# What hostile or broken bytes make an unpickler raise. A RadsnapError passes.
_FAULTS = (
    pickle.UnpicklingError, ValueError, TypeError, LookupError, AttributeError, EOFError, ArithmeticError,
    RecursionError, MemoryError, AssertionError, OSError, ImportError, NotImplementedError, zipfile.BadZipFile,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint holds. state: tensors by dotted name; values: plain values beside them, by dotted name."""

    state: Mapping[str, Array]
    values: Mapping[str, Any] = field(default_factory=dict)


class Stub:
    """Stands for an object of a class that is not built. Takes anything, keeps its state, does nothing."""

    state: Any
    items: list[Any]

    def __new__(cls, *_: Any, **__: Any) -> Stub:
        stub = object.__new__(cls)
        stub.state, stub.items = None, []
        return stub

    def __init__(self, *_: Any, **__: Any) -> None:
        """Take what the real class would be given."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))

    def append(self, value: Any) -> None:
        """Keep what a pickled list would append."""
        self.items.append(value)

    def extend(self, values: Any) -> None:
        """Keep what a pickled list would append."""
        self.items.extend(values)


@dataclass(frozen=True, slots=True, eq=False)
class _Builder:
    """A function that a pickle may call. Without a dictionary and frozen, so that a pickle cannot alter it."""

    build: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        return self.build(*arguments)

    def __setstate__(self, _: Any) -> None:
        raise pickle.UnpicklingError("a builder has no state")


@dataclass(slots=True, eq=False)
class _Storage:
    """The numbers behind tensors. In the old format they come after the pickle and are filled in later."""

    dtype: str
    numbers: Array | None = None

    def __setstate__(self, _: Any) -> None:
        raise pickle.UnpicklingError("a storage has no state")


@dataclass(frozen=True, slots=True, eq=False)
class _Tensor:
    """A view into a storage, as it was saved; offset, shape and strides in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __setstate__(self, _: Any) -> None:
        raise pickle.UnpicklingError("a tensor has no state")

    def array(self) -> Array:
        """Copy the numbers out. Raises ValueError for a view beyond the storage."""
        numbers = self.storage.numbers
        if numbers is None:
            raise ValueError("a tensor without its numbers")
        count = int(np.prod(self.shape, dtype=object)) if self.shape else 1
        reach = sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if min((self.offset, *self.shape, *self.strides), default=0) < 0 or count > max(numbers.size, 1):
            raise ValueError("a tensor with an impossible shape")
        if count and self.offset + reach >= numbers.size:
            raise ValueError("a tensor that reaches beyond its numbers")
        if not count:
            return np.zeros(self.shape, numbers.dtype)
        bytes_ = [step * numbers.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, bytes_).copy()


class _Unpickler(pickle._Unpickler):
    """Python's own unpickler in Python (the one in C takes any memo index for the size of a table)."""

    def __init__(self, file: io.BufferedIOBase | io.BytesIO, storage: Callable[[str, str], _Storage]) -> None:
        super().__init__(file, encoding="utf-8")
        self._storage = storage
        self._stubs: dict[str, type[Stub]] = {}

    def find_class(self, module: str, name: str, /) -> Any:
        """Answer a name: tensors' builders, OrderedDict, or a stub. Nothing is ever imported."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
            return _Builder(_tensor)
        if module == "torch._utils" and name == "_rebuild_parameter":
            return _Builder(lambda data, *_: data)
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return name
        if (module, name) == ("torch", "Size"):
            return _Builder(tuple)
        full = f"{module}.{name}"
        return self._stubs.setdefault(full, type("Stub", (Stub,), {}))

    def persistent_load(self, saved: Any) -> Any:
        """Answer a reference to numbers outside the pickle (or, in old files, to a class with its source)."""
        if saved[0] == "module":
            return saved[1]
        if saved[0] != "storage":
            raise pickle.UnpicklingError(f"an unknown reference {str(saved[0])[:40]!r}")
        kind, key, _place, _count, *view = saved[1:]
        if view and view[0] is not None:
            raise pickle.UnpicklingError("a view of a storage, as PyTorch before 0.4 wrote it")
        if not (isinstance(kind, str) and kind in _DTYPES and isinstance(key, str)):
            raise pickle.UnpicklingError("a storage of an unknown type")
        return self._storage(key, _DTYPES[kind])


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint of `torch.save`: a state dict, one inside a dictionary, or a whole pickled module.

    Nothing in the file is executed. Raises WeightsError when it is no checkpoint, is broken or too large.
    """
    if not path.is_file():
        raise WeightsError(f"no checkpoint at {path}")
    if path.stat().st_size > MAX_BYTES:
        raise WeightsError(f"{path}: {path.stat().st_size:,} bytes are over the bound of {MAX_BYTES:,}")
    try:
        root = _read_zip(path) if zipfile.is_zipfile(path) else _read_old(path)
        state: dict[str, Array] = {}
        values: dict[str, Any] = {}
        for name, value in _leaves(root, "", 0):
            if isinstance(value, _Tensor):
                state[name] = value.array()
            else:
                values[name] = value
    except _FAULTS as error:
        raise WeightsError(
            f"{path}: not a checkpoint that can be read safely ({str(error)[:120] or type(error).__name__}); "
            "get the file again, or save its state dict as safetensors"
        ) from error
    if not state:
        raise WeightsError(f"{path}: no tensors in it; give a file that torch.save wrote")
    return Checkpoint(state, values)


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in entries if name.endswith("/data.pkl") or name == "data.pkl"]
        if len(pickles) != 1:
            raise ValueError(f"{len(pickles)} pickles in the archive, expected one")
        folder = pickles[0].removesuffix("data.pkl")
        order = entries.get(f"{folder}byteorder")
        if order is not None and _entry(archive, order) != b"little":
            raise ValueError("numbers in big-endian order")
        kept: dict[str, _Storage] = {}

        def storage(key: str, dtype: str) -> _Storage:
            if key not in kept:
                kept[key] = _Storage(dtype, _numbers(_entry(archive, entries[f"{folder}data/{key}"]), dtype))
            return kept[key]

        return _Unpickler(io.BytesIO(_entry(archive, entries[pickles[0]])), storage).load()


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    # torch.save never compresses: a compressed entry is a bomb or a stranger
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > MAX_BYTES:
        raise ValueError(f"entry {info.filename[:60]!r} is compressed or too large")
    return archive.read(info)


def _read_old(path: Path) -> Any:
    kept: dict[str, _Storage] = {}

    def storage(key: str, dtype: str) -> _Storage:
        return kept.setdefault(key, _Storage(dtype))

    with path.open("rb") as file:
        magic, protocol = (_Unpickler(file, storage).load() for _ in range(2))
        if magic != _OLD_MAGIC or protocol != _OLD_PROTOCOL:
            raise ValueError("the first bytes are not torch.save's")
        _Unpickler(file, storage).load()  # sizes of C types on the machine that wrote it
        root = _Unpickler(file, storage).load()
        for key in _Unpickler(file, storage).load():
            one = kept[key]
            width = 2 if one.dtype == "bfloat16" else np.dtype(one.dtype).itemsize
            count = int.from_bytes(file.read(8), "little")
            data = file.read(count * width) if count * width <= MAX_BYTES else b""
            if len(data) != count * width:
                raise ValueError("the file ends before its numbers do")
            one.numbers = _numbers(data, one.dtype)
    return root


def _numbers(data: bytes, dtype: str) -> Array:
    if dtype == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, dtype)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage) or not isinstance(offset, int):
        raise pickle.UnpicklingError("a tensor without a storage")
    sides, steps = tuple(shape), tuple(strides)
    if len(sides) != len(steps) or not all(type(one) is int for one in (*sides, *steps)):
        raise pickle.UnpicklingError("a tensor whose shape is not of whole numbers")
    return _Tensor(storage, offset, sides, steps)


def _leaves(value: Any, name: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Walk dictionaries and pickled modules: every tensor and plain value by its dotted name."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, Stub):
        value = value.state
        if not isinstance(value, dict):
            return
        parts = [value.get(part) for part in ("_parameters", "_buffers", "_modules")]
        if all(isinstance(part, dict) for part in parts):  # a torch.nn.Module
            plain = {k: v for k, v in value.items() if k not in ("_parameters", "_buffers", "_modules")}
            value = {**{k: v for part in parts for k, v in (part or {}).items()}, **_plain(plain)}
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(key, str):
                yield from _leaves(inner, f"{name}.{key}" if name else key, depth + 1)
    elif isinstance(value, _Tensor) or _is_plain(value):
        yield name, value


def _plain(attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    return {
        key: value
        for key, value in attributes.items()
        if isinstance(key, str)
        and not key.startswith("_")
        and (_is_plain(value) or isinstance(value, _Tensor))
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(isinstance(one, str | int | float | bool | None) for one in value)
    return isinstance(value, str | int | float | bool)
