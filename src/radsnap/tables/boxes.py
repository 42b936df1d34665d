"""The manifest's column `boxes_xywh`: where somebody drew findings."""

from __future__ import annotations

from radsnap.errors import ManifestError

Box = tuple[float, float, float, float]


def parse_boxes(text: str) -> list[tuple[str, Box]]:
    """Read 'Name:x,y,width,height;...' as findings with their boxes, in pixels; empty parts are passed over.

    Raises ManifestError for a part that is not written so.
    """
    return [_box(part) for part in map(str.strip, text.split(";")) if part]


def _box(part: str) -> tuple[str, Box]:
    name, _, numbers = part.rpartition(":")
    try:
        x, y, width, height = map(float, numbers.split(","))
    except ValueError:
        raise ManifestError(
            f"column 'boxes_xywh' holds '{part[:80]}'; write boxes as Name:x,y,width,height;..."
        ) from None
    return name, (x, y, width, height)
