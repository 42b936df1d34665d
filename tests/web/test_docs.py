"""docs/api.md: its commands run, its codes are those of the code. And the client in Python."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from tests.web.conftest import CHEST, CODES, LATERAL, NO_XRAY, MakeSettings

import radsnap
from radsnap.client import Client, Refused
from radsnap.errors import RadsnapError, UsageError
from radsnap.serving.run import listen
from radsnap.web.app import create_app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def live(settings: object) -> Iterator[str]:
    """Run a server in a thread, on a port of its own."""
    with listen("127.0.0.1", 0) as port:
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="error"))  # type: ignore[arg-type]
        thread = threading.Thread(target=lambda: server.run(sockets=[port]))
        thread.start()
        url = f"http://127.0.0.1:{port.getsockname()[1]}"
        with Client(url) as client:
            ends = time.monotonic() + 60
            while time.monotonic() < ends:
                try:
                    client._ask("GET", "/ready")
                    break
                except RadsnapError:
                    time.sleep(0.1)
        yield url
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def url(make_settings: MakeSettings) -> Iterator[str]:
    yield from live(make_settings())


@pytest.fixture(scope="module")
def closed_url(make_settings: MakeSettings) -> Iterator[str]:
    yield from live(make_settings(codes=CODES))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_the_commands_of_the_page_run(url: str, tmp_path: Path) -> None:
    (tmp_path / "chest.jpg").write_bytes(CHEST)
    assert len(blocks("sh")) == 5
    for block in blocks("sh"):
        script = "set -e\n" + block.replace("http://127.0.0.1:8000", url)
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "report.dcm").read_bytes()[128:132] == b"DICM"


def test_the_python_of_the_page_runs(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "chest.jpg").write_bytes(CHEST)
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("python")
    exec(compile(block.replace("http://127.0.0.1:8000", url), "docs/api.md", "exec"), {})
    assert "chest_frontal ['Pneumonia'" in capsys.readouterr().out


def test_the_codes_of_the_page_are_those_of_the_code() -> None:
    code = "\n".join(
        path.read_text("utf-8")
        for room in ("web", "serving")
        for path in (ROOT / "src/radsnap" / room).rglob("*.py")
    )
    table = PAGE.partition("## Errors")[2].partition("## DICOMweb")[0]
    told = {
        name
        for line in table.splitlines()
        if line.startswith("| ")
        for name in re.findall(r"`([a-z_]+)`", line.split("|")[2])
    }
    spoken = {
        name
        for call in re.findall(
            r"(?:ApiError|error_response)\(\s*(?:\d+|503|error\.status_code),\s*([^\n]*)", code
        )
        for name in re.findall(r'"([a-z_]+)"', call.split(",")[0])
    }
    assert told - set(re.findall(r'"([a-z_]+)"', code)) == set()
    assert spoken - told - {"refused"} == set()


def test_the_client_reads_finds_judges_and_deletes(url: str) -> None:
    with radsnap.Client(url) as client:
        reading = client.diagnose(CHEST)
        assert (reading.xray, reading.kind, reading.domain) == (True, "chest_frontal", reading.json["domain"])
        assert reading.findings is not None
        assert reading.findings["Pneumonia"].score == reading.json["findings"]["Pneumonia"]["score"]
        assert reading.case_id is not None
        assert client.diagnose(NO_XRAY, store=False).case_id is None
        judged = client.judge(reading.case_id, "agree", "seen")
        assert (judged.verdict, judged.note, judged.reading.findings) == ("agree", "seen", reading.findings)
        assert [case.id for case in client.cases("seen", verdict="agree")] == [reading.case_id]
        assert client.image(reading.case_id).startswith(b"\xff\xd8")
        assert client.heat_map(reading.case_id, "Edema").startswith(b"\x89PNG")
        client.delete(reading.case_id)
        with pytest.raises(Refused, match="there is no such case; it may have been deleted") as told:
            client.case(reading.case_id)
        assert (told.value.status, told.value.code) == (404, "no_case")
        items = sorted(
            client.diagnose_many([CHEST, b"text", LATERAL], every_s=0.05), key=lambda item: item.index
        )
        assert [item.status for item in items] == ["done", "failed", "done"]
        assert items[2].case is not None
        assert items[2].case.kind == "chest_lateral"
        assert items[1].error is not None
        assert "this is text" in items[1].error


def test_the_client_signs_in_and_says_what_is_wrong(closed_url: str, tmp_path: Path) -> None:
    with radsnap.Client(closed_url) as stranger, pytest.raises(Refused) as told:
        stranger.diagnose(CHEST)
    assert told.value.code == "sign_in"
    with radsnap.Client.sign_in(closed_url, CODES["ana"], "ana") as ana:
        assert ana.diagnose(CHEST).case_id is not None
        with pytest.raises(UsageError, match="cannot be read"):
            ana.diagnose(tmp_path / "none.jpg")
    with (
        radsnap.Client("http://127.0.0.1:9", patience_s=0) as nobody,
        pytest.raises(RadsnapError, match="is it running"),
    ):
        nobody.case("x")


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Something at an address that gives this one answer to whoever asks."""
    with listen("127.0.0.1", 0) as port:

        def once() -> None:
            line, _ = port.accept()
            with line:
                line.recv(10_000)
                line.sendall(answer)

        thread = threading.Thread(target=once)
        thread.start()
        yield f"http://127.0.0.1:{port.getsockname()[1]}"
        thread.join(20)


def test_the_client_says_what_is_wrong_with_an_address_that_is_not_radsnaps(tmp_path: Path) -> None:
    moved = b"HTTP/1.1 301 Moved\r\nLocation: https://xray.example/\r\nContent-Length: 0\r\n\r\n"
    with (
        answering(moved) as url,
        radsnap.Client(url) as client,
        pytest.raises(Refused, match=r"^the server answered 301; it is at https://xray\.example/$"),
    ):
        client.case("0" * 32)
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>"
    with (
        answering(page) as url,
        radsnap.Client(url) as client,
        pytest.raises(RadsnapError, match="answered with no JSON; is the address radsnap's"),
    ):
        client.case("0" * 32)
    (tmp_path / "no.pem").write_text("no certificate")
    for name in ("none.pem", "no.pem"):
        with pytest.raises(UsageError, match=rf"{name} cannot be trusted \(.*\); name a certificate, PEM"):
            radsnap.Client("https://127.0.0.1", verify=str(tmp_path / name))


def test_the_client_imports_nothing_heavy() -> None:
    code = "import radsnap, sys\nradsnap.Client\nprint(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = {name.split(".")[0] for name in said.split()}
    assert loaded & {"numpy", "cv2", "pydantic", "fastapi", "httpx", "openvino"} == set()


def test_the_page_on_running_it_names_every_option() -> None:
    import inspect

    from radsnap.cli.serve import serve

    page = (ROOT / "docs" / "serve.md").read_text("utf-8")
    options = {"--" + name.replace("_", "-") for name in inspect.signature(serve).parameters}
    common = {"--port", "--model", "--gate", "--kind"}  # explained by 'radsnap serve --help'
    assert {option for option in options - common if option not in page} == set()
