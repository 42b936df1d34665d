"""A real browser (Chromium) before a real server process with the shipped networks.

The camera is a file: a phantom, photographed. Every page must come without a word in the console, which is also where a
broken content security policy shows. RADSNAP_SCREENSHOTS names a folder for a picture of each page.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("playwright.sync_api")
pytest.importorskip("axe_playwright_python")

import axe_playwright_python as axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from radsnap.imaging import read_image
from radsnap.jobs.demo import write_samples
from radsnap.web.storage.cases import Cases
from radsnap.web.storage.database import open_database
from radsnap.web.storage.new import NewCase
from radsnap.web.storage.people import People
from radsnap.web.storage.pictures import open_pictures

CHROMIUM = os.environ.get("RADSNAP_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
CODES = {"Ana": "light-box-one", "Ben": "light-box-two"}
SWITCHES = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
    "device_scale_factor": 2,
}
DESK = {"viewport": {"width": 1280, "height": 860}}
# A machine that does much else is slow; only a failure takes this long.
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)
AXE = (Path(axe.__file__).parent / "axe.min.js").read_text()


@dataclass(frozen=True)
class Site:
    """A running server: its address, its folder, and the cookies of readers who signed in."""

    url: str
    data: Path
    sessions: dict[str, list[Any]] = field(default_factory=dict)


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The demo's pictures by name, phantoms photographed; a drawn cat; a letter that calls itself a picture."""
    folder = tmp_path_factory.mktemp("samples")
    files = {file.stem: file for file in write_samples(folder, size_px=768)}
    letter = folder / "letter.jpg"
    letter.write_bytes(b"Dear colleague, " * 50)
    return files | {"cat": draw_cat(folder / "cat.jpg"), "letter": letter}


def draw_cat(path: Path) -> Path:
    """Draw a cat on a lawn."""
    lawn = np.random.default_rng(0).integers(0, 60, (480, 640, 3), dtype=np.uint8)
    lawn += np.array([40, 110, 50], dtype=np.uint8)
    fur, pink, ink = (60, 140, 225), (150, 140, 240), (20, 20, 30)
    cv2.ellipse(lawn, (330, 400), (120, 130), 0, 0, 360, fur, -1)
    for side in (-1, 1):
        ear = np.array([(320 + side * 95, 60), (320 + side * 20, 130), (320 + side * 100, 190)])
        cv2.fillPoly(lawn, [ear.astype(np.int32)], fur)
    cv2.circle(lawn, (320, 200), 105, fur, -1)
    for side in (-1, 1):
        cv2.circle(lawn, (320 + side * 42, 180), 16, (120, 220, 160), -1)
        cv2.circle(lawn, (320 + side * 42, 180), 7, ink, -1)
        for rise in (-12, 0, 12):
            cv2.line(lawn, (320 + side * 22, 232), (320 + side * 130, 232 + rise), ink, 2)
    cv2.ellipse(lawn, (320, 222), (13, 9), 0, 0, 360, pink, -1)
    assert cv2.imwrite(str(path), lawn)
    return path


@pytest.fixture(scope="session")
def executable() -> str:
    """Debian's Chromium; what needs it skips where there is none."""
    if CHROMIUM is None:
        pytest.skip("no chromium; apt-get install chromium")
    return CHROMIUM


@pytest.fixture(scope="session")
def site(executable: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`radsnap serve` in a process of its own, for the readers Ana and Ben."""
    data = tmp_path_factory.mktemp("data")
    environment = os.environ | {
        "RADSNAP_ACCESS_CODES": " ".join(f"{name}={code}" for name, code in CODES.items()),
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "radsnap", "serve", "--port", "0", "--workers", "1", "--data", str(data)]
    log: list[str] = []
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        try:
            yield Site(_ready(_address(server, log)), data)
        finally:
            server.terminate()
            server.wait(timeout=20)
    assert not any("Traceback" in line for line in log), "".join(log)


def _address(server: subprocess.Popen[str], log: list[str]) -> str:
    assert server.stdout is not None
    for line in server.stdout:
        log.append(line)
        if found := re.search(r"listens at (http://[0-9.:]+)", line):
            # go on reading: a full pipe would stop the server
            threading.Thread(target=lambda: log.extend(server.stdout or ()), daemon=True).start()
            return found[1]
    raise AssertionError(f"the server ended at its start:\n{''.join(log)}")


def _ready(url: str) -> str:
    """Wait until the networks are loaded."""
    ends, fault = time.monotonic() + 120, "it never answered"
    while time.monotonic() < ends:
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=5):
                return url
        except (urllib.error.URLError, TimeoutError) as error:
            fault = str(error)
            time.sleep(0.1)
    raise AssertionError(f"the server does not get ready: {fault}")


@pytest.fixture(scope="module")
def chromium(
    executable: str, tmp_path_factory: pytest.TempPathFactory, samples: dict[str, Path]
) -> Iterator[Browser]:
    """Chromium whose camera shows a photographed phantom.

    Ends with its module: while it lives, its event loop counts as running and no other test could start one.
    """
    film = tmp_path_factory.mktemp("camera") / "camera.y4m"
    write_y4m(film, read_image(samples["chest-on-a-screen"]).pixels)
    switches = [*SWITCHES, f"--use-file-for-fake-video-capture={film}"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=executable, args=switches)
        yield browser
        browser.close()


def write_y4m(path: Path, pixels: np.ndarray) -> None:
    """Write a film of two equal frames, I420. pixels (H, W, 3) RGB uint8."""
    picture = np.ascontiguousarray(pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2])
    frame = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420).tobytes()
    head = f"YUV4MPEG2 W{picture.shape[1]} H{picture.shape[0]} F30:1 Ip A1:1 C420jpeg\n".encode()
    path.write_bytes(head + 2 * (b"FRAME\n" + frame))


Visit = Callable[..., Page]


@pytest.fixture
def visit(site: Site, chromium: Browser) -> Iterator[Visit]:
    """Open a page as a reader on a phone or a desk. What the console says in the meantime fails the test.

    `expected` is a pattern for what it may say.
    """
    contexts: list[BrowserContext] = []
    said: list[str] = []
    allowed: list[str] = []

    def open_page(
        path: str = "/", reader: str | None = "Ana", device: dict = PHONE, expected: str = ""
    ) -> Page:
        context = chromium.new_context(base_url=site.url, **device)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        if expected:
            allowed.append(expected)
        page = context.new_page()
        page.on("console", lambda told: said.append(told.text) if told.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        if reader is not None:
            context.add_cookies(_session(context, site, reader))
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [line for line in said if not any(re.search(pattern, line) for pattern in allowed)] == []


def _session(context: BrowserContext, site: Site, reader: str) -> list[Any]:
    """Sign in once a reader: codes may be tried a few times a minute only."""
    if reader not in site.sessions:
        context.request.post("/login", form={"name": reader, "code": CODES[reader]}, max_redirects=0)
        site.sessions[reader] = context.cookies()
    return site.sessions[reader]


def read_file(page: Page, file: Path) -> None:
    """Choose a file on the page and wait for its case."""
    page.goto("/")
    page.set_input_files("#files", file)
    page.wait_for_url("**/cases/*")
    expect(page.locator(".film.drawn")).to_be_visible()


@pytest.fixture(scope="module")
def chest(site: Site, chromium: Browser, samples: dict[str, Path]) -> str:
    """The path of a case of Ana's that has findings."""
    return _made(site, chromium, samples["chest-digital"])


def _made(site: Site, chromium: Browser, file: Path) -> str:
    context = chromium.new_context(base_url=site.url)
    context.add_cookies(_session(context, site, "Ana"))
    page = context.new_page()
    page.goto("/")
    token = page.locator('meta[name="csrf-token"]').get_attribute("content")
    answer = context.request.post(
        "/api/v1/diagnose", data=file.read_bytes(), headers={"X-CSRF-Token": str(token)}, timeout=PATIENCE_MS
    )
    assert answer.ok, answer.text()
    made = answer.json()["case"]["url"]
    context.close()
    return str(made)


def kept(site: Site, reader: str, new: NewCase) -> str:
    """Store a reading as the server would have; gives its case's id."""
    engine = open_database(f"sqlite:///{site.data / 'radsnap.db'}")
    pictures = open_pictures(None, site.data / "pictures")
    made = Cases(engine, pictures).add(People(engine).user(reader).id, new)
    engine.dispose()
    return made


def picture_of(page: Page, name: str) -> None:
    """Keep a picture of the page where somebody asked for them."""
    folder = os.environ.get("RADSNAP_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def accessible(page: Page) -> None:
    """Ask axe; nothing serious may be wrong."""
    page.evaluate(AXE)
    found = page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
    told = [
        f"{one['id']}: {one['help']}: {one['nodes'][0]['html']}: {one['nodes'][0].get('failureSummary')}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert told == []


def canvas(page: Page, name: str) -> np.ndarray:
    """The pixels of a film's canvas: uint8 (H, W, 4)."""
    script = "name => document.querySelector(`.film .${name}`).toDataURL('image/png')"
    data = base64.b64decode(page.evaluate(script, name).split(",", 1)[1])
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA))


def zoom(page: Page) -> float:
    return float(page.locator(".film").first.get_attribute("data-zoom") or 0)
