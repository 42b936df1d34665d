"""The one shape of an error: what went wrong, in words that a program and a person can use."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse


def error_body(code: str, message: str, what_to_do: str) -> dict[str, dict[str, str]]:
    """Give an error as JSON's types: {"error": {"code", "message", "what_to_do"}}."""
    return {"error": {"code": code, "message": message, "what_to_do": what_to_do}}


def error_response(
    status: int, code: str, message: str, what_to_do: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Answer with an error; never cached."""
    body = error_body(code, message, what_to_do)
    return JSONResponse(body, status, headers={"Cache-Control": "no-store", **(headers or {})})
