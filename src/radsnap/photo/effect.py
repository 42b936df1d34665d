"""The contract of an effect: frozen parameters, a sampler (all the randomness), a function (none)."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from radsnap.errors import UsageError
from radsnap.imaging.radiograph import ByteImage

LEVELS = (1, 2, 3, 4)
SIGHTS = ("film", "screen", "digital")
"""What a camera may see, the telling ones first: a film in a chain makes the whole a photo of a film."""
Matrix = NDArray[np.float64]
Size = tuple[int, int]
"""Height and width in pixels."""
P = TypeVar("P")
_STRIP_FLOATS = 1 << 15


@dataclass(frozen=True)
class Presets:
    """Named devices and places that a photo is to be of; None leaves the name to chance."""

    phone: str | None = None
    place: str | None = None
    monitor: str | None = None


AT_RANDOM = Presets()


@dataclass(frozen=True)
class Canvas:
    """What a sampler knows of a picture: its size, how many pixels one pixel of the tables is, the presets asked for."""

    height_px: int
    width_px: int
    scale: float = 1.0
    presets: Presets = AT_RANDOM


@dataclass(frozen=True)
class Effect(Generic[P]):
    """One thing that a photo does to an x-ray, as three things kept apart.

    params: a frozen dataclass of numbers, strings, booleans and tuples of them (so that JSON keeps it);
    sample(rng, level, canvas): draws params, the only place with randomness; level is 1 to 4;
    apply(image, params): uint8 (H, W) grey or (H, W, 3) RGB in, the same kind (or RGB) out;
    homography(params, size): 3×3 from pixels of the input to pixels of the output, when they move;
    size(params, size): the output's (height, width), when it differs from the input's;
    warps: apply does nothing but this homography, with black outside: then neighbours become one warp;
    sees: `screen` or `film` where only a camera in front of one makes such pixels, else `digital`.

    An effect of your own is a file with about ten lines, read by `load_effects("vignette.py")`:

        from dataclasses import dataclass
        import numpy as np
        from radsnap.photo import Effect

        @dataclass(frozen=True)
        class Vignette:
            strength: float

        def apply(image, vignette):
            y, x = (np.linspace(-1, 1, n) ** 2 for n in image.shape[:2])
            dim = 1 - vignette.strength * (y[:, None] + x) / 2
            return np.uint8(image * (dim if image.ndim == 2 else dim[..., None]))

        EFFECTS = {"vignette": Effect(Vignette, lambda rng, level, canvas: Vignette(0.2 * level), apply)}
    """

    params: type[P]
    sample: Callable[[Generator, int, Canvas], P]
    apply: Callable[[ByteImage, P], ByteImage]
    homography: Callable[[P, Size], Matrix] | None = None
    size: Callable[[P, Size], Size] | None = None
    warps: bool = False
    sees: str = "digital"

    def __post_init__(self) -> None:
        if self.sees not in SIGHTS:
            raise UsageError(f"what an effect sees is one of {', '.join(SIGHTS)}; got {self.sees!r}")

    def moved(self, params: P, size: Size) -> Matrix:
        """Give the homography, the identity for an effect that moves nothing."""
        return np.eye(3) if self.homography is None else self.homography(params, size)

    def resized(self, params: P, size: Size) -> Size:
        """Give the output's (height, width)."""
        return size if self.size is None else self.size(params, size)


def check_level(level: object) -> int:
    """Refuse anything but the whole numbers 1 to 4."""
    if isinstance(level, bool) or not isinstance(level, int) or level not in LEVELS:
        raise UsageError(f"a level is 1, 2, 3 or 4, got {level!r}")
    return level


def check_image(image: ByteImage) -> ByteImage:
    """Refuse anything but uint8 (H, W) or (H, W, 3) with at least one pixel."""
    shaped = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if not shaped or image.dtype != np.uint8 or image.size == 0:
        raise UsageError(f"an effect takes uint8 pixels (H, W) or (H, W, 3), got {image.dtype} {image.shape}")
    return image


def strips(image: ByteImage, channels: int = 1) -> list[slice]:
    """Cut a picture into bands of rows whose floats fit the cache (and need no fresh memory pages)."""
    rows = max(_STRIP_FLOATS // (image.shape[1] * channels), 1)
    return [slice(start, min(start + rows, image.shape[0])) for start in range(0, image.shape[0], rows)]


def as_rgb(image: ByteImage) -> ByteImage:
    """Give a grey picture three equal channels; colour stays as it is."""
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image  # type: ignore[return-value]


def unknown(what: str, got: object, known: typing.Iterable[str]) -> UsageError:
    """Make the error for a name that is none, with the nearest known one."""
    names = sorted(known)
    # a part of a long name counts as much as the whole: 'glaer' means glare_matte, not place
    meant = {part: name for name in reversed(names) for part in re.split("[-_]", name)} | {
        n: n for n in names
    }
    near = get_close_matches(str(got), meant, n=1)
    hint = f"; did you mean {meant[near[0]]!r}?" if near else ""
    return UsageError(f"no {what} is called {got!r}{hint} (known: {', '.join(names)})")


def to_plain(value: Any) -> Any:
    """Turn parameters into what JSON holds: dicts, lists, numbers, strings."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def from_plain(kind: Any, value: Any, where: str = "params") -> Any:
    """Read parameters back by the types of their dataclass. Raises UsageError naming the field."""
    if is_dataclass(kind) and isinstance(kind, type):
        return _read_dataclass(kind, value, where)
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise UsageError(f"{where} is a list, got {value!r}")
        kinds = [parts[0]] * len(value) if parts[-1] is Ellipsis else list(parts)
        if len(kinds) != len(value):
            raise UsageError(f"{where} has {len(kinds)} entries, got {len(value)}")
        return tuple(
            from_plain(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True))
        )
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in parts:
            return None
        return from_plain(next(p for p in parts if p is not type(None)), value, where)
    return _read_scalar(kind, value, where)


def _read_scalar(kind: Any, value: Any, where: str) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number and np.isfinite(value):
        return float(value)
    if kind is int and number and float(value).is_integer():
        return int(value)
    if kind in (bool, str) and isinstance(value, kind):
        return value
    raise UsageError(f"{where} is a {getattr(kind, '__name__', kind)}, got {value!r}")


def _read_dataclass(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise UsageError(f"{where} is a table of {kind.__name__}, got {value!r}")
    hints = typing.get_type_hints(kind)
    for name in value:
        if name not in hints:
            raise unknown(f"field of {kind.__name__}", name, hints)
    read = {name: from_plain(hints[name], item, f"{where}.{name}") for name, item in value.items()}
    try:
        return kind(**read)
    except TypeError as error:
        raise UsageError(f"{where}: {error}") from error
