"""The shell: offline, installable, and every page for everybody on every screen."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from playwright.sync_api import expect
from tests.web.browser.conftest import DESK, PHONE, Site, Visit, accessible, picture_of


def test_offline_shows_the_shell_and_nothing_of_a_case_was_kept(visit: Visit, site: Site, chest: str) -> None:
    page = visit(chest, expected="ERR_INTERNET_DISCONNECTED")
    page.evaluate("() => navigator.serviceWorker.ready.then(() => undefined)")
    page.goto("/cases")
    page.goto(chest)
    kept = page.evaluate(
        """async () => (await Promise.all((await caches.keys()).map(async (name) =>
            (await (await caches.open(name)).keys()).map((one) => new URL(one.url).pathname)))).flat()"""
    )
    assert "/offline" in kept
    assert all(path == "/offline" or path.startswith(("/static/", "/serving/")) for path in kept)
    page.context.set_offline(True)
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("The server cannot be reached")
    assert page.evaluate("() => document.fonts.check('16px Plex')")
    assert page.evaluate("() => document.fonts.size") == 1
    picture_of(page, "offline-phone")
    page.context.set_offline(False)
    page.get_by_role("link", name="Try again").click()
    expect(page.get_by_role("button", name="Open the camera")).to_be_visible()


def test_the_app_can_be_installed(visit: Visit) -> None:
    page = visit("/")
    told = page.context.new_cdp_session(page)
    assert told.send("Page.getAppManifest")["errors"] == []
    faults = told.send("Page.getInstallabilityErrors")["installabilityErrors"]
    # A test's profile is a private one, and from those nothing is ever installed.
    assert [fault["errorId"] for fault in faults] in ([], ["in-incognito"])
    manifest = page.request.get("/manifest.webmanifest").json()
    for icon in manifest["icons"]:
        data = page.request.get(icon["src"]).body()
        if icon["type"] == "image/png":
            height, width = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).shape[:2]
            assert f"{width}x{height}" == icon["sizes"]


@pytest.mark.parametrize("device", [PHONE, DESK], ids=["phone", "desk"])
def test_every_page_reads_well_and_fits(visit: Visit, chest: str, device: dict) -> None:
    page = visit("/", device=device)
    name = "phone" if device is PHONE else "desk"
    for path in (
        "/",
        chest,
        "/cases",
        f"/compare?left={chest[7:]}&right={chest[7:]}",
        "/about",
        "/certificate",
    ):
        page.goto(path)
        for details in page.locator("details").all():
            details.evaluate("one => { one.open = true; }")
        accessible(page)
        wide = page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide == 0, path
        expect(page.locator("h1")).to_have_count(1)
        expect(page.get_by_text("not a medical device").first).to_be_visible()
        slug = re.sub(r"\W+", "-", path.split("?")[0].replace(chest, "case")).strip("-") or "read"
        picture_of(page, f"{slug}-{name}")
