from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from radsnap.errors import UsageError, WeightsError
from radsnap.models.fetch import fetch
from radsnap.models.published import PUBLISHED, by_file, published

DATA = bytes(range(256)) * 4000
SHA = hashlib.sha256(DATA).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves DATA; `cut` ends each answer after so many bytes, `ranges` says whether parts are given."""

    daemon_threads = True
    data, tag, cut, ranges, length = DATA, '"one"', 0, True, True
    asked: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        if self.path != "/w.pt":
            self.send_error(404)
            return
        start = 0
        if wanted and server.ranges and self.headers.get("If-Range") == server.tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start and start >= len(server.data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.data) - 1}/{len(server.data)}")
        if server.length:
            self.send_header("Content-Length", str(len(server.data) - start))
        self.send_header("ETag", server.tag)
        self.end_headers()
        rest = server.data[start:]
        self.wfile.write(rest[: server.cut] if server.cut else rest)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.asked = []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def url(server: Server, path: str = "/w.pt") -> str:
    return f"http://127.0.0.1:{server.server_address[1]}{path}"


def test_a_file_is_fetched_with_progress_and_checked(server: Server, tmp_path: Path) -> None:
    ticks: list[tuple[int, int]] = []
    path = fetch(url(server), tmp_path / "w.pt", SHA, lambda got, total: ticks.append((got, total)))
    assert path.read_bytes() == DATA
    assert ticks[0] == (0, len(DATA))
    assert ticks[-1] == (len(DATA), len(DATA))
    assert [one.name for one in tmp_path.iterdir()] == ["w.pt"]


def test_a_file_that_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(DATA)
    fetch(url(server), tmp_path / "w.pt", SHA)
    assert server.asked == []


def test_a_truncated_transfer_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cut = 300_000
    with pytest.raises(
        WeightsError, match=r"ended after 300,000 of 1,024,000 bytes; start the same command again"
    ):
        fetch(url(server), tmp_path / "w.pt", SHA)
    assert not (tmp_path / "w.pt").exists()
    server.cut = 0
    assert fetch(url(server), tmp_path / "w.pt", SHA).read_bytes() == DATA
    assert server.asked == [None, "bytes=300000-"]


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(server: Server, tmp_path: Path) -> None:
    server.cut = 300_000
    with pytest.raises(WeightsError):
        fetch(url(server), tmp_path / "w.pt", None)
    server.cut, server.tag, server.data = 0, '"two"', DATA[::-1]
    assert fetch(url(server), tmp_path / "w.pt", None).read_bytes() == DATA[::-1]


def test_a_server_without_ranges_is_asked_for_all_again(server: Server, tmp_path: Path) -> None:
    server.cut, server.ranges = 300_000, False
    with pytest.raises(WeightsError):
        fetch(url(server), tmp_path / "w.pt", SHA)
    server.cut = 0
    assert fetch(url(server), tmp_path / "w.pt", SHA).read_bytes() == DATA


def test_a_part_that_is_whole_already_is_fetched_again_rather_than_failing(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "w.pt.part").write_bytes(DATA)
    (tmp_path / "w.pt.part.json").write_text(f'{{"url": "{url(server)}", "version": "\\"one\\""}}')
    assert fetch(url(server), tmp_path / "w.pt", SHA).read_bytes() == DATA


def test_a_wrong_checksum_leaves_nothing_behind(server: Server, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=rf"sha256 {SHA}, expected {'0' * 64}; what came was thrown away"):
        fetch(url(server), tmp_path / "w.pt", "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_without_a_length_the_checksum_still_tells(server: Server, tmp_path: Path) -> None:
    server.length, server.cut = False, 1000
    with pytest.raises(WeightsError, match="is not the file that was expected"):
        fetch(url(server), tmp_path / "w.pt", SHA)


def test_a_missing_file_and_a_dead_server_are_said_in_one_line(server: Server, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"/none answers 404 .*; check the address"):
        fetch(url(server, "/none"), tmp_path / "w.pt", SHA)
    with pytest.raises(WeightsError, match="could not be fetched"):
        fetch("http://127.0.0.1:9/w.pt", tmp_path / "w.pt", SHA)


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://x/y", "http://example.org/w.pt", "w.pt", "//x/y"]
)
def test_other_addresses_than_https_are_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not an https address"):
        fetch(address, tmp_path / "w.pt", SHA)


def test_the_table_of_published_weights_is_sound() -> None:
    for name, one in PUBLISHED.items():
        assert one.name == name
        assert one.url.startswith("https://")
        assert one.sha256 is None or len(bytes.fromhex(one.sha256)) == 32
        assert not one.midpoints or len(one.midpoints) == len(one.classes)
        assert all(0 < point < 1 for point, label in zip(one.midpoints, one.classes, strict=False) if label)
    assert by_file(published("torchxrayvision-all").file) == published("torchxrayvision-all")
    assert by_file("model.pth.tar") is None
    with pytest.raises(
        UsageError, match="no published model 'nothing' is known; known are torchxrayvision-all"
    ):
        published("nothing")
