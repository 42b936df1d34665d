"""What pages say and are told, as JSON."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from radsnap.errors import UsageError

_LARGEST_PAGE_PX = 16_384
_SMALLEST_PAGE_PX = 200


def as_json(value: dict[str, Any]) -> JSONResponse:
    """Answer with a table; never cached."""
    return JSONResponse(value, headers={"Cache-Control": "no-store"})


async def table_of(request: Request) -> dict[str, Any]:
    """Read a request's table of JSON. Raises UsageError for anything else."""
    try:
        told = await request.json()
    except (ValueError, RecursionError) as error:
        raise UsageError("the request is no JSON") from error
    if not isinstance(told, dict):
        raise UsageError("the request is no table of JSON")
    return told


def whole(value: Any, name: str, low: int = _SMALLEST_PAGE_PX, high: int = _LARGEST_PAGE_PX) -> int:
    """Give a value that is a whole number of a range, by default the side of a page. Raises UsageError."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"{name} is a whole number from {low} to {high}, got {str(value)[:40]!r}")
    return value
