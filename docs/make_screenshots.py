"""Take the pictures of the web app's pages: `python docs/make_screenshots.py [FOLDER]` (default out/screenshots).

Starts a server of its own with the shipped networks, reads the demo's phantoms in Chromium on a phone's and on a desk's
screen, and composes docs/online.jpg. Needs the extras web and dev, and a Chromium (RADSNAP_CHROMIUM names another).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from playwright.sync_api import BrowserContext, Page, sync_playwright

from radsnap.imaging import read_image
from radsnap.jobs.demo import write_samples

HERE = Path(__file__).parent
CHROMIUM = os.environ.get("RADSNAP_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
SWITCHES = [
    "--no-sandbox",
    "--disable-quic",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
SCREENS = {
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "is_mobile": True,
        "has_touch": True,
        "device_scale_factor": 2,
    },
    "desk": {"viewport": {"width": 1280, "height": 860}},
}
READ = ("chest-digital", "hand-on-a-screen", "scene", "chest-on-a-screen", "chest-on-a-light-box")
COMPOSED = ("phone-camera", "phone-case-chest-on-a-screen", "desk-case-chest-on-a-screen")
HEIGHT_PX = 900


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as play:
        samples = {file.stem: file for file in write_samples(Path(place))}
        camera = Path(place) / "camera.y4m"
        write_film(camera, samples["chest-on-a-screen"])
        switches = [*SWITCHES, f"--use-file-for-fake-video-capture={camera}"]
        browser = play.chromium.launch(executable_path=CHROMIUM, args=switches)
        for screen, device in SCREENS.items():
            with server(Path(place) / screen) as url:
                context = browser.new_context(base_url=url, locale="en-GB", timezone_id="UTC", **device)
                shoot(context, samples, folder, screen)
                context.close()
        browser.close()
    compose(folder).save(HERE / "online.jpg", quality=88, optimize=True)


def shoot(context: BrowserContext, samples: dict[str, Path], folder: Path, screen: str) -> None:
    """Take every page on one screen: what is seen at first, and all of it."""
    page = context.new_page()

    def keep(name: str) -> None:
        page.screenshot(path=folder / f"{screen}-{name}.png")
        page.screenshot(path=folder / f"{screen}-{name}-whole.png", full_page=True)

    page.goto("/")
    keep("read")
    page.get_by_role("button", name="Open the camera").click()
    page.get_by_role("button", name="Take the picture").wait_for()
    time.sleep(0.5)
    keep("camera")
    cases = {}
    for name in READ:
        read(page, samples[name])
        cases[name] = page.url.rsplit("/", 1)[1]
        keep(f"case-{name}")
    page.goto("/")
    page.set_input_files("#files", [samples[name] for name in READ])
    page.locator("#list a").nth(len(READ) - 1).wait_for()
    keep("several")
    left, right = cases["chest-on-a-screen"], cases["chest-on-a-light-box"]
    for name in ("cases", "about", "offline", "certificate", f"compare?left={left}&right={right}"):
        page.goto(f"/{name}")
        page.wait_for_load_state("networkidle")
        keep(name.split("?")[0])


def read(page: Page, file: Path) -> None:
    """Choose a picture and wait for all of its case."""
    page.goto("/")
    page.set_input_files("#files", file)
    page.wait_for_url("**/cases/*")
    page.locator(".film.drawn").wait_for()
    page.wait_for_load_state("networkidle")


def write_film(path: Path, photo: Path) -> None:
    """Write two equal frames for Chromium's camera: Y4M, I420."""
    pixels = read_image(photo).pixels
    even = np.ascontiguousarray(pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2])
    frame = b"FRAME\n" + cv2.cvtColor(even, cv2.COLOR_RGB2YUV_I420).tobytes()
    path.write_bytes(
        f"YUV4MPEG2 W{even.shape[1]} H{even.shape[0]} F30:1 Ip A1:1 C420jpeg\n".encode() + 2 * frame
    )


def compose(folder: Path) -> Image.Image:
    """Put the phone's and the desk's pages side by side."""
    shots = [Image.open(folder / f"{name}.png").convert("RGB") for name in COMPOSED]
    shots = [shot.resize((round(shot.width * HEIGHT_PX / shot.height), HEIGHT_PX)) for shot in shots]
    gap = 24
    whole = Image.new(
        "RGB", (sum(shot.width for shot in shots) + gap * (len(shots) + 1), HEIGHT_PX + 2 * gap), "#1b2227"
    )
    left = gap
    for shot in shots:
        whole.paste(shot, (left, gap))
        left += shot.width + gap
    return whole


@contextmanager
def server(data: Path) -> Iterator[str]:
    """Run `radsnap serve` on a free port until its networks are loaded and the block has ended."""
    command = [sys.executable, "-m", "radsnap", "serve", "--port", "0", "--workers", "1", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            found = re.search(r"http://[0-9.:]+", process.stdout.readline() if process.stdout else "")
            if found is None:
                raise SystemExit("the server did not start; run 'radsnap serve' to see why")
            wait(f"{found[0]}/ready")
            yield found[0]
        finally:
            process.terminate()
            process.wait(timeout=30)


def wait(url: str) -> None:
    """Ask until the answer is good, two minutes at most."""
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - our own server
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.1)
    raise SystemExit(f"{url} gave no good answer in two minutes")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/screenshots"))
