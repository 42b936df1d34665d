"""A whole session in two browsers: what the phone's camera sees is a simulation of what the screen's page shows.

Six x-rays; `make soak` does sixty, and sixty more with uploads cut, pages reloaded and the server killed.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright")

from browsers import Studio, has_chromium, one_page, studio
from playwright.async_api import Error, Route
from studio import SOAK, Server, seen_at, xrays

from radsnap.jobs.capturing.session import Session, open_session

pytestmark = pytest.mark.skipif(not has_chromium(), reason="no chromium at /usr/bin/chromium")
COUNT = 6 if SOAK == 1 else 60
EACH_S = 30.0


def check(session: Session, taken: dict[str, tuple[object, tuple[int, int]]]) -> None:
    """Hold every photo against the truth: its own row, one a picture, corners where the lens drew them."""
    good = session.journal.photos("state = 'good'")
    assert [photo.number for photo in sorted(good, key=lambda one: one.number or 0)] == list(
        range(session.count)
    )
    for photo in good:
        number, made, page_hw = taken[photo.hash]
        assert photo.number == number, "the photo hangs at another x-ray than it was taken of"
        page = session.journal.page_of(photo.number, photo.round or 0)
        assert page is not None
        truth = seen_at(made, page_hw, session.frame(photo.number, page).corners)
        error = np.hypot(*(np.array(photo.found["corners_px"]) - truth).T).max()
        assert error < 0.005 * np.hypot(*photo.found["size_px"])
    files = {photo.file for photo in session.journal.photos()}
    assert files == {path.name for path in session.photos.iterdir()}, (
        "each file is accounted for, each row has its file"
    )


def test_a_session_in_two_browsers_ends_with_every_photo_at_its_row(tmp_path: Path) -> None:
    """Over HTTPS with the certificate that the server makes, as phones need it."""
    arguments = (str(xrays(tmp_path / "xrays", COUNT)), "--share", "0.8", "--settle-ms", "50")
    server = Server(tmp_path / "session", arguments, secure=True)

    async def session() -> Studio:
        async with studio(server.screen, server.phone, level=1, https=True) as room:
            # every fifth still shows what the screen showed before: a phone's camera lags behind
            room.stale = lambda count: count % 5 == 0
            await room.until(lambda state: state.get("state") == "done", EACH_S * COUNT)
            assert room.faults == []
            [cookie] = await room.phone.context.cookies()
            assert (cookie["name"], cookie["secure"], cookie["httpOnly"]) == ("radsnap_phone", True, True)
            return room

    server.start()
    try:
        room = asyncio.run(session())
    finally:
        server.stop()
    opened = open_session(server.folder)
    check(opened, room.taken)
    assert opened.journal.counts()["good"] == COUNT
    assert room.shots > COUNT, "stale stills were taken again"


def test_nothing_is_lost_doubled_or_swapped_when_all_goes_wrong(tmp_path: Path) -> None:
    """Uploads cut, the phone's and the screen's pages reloaded, the server killed three times (once in `make test`)."""
    server = Server(
        tmp_path / "session", (str(xrays(tmp_path / "xrays", COUNT)), "--share", "0.8", "--settle-ms", "50")
    )
    chance, kills = random.Random(7), (3 if SOAK > 1 else 1)

    async def cut(route: Route) -> None:
        try:
            if chance.random() < (0.1 if SOAK > 1 else 0.3):
                if chance.random() < 0.5:  # the answer is lost, the photo is there
                    await route.fetch()
                await route.abort("connectionreset")
                return
            await route.continue_()
        except Error:
            return  # the page or the server went away meanwhile

    async def session() -> Studio:
        async with studio(server.screen, server.phone, level=1) as room:
            await room.phone.route("**/phone/photos*", cut)
            for kill in range(kills):
                wanted = (kill + 1) * COUNT // (kills + 1)
                await room.until(
                    lambda state, wanted=wanted: int(state.get("photos") or 0) >= wanted, EACH_S * COUNT
                )
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
                await room.phone.reload()
                if kill % 2 == 0:
                    await room.screen.reload()
            await room.until(lambda state: state.get("state") == "done", EACH_S * COUNT)
            return room

    server.start()
    try:
        room = asyncio.run(session())
    finally:
        server.stop()
    check(open_session(server.folder), room.taken)


def test_a_phone_pairs_by_the_code_on_the_screen(tmp_path: Path) -> None:
    """The code on the page itself, as a camera reads it; the number beside it is the same."""
    zxingcpp = pytest.importorskip("zxingcpp")
    server = Server(tmp_path / "session", (str(xrays(tmp_path / "xrays", 1)),))

    async def shown() -> tuple[bytes, str, str]:
        async with one_page() as page:
            await page.goto(server.screen)
            await page.click("button")
            await page.wait_for_selector("#qr svg")
            code, where = [await page.inner_text(f"#{place}") for place in ("code", "where")]
            return await page.screenshot(type="png"), code, where

    server.start()
    try:
        png, code, where = asyncio.run(shown())
    finally:
        server.stop()
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert [found.text for found in zxingcpp.read_barcodes(picture)] == [f"{where}/pair?code={code}"]


def test_clean_photos_between_marked_ones_in_two_browsers(tmp_path: Path) -> None:
    arguments = (str(xrays(tmp_path / "xrays", 1)), "--share", "0.8", "--settle-ms", "50", "--clean")
    server = Server(tmp_path / "session", arguments)

    async def session() -> Studio:
        async with studio(server.screen, server.phone, level=1) as room:
            room.one_pose = True
            await room.until(lambda state: state.get("state") == "done", 4 * EACH_S)
            return room

    server.start()
    try:
        asyncio.run(session())
    finally:
        server.stop()
    [good] = open_session(server.folder).journal.photos("state = 'good'")
    assert (good.number, good.phase) == (0, "clean")
    assert good.found["likeness"] > 0.5
