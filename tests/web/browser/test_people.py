"""Readers: each their own cases, sessions that end."""

from __future__ import annotations

import sqlite3

import pytest
from playwright.sync_api import expect
from tests.web.browser.conftest import CODES, Site, Visit, accessible, picture_of


def test_two_readers_do_not_see_each_others_cases(visit: Visit, chest: str) -> None:
    page = visit("/cases", reader="Ben", expected="404")
    expect(page.get_by_role("heading", name="No cases yet")).to_be_visible()
    picture_of(page, "empty-phone")
    assert page.goto(chest).status == 404  # type: ignore[union-attr]
    for path in ("", "/image.jpg", "/export.pdf"):
        assert page.request.get(f"/api/v1{chest}{path}").status == 404


def test_an_ended_session_asks_to_sign_in_and_comes_back(visit: Visit, site: Site, chest: str) -> None:
    page = visit(chest, expected="401")
    with sqlite3.connect(site.data / "radsnap.db") as database:
        database.execute("update sessions set expires_us = 1")
    site.sessions.clear()
    page.get_by_label("Agree", exact=True).check()
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/login?*")
    expect(page.get_by_text("You were signed out")).to_be_visible()
    accessible(page)
    picture_of(page, "login-phone")
    page.get_by_label("Name").fill("Ana")
    page.get_by_label("Access code").fill("wrong-code")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    expect(page.get_by_label("Name")).to_have_value("Ana")
    page.get_by_label("Access code").fill(CODES["Ana"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**{chest}")
    site.sessions["Ana"] = page.context.cookies()


@pytest.mark.parametrize(
    "elsewhere", ["https://example.org/", "//example.org", "/\\example.org", "javascript:alert(1)"]
)
def test_signing_in_leads_to_no_other_site(visit: Visit, elsewhere: str) -> None:
    page = visit(f"/login?next={elsewhere}", reader=None)
    assert page.locator('input[name="next"]').get_attribute("value") == "/"


def test_signing_out_ends_the_session_on_the_server(visit: Visit, site: Site) -> None:
    page = visit("/about", reader="Ben")
    kept = page.context.cookies()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    page.context.add_cookies(kept)
    page.goto("/cases")
    assert page.url.endswith("/login?next=%2Fcases")
    del site.sessions["Ben"]
