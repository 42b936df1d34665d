"""The server's doors: strangers see the pairing page and nothing else; what comes in is bounded and idempotent."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi")

from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from studio import PAGE, forget_xrays, session_of

from radsnap.capture.app import MAX_PHOTO_BYTES, build_app
from radsnap.capture.run import catch_up
from radsnap.imaging import encode_jpeg
from radsnap.jobs.capturing.intake import hash_of, keep_photo
from radsnap.jobs.capturing.journal import Journal
from radsnap.jobs.capturing.session import Session, open_session

PUBLIC = {
    ("GET", "/pair"),
    ("GET", "/screen/pair"),
    ("GET", "/pair.css"),
    ("POST", "/pair"),
    ("POST", "/screen/pair"),
}


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return session_of(tmp_path, 2)


@pytest.fixture
def app(session: Session) -> FastAPI:
    return build_app(session, "http://testserver", secure=False, hosts=("testserver",))


@pytest.fixture
def stranger(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, follow_redirects=False) as client:
        yield client


@pytest.fixture
def phone(app: FastAPI, stranger: TestClient) -> TestClient:
    client = TestClient(app, follow_redirects=False)
    client.portal = stranger.portal  # one server, one event loop
    desk = app.state.desk
    assert (
        client.post("/pair", data={"code": desk.phones.new_code(), "name": "Ana's Pixel 8!"}).status_code
        == 303
    )
    return client


@pytest.fixture
def screen(app: FastAPI, stranger: TestClient) -> TestClient:
    client = TestClient(app, follow_redirects=False)
    client.portal = stranger.portal
    client.post("/screen/pair", data={"code": app.state.desk.screens.new_code()})
    client.post("/screen/size", json={"width": PAGE[0], "height": PAGE[1]})
    return client


def routes(app: FastAPI) -> set[tuple[str, str]]:
    found = set()
    for route in app.routes:
        for method in getattr(route, "methods", None) or {"WS"}:
            found.add((method, route.path))  # type: ignore[attr-defined]
    return found - {entry for entry in found if entry[0] == "HEAD"}


def photo_of(session: Session, number: int, noise: int = 0) -> bytes:
    page = cv2.copyMakeBorder(
        session.page(number, 0, PAGE), 40, 40, 60, 60, cv2.BORDER_CONSTANT, value=30 + noise
    )
    return encode_jpeg(np.ascontiguousarray(page), 95)


def ticket(phone: TestClient, screen: TestClient) -> str:
    """Bring the session to the point where the phone takes a photo."""
    phone.get("/phone/step")
    showing = screen.get("/screen/step").json()["showing"]
    screen.post("/screen/shown", json={"showing": showing})
    given = phone.get("/phone/step").json()["ticket"]
    for _ in range(100):
        if given is not None:
            break
        given = phone.get("/phone/step", params={"wait": 0.05}).json()["ticket"]
    assert given is not None
    return str(given)


def test_strangers_get_the_pairing_pages_and_nothing_else(app: FastAPI, stranger: TestClient) -> None:
    known = routes(app)
    assert len(known) > 15
    for method, path in known - PUBLIC:
        place = path.replace("{showing}", "1").replace("{name}", "phone.js")
        if method == "WS":
            with pytest.raises(WebSocketDisconnect), stranger.websocket_connect(place):
                pass
            continue
        answer = stranger.request(method, place, params={"ticket": "1-1"}, content=b"{}")
        assert answer.status_code in (303, 401), (method, place, answer.text)
        if answer.status_code == 303:
            assert answer.headers["location"] in ("/pair", "/screen/pair")


def test_a_cookie_of_another_role_opens_nothing(phone: TestClient, screen: TestClient) -> None:
    assert phone.get("/screen/step").status_code == 401
    assert phone.post("/screen/code").status_code == 401
    assert screen.get("/phone/step").status_code == 401
    screen.cookies.set("radsnap_phone", "x" * 43)
    assert screen.get("/phone/step").status_code == 401


def test_a_code_works_once(app: FastAPI, stranger: TestClient) -> None:
    code = app.state.desk.phones.new_code()
    first = stranger.post("/pair", data={"code": code.lower().replace("-", " ")})
    assert first.status_code == 303
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    again = stranger.post("/pair", data={"code": code})
    assert again.status_code == 403
    assert "wrong, used or too old" in again.text


def test_cookies_are_secure_over_https(session: Session) -> None:
    with TestClient(build_app(session, "https://testserver"), base_url="https://testserver") as client:
        code = client.app.state.desk.phones.new_code()  # type: ignore[attr-defined]
        answer = client.post("/pair", data={"code": code}, follow_redirects=False)
        assert "Secure" in answer.headers["set-cookie"]


def test_whoever_tries_codes_is_stopped(stranger: TestClient) -> None:
    answers = [stranger.post("/pair", data={"code": f"AAAA-{n:04d}"}) for n in range(12)]
    assert 429 in [answer.status_code for answer in answers]
    assert int(answers[-1].headers["retry-after"]) > 0


def test_a_code_is_not_used_up_by_looking_at_the_page(app: FastAPI, stranger: TestClient) -> None:
    code = app.state.desk.phones.new_code()
    assert f'value="{code}"' in stranger.get("/pair", params={"code": code}).text
    assert stranger.post("/pair", data={"code": code}).status_code == 303
    assert "<script>" not in stranger.get("/pair", params={"code": '"><script>'}).text


def test_the_name_of_a_phone_is_a_folders_name(phone: TestClient, session: Session) -> None:
    assert [known.name for known in session.journal.phones()] == ["ana-s-pixel-8"]


def test_a_photo_is_proven_and_the_same_bytes_are_answered_alike(
    phone: TestClient, screen: TestClient, session: Session
) -> None:
    given = ticket(phone, screen)
    data = photo_of(session, 0)
    answers = [
        phone.post("/phone/photos", params={"ticket": given, "sha256": hash_of(data)}, content=data).json()
        for _ in range(3)
    ]
    assert answers == 3 * [{"state": "good", "reasons": [], "number": 0}]
    assert len(session.journal.photos()) == len(list(session.photos.iterdir())) == 1
    assert screen.get("/screen/step").json()["number"] == 2


def test_damaged_bytes_are_refused_and_leave_nothing(
    phone: TestClient, screen: TestClient, session: Session
) -> None:
    given, data = ticket(phone, screen), photo_of(session, 0)
    answer = phone.post("/phone/photos", params={"ticket": given, "sha256": hash_of(data)}, content=data[:-9])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "damaged")
    assert session.journal.photos() == []
    assert list(session.photos.iterdir()) == []


def test_what_is_no_photo_is_refused_in_words_and_asked_for_again(
    phone: TestClient, screen: TestClient, session: Session
) -> None:
    given = ticket(phone, screen)
    for body in (b"no picture", b"", b"%PDF-1.4", b"\xff\xd8\xff\xe0\0\x10JFIF"):
        answer = phone.post("/phone/photos", params={"ticket": given}, content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "no_photo")
    assert phone.get("/phone/step").json()["ticket"] != given
    assert list(session.photos.iterdir()) == []


def test_uploads_are_bounded_before_they_are_read(phone: TestClient, screen: TestClient) -> None:
    given = ticket(phone, screen)
    size = {"Content-Length": str(MAX_PHOTO_BYTES + 2)}
    answer = phone.post("/phone/photos", params={"ticket": given}, content=b"x", headers=size)
    assert answer.status_code == 413
    assert screen.post("/screen/command", content=b"x" * 70_000).status_code == 413


@pytest.mark.parametrize("bad", ["", "1", "x-1", "1-1/../../etc", "9999999999999-1"])
def test_tickets_are_numbers(phone: TestClient, screen: TestClient, bad: str) -> None:
    answer = phone.post("/phone/photos", params={"ticket": bad}, content=b"x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed")


def test_a_showing_that_never_was_takes_no_photo(
    phone: TestClient, screen: TestClient, session: Session
) -> None:
    answer = phone.post("/phone/photos", params={"ticket": "77-1"}, content=photo_of(session, 0))
    assert answer.json()["error"]["code"] == "no_showing"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../session.key", "/static/..%2f..%2fsession.key", "/static/%2e%2e/session.json",
        "/static/session.key", "/static/", "/screen/picture/../../session.key", "/screen/picture/1",
        "/screen/picture/-1.png", "/screen/picture/99.png", "/screen/picture/x.png", "/etc/passwd",
    ],
)  # fmt: skip
def test_no_path_comes_from_a_client(screen: TestClient, path: str) -> None:
    answer = screen.get(path)
    assert answer.status_code in (400, 404)
    assert "radsnap_capture" not in answer.text


@pytest.mark.parametrize(
    ("path", "table", "said"),
    [
        ("/screen/size", {"width": 100, "height": 600}, "width is a whole number from 200 to 16384"),
        ("/screen/size", {"width": "9" * 9999, "height": 600}, "width is a whole number"),
        ("/screen/size", {"width": 1e308, "height": True}, "width is a whole number"),
        ("/screen/shown", {"showing": None}, "showing is a whole number"),
        ("/screen/command", {"command": "rm -rf"}, "the commands are pause"),
        ("/screen/command", [], "no table of JSON"),
    ],
)
def test_nonsense_is_answered_in_words(screen: TestClient, path: str, table: object, said: str) -> None:
    answer = screen.post(path, json=table)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def test_no_json_is_answered_in_words(screen: TestClient) -> None:
    for body in (b"{", b"[" * 30_000, b"\xff\xfe"):
        assert screen.post("/screen/size", content=body).status_code == 400


def test_other_sites_cannot_use_a_paired_browser(screen: TestClient, phone: TestClient) -> None:
    headers = {"Origin": "https://evil.example"}
    assert screen.post("/screen/command", json={"command": "skip"}, headers=headers).status_code == 403
    assert phone.post("/phone/photos", params={"ticket": "1-1"}, headers=headers).status_code == 403
    assert phone.get("/phone/step", headers={"Host": "rebound.example"}).status_code == 421


def test_pages_may_do_little(stranger: TestClient, phone: TestClient) -> None:
    for answer in (stranger.get("/pair"), phone.get("/")):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"


def test_a_phone_tells_what_it_is_within_bounds(phone: TestClient, session: Session) -> None:
    told = {
        "model": "Pixel 8",
        "battery": 80,
        "long": "x" * 999,
        "deep": {"a": [1]},
        **{f"k{n}": n for n in range(99)},
    }
    assert phone.post("/phone/device", content=json.dumps(told)).status_code == 200
    device = session.journal.phones()[0].device
    assert (device["model"], device["battery"], len(device["long"]), len(device)) == ("Pixel 8", 80, 200, 30)


def test_a_full_disk_is_told_and_the_photo_is_taken_later(
    phone: TestClient, screen: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, data = ticket(phone, screen), photo_of(session, 0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("radsnap.capture.photos.keep_photo", full)
        answer = phone.post("/phone/photos", params={"ticket": given}, content=data)
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "not_kept")
    assert "make room on the disk" in screen.get("/screen/step").json()["trouble"]
    assert phone.get("/phone/step").json()["ticket"] == given, "the same photo serves later"
    assert phone.post("/phone/photos", params={"ticket": given}, content=data).json()["state"] == "good"
    assert screen.get("/screen/step").json()["trouble"] == ""


def test_a_session_goes_on_by_itself_when_the_disk_has_room_again(
    phone: TestClient, screen: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, data = ticket(phone, screen), photo_of(session, 0)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "show", full)
        answer = phone.post("/phone/photos", params={"ticket": given}, content=data)
        assert answer.json()["state"] == "good", "the photo itself was kept"
        told = screen.get("/screen/step").json()
        assert "stands still and tries again (database or disk is full); make room" in told["trouble"]
        time.sleep(1.2)  # a tick or more, all of which fail
    for _ in range(60):
        told = screen.get("/screen/step").json()
        if told["state"] == "show":
            break
        time.sleep(0.05)
    assert (told["state"], told["number"], told["trouble"]) == ("show", 2, "")


def test_what_cannot_be_kept_is_said(phone: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Journal, "describe_phone", full)
    answer = phone.post("/phone/device", json={"model": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "not_kept")


def test_long_polls_answer_when_something_changes(phone: TestClient, screen: TestClient) -> None:
    phone.get("/phone/step")
    before = screen.get("/screen/step").json()
    pausing = threading.Timer(0.3, lambda: screen.post("/screen/command", json={"command": "pause"}))
    pausing.start()
    after = screen.get("/screen/step", params={"after": before["version"], "wait": 20}).json()
    pausing.join()  # its answer comes after ours; the server must be there for it
    assert (before["state"], after["state"]) == ("show", "paused")


def test_a_socket_tells_a_phone_what_to_do(app: FastAPI, phone: TestClient, screen: TestClient) -> None:
    with phone.websocket_connect("/phone/socket") as socket:
        assert socket.receive_json()["state"] in ("waiting", "show")
        screen.post("/screen/command", json={"command": "pause"})
        assert any(socket.receive_json()["state"] == "paused" for _ in range(5))


def test_devices_stay_paired_and_photos_are_proven_after_a_kill(
    app: FastAPI, phone: TestClient, session: Session
) -> None:
    shown = session.journal.show(0, "single", PAGE)
    taken = keep_photo(photo_of(session, 0), session.photos, "x")
    session.journal.receive(
        taken.hash, session.journal.phones()[0].id, shown.id, "single", "x", taken.file, {}
    )
    (session.photos / "half.part").write_bytes(b"half")
    again = open_session(session.folder)
    assert catch_up(again) == 1
    assert [(one.state, one.number) for one in again.journal.photos()] == [("good", 0)]
    assert not (session.photos / "half.part").exists()
    with TestClient(build_app(again, "http://testserver", secure=False)) as client:
        client.cookies.update(phone.cookies)
        assert client.get("/phone/step").status_code == 200


def test_an_xray_that_cannot_be_read_stops_neither_start_nor_phone(
    phone: TestClient, screen: TestClient, session: Session, tmp_path: Path
) -> None:
    given, data = ticket(phone, screen), photo_of(session, 0)
    taken = keep_photo(photo_of(session, 0, noise=9), session.photos, "x")
    session.journal.receive(
        taken.hash, session.journal.phones()[0].id, int(given.split("-")[0]), "single", "x", taken.file, {}
    )
    (tmp_path / "xrays" / str(session.xrays.rows["path"].iloc[0])).write_bytes(b"no picture")
    forget_xrays()
    assert catch_up(session) == 1
    answer = phone.post("/phone/photos", params={"ticket": given}, content=data)
    assert (answer.status_code, answer.json()["state"]) == (200, "refused")
    for photo in session.journal.photos():
        assert (photo.state, photo.reasons) == ("refused", ["unreadable"])
        assert photo.found["fault"].startswith("the x-ray of picture 1 cannot be read: ")
    assert "the x-ray of picture 1" in phone.get("/phone/step").json()["said"]


def test_secrets_are_the_owners_alone(session: Session) -> None:
    for name in ("session.key", "session.json", "journal.sqlite"):
        assert (session.folder / name).stat().st_mode & 0o077 == 0
    assert session.folder.stat().st_mode & 0o077 == 0
