"""DICOM's grey pipeline as one look-up table: stored value → modality → VOI → presentation → [0, 1].

A stored value has at most 16 bits, so the whole chain is worked out once for each possible value, and a
picture of any size takes one indexing. Source: DICOM PS3.3 C.11.1 (modality), C.11.2 (VOI), C.11.6
(presentation LUT), PS3.4 N.2 (order).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radsnap.errors import UnreadableImage
from radsnap.imaging.radiograph import FloatImage

Values = NDArray[np.float64]
Stored = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Lut:
    """A look-up table of DICOM: `entries` for inputs from `first` on; `peak` is its full output."""

    entries: Values
    first: int
    peak: float

    def look_up(self, values: Values) -> Values:
        """Map values; those outside the table take its first or last entry."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1).astype(np.intp)
        return np.asarray(self.entries[index], dtype=np.float64)


def to_grey(stored: Stored, header: Any, name: str) -> tuple[FloatImage, tuple[str, ...]]:
    """Turn stored values (H, W) into float32 in [0, 1], bone bright, and say which steps were taken."""
    bits, signed = int(header.BitsStored), bool(header.get("PixelRepresentation", 0))
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if int(stored.min()) < low or int(stored.max()) > high:
        raise UnreadableImage(f"{name}: a broken DICOM: its values need more than the {bits} bits it states")
    index = stored.astype(np.int32) - low
    values, steps = _modality(np.arange(low, high + 1, dtype=np.float64), header)
    shown, step = _voi(values, header, index)
    shown, last = _presentation(shown, header)
    return shown.astype(np.float32)[index], (*steps, step, *last)


def _modality(values: Values, header: Any) -> tuple[Values, tuple[str, ...]]:
    table = read_lut(header, "ModalityLUTSequence")
    if table is not None:
        return table.look_up(values), ("modality LUT",)
    slope, intercept = (_number(header.get(key)) for key in ("RescaleSlope", "RescaleIntercept"))
    slope = 1.0 if slope is None or slope == 0 else slope
    if (slope, intercept or 0.0) == (1.0, 0.0):
        return values, ()
    return values * slope + (intercept or 0.0), (f"rescaled by {slope:g} and {intercept or 0:g}",)


def _voi(values: Values, header: Any, index: Stored) -> tuple[Values, str]:
    """Pick what is shown between black and white: a VOI LUT, else a window, else the range in use.

    A LUT or window that makes a picture flat though it is not is passed over, as a viewer's user would.
    """
    used = _used(values, header, index)
    shown, step = values, ""
    table, window = read_lut(header, "VOILUTSequence"), read_window(header)
    if table is not None:
        shown, step = table.look_up(values) / table.peak, "VOI LUT"
    elif window is not None:
        shown = apply_window(values, *window)
        step = f"window {window[0]:g} / {window[1]:g} {window[2]}"
    if step and (np.ptp(shown[used]) > 0 or np.ptp(values[used]) == 0):
        return np.clip(shown, 0, 1), step
    if int(header.BitsStored) <= 8 and not step and "ModalityLUTSequence" not in header:
        # 8-bit pictures were made for a screen: all of their range is theirs.
        used = np.ones(len(values), dtype=bool)
    low, high = float(values[used].min()), float(values[used].max())
    if high == low:
        return np.zeros_like(values), "flat picture"
    return np.clip((values - low) / (high - low), 0, 1), f"no window: {low:g} to {high:g}"


def _used(values: Values, header: Any, index: Stored) -> NDArray[np.bool_]:
    """Mark the stored values that occur in the picture, padding left out unless there is nothing else."""
    used = np.bincount(index.ravel(), minlength=len(values)) > 0
    padding = _number(header.get("PixelPaddingValue"))
    if padding is not None:
        signed = bool(header.get("PixelRepresentation", 0))
        limit = _number(header.get("PixelPaddingRangeLimit"))
        ends = sorted(
            int(end) + (len(values) // 2 if signed else 0)
            for end in (padding, limit if limit is not None else padding)
        )
        kept = used.copy()
        kept[max(ends[0], 0) : max(ends[1] + 1, 0)] = False
        used = kept if kept.any() else used
    return used


def _presentation(shown: Values, header: Any) -> tuple[Values, tuple[str, ...]]:
    table = read_lut(header, "PresentationLUTSequence")
    if table is not None:
        scaled = table.first + shown * (len(table.entries) - 1)
        return np.clip(table.look_up(scaled) / table.peak, 0, 1), ("presentation LUT",)
    # MONOCHROME1 and the shape INVERSE state the same fact (PS3.3 C.8.11.3.1.2): turn around once, after VOI.
    if header.PhotometricInterpretation == "MONOCHROME1" or header.get("PresentationLUTShape") == "INVERSE":
        return 1 - shown, ("inverted",)
    return shown, ()


def apply_window(values: Values, center: float, width: float, function: str) -> Values:
    """Window values to [0, 1] by LINEAR, LINEAR_EXACT or SIGMOID. Source: PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700))))
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0, 1)
    if width <= 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def read_window(header: Any) -> tuple[float, float, str] | None:
    """Read the first window: centre, width, function; None when it is absent or has no width."""
    center, width = (_number(header.get(key)) for key in ("WindowCenter", "WindowWidth"))
    function = str(header.get("VOILUTFunction") or "LINEAR").upper()
    if function not in ("SIGMOID", "LINEAR_EXACT"):
        function = "LINEAR"
    if center is None or width is None or width <= 0 or (function == "LINEAR" and width < 1):
        return None
    return center, width, function


def read_lut(header: Any, keyword: str) -> Lut | None:
    """Read the first table of a LUT sequence; None when it is absent, empty or without entries.

    The peak is the full range of the bits that the entries need: the bit count that files state is often
    wrong, and then leaves white at a sixteenth.
    """
    items = header.get(keyword)
    if not items or "LUTDescriptor" not in items[0] or "LUTData" not in items[0]:
        return None
    count, first, bits = (int(part) for part in list(items[0].LUTDescriptor)[:3])
    data = items[0].LUTData
    if isinstance(data, bytes):
        entries = np.frombuffer(data[: len(data) // 2 * 2], "<u2").astype(np.float64)
        if bits <= 8 and len(data) == (count or 65536):
            entries = np.frombuffer(data, np.uint8).astype(np.float64)
    else:
        entries = np.atleast_1d(np.asarray(data, dtype=np.float64))
    entries = entries[: (count % 65536) or 65536]
    if len(entries) == 0 or entries.min() < 0:
        return None
    if header.get("PixelRepresentation", 0) and first > 32767 and keyword == "ModalityLUTSequence":
        first -= 65536  # written as unsigned although the stored values are signed
    return Lut(entries, first, float((1 << max(8, int(entries.max()).bit_length())) - 1))


def _number(value: Any) -> float | None:
    """Give the first number of a DICOM value; None when there is none or it is not finite."""
    if value is None or isinstance(value, str | bytes):
        return None
    first: Any = value if isinstance(value, int | float) else next(iter(value), None)
    number = float(first) if first is not None else float("nan")
    return number if np.isfinite(number) else None
