"""A server with networks that read brightness; people, pictures and a PostgreSQL to test with."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("sqlalchemy")

from fastapi import FastAPI
from starlette.testclient import TestClient

from radsnap.imaging import encode_jpeg
from radsnap.web.app import create_app
from radsnap.web.reading import pack
from radsnap.web.settings import Settings
from radsnap.web.storage.new import NewCase, NewFile

CODES = {"ana": "code-of-ana-7", "ben": "code-of-ben-8", "cora": "code-of-cora-9"}
MakeSettings = Callable[..., Settings]


def picture(brightness: float, width: int = 64, height: int = 48) -> bytes:
    """A JPEG of one brightness, which the tiny chain reads: 0.5 is a frontal chest, 0.1 no x-ray."""
    return encode_jpeg(np.full((height, width), round(255 * brightness), dtype=np.uint8), 95)


CHEST, LATERAL, NO_XRAY = picture(0.5), picture(0.7), picture(0.1)


@pytest.fixture(scope="session")
def make_settings(tiny_chain: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeSettings:
    """Settings of a server of its own folder, with tiny networks and one worker."""

    def make(**given: object) -> Settings:
        chain = {
            "gate": str(tiny_chain / "gate.card.json"),
            "kind": str(tiny_chain / "kind.card.json"),
            "model": str(tiny_chain / "findings.card.json"),
            "lungs": None,
            "hosts": ("testserver", "127.0.0.1"),
            "requests_a_minute": 1e6,
            "timeout_s": 600.0,  # a machine that does much else, or holds us, is no fault of a reading
            "workers": 1,
        }
        data = tmp_path_factory.mktemp("server")
        return Settings.model_validate({"data": data, **chain, **given})

    return make


def a_photo(folder: Path) -> NewCase:
    """A reading of a photo of a turned x-ray, whose quarters are 50, 100, 150 and 200 from its upper left on.

    Its heat map is bright in the first quarter.
    """
    pixels, heat = np.full((240, 320), 20, np.uint8), np.zeros((96, 128), np.uint8)
    shares = [
        (0.75, 0.25),
        (0.75, 0.75),
        (0.25, 0.75),
        (0.25, 0.25),
    ]  # upper left ... of the x-ray put upright
    pixels[60:120, 160:240], pixels[120:180, 160:240] = 50, 100
    pixels[120:180, 80:160], pixels[60:120, 80:160] = 150, 200
    heat[24:48, 64:96] = 255
    new = a_reading(folder)
    packed = pack({"Edema": heat})
    for file, data in zip(new.files, (encode_jpeg(pixels, 95), CHEST), strict=True):
        file.path.write_bytes(data)
    place = folder / "heat.part"
    place.write_bytes(packed)
    outline = {"corners": shares, "aspect": 120 / 160, "sure": True}
    told = {**new.diagnosis, "outline": outline, "heat_maps": ["Edema"]}
    return NewCase(told, 320, 240, (*new.files, NewFile("heat", place, "npz")))


def a_reading(folder: Path) -> NewCase:
    """A reading to store, with the files that a worker would have left in a folder."""
    files = []
    for role, suffix in (("picture", "jpg"), ("thumbnail", "jpg")):
        path = folder / f"{uuid.uuid4().hex}.part"
        path.write_bytes(CHEST + role.encode())
        files.append(NewFile(role, path, suffix))
    finding = {"score": 0.9, "probability": None, "word": "likely", "reason": "a test"}
    told = {
        "schema": 1, "ok": True, "error": None, "domain": "film", "corners_px": None, "lungs": None,
        "gate": {"xray": 0.9, "passed": True}, "kind": {"label": "chest_frontal", "scores": {"chest_frontal": 1.0}},
        "findings": {"Edema": finding}, "quality": [], "model": {}, "ms": {"total": 1.0}, "notice": "a test", "heat_maps": [],
    }  # fmt: skip
    return NewCase(told, 64, 48, tuple(files))


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[TestClient]:
    """Run a server in this process and wait until its workers are ready."""
    app: FastAPI = create_app(settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_ready(client)
        yield client


def wait_ready(client: TestClient) -> None:
    import time

    ends = time.monotonic() + 60
    while client.get("/ready").status_code != 200:
        assert time.monotonic() < ends, client.get("/ready").text
        time.sleep(0.05)


@pytest.fixture(scope="module")
def client(make_settings: MakeSettings) -> Iterator[TestClient]:
    """An open server: everybody is its reader."""
    with running(make_settings()) as client:
        yield client


@pytest.fixture(scope="module")
def database() -> str | None:
    """Where `closed` keeps its rows; SQLite unless a test file says otherwise."""
    return None


@pytest.fixture(scope="module")
def closed(make_settings: MakeSettings, database: str | None) -> Iterator[TestClient]:
    """A server with three readers, ana, ben and cora. Sign in with `sign_in`."""
    with running(make_settings(codes=CODES, sign_ins_a_minute=6000, database=database)) as client:
        yield client


def sign_in(client: TestClient, name: str) -> TestClient:
    """A browser of its own, signed in as a reader; it sends the CSRF token with all it asks."""
    browser = TestClient(client.app, raise_server_exceptions=False)
    answer = browser.post("/api/v1/session", json={"name": name, "code": CODES[name]})
    assert answer.status_code == 200, answer.text
    browser.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
    return browser


def diagnose(client: TestClient, data: bytes = CHEST) -> dict[str, object]:
    """Send a picture and give the answer."""
    answer = client.post("/api/v1/diagnose", content=data)
    assert answer.status_code == 200, answer.text
    told: dict[str, object] = answer.json()
    return told


def case_of(client: TestClient, data: bytes = CHEST) -> str:
    """Send a picture and give its case's id."""
    return str(diagnose(client, data)["case"]["id"])  # type: ignore[index]


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of an empty PostgreSQL database, started for this session."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not homes:
        pytest.skip("no PostgreSQL in /usr/lib/postgresql; apt-get install postgresql")
    programs, root = homes[-1].parent, os.geteuid() == 0
    folder = Path(tempfile.mkdtemp(prefix="radsnap-pg-", dir="/tmp"))
    user = {"user": "postgres"} if root else {}  # it refuses to run as root
    if root:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "cwd": folder, **user}
    data = folder / "data"
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "radsnap", "-A", "trust", "-N", "-E", "UTF8", "--locale=C.UTF-8"], check=True, **quiet
    )  # fmt: skip
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    control = [programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log"]
    subprocess.run([*control, "-o", options, "start"], check=True, **quiet)
    try:
        yield f"postgresql://radsnap@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, **quiet)
        shutil.rmtree(folder, ignore_errors=True)
