"""The pages without a browser: what they say of a case, and what they never contain."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.web.conftest import CHEST, LATERAL, NO_XRAY, case_of, picture, sign_in

from radsnap.models.card import Threshold
from radsnap.reading.stages import put_in_words
from radsnap.web import pages, views
from radsnap.web.storage.new import NewCase, NewFile

HTML = {"accept": "text/html"}


def page(client: TestClient, path: str, status: int = 200) -> str:
    answer = client.get(path, headers=HTML, follow_redirects=False)
    assert answer.status_code == status, answer.text
    return answer.text


@given(score=st.floats(0, 1), low=st.floats(0.001, 0.999), high=st.floats(0.001, 0.999))
def test_a_dot_lies_in_the_part_of_the_bar_that_its_word_names(score: float, low: float, high: float) -> None:
    low, high = min(low, high), max(low, high)
    point = Threshold(score=high, possible=low, rule="any", n=1)
    place, zones = views._bar(score, point)
    word, _ = put_in_words(score, point, "film")
    spans = {css: (start, end) for css, start, end in zones}
    assert spans[word][0] - 1 <= place <= spans[word][1] + 1


@given(st.lists(st.floats(0, 1), min_size=2, max_size=2), st.floats(0.01, 0.9))
def test_a_higher_score_is_never_drawn_lower(scores: list[float], low: float) -> None:
    point = Threshold(score=min(0.99, low + 0.05), possible=low, rule="any", n=1)
    first, second = (views._bar(score, point)[0] for score in sorted(scores))
    assert first <= second


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(0.0, "0 %"), (0.004, "< 1 %"), (0.2549, "25 %"), (0.997, "> 99 %"), (1.0, "100 %")],
)
def test_a_percentage_never_says_never_or_always_of_what_is_neither(probability: float, shown: str) -> None:
    assert views._percent(probability) == shown


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (CHEST, ("Frontal chest", "Likely", "Pneumonia", "5 exports")),
        (LATERAL, ("This is a side view of the chest. Findings are read on frontal views only.",)),
        (NO_XRAY, ("This does not look like an x-ray", "It is grey like a scan", "Not asked")),
        (picture(0.3), ("another x-ray (knee, leg). It is named, but no network here reads it.",)),
    ],
)
def test_a_page_says_how_far_the_chain_went_and_why(
    client: TestClient, data: bytes, said: tuple[str, ...]
) -> None:
    text = page(client, f"/cases/{case_of(client, data)}")
    for words in said:
        if words == "5 exports":
            assert len(re.findall(r"export\.[a-z.]+\"", text)) == 5
        else:
            assert words in text
    assert "not a medical device" in text


def test_names_in_cards_and_queries_are_text_and_never_markup(client: TestClient) -> None:
    hostile = '"><script>alert(1)</script>'
    about = page(client, "/about")
    assert "findings &lt;only&gt; reads brightness." in about
    assert "<only>" not in about
    listed = page(client, f"/cases?query={hostile}&finding={hostile}")
    assert "<script>alert" not in listed
    assert "No case fits" in listed


def test_a_server_without_messenger_says_that_nothing_is_sent(client: TestClient) -> None:
    about = page(client, "/about")
    assert "nowhere else. Nothing is sent to anybody.</p>" in about
    assert "no third parties" in about


def test_no_page_holds_a_script_a_style_or_a_handler_of_its_own(client: TestClient) -> None:
    case_id = case_of(client)
    paths = [
        "/",
        "/cases",
        f"/cases/{case_id}",
        f"/compare?left={case_id}&right={case_id}",
        "/about",
        "/offline",
    ]
    for path in [*paths, "/certificate"]:
        text = page(client, path)
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|javascript:", text), path
        assert all('src="/' in script for script in re.findall(r"<script[^>]*>", text)), path
        # nothing is fetched from elsewhere
        assert not re.search(r"(src|href)=\"(https?:)?//", text), path


def test_pages_of_cases_are_kept_by_nobody_and_the_shell_is_all_there(client: TestClient) -> None:
    for path in ("/", "/cases", "/about"):
        assert client.get(path).headers["cache-control"] == "no-store"
    worker = client.get("/sw.js")
    assert worker.headers["content-type"].startswith("text/javascript")
    assert "script-src 'self'" in worker.headers["content-security-policy"]
    for path in pages.shell():
        assert f'"{path}"' in worker.text
        assert client.get(path).status_code == 200, path
        assert not path.startswith(("/api", "/cases"))


def test_every_script_and_picture_that_pages_name_is_there(client: TestClient) -> None:
    served = set(pages.shell()) | {"/manifest.webmanifest"}
    for template in (pages.HERE / "templates").glob("*.html"):
        named = re.findall(r"\"(/(?:static|serving)/[^\"{]+|/manifest[^\"]+)\"", template.read_text())
        assert set(named) <= served, template.name
    for script in (pages.STATIC / "js").glob("*.js"):
        for name in re.findall(r"from \"([^\"]+)\"", script.read_text()):
            path = f"/static/js/{name[2:]}" if name.startswith("./") else name
            assert path in served, script.name


def test_a_list_goes_on_where_the_page_before_ended(closed: TestClient, tmp_path: Path) -> None:
    browser = sign_in(closed, "ben")
    desk, reader = closed.app.state.desk, closed.app.state.door.people.user("ben")
    read = desk.cases.get(reader.id, case_of(browser, NO_XRAY))
    made = [read.id]
    for number in range(25):
        (file := tmp_path / f"{number}.jpg").write_bytes(NO_XRAY)
        made.append(
            desk.cases.add(reader.id, NewCase(read.diagnosis, 1, 1, (NewFile("picture", file, "jpg"),)))
        )
    first = page(browser, "/cases")
    assert re.findall(r'href="/cases/([0-9a-f]{32})"', first) == made[:1:-1]
    assert "Newest" not in first
    older = re.search(r'href="(/cases\?cursor=[^"]+)" rel="next"', first)
    assert older is not None
    second = page(browser, older[1].replace("&amp;", "&"))
    assert re.findall(r'href="/cases/([0-9a-f]{32})"', second) == [made[1], made[0]]
    assert "Newest" in second
    assert "Older" not in second


def test_a_person_gets_a_page_and_a_program_json_for_what_is_wrong(client: TestClient) -> None:
    gone = f"/cases/{'0' * 32}"
    text = page(client, gone, 404)
    assert "There is no such case" in text
    assert client.get(gone).json()["error"]["code"] == "no_case"
    assert "<h1>" in page(client, "/nowhere", 404)
    assert page(client, "/cases?cursor=nonsense", 422).count("<h1>") == 1
    assert page(client, "/compare", 422).count("<h1>") == 1


def test_who_is_not_signed_in_is_led_to_the_door_and_back(closed: TestClient) -> None:
    answer = closed.get("/cases?query=edema", headers=HTML, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fcases%3Fquery%3Dedema"
    assert 'value="/cases?query=edema"' in page(closed, answer.headers["location"])
    for path in ("/certificate", "/offline", "/manifest.webmanifest", "/sw.js"):
        assert closed.get(path, follow_redirects=False).status_code == 200
    browser = sign_in(closed, "ana")
    token = browser.headers["X-CSRF-Token"]
    assert f'<meta name="csrf-token" content="{token}">' in page(browser, "/")
    assert token not in page(browser, "/offline")


@pytest.mark.parametrize(
    "elsewhere",
    ["https://example.org", "//example.org", "/\\example.org", "javascript:alert(1)", "", "/\n/x"],
)
def test_signing_in_leads_to_a_page_of_ours_only(closed: TestClient, elsewhere: str) -> None:
    form = {"name": "ben", "code": "code-of-ben-8", "next": elsewhere}
    answer = TestClient(closed.app).post("/login", data=form, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"


def test_a_wrong_code_is_told_on_the_page_and_opens_nothing(closed: TestClient) -> None:
    browser = TestClient(closed.app)
    form = {"name": "ana", "code": "code-of-ben-8", "next": "/cases"}
    answer = browser.post("/login", data=form, follow_redirects=False)
    assert answer.status_code == 401
    assert "do not belong together" in answer.text
    assert "code-of-ben-8" not in answer.text
    assert not browser.cookies


def test_an_open_server_has_no_door(client: TestClient) -> None:
    answer = client.get("/login?next=/cases", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/cases")
    assert "Sign out" not in page(client, "/")


def test_a_list_is_narrowed_to_what_was_judged(client: TestClient) -> None:
    judged, other = case_of(client), case_of(client)
    client.put(f"/api/v1/cases/{judged}/verdict", json={"verdict": "disagree"})
    disagreed, open_ = page(client, "/cases?verdict=disagree"), page(client, "/cases?verdict=none")
    assert judged in disagreed
    assert other not in disagreed
    assert judged not in open_
    assert other in open_
    assert '<option value="disagree" selected>Disagreed</option>' in disagreed
