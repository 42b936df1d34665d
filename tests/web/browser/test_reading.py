"""Pictures in: the camera, files, and what is no x-ray."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Route, expect
from tests.web.browser.conftest import DESK, Visit, accessible, canvas, picture_of, read_file

from radsnap.imaging import read_image


def test_a_phone_photographs_a_film_and_sees_what_the_networks_see(visit: Visit) -> None:
    page = visit("/")
    expect(page.get_by_text("not a medical device")).to_be_visible()
    accessible(page)
    picture_of(page, "read-phone")
    page.get_by_role("button", name="Open the camera").click()
    shutter = page.get_by_role("button", name="Take the picture")
    expect(shutter).to_be_focused()
    picture_of(page, "camera-phone")
    shutter.click()
    page.wait_for_url("**/cases/*")
    expect(page.locator(".film.drawn")).to_be_visible()
    steps = page.locator(".chain li")
    expect(steps.nth(0)).to_contain_text("Yes")
    expect(steps.nth(1)).to_contain_text("Frontal chest")
    expect(steps.nth(2)).to_contain_text("15 asked")
    expect(page.locator(".row")).to_have_count(15)
    words = page.locator(".group").all_inner_texts()
    assert any(re.match("(Likely|Possible|Unlikely|Not assessed)", text) for text in words)
    expect(page.get_by_text("not a medical device").first).to_be_visible()
    expect(page.locator(".caveats li").first).to_be_visible()
    page.get_by_text("How this was read").click()
    expect(page.locator(".facts")).to_contain_text(re.compile(r"\d+ ms \(decode"))
    accessible(page)
    picture_of(page, "case-phone")


def test_the_camera_shows_what_the_file_of_the_camera_holds(visit: Visit, samples: dict[str, Path]) -> None:
    page = visit("/?camera=1")
    page.get_by_role("button", name="Take the picture").click()
    page.wait_for_url("**/cases/*")
    expect(page.locator(".film.drawn")).to_be_visible()
    shown = canvas(page, "picture")[..., :3].astype(np.float32)
    given = read_image(samples["chest-on-a-screen"]).pixels.astype(np.float32)
    given = cv2.resize(given, (shown.shape[1], shown.shape[0]), interpolation=cv2.INTER_AREA)
    assert abs(given.shape[0] / given.shape[1] - shown.shape[0] / shown.shape[1]) < 0.02
    assert np.corrcoef(given.mean(axis=2).ravel(), shown.mean(axis=2).ravel())[0, 1] > 0.95


def test_without_a_camera_the_page_says_so_and_files_serve(visit: Visit, samples: dict[str, Path]) -> None:
    page = visit("/about")
    page.add_init_script(
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError'))"
    )
    page.goto("/")
    page.get_by_role("button", name="Open the camera").click()
    expect(page.get_by_role("alert")).to_contain_text("not allowed")
    expect(page.get_by_role("button", name="Open the camera")).to_be_visible()
    read_file(page, samples["chest-on-a-screen"])


@pytest.mark.parametrize("heard", [True, False], ids=["events", "polling"])
def test_several_pictures_are_listed_each_with_its_outcome(
    visit: Visit, samples: dict[str, Path], heard: bool
) -> None:
    """As one job: the server tells how it goes, or is asked where its events do not come."""
    page = visit("/", device=DESK, expected="" if heard else "ERR_FAILED")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    if not heard:
        page.route("**/events", lambda route: route.abort())
    page.set_input_files("#files", [samples["chest-digital"], samples["scene"], samples["letter"]])
    rows = page.locator("#list li")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text(re.compile("likely|possible"))
    expect(rows.nth(1)).to_contain_text("Not an x-ray")
    expect(rows.nth(2)).to_contain_text("letter.jpg")
    expect(rows.nth(2).locator(".fault")).to_be_visible()
    expect(rows.get_by_role("link")).to_have_count(2)
    accessible(page)
    picture_of(page, "several-desk")
    jobs = [url for url in asked if "/api/v1/jobs" in url]
    assert sum(url.endswith("/jobs") for url in jobs) == 1
    assert any(url.endswith("/events") for url in jobs)
    assert any(re.search(r"/jobs/\w+$", url) for url in jobs) is not heard
    rows.nth(0).get_by_role("link").click()
    expect(page.locator(".row").first).to_be_visible()


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_picture_can_be_dropped_and_pasted(visit: Visit, samples: dict[str, Path], how: str) -> None:
    page = visit("/", device=DESK)
    script = """([how, bytes]) => {
        const given = new DataTransfer();
        const data = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
        given.items.add(new File([data], "photo.jpg", {type: "image/jpeg"}));
        document.body.dispatchEvent(how === "drop"
            ? new DragEvent("drop", {dataTransfer: given, bubbles: true, cancelable: true})
            : new ClipboardEvent("paste", {clipboardData: given, bubbles: true}));
    }"""
    page.evaluate(script, [how, base64.b64encode(samples["hand-on-a-screen"].read_bytes()).decode()])
    page.wait_for_url("**/cases/*")
    expect(page.get_by_text("another x-ray")).to_be_visible()


def test_a_picture_of_a_cat_is_turned_away_kindly(visit: Visit, samples: dict[str, Path]) -> None:
    page = visit("/")
    read_file(page, samples["cat"])
    expect(page.get_by_role("heading", level=1)).to_have_text("This does not look like an x-ray")
    expect(page.get_by_text("ordinary photo in colour")).to_be_visible()
    expect(page.get_by_role("link", name="Try another picture")).to_be_visible()
    expect(page.locator(".row")).to_have_count(0)
    accessible(page)
    picture_of(page, "cat-phone")


def test_a_file_that_is_no_picture_is_refused_with_advice(visit: Visit, samples: dict[str, Path]) -> None:
    page = visit("/", expected="422")
    page.set_input_files(
        "#files", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"<script>alert(1)</script>"}
    )
    expect(page.get_by_role("alert")).to_contain_text(re.compile(r"\w+\. \w+.*\."))
    expect(page.get_by_role("button", name="Choose files")).to_be_enabled()


def test_a_busy_server_is_asked_again(visit: Visit, samples: dict[str, Path]) -> None:
    page = visit("/", expected="429")
    asked: list[int] = []

    def busy_once(route: Route) -> None:
        asked.append(1)
        if len(asked) > 1:
            route.continue_()
            return
        error = {"code": "busy", "message": "many wait", "what_to_do": "send it again"}
        route.fulfill(status=429, headers={"Retry-After": "1"}, body=json.dumps({"error": error}))

    page.route("**/api/v1/diagnose", busy_once)
    read_file(page, samples["chest-on-a-screen"])
    assert len(asked) == 2
