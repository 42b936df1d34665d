"""What the OpenAPI document says of answers: errors in one shape, and files."""

from __future__ import annotations

from typing import Any

from radsnap.web.schemas import ErrorAnswer

_WHY = {
    400: "the request cannot be understood",
    401: "sign in, or send a token",
    403: "the page's CSRF token is missing",
    404: "there is no such thing, or it is another reader's",
    408: "the body came too slowly",
    413: "too many bytes, pixels or frames",
    415: "a good file of something that is not read",
    421: "the server does not go by that name",
    422: "the request or the picture cannot be understood",
    429: "too much at once; come again after Retry-After seconds",
    503: "not now; come again after Retry-After seconds",
    504: "the reading took too long",
}
# What every address may answer.
USUAL = (401, 403, 421, 422, 429)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the errors of an address."""
    return {
        status: {"model": ErrorAnswer, "description": _WHY[status]} for status in sorted({*USUAL, *statuses})
    }


def file(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """Document an answer that is a file."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in media_types}
    return {200: {"content": content, "description": "the file"}}
