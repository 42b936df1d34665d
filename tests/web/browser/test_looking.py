"""Looking: heat maps, zoom, greys, and two side by side."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import expect
from tests.web.browser.conftest import (
    DESK,
    Site,
    Visit,
    accessible,
    canvas,
    kept,
    picture_of,
    read_file,
    zoom,
)
from tests.web.conftest import a_photo

from radsnap.reading.heatmaps import colour


def test_the_heat_map_is_coloured_as_in_the_reports_and_follows_the_finding(visit: Visit, chest: str) -> None:
    page = visit(chest, device=DESK)
    page.locator("details.group").evaluate_all("groups => groups.forEach((one) => { one.open = true; })")
    rows = page.locator("label.row")
    shown: dict[bool, int] = {True: 0, False: 0}
    for row in rows.all():
        name, address = (str(row.locator("input").get_attribute(key)) for key in ("value", "data-heat"))
        row.locator("input").check(force=True)
        expect(page.locator(f'.heat[data-shown="{address}"]')).to_have_count(1)
        grey = cv2.imdecode(np.frombuffer(page.request.get(address).body(), np.uint8), cv2.IMREAD_GRAYSCALE)
        hot = bool(grey.max())
        where = str(row.locator("input").get_attribute("data-inside")) if hot else "no place stands out"
        assert re.fullmatch(r"\d+ % of its heat in the lungs|no place stands out|[<>] \d+ %.*", where)
        expect(page.locator(".badge.finding")).to_have_text(f"{name}: {where}")
        wanted, drawn = colour(grey.astype(np.float32) / 255).astype(int), canvas(page, "heat").astype(int)
        assert drawn.shape == wanted.shape
        assert abs(drawn[..., 3] - wanted[..., 3]).max() <= 1
        # A canvas keeps colours multiplied by their opacity: where it is low, they are known roughly only.
        solid = wanted[..., 3] > 128
        assert solid.any() == hot
        assert abs(drawn[solid] - wanted[solid]).max(initial=0) <= 3
        shown[hot] += 1
    assert shown[True] >= 2
    page.get_by_label("Heat map").fill("20")
    expect(page.locator(".heat")).to_have_css("opacity", "0.2")


def test_findings_are_chosen_with_the_keyboard(visit: Visit, chest: str) -> None:
    page = visit(chest, device=DESK)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.locator(".heat[data-shown]")).to_have_count(1)
    first = page.locator(".heat").get_attribute("data-shown")
    page.locator('input[name="finding"]').first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator(f'.heat:not([data-shown="{first}"])')).to_have_count(1)


def test_window_level_and_invert_change_the_greys_as_they_say(visit: Visit, chest: str) -> None:
    page = visit(chest, device=DESK)
    expect(page.locator(".film.drawn")).to_be_visible()
    given = canvas(page, "picture")[..., :3].astype(int)
    page.get_by_role("button", name="Invert").click()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    assert (canvas(page, "picture")[..., :3] == 255 - given).all()
    page.get_by_role("button", name="Invert").click()
    page.get_by_label("Contrast").fill("66")  # a window of half the greys, around the middle
    page.evaluate("() => new Promise(requestAnimationFrame)")
    wanted = np.clip((given / 255 - 0.25) / 0.5 * 255, 0, 255)
    assert abs(canvas(page, "picture")[..., :3] - wanted).max() <= 1
    page.get_by_role("button", name="Reset").click()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    assert (canvas(page, "picture")[..., :3] == given).all()


def test_wheel_keys_and_double_click_zoom_and_the_picture_stays_in_its_frame(
    visit: Visit, chest: str
) -> None:
    page = visit(chest, device=DESK)
    film = page.locator(".film")
    expect(film).to_have_attribute("data-zoom", "1.00")
    box = film.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.wheel(0, -300)
    expect(film).not_to_have_attribute("data-zoom", "1.00")
    near = zoom(page)
    page.mouse.down()
    page.mouse.move(box["x"] + 3000, box["y"] + 3000)
    page.mouse.up()
    sheet = page.locator(".sheet").bounding_box()
    assert sheet is not None
    assert zoom(page) == near
    assert sheet["x"] <= box["x"] + 1.5 or sheet["width"] < box["width"]
    assert sheet["y"] <= box["y"] + 1.5
    film.focus()
    page.keyboard.press("0")
    assert zoom(page) == 1
    page.keyboard.press("+")
    assert zoom(page) == pytest.approx(1.3, abs=0.01)
    film.dblclick(position={"x": 200, "y": 200})
    assert zoom(page) == 1


def test_two_fingers_zoom_on_a_phone(visit: Visit, chest: str) -> None:
    page = visit(chest)
    expect(page.locator(".film.drawn")).to_be_visible()
    box = page.locator(".film").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, apart: float) -> None:
        points = (
            []
            if kind == "touchEnd"
            else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        )
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", 30)
    for apart in (40, 55, 75, 90):
        fingers("touchMove", apart)
    fingers("touchEnd", 0)
    assert zoom(page) == pytest.approx(3, rel=0.15)


def test_the_xray_in_a_photo_is_outlined_and_straightened(visit: Visit, site: Site, tmp_path: Path) -> None:
    page = visit(f"/cases/{kept(site, 'Ana', a_photo(tmp_path))}")
    expect(page.locator(".film.drawn")).to_be_visible()
    outline, straighten = page.locator(".outline"), page.get_by_role("button", name="Straighten")
    box, film = outline.locator("polygon").bounding_box(), page.locator(".film .sheet").bounding_box()
    assert box is not None
    assert film is not None
    assert box["width"] / film["width"] == pytest.approx(0.5, abs=0.02)
    accessible(page)
    picture_of(page, "outline-phone")
    page.get_by_role("button", name="Outline").click()
    expect(outline).to_be_hidden()
    straighten.click()
    expect(straighten).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".heat")).to_have_attribute("data-shown", re.compile("straightened=true"))
    picture, heat = canvas(page, "picture")[..., 0], canvas(page, "heat")[..., 3].astype(float)
    assert picture.shape == (160, 120)
    assert [int(picture[y, x]) // 10 for y, x in ((40, 30), (40, 90), (120, 90), (120, 30))] == [
        5,
        10,
        15,
        20,
    ]
    tall, wide = heat.shape
    assert heat[: tall // 2, : wide // 2].mean() > 10 * heat[tall // 2 :].mean()
    page.get_by_role("button", name="Invert").click()
    page.wait_for_function(
        "() => document.querySelector('.film .picture').getContext('2d').getImageData(30, 40, 1, 1).data[0] > 190"
    )
    straighten.click()
    expect(straighten).to_have_attribute("aria-pressed", "false")
    assert canvas(page, "picture").shape[:2] == (240, 320)


def test_two_cases_are_compared_with_one_zoom(visit: Visit, chest: str, samples: dict[str, Path]) -> None:
    page = visit("/", device=DESK)
    read_file(page, samples["chest-on-a-light-box"])
    page.goto("/cases")
    boxes = page.locator(".pick input")
    boxes.nth(0).check()
    expect(page.get_by_role("button", name="Compare")).to_be_disabled()
    page.locator(f".card:has(a[href='{chest}']) input").check()
    accessible(page)
    picture_of(page, "cases-desk")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".film.drawn")).to_have_count(2)
    films = page.locator(".film")
    films.nth(0).focus()
    page.keyboard.press("+")
    expect(films.nth(1)).to_have_attribute("data-zoom", "1.30")
    page.get_by_role("button", name="Zoom together").click()
    films.nth(1).focus()
    page.keyboard.press("+")
    expect(films.nth(0)).to_have_attribute("data-zoom", "1.30")
    expect(page.locator("tbody tr")).to_have_count(15)
    accessible(page)
    picture_of(page, "compare-desk")
