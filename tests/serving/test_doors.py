"""Bounds, headers, uploads and the server itself, spoken to over sockets where timing matters."""

from __future__ import annotations

import logging
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from radsnap.errors import ImageError, UsageError
from radsnap.serving import headers, limits, run
from radsnap.serving.certificate import Certificate, certificate
from radsnap.serving.uploads import tidy_name, uploads

JPEG = b"\xff\xd8\xff\xe0" + b"\0" * 100


async def echo(request: Request) -> Response:
    try:
        body = await request.body()
    except ImageError as error:
        return PlainTextResponse(str(error), 422)
    return JSONResponse({"bytes": len(body)})


def app(*middleware: Middleware) -> Starlette:
    async def take(request: Request) -> Response:
        folder = Path(request.app.state.folder)
        try:
            async with uploads(request, folder, max_bytes=1000, max_files=2) as taken:
                assert all(upload.path.parent == folder for upload in taken)
                return JSONResponse([[u.name, u.size, u.kind, u.fault, len(u.read())] for u in taken])
        except ImageError as error:
            return PlainTextResponse(str(error), 422)

    methods = ["GET", "POST", "PUT"]
    return Starlette(
        routes=[Route("/take", take, methods=methods), Route("/{path:path}", echo, methods=methods)],
        middleware=list(middleware),
    )


@contextmanager
def served(application: Any, tls: Certificate | None = None, **options: Any) -> Iterator[tuple[str, int]]:
    """Run the real server in a thread."""
    at: list[str] = []
    opened, servers = threading.Event(), []

    def ready(address: str) -> None:
        at.append(address)
        opened.set()

    original = uvicorn.Server

    class Known(original):  # type: ignore[valid-type, misc]
        def __init__(self, config: uvicorn.Config) -> None:
            super().__init__(config)
            servers.append(self)

    run.uvicorn.Server = Known  # type: ignore[misc]
    try:
        thread = threading.Thread(
            target=lambda: run.serve(application, port=0, certificate=tls, ready=ready, **options)
        )
        thread.start()
        assert opened.wait(10)
    finally:
        run.uvicorn.Server = original  # type: ignore[misc]
    while not servers[0].started:
        time.sleep(0.01)
    try:
        yield "127.0.0.1", int(at[0].rsplit(":", 1)[1].strip("/"))
    finally:
        servers[0].should_exit = True
        thread.join(10)
        assert not thread.is_alive()


def talk(where: tuple[str, int], *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Send bytes, with pauses, and give all that comes back until the server closes."""
    with socket.create_connection(where, timeout=10) as line:
        for part in parts:
            try:
                line.sendall(part)
            except OSError:
                break
            time.sleep(pause_s)
        answer = b""
        try:
            while chunk := line.recv(65536):
                answer += chunk
        except OSError:
            pass
        return answer


def test_a_large_body_is_refused_before_it_is_sent() -> None:
    guarded = app(Middleware(limits.BodyLimit, max_bytes=1000))
    with served(guarded) as where:
        announced = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 200000000\r\n\r\n"
        assert b" 413 " in talk(where, announced).splitlines()[0]
        chunks = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = talk(where, chunks, *[b"200\r\n" + b"a" * 512 + b"\r\n"] * 3)
        assert b" 413 " in answer.splitlines()[0]
        assert b'"code":"too_large"' in answer
        small = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
        assert b'{"bytes":3}' in talk(where, small)


def test_slow_bodies_and_slow_headers_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_HEADERS_WITHIN_S", 0.5)
    guarded = app(Middleware(limits.BodyLimit, max_bytes=1000, idle_s=0.3, total_s=0.8))
    with served(guarded) as where:
        start = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n"
        assert b" 408 " in talk(where, start, b"a").splitlines()[0]
        trickle = talk(where, start, *[b"a"] * 12, pause_s=0.1)
        assert b" 408 " in trickle.splitlines()[0]
        assert talk(where, b"POST /a HTTP/1.1\r\nHost:") == b""


def answered(line: socket.socket, request: bytes) -> bytes:
    """Send a request, and give its answer to the end of the echo's body."""
    line.sendall(request)
    said = b""
    while not said.endswith(b"}"):
        chunk = line.recv(65536)
        assert chunk, said
        said += chunk
    return said


def trickle(line: socket.socket, for_s: float) -> None:
    ends = time.monotonic() + for_s
    while time.monotonic() < ends:
        line.sendall(b"T")
        time.sleep(0.1)


WHOLE = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


def test_slow_headers_of_a_later_request_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_HEADERS_WITHIN_S", 0.5)
    with served(app()) as where, socket.create_connection(where, timeout=5) as line:
        for _ in range(3):
            assert answered(line, WHOLE).startswith(b"HTTP/1.1 200")
            time.sleep(0.6)  # between requests a connection may rest longer than headers may take
        assert answered(line, WHOLE + b"GET / HT").startswith(b"HTTP/1.1 200")
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            trickle(line, for_s=5)  # letters that trickle in buy no time


def test_the_rest_of_a_body_that_was_answered_early_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "_REST_WITHIN_S", 0.5)
    with served(app()) as where, socket.create_connection(where, timeout=5) as line:
        line.sendall(b"DELETE /a HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n")
        assert b" 405 " in line.recv(65536).splitlines()[0]
        line.sendall(b"a")
        line.settimeout(5)
        while line.recv(65536):
            pass


def test_a_bound_of_its_own_for_a_path() -> None:
    guarded = app(Middleware(limits.BodyLimit, max_bytes=10, paths={"/large": 1000}))
    with TestClient(guarded) as client:
        assert client.post("/large", content=b"a" * 100).json() == {"bytes": 100}
        refused = client.post("/small", content=b"a" * 100)
        assert refused.status_code == 413
        assert refused.json()["error"]["code"] == "too_large"


def test_too_many_requests_are_told_when_to_come_again() -> None:
    limited = app(Middleware(limits.RateLimit, a_minute=60, burst=2, paths=("/api",)))
    with TestClient(limited) as client:
        assert [client.get("/api").status_code for _ in range(3)] == [200, 200, 429]
        refused = client.get("/api")
        assert refused.headers["Retry-After"] == "1"
        assert refused.json()["error"]["code"] == "too_many_requests"
        assert client.get("/else").status_code == 200


def test_buckets_fill_with_time_and_stay_few() -> None:
    now = [0.0]
    buckets = limits.Buckets(a_minute=6, burst=1, keys=3, clock=lambda: now[0])
    assert buckets.take("a") == 0
    assert buckets.take("a") == pytest.approx(10)
    now[0] = 10
    assert buckets.take("a") == 0
    for at in range(100):
        buckets.take(str(at))
    assert len(buckets._levels) == 3


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("fe80::aa11:1:2:3", "fe80::bb22:1:2:3", True),
        ("2001:db8:0:1::5", "2001:db8:0:1:ffff::", True),
        ("2001:db8::5", "2001:0DB8:0:0:1::", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("2001:db8:0:1::5", "2001:db8:0:2::5", False),
        ("::1", "0:0:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("unix:", "unix:", True),
    ],
)
def test_addresses_of_one_household_are_one(one: str, other: str, same: bool) -> None:
    first, second = (limits.address({"client": (host, 1)}) for host in (one, other))
    assert (first == second) is same


def test_answers_carry_the_headers_that_bind_a_browser() -> None:
    with TestClient(app(Middleware(headers.SecurityHeaders, https=True))) as client:
        got = client.get("/a").headers
    assert "script-src 'self'" in got["Content-Security-Policy"]
    assert "unsafe" not in got["Content-Security-Policy"]
    assert got["X-Content-Type-Options"] == "nosniff"
    assert "camera=(self)" in got["Permissions-Policy"]
    assert "max-age" in got["Strict-Transport-Security"]


@pytest.mark.parametrize(
    ("method", "sent", "status"),
    [
        ("POST", {}, 200),
        ("POST", {"Origin": "http://testserver"}, 200),
        ("POST", {"Origin": "https://evil.example"}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Origin": "http://["}, 403),
        ("POST", {"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 200),
        ("POST", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", {"Sec-Fetch-Site": "same-site"}, 403),
        ("GET", {"Sec-Fetch-Site": "cross-site"}, 200),
        ("GET", {"Host": "rebound.example"}, 421),
        ("GET", {"Host": "testserver:8000"}, 200),
    ],
)
def test_what_other_sites_ask_for_is_refused(method: str, sent: dict[str, str], status: int) -> None:
    with TestClient(app(Middleware(headers.SameOrigin, hosts=["testserver"]))) as client:
        assert client.request(method, "/a", headers=sent).status_code == status


def test_an_upload_is_known_by_its_bytes_and_never_by_its_name(tmp_path: Path) -> None:
    application = app()
    application.state.folder = tmp_path
    with TestClient(application) as client:
        raw = client.post("/take", content=JPEG, headers={"Content-Type": "text/plain"})
        assert raw.json() == [["the file", 104, "JPEG", None, 104]]
        named = [
            ("file", ("../../etc/pass\nwd", JPEG, "image/png")),
            ("file", ("a.jpg", b"<html>", "image/jpeg")),
        ]
        first, second = client.post("/take", files=named).json()
        assert first[0] == "pass%0Awd"
        assert first[2] == "JPEG"
        assert second[2] is None
        assert "this is text, not an image" in second[3]
        empty = client.post("/take", content=b"").json()
        assert "the file is empty" in empty[0][3]
        for refused in (
            client.post("/take", content=b"a" * 1001),
            client.post("/take", files={"file": ("a", b"a" * 1001)}),
            client.post("/take", files={"other": ("a", b"a")}),
            client.post("/take", files=[("file", ("a", JPEG))] * 3),
            client.post("/take", content=b"junk", headers={"Content-Type": "multipart/form-data"}),
            client.post(
                "/take", content=b"junk", headers={"Content-Type": "multipart/form-data; boundary=x"}
            ),
        ):
            assert refused.status_code == 422, refused.text
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_a_form_lies_in_the_given_folder_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[Any] = []
    original = tempfile.TemporaryFile

    def known(*given: Any, **options: Any) -> Any:
        places.append(options.get("dir"))
        return original(*given, **options)

    monkeypatch.setattr(tempfile, "TemporaryFile", known)  # what a spooled file becomes when it grows
    application = app()
    application.state.folder = tmp_path
    with TestClient(application) as client:
        answer = client.post("/take", files={"file": ("a", JPEG + bytes(2_000_000))})
    assert answer.status_code == 422  # it is over the bound of a file
    assert places == [str(tmp_path)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../a.jpg", "a.jpg"),
        ("C:\\x\\b.png", "b.png"),
        ("\x00\x1b[31m.jpg", "[31m.jpg"),
        ("", "the file"),
        ("..", "the file"),
        (None, "the file"),
    ],
)
def test_names_of_files_are_words_not_paths(given: str | None, kept: str) -> None:
    assert tidy_name(given) == kept


def test_the_log_holds_no_query_and_no_control_characters(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="radsnap.serving")
    with TestClient(app(Middleware(run.AccessLog))) as client:
        client.get("/cases%1Bforged?patient=Jane+Doe")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "radsnap.serving"]
    assert line.startswith("GET /cases?forged 200 ")
    assert "Jane" not in line


def test_it_serves_over_tls_with_its_own_certificate(tmp_path: Path) -> None:
    own = certificate(tmp_path, [])
    trusting = ssl.create_default_context(cafile=str(own.cert))
    with (
        served(app(), own) as where,
        socket.create_connection(where, timeout=10) as line,
        trusting.wrap_socket(line, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert secure.recv(100).startswith(b"HTTP/1.1 200")


def test_a_request_under_way_ends_before_the_server_does() -> None:
    entered = threading.Event()

    async def slow(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        import asyncio

        if scope["type"] == "http":
            entered.set()
            await asyncio.sleep(0.4)
            await PlainTextResponse("done")(scope, receive, send)

    said: list[bytes] = []
    with served(slow, grace_s=5) as where:
        request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        asking = threading.Thread(target=lambda: said.append(talk(where, request)))
        asking.start()
        assert entered.wait(5)
    asking.join()
    assert said[0].endswith(b"done")


def test_a_taken_port_is_said_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="choose another --host or --port"):
            run.listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("port", [-1, 65_536, 99_999])
def test_a_port_that_there_is_not_is_no_other_port(port: int) -> None:
    with pytest.raises(UsageError, match=f"a port is 0 to 65535, got {port}; choose another --port"):
        run.listen("127.0.0.1", port)
