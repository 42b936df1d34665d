"""Who may enter, and what other sites and forgers may not."""

from __future__ import annotations

import time
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.web.conftest import CHEST, CODES, MakeSettings, case_of, sign_in

from radsnap.serving import tokens
from radsnap.serving.tokens import Signer
from radsnap.web.access import Door
from radsnap.web.app import create_app
from radsnap.web.settings import Settings
from radsnap.web.storage.database import open_database
from radsnap.web.storage.people import People


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str | None:
    """Both databases: what is asked here goes through to the rows."""
    return None if request.param == "sqlite" else str(request.getfixturevalue("postgres"))


def browser(server: TestClient) -> TestClient:
    return TestClient(server.app, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/diagnose"),
        ("POST", "/api/v1/jobs"),
        ("GET", "/api/v1/jobs/x"),
        ("GET", "/api/v1/jobs/x/events"),
        ("GET", "/api/v1/cases"),
        ("GET", "/api/v1/cases/" + "0" * 32),
        ("DELETE", "/api/v1/cases/" + "0" * 32),
        ("GET", "/api/v1/cases/" + "0" * 32 + "/image.jpg"),
        ("GET", "/api/v1/cases/" + "0" * 32 + "/export.json"),
        ("GET", "/api/v1/about"),
        ("GET", "/metrics"),
        ("DELETE", "/api/v1/session"),
    ],
)
def test_nothing_is_served_to_whom_nobody_knows(closed: TestClient, method: str, path: str) -> None:
    answer = browser(closed).request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "sign_in")


def test_every_route_but_the_named_asks_who_is_there(closed: TestClient) -> None:
    free = {("POST", "/api/v1/session"), ("POST", "/api/v1/tokens"), ("GET", "/health"), ("GET", "/ready")}
    document = browser(closed).get("/openapi.json").json()
    routes = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert free < routes
    stranger = browser(closed)
    fill = {
        "case_id": "0" * 32,
        "token_id": "0" * 32,
        "job_id": "x",
        "finding": "x",
        "format": "json",
        "study": "1.2",
        "series": "1.3",
        "instance": "1.4",
    }
    let_in = {
        (method, path)
        for method, path in routes
        if stranger.request(method, path.format(**fill)).status_code not in (401, 422)
    }
    assert let_in <= free


def test_a_session_needs_its_csrf_token_for_changes(closed: TestClient) -> None:
    ana = sign_in(closed, "ana")
    case_id = case_of(ana)
    token = ana.headers.pop("X-CSRF-Token")
    assert ana.get(f"/api/v1/cases/{case_id}").status_code == 200
    for wrong in (None, "", "0" * 64, sign_in(closed, "ana").headers["X-CSRF-Token"], "é"):
        sent = {} if wrong is None else {"X-CSRF-Token": wrong.encode()}
        answer = ana.delete(f"/api/v1/cases/{case_id}", headers=sent)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "csrf")
    assert ana.delete(f"/api/v1/cases/{case_id}", headers={"X-CSRF-Token": token}).status_code == 204


def test_another_site_cannot_ask_even_an_open_server(client: TestClient) -> None:
    for sent in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = client.post("/api/v1/diagnose", content=CHEST, headers=sent)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "other_origin")
    rebound = client.get("/api/v1/cases", headers={"Host": "evil.example"})
    assert (rebound.status_code, rebound.json()["error"]["code"]) == (421, "unknown_host")


def test_a_session_ends_on_signing_out_everywhere_its_cookie_went(closed: TestClient) -> None:
    ana = sign_in(closed, "ana")
    stolen = browser(closed)
    stolen.cookies.update(ana.cookies)
    assert stolen.get("/api/v1/session").json()["user"] == "ana"
    assert ana.delete("/api/v1/session").status_code == 204
    assert stolen.get("/api/v1/session").status_code == 401
    assert ana.get("/api/v1/session").status_code == 401


def test_forged_cookies_and_tokens_open_nothing(closed: TestClient) -> None:
    ana = sign_in(closed, "ana")
    (value,) = [cookie.value for cookie in ana.cookies.jar]
    assert value is not None
    session_id = value.rpartition(".")[0]
    forged = [value[:-1] + ("0" if value[-1] != "0" else "1"), session_id, session_id + ".", "x." + value]
    forged.append(Signer(b"0" * 32).sign(session_id, "session"))
    for cookie in forged:
        stranger = browser(closed)
        stranger.cookies.set("radsnap", cookie)
        assert stranger.get("/api/v1/session").status_code == 401, cookie
    for sent in ("Bearer ", "Bearer rs_guess", "Bearer " + "a" * 5000, "Basic YW5hOng=", "bearer é"):
        answer = browser(closed).get("/api/v1/session", headers={"Authorization": sent.encode()})
        assert answer.status_code == 401, sent


def test_a_session_ends_with_its_time(make_settings: MakeSettings) -> None:
    people = People(open_database(make_settings().database_url))
    ended = people.start_session(people.user("ana"), hours=0)
    going = people.start_session(people.user("ana"), hours=1)
    time.sleep(0.001)
    assert people.of_session(ended) is None
    user = people.of_session(going)
    assert user is not None
    assert user.name == "ana"
    people.engine.dispose()


def test_tokens_serve_programs_until_they_are_ended(closed: TestClient) -> None:
    program = browser(closed)
    made = program.post("/api/v1/tokens", json={"name": "ben", "code": CODES["ben"], "label": "x", "days": 1})
    assert made.status_code == 201
    program.headers["Authorization"] = f"Bearer {made.json()['token']}"
    assert program.get("/api/v1/session").json() == {"user": "ben", "csrf_token": None, "open": False}
    case_of(program)  # without a CSRF token: no browser sends this header by itself
    assert sign_in(closed, "ana").delete(f"/api/v1/tokens/{made.json()['id']}").status_code == 404
    assert program.delete(f"/api/v1/tokens/{made.json()['id']}").status_code == 204
    assert program.get("/api/v1/session").status_code == 401


def test_a_code_opens_for_its_reader_only(closed: TestClient) -> None:
    stranger = browser(closed)
    for given in (
        {"name": "ana", "code": CODES["ben"]},
        {"name": "nobody", "code": CODES["ana"]},
        {"code": "wrong code"},
        {"name": "ana", "code": "ｗrong"},
    ):
        answer = stranger.post("/api/v1/session", json=given)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "wrong_code")
        assert "set-cookie" not in answer.headers
    named_by_code = stranger.post("/api/v1/session", json={"code": CODES["cora"]})
    assert named_by_code.json()["user"] == "cora"


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/api/v1/session", {"json": {"name": "an\0a", "code": CODES["ana"]}}),
        ("/api/v1/tokens", {"json": {"name": "an\0a", "code": CODES["ana"]}}),
        ("/api/v1/tokens", {"json": {"name": "ana", "code": CODES["ana"], "label": "\0"}}),
        ("/login", {"data": {"name": "an\0a", "code": CODES["ana"]}}),
    ],
)
def test_a_nul_opens_nothing_and_breaks_nothing(closed: TestClient, path: str, given: dict[str, Any]) -> None:
    answer = browser(closed).post(path, **given)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/cases?query=%00", 422, "invalid_request"),
        ("/api/v1/cases?finding=a%00", 422, "invalid_request"),
        ("/api/v1/cases?cursor=MSAA", 422, "wrong_cursor"),  # "1 \0"
        ("/api/v1/cases?cursor=%00", 422, "wrong_cursor"),
        ("/cases?query=%00", 422, "invalid_request"),
        ("/cases?finding=%00", 422, "invalid_request"),
        ("/cases?word=%00", 422, "invalid_request"),
        ("/cases?verdict=%00", 422, "invalid_request"),
        ("/cases?cursor=MSAA", 422, "wrong_cursor"),
        ("/cases/%00", 404, "no_case"),
        ("/compare?left=%00&right=%00", 404, "no_case"),
    ],
)
def test_a_nul_finds_nothing_and_breaks_nothing(
    closed: TestClient, path: str, status: int, code: str
) -> None:
    answer = sign_in(closed, "ana").get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_an_unknown_name_costs_what_a_wrong_code_costs(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = People(open_database(make_settings().database_url))
    people.set_codes(CODES)
    hashed: list[str] = []
    scrypt = tokens._scrypt
    monkeypatch.setattr(tokens, "_scrypt", lambda code, salt: hashed.append(code) or scrypt(code, salt))
    for name in ("ana", "nobody", "local"):
        assert people.enter(name, "a wrong code") is None
    people.engine.dispose()
    assert len(hashed) == 3


def test_cookies_are_kept_from_scripts_and_other_sites(make_settings: MakeSettings) -> None:
    settings = make_settings(codes=CODES, secure=True, sign_ins_a_minute=1)
    with TestClient(create_app(settings), base_url="https://testserver") as server:
        answer = server.post("/api/v1/session", json={"name": "ana", "code": CODES["ana"]})
        cookie = answer.headers["Set-Cookie"]
        for part in ("__Host-radsnap=", "HttpOnly", "Secure", "SameSite=lax", "Path=/"):
            assert part in cookie
        assert "Domain" not in cookie
        assert answer.headers["Strict-Transport-Security"]
        said = [server.post("/api/v1/session", json={"name": "ana", "code": "wrong!"}) for _ in range(6)]
        assert [answer.status_code for answer in said] == [401, 401, 401, 401, 429, 429]
        assert int(said[-1].headers["Retry-After"]) >= 1
        right = server.post("/api/v1/tokens", json={"name": "ana", "code": CODES["ana"]})
        assert right.status_code == 429  # the same bound: not a second way to guess
    kept = b"".join(path.read_bytes() for path in settings.data.glob("radsnap.db*"))
    assert b"scrypt$" in kept
    assert CODES["ana"].encode() not in kept


def test_changed_codes_sign_everybody_out_who_used_the_old_one(make_settings: MakeSettings) -> None:
    settings = make_settings()
    people = People(open_database(settings.database_url))

    def door(codes: dict[str, str]) -> Door:
        people.set_codes(codes)
        return Door(settings, people, Signer(b"0" * 32))

    door({"ana": "first-code", "ben": "ben-code"})
    ana, ben = people.enter("ana", "first-code"), people.enter("ben", "ben-code")
    assert ana is not None
    assert ben is not None
    sessions = [people.start_session(user, 1) for user in (ana, ben)]
    token = people.issue(ana, "", 1).token
    door({"ana": "second-code", "ben": "ben-code"})
    assert people.of_session(sessions[0]) is None
    assert people.of_token(token) is None
    assert people.of_session(sessions[1]) is not None
    door({"ana": "second-code"})
    assert people.of_session(sessions[1]) is None
    assert people.enter("ben", "ben-code") is None
    people.engine.dispose()


def test_short_codes_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter than 6 characters"):
        Settings(codes={"ana": "1-2-3-4-5"})
    assert "secret-code" not in repr(Settings(codes={"ana": "secret-code"}))
