"""The API: pictures in, cases out, and one shape for everything that is wrong."""

from __future__ import annotations

import io
import json
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from httpx import Response
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient
from tests.web.conftest import (
    CHEST,
    LATERAL,
    NO_XRAY,
    MakeSettings,
    a_photo,
    a_reading,
    case_of,
    diagnose,
    picture,
    running,
    sign_in,
    wait_ready,
)  # fmt: skip

from radsnap.web import app as web_app
from radsnap.web import schemas
from radsnap.web.app import create_app
from radsnap.web.storage import tables
from radsnap.web.storage.cases import Cases
from radsnap.web.storage.database import now_us, open_database
from radsnap.web.storage.people import People
from radsnap.web.storage.pictures import open_pictures
from radsnap.web.workers import TooSlow


def test_a_chest_is_read_stored_and_found_again(client: TestClient) -> None:
    told = diagnose(client, picture(0.5, 300, 200))
    schemas.DiagnosisOut.model_validate(told)
    assert told["kind"]["label"] == "chest_frontal"  # type: ignore[index]
    assert set(told["findings"]) == {"Pneumonia", "Edema", "Hernia"}  # type: ignore[arg-type]
    assert "not a medical device" in str(told["notice"])
    link = told["case"]
    case = client.get(f"/api/v1/cases/{link['id']}").json()  # type: ignore[index]
    schemas.CaseOut.model_validate(case)
    assert case["diagnosis"] == told
    assert (case["width"], case["height"]) == (300, 200)
    newest = client.get("/api/v1/cases").json()
    schemas.CaseList.model_validate(newest)
    assert newest["cases"][0]["id"] == case["id"]


def test_a_form_and_raw_bytes_are_read_alike(client: TestClient) -> None:
    raw = diagnose(client)
    sent = client.post("/api/v1/diagnose", files={"file": ("x.png", CHEST, "image/png")}).json()
    assert sent["findings"] == raw["findings"]


def test_what_is_not_an_xray_is_a_result(client: TestClient) -> None:
    told = diagnose(client, NO_XRAY)
    assert told["gate"]["passed"] is False  # type: ignore[index]
    assert "not an x-ray" in str(told["reason"])
    case = client.get(f"/api/v1/cases/{told['case']['id']}").json()  # type: ignore[index]
    assert case["xray"] is False
    assert case["heat_map_urls"] == {}


def test_without_storing_nothing_is_left(client: TestClient) -> None:
    before = client.get("/api/v1/cases").json()
    answer = client.post("/api/v1/diagnose?store=false", content=CHEST)
    assert answer.json()["case"] is None
    assert client.get("/api/v1/cases").json() == before
    settings = client.app.state.settings  # type: ignore[attr-defined]
    assert list((settings.data / "incoming").iterdir()) == []


def test_pictures_of_a_case_have_its_shape(client: TestClient) -> None:
    case = client.get(f"/api/v1/cases/{case_of(client, picture(0.5, 900, 600))}").json()
    image = cv2.imdecode(np.frombuffer(client.get(case["image_url"]).content, np.uint8), 0)
    assert image.shape == (600, 900)
    assert abs(float(image.mean()) - 127.5) < 2
    small = cv2.imdecode(np.frombuffer(client.get(case["thumbnail_url"]).content, np.uint8), 0)
    assert small.shape == (213, 320)
    heat = client.get(case["heat_map_urls"]["Pneumonia"])
    assert heat.headers["Content-Type"] == "image/png"
    grey = cv2.imdecode(np.frombuffer(heat.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert grey.shape == (85, 128)
    assert grey.max() == 255
    unknown = client.get(f"/api/v1/cases/{case['id']}/heatmaps/Mass.png")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "no_heat_map")


def test_a_heat_map_lies_where_the_picture_is_bright(client: TestClient) -> None:
    half = np.full((64, 64), 64, dtype=np.uint8)
    half[:, 32:] = 191
    case = client.get(f"/api/v1/cases/{case_of(client, bytes(cv2.imencode('.png', half)[1]))}").json()
    heat = client.get(case["heat_map_urls"]["Edema"]).content
    grey = cv2.imdecode(np.frombuffer(heat, np.uint8), cv2.IMREAD_UNCHANGED).astype(float)
    assert grey[:, 40:].mean() > 2 * grey[:, :24].mean()


def decoded(answer: Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_GRAYSCALE))


def quarters(grey: np.ndarray) -> list[float]:
    """The means of a picture's quarters, clockwise from the upper left."""
    height, width = grey.shape
    parts = [
        grey[y : y + height // 2 - 8, x : x + width // 2 - 8]
        for y in (4, height // 2 + 4)
        for x in (4, width // 2 + 4)
    ]
    return [float(parts[place].mean()) for place in (0, 1, 3, 2)]


def test_the_xray_in_a_photo_is_shown_straight_and_upright_with_its_heat(
    client: TestClient, tmp_path: Path
) -> None:
    desk = client.app.state.desk  # type: ignore[attr-defined]
    local = client.app.state.door.people.user("local")  # type: ignore[attr-defined]
    case = client.get(f"/api/v1/cases/{desk.cases.add(local.id, a_photo(tmp_path))}").json()
    schemas.CaseOut.model_validate(case)
    straight = decoded(client.get(case["straightened_url"]))
    assert straight.shape == (160, 120), "the x-ray lay on its side"
    assert np.abs(np.array(quarters(straight)) - [50, 100, 150, 200]).max() < 4
    heat = decoded(client.get(f"{case['heat_map_urls']['Edema']}?straightened=true"))
    assert heat.shape[0] / heat.shape[1] == pytest.approx(160 / 120, abs=0.05)
    first, *others = quarters(heat)
    assert first > 200 > 40 > max(others)
    page = client.get(case["url"]).text
    assert 'points="0.7500,0.2500 0.7500,0.7500 0.2500,0.7500 0.2500,0.2500"' in page
    assert f'data-image="{case["straightened_url"]}"' in page


def test_a_picture_without_an_outline_has_nothing_to_straighten(client: TestClient) -> None:
    case = client.get(f"/api/v1/cases/{case_of(client)}").json()
    assert (case["straightened_url"], case["diagnosis"]["outline"]) == (None, None)
    for asked in ("straightened.jpg", "heatmaps/Edema.png?straightened=true"):
        answer = client.get(f"/api/v1/cases/{case['id']}/{asked}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_outline")
    assert "Straighten" not in client.get(case["url"]).text


def test_a_verdict_is_kept_changed_and_taken_back(client: TestClient) -> None:
    case_id = case_of(client)
    place = f"/api/v1/cases/{case_id}/verdict"
    note = "<script>alert(1)</script> straße\x00"
    judged = client.put(place, json={"verdict": "disagree", "note": note}).json()
    assert (judged["verdict"], judged["note"]) == ("disagree", note.rstrip("\x00"))
    assert judged["verdict_at"] is not None
    back = client.put(place, json={"verdict": None}).json()
    assert (back["verdict"], back["note"], back["verdict_at"]) == (None, "", None)
    refused = client.put(place, json={"verdict": "maybe"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_request")


def test_a_deleted_case_is_gone_with_its_files(client: TestClient) -> None:
    case_id = case_of(client)
    folder = client.app.state.settings.data / "pictures" / case_id[:2] / case_id  # type: ignore[attr-defined]
    assert len(list(folder.iterdir())) == 3
    assert client.delete(f"/api/v1/cases/{case_id}").status_code == 204
    assert not folder.exists()
    for path in ("", "/image.jpg", "/thumbnail.jpg", "/heatmaps/Edema.png", "/export.json"):
        gone = client.get(f"/api/v1/cases/{case_id}{path}")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "no_case")
    assert client.delete(f"/api/v1/cases/{case_id}").status_code == 404


def test_cases_are_searched_and_paged(closed: TestClient) -> None:
    client = sign_in(closed, "cora")
    chests = [case_of(client) for _ in range(3)]
    bright = case_of(client, picture(0.55))
    lateral, other = case_of(client, LATERAL), case_of(client, NO_XRAY)
    client.put(f"/api/v1/cases/{chests[0]}/verdict", json={"verdict": "agree", "note": "Old 50%_Tube"})

    def found(**asked: str | int) -> list[str]:
        answer = client.get("/api/v1/cases", params=asked)
        assert answer.status_code == 200, answer.text
        return [case["id"] for case in answer.json()["cases"]]

    every = [other, lateral, bright, *reversed(chests)]
    assert found() == every
    assert found(query="chest_lateral") == [lateral]
    assert found(query="not x-ray") == [other]
    assert found(query="old 50%_tube") == [chests[0]]
    assert found(query="50%%tube") == found(query="5__") == []
    assert found(query=chests[1][:10]) == [chests[1]]
    assert found(verdict="agree") == [chests[0]]
    assert set(found(finding="Pneumonia", word="likely")) == {bright, *chests}
    assert found(finding="Hernia") == []  # never assessed
    assert set(found(finding="Hernia", word="not assessed")) == {bright, *chests}
    walked, cursor = [], ""
    for _ in range(3):
        page = client.get("/api/v1/cases", params={"limit": 2, "cursor": cursor}).json()
        walked += [case["id"] for case in page["cases"]]
        cursor = page["next"] or ""
    assert walked == every
    assert cursor == ""
    for wrong in ("x", "bm9wZQ", "é"):
        refused = client.get("/api/v1/cases", params={"cursor": wrong})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "wrong_cursor")


def read_events(client: TestClient, url: str) -> list[tuple[str, dict[str, object]]]:
    with client.stream("GET", url) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        text = "".join(answer.iter_text())
    events = []
    for block in text.strip().split("\n\n"):
        if not block.startswith(":"):
            name, data = block.split("\n")
            events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


def test_a_job_reads_every_picture_and_says_which_failed(client: TestClient) -> None:
    files = [("file", (f"{n}.jpg", data)) for n, data in enumerate([CHEST, b"no picture", LATERAL, CHEST])]
    begun = client.post("/api/v1/jobs", files=files)
    assert begun.status_code == 202
    job = begun.json()
    schemas.JobOut.model_validate(job)
    assert begun.headers["Location"] == job["url"]
    events = read_events(client, job["events_url"])
    assert events[0][0] == "job"
    last = events[-1]
    assert last[0] == "done"
    schemas.JobOut.model_validate(last[1])
    assert last[1]["done"] == last[1]["total"] == 4
    items = last[1]["items"]
    assert [item["status"] for item in items] == ["done", "failed", "done", "done"]  # type: ignore[attr-defined]
    assert items[1]["error"]["code"] == "not_an_image"  # type: ignore[index]
    assert items[2]["case"]["kind"] == "chest_lateral"  # type: ignore[index]
    told = {(name, data.get("index"), data.get("status")) for name, data in events}
    assert client.get(job["url"]).json() == last[1]
    assert read_events(client, job["events_url"])[-1] == last
    assert ("item", 3, "done") in told or events[0][1]["done"] == 4


def test_a_job_of_too_many_pictures_is_refused(client: TestClient) -> None:
    many = client.post("/api/v1/jobs", files=[("file", ("a", CHEST))] * 51)
    assert (many.status_code, many.json()["error"]["code"]) == (422, "not_an_image")
    assert "up to 50" in many.json()["error"]["what_to_do"]


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "not_an_image"),
        (b"just text", 422, "not_an_image"),
        (b"%PDF-1.7 ...", 415, "unsupported_image"),
        (CHEST[: len(CHEST) // 2], 422, "not_an_image"),
    ],
)
def test_what_is_no_picture_is_said_so(client: TestClient, data: bytes, status: int, code: str) -> None:
    answer = client.post("/api/v1/diagnose", content=data)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    schemas.ErrorAnswer.model_validate(answer.json())
    assert str(client.app.state.settings.data) not in answer.text  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("PATCH", "/api/v1/cases", 405, "method_not_allowed"),
        ("GET", "/api/v1/cases/" + "0" * 32, 404, "no_case"),
        ("GET", "/api/v1/cases/../../etc/passwd", 404, "not_found"),
        ("GET", "/api/v1/cases/not-an-id", 422, "invalid_request"),
        ("GET", "/api/v1/cases?limit=0", 422, "invalid_request"),
        ("GET", "/api/v1/jobs/unknown", 404, "no_job"),
        ("DELETE", "/api/v1/tokens/" + "0" * 32, 404, "no_token"),
    ],
)
def test_every_error_has_the_one_shape(
    client: TestClient, method: str, path: str, status: int, code: str
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    schemas.ErrorAnswer.model_validate(answer.json())


def test_it_tells_how_it_does_and_what_it_is(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    ready = client.get("/ready").json()
    schemas.ReadyOut.model_validate(ready)
    assert ready["ready"]
    assert ready["workers"] == 1
    assert ready["database"]
    about = client.get("/api/v1/about").json()
    schemas.AboutOut.model_validate(about)
    assert [model["stage"] for model in about["models"]] == ["gate", "kind", "findings"]
    case_id = case_of(client)
    client.get(f"/api/v1/cases/{case_id}")
    text = client.get("/metrics").text
    assert 'radsnap_requests_total{method="POST",route="/api/v1/diagnose",status="200"}' in text
    assert "radsnap_workers_ready 1.0" in text
    assert 'radsnap_stage_seconds_count{stage="gate"}' in text
    assert case_id not in text


def test_words_that_are_no_methods_make_no_new_figures(client: TestClient) -> None:
    words = ("BREW", "X" * 100, "PROPFIND")
    for word in words:
        assert client.request(word, "/health").status_code == 405
    text = client.get("/metrics").text
    assert 'method="other",route="/health",status="405"} 3.0' in text
    assert not any(word in text for word in words)


def test_a_full_queue_is_said_at_once_and_the_rest_answers_on(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = client.app.state.workers  # type: ignore[attr-defined]
    monkeypatch.setattr(workers, "waiting", 1)
    slow = [workers.submit(time.sleep, 1.0) for _ in range(2)]
    refused = client.post("/api/v1/diagnose", content=CHEST)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "busy")
    assert int(refused.headers["Retry-After"]) >= 1
    assert client.get("/health").status_code == 200
    assert client.get("/api/v1/cases").status_code == 200
    assert not slow[1].done()  # all that was answered while the worker was busy
    for task in slow:
        task.result(10)
    assert client.post("/api/v1/diagnose", content=CHEST).status_code == 200


def test_a_reading_that_takes_too_long_ends(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = client.app.state.workers  # type: ignore[attr-defined]
    monkeypatch.setattr(workers, "timeout_s", 0.5)
    stuck = workers.submit(time.sleep, 60)
    late = client.post("/api/v1/diagnose", content=CHEST)
    assert (late.status_code, late.json()["error"]["code"]) == (504, "too_slow")
    assert isinstance(stuck.exception(5), TooSlow)
    assert list((client.app.state.settings.data / "incoming").iterdir()) == []  # type: ignore[attr-defined]
    monkeypatch.undo()
    wait_ready(client)


def test_what_fails_once_does_not_end_the_deleting_of_old_cases(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    swept = threading.Event()
    failures = iter([OSError("no disk under Jane Doe"), OperationalError("", {}, Exception("away"))])

    def delete_older(cases: Cases, than_us: int) -> int:
        for failure in failures:
            raise failure
        swept.set()
        return 0

    monkeypatch.setattr(Cases, "delete_older", delete_older)
    monkeypatch.setattr(web_app, "_SWEEP_EVERY_S", 0.05)
    with TestClient(create_app(make_settings(retention_days=1))):
        assert swept.wait(20)
    said = [record.getMessage() for record in caplog.records if record.name == "radsnap.web"]
    assert said == [
        f"cases older than 1 days could not be deleted: {kind}" for kind in ("OSError", "OperationalError")
    ]


def test_cases_outlive_the_server_and_not_their_time(make_settings: MakeSettings) -> None:
    settings = make_settings(retention_days=1)
    engine = open_database(settings.database_url)
    user = People(engine).user("local")
    cases = Cases(engine, open_pictures(None, settings.data / "pictures"))
    kept, old = (cases.add(user.id, a_reading(settings.data)) for _ in range(2))
    with engine.begin() as connection:
        day_before = now_us() - 90_000_000_000
        connection.execute(
            tables.cases.update().where(tables.cases.c.id == old).values(created_us=day_before)
        )
    engine.dispose()
    with TestClient(create_app(settings)) as client:
        assert client.get(f"/api/v1/cases/{kept}").status_code == 200
        ends = time.monotonic() + 20
        while client.get(f"/api/v1/cases/{old}").status_code != 404:
            assert time.monotonic() < ends
            time.sleep(0.05)
    assert not (settings.data / "pictures" / old[:2] / old).exists()


@pytest.mark.shared
def test_the_shipped_networks_read_formats_alike(make_settings: MakeSettings, shared_data: Path) -> None:
    from PIL import Image

    chest = next(iter(sorted((shared_data / "cxr_nih").glob("*"))))
    dicom = next(iter(sorted((shared_data / "dicom").glob("*.dcm"))))
    shipped = {"gate": "gate", "kind": "kind", "model": "findings"}
    with running(make_settings(**shipped)) as client:
        first = diagnose(client, chest.read_bytes())
        assert first["kind"]["label"] == "chest_frontal"  # type: ignore[index]
        import pillow_heif

        pillow_heif.register_heif_opener()
        for format in ("PNG", "WEBP", "HEIF"):
            data = io.BytesIO()
            with Image.open(chest) as opened:
                opened.convert("RGB").save(data, format, **({"lossless": True} if format == "WEBP" else {}))
            again = diagnose(client, data.getvalue())
            difference = abs(
                again["findings"]["Pneumonia"]["score"] - first["findings"]["Pneumonia"]["score"]  # type: ignore[index]
            )
            assert difference < 0.05, format
        answer = client.post("/api/v1/diagnose", content=dicom.read_bytes())
        assert answer.status_code in (200, 415), answer.text


def test_two_readers_see_their_own_cases_only(closed: TestClient) -> None:
    ana, ben = sign_in(closed, "ana"), sign_in(closed, "ben")
    case_id = case_of(ana)
    job = ana.post("/api/v1/jobs", files=[("file", ("a", CHEST))]).json()
    here = f"/api/v1/cases/{case_id}"
    assert ana.get(here).status_code == 200
    for answer in (
        ben.get(here),
        ben.delete(here),
        ben.get(f"{here}/image.jpg"),
        ben.get(f"{here}/heatmaps/Edema.png"),
        ben.get(f"{here}/export.json"),
        ben.put(f"{here}/verdict", json={"verdict": "agree"}),
        ben.get(job["url"]),
        ben.get(job["events_url"]),
    ):
        assert answer.status_code == 404
    assert ben.get("/api/v1/cases").json()["cases"] == []
    assert ana.get(here).json()["verdict"] is None
