"""Two Chromium instances: one shows the screen's page, the other's camera sees what a phone would see of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from playwright.async_api import Browser, Page, async_playwright
from studio import PAGE, jpeg, shot

from radsnap.photo.shutter import Photographed

CHROMIUM = "/usr/bin/chromium"
_FLAGS = [
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--disable-quic", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
]  # fmt: skip
# The preview is Chromium's own fake camera; a still is what the simulated phone sees of the screen at that moment.
_STILL = """
window.ImageCapture = class {
  constructor(track) { this.track = track; }
  async takePhoto() {
    const text = await window.radsnapStill();
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Blob([bytes], { type: "image/jpeg" });
  }
};
"""


@dataclass
class Studio:
    """A screen's page and a phone's page.

    stale: whether a still shows what an earlier one showed; one_pose: all stills have the same pose;
    taken: every still by its hash: the number of the picture that it shows, how it was made, the page's (h, w).
    """

    screen: Page
    phone: Page
    level: int = 1
    seed: int = 1
    still_s: float = 0.0
    shots: int = 0
    faults: list[str] = field(default_factory=list)
    stale: Callable[[int], bool] = lambda count: False
    last: NDArray[np.uint8] | None = None
    number: int = -1
    one_pose: bool = False
    taken: dict[str, tuple[int, Photographed, tuple[int, int]]] = field(default_factory=dict)

    async def still(self) -> str:
        """Take the photo: screenshot, simulation, JPEG."""
        self.shots += 1
        if self.last is None or not self.stale(self.shots):
            before, showing = await self.state(), None
            while showing != before.get("shown") or showing is None:  # the screen changed while we looked
                before = await self.state()
                png = await self.screen.screenshot(type="png")
                showing = (await self.state()).get("shown")
            self.last = np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)
            self.number = int(before.get("number") or 0) - 1  # type: ignore[call-overload]
        page, name = self.last, "one pose" if self.one_pose else f"still {self.shots}"
        made = await asyncio.to_thread(shot, page, self.seed, name, self.level)
        data = jpeg(made, 92 if not self.one_pose else 80 + self.shots % 15)
        self.taken[hashlib.sha256(data).hexdigest()] = (self.number, made, (page.shape[0], page.shape[1]))
        return base64.b64encode(data).decode()

    async def state(self) -> dict[str, object]:
        """Say what the screen's page knows."""
        return dict(await self.screen.evaluate("window.radsnap.state()"))

    async def until(self, wanted: Callable[[dict[str, object]], bool], seconds: float) -> dict[str, object]:
        """Wait until the screen's page knows something."""
        ends = asyncio.get_running_loop().time() + seconds
        state: dict[str, object] = {}
        while asyncio.get_running_loop().time() < ends:
            state = await self.state()
            if wanted(state):
                return state
            await asyncio.sleep(0.05)
        told = await self.phone.evaluate("window.radsnap?.state()")
        raise AssertionError(
            f"after {seconds} s the screen is at {state}, the phone at {told}; {self.faults}"
        )


@asynccontextmanager
async def studio(
    screen_url: str, phone_url: str, level: int = 1, https: bool = False
) -> AsyncIterator[Studio]:
    """Open both pages and pair them."""
    async with async_playwright() as play:
        browsers = [await play.chromium.launch(executable_path=CHROMIUM, args=_FLAGS) for _ in range(2)]
        try:
            yield await _opened(browsers, screen_url, phone_url, level, https)
        finally:
            for browser in browsers:
                await browser.close()


async def _opened(
    browsers: list[Browser], screen_url: str, phone_url: str, level: int, https: bool
) -> Studio:
    pages = []
    for browser, size in zip(browsers, (PAGE, (390, 780)), strict=True):
        context = await browser.new_context(
            viewport={"width": size[0], "height": size[1]}, ignore_https_errors=https, permissions=["camera"]
        )
        pages.append(await context.new_page())
    made = Studio(*pages, level=level)
    for page in pages:
        page.on("pageerror", lambda error: made.faults.append(str(error)))
    take: Callable[[], Awaitable[str]] = made.still
    await made.phone.expose_function("radsnapStill", take)
    await made.phone.add_init_script(_STILL)
    await made.screen.goto(screen_url)
    await made.screen.click("button")
    await made.screen.wait_for_url("**/screen")
    await made.phone.goto(phone_url)
    await made.phone.fill("input[name=name]", "Pixel 8")
    await made.phone.click("button")
    await made.phone.wait_for_url(lambda url: url.rstrip("/").count("/") == 2)
    return made


@asynccontextmanager
async def one_page() -> AsyncIterator[Page]:
    """Open a browser's page of the size of a small screen."""
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        try:
            yield await browser.new_page(viewport={"width": 1280, "height": 720})
        finally:
            await browser.close()


def has_chromium() -> bool:
    return Path(CHROMIUM).exists()
