"""Cases: the own verdict, exports, search, the end."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.web.browser.conftest import DESK, Visit, accessible, read_file


def test_a_verdict_is_kept_and_no_script_in_a_note_runs(visit: Visit, chest: str) -> None:
    page = visit(chest)
    page.get_by_label("Disagree").check()
    hostile = "</textarea><script>document.title='owned'</script><img src=x onerror=alert(1)>"
    page.get_by_label("Note").fill(hostile)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Disagree")).to_be_checked()
    expect(page.get_by_label("Note")).to_have_value(hostile)
    assert "owned" not in page.title()
    page.goto("/cases?query=onerror")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".card")).to_contain_text("You disagreed")


def test_every_export_is_offered_and_can_be_read_back(visit: Visit, chest: str) -> None:
    pydicom, pypdf = pytest.importorskip("pydicom"), pytest.importorskip("pypdf")
    page = visit(chest, device=DESK)
    taken: dict[str, bytes] = {}
    links = page.locator(".exports a")
    expect(links).to_have_count(5)
    for place in range(5):
        with page.expect_download() as download:
            links.nth(place).click()
        suffix = download.value.suggested_filename.split(".", 1)[1]
        taken[suffix] = Path(download.value.path()).read_bytes()
    assert sorted(taken) == ["csv", "dcm", "json", "pdf", "sr.dcm"]
    assert "findings" in json.dumps(json.loads(taken["json"]))
    rows = list(csv.reader(io.StringIO(taken["csv"].decode())))
    assert len({len(row) for row in rows}) == 1
    assert len(rows) > 1
    text = "".join(one.extract_text() for one in pypdf.PdfReader(io.BytesIO(taken["pdf"])).pages)
    assert "not a medical device" in " ".join(text.split())
    names = page.locator(".group:not(details) input").evaluate_all("inputs => inputs.map(one => one.value)")
    assert [name for name in names if name not in text] == []
    capture = pydicom.dcmread(io.BytesIO(taken["dcm"]))
    assert capture.pixel_array.ndim >= 2
    report = pydicom.dcmread(io.BytesIO(taken["sr.dcm"]))
    assert report.Modality == "SR"


def test_a_case_is_deleted_for_good_after_a_second_question(visit: Visit, samples: dict[str, Path]) -> None:
    page = visit("/", expected="404")
    read_file(page, samples["chest-on-a-screen"])
    case = page.url
    address = case.replace("/cases/", "/api/v1/cases/")
    page.get_by_role("button", name="Delete for good").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    accessible(page)
    page.keyboard.press("Escape")
    assert page.request.get(address).ok
    page.get_by_role("button", name="Delete for good").click()
    dialog.get_by_role("button", name="Delete for good").click()
    page.wait_for_url("**/cases")
    for path in ("", "/image.jpg", "/thumbnail.jpg", "/export.json"):
        assert page.request.get(address + path).status == 404
    assert page.goto(case).status == 404  # type: ignore[union-attr]
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no such case")


def test_cases_are_found_by_finding_word_and_page(visit: Visit, chest: str) -> None:
    page = visit(chest)
    first = page.locator('input[name="finding"]').first
    name = str(first.get_attribute("value"))
    word = first.locator("xpath=..").locator(".sr").inner_text().strip(" ,")
    page.goto("/cases")
    page.get_by_role("combobox", name="Finding").select_option(name)
    page.get_by_role("combobox", name="Said to be").select_option(word)
    page.get_by_role("button", name="Search").click()
    expect(page.locator(f".card a[href='{chest}']")).to_have_count(1)
    expect(page.get_by_role("combobox", name="Finding")).to_have_value(name)
    page.get_by_role("searchbox").fill("no such words")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("heading", name="No case fits")).to_be_visible()
    accessible(page)
