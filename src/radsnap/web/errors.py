"""Errors of the API: every one leaves in the same shape."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from radsnap.errors import ImageError, ImageTooLarge, UnsupportedImage
from radsnap.serving.answers import error_response

LOG = logging.getLogger("radsnap.web")
_SPOKEN = {
    400: ("invalid_request", "the body cannot be understood", "see /openapi.json"),
    404: ("not_found", "there is nothing here", "check the address"),
    405: ("method_not_allowed", "this address takes another method", "see /openapi.json"),
}


class ApiError(Exception):
    """An answer that is an error: status, code, sentence, advice."""

    def __init__(
        self, status: int, code: str, message: str, what_to_do: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.code, self.message, self.what_to_do = status, code, message, what_to_do
        self.headers = dict(headers or {})


def api_error(error: ImageError) -> ApiError:
    """Turn what is wrong with a picture into an answer; its message says what to do after a semicolon."""
    message, _, advice = str(error).rpartition("; ")
    status, code = 422, "not_an_image"
    if isinstance(error, ImageTooLarge):
        status, code = 413, "image_too_large"
    elif isinstance(error, UnsupportedImage):
        status, code = 415, "unsupported_image"
    return ApiError(status, code, message or str(error), advice if message else "send another picture")


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error in the one shape; pages may set `app.state.error_page` to show it to a person."""
    app.add_exception_handler(ApiError, _api)
    app.add_exception_handler(ImageError, _image)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _api(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return answer(request, error)


async def _image(request: Request, error: Exception) -> Response:
    assert isinstance(error, ImageError)
    return answer(request, api_error(error))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return answer(request, ApiError(422, "invalid_request", f"{where}: {first['msg']}", "see /openapi.json"))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, message, advice = _SPOKEN.get(
        error.status_code, ("refused", str(error.detail), "change the request and send it again")
    )
    return answer(request, ApiError(error.status_code, code, message, advice, error.headers))


async def _unexpected(request: Request, error: Exception) -> Response:
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)
    # The traceback is logged by the server; a message may hold data, so the client gets none of it.
    return answer(
        request,
        ApiError(500, "internal", "something failed here that should not", "tell who runs this server"),
    )


def answer(request: Request, error: ApiError) -> Response:
    """Answer with an error: JSON, or a page where a person asked and pages can."""
    page = getattr(request.app.state, "error_page", None)
    wanted = "text/html" in request.headers.get("accept", "")
    if page is not None and wanted and not request.url.path.startswith("/api/"):
        shown: Response = page(request, error)
        return shown
    return error_response(error.status, error.code, error.message, error.what_to_do, error.headers)
