"""The messenger door, against a fake of the WhatsApp Business Cloud API with its documented payloads."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from tests.web.conftest import CHEST, CODES, MakeSettings, a_reading, wait_ready

from radsnap.errors import ImageTooLarge, UsageError
from radsnap.serving.uploads import Upload
from radsnap.web.app import create_app
from radsnap.web.errors import ApiError, add_error_handlers
from radsnap.web.messenger import Incoming, MessengerFault, messenger, wording
from radsnap.web.messenger.answering import Answering, door_of
from radsnap.web.messenger.whatsapp import Account, WhatsApp, from_environment
from radsnap.web.storage.new import NewCase, NewFile

PHONE_ID, SENDER = "106540352242922", "16505551234"
TOKEN, VERIFY, SECRET = "the-token", "the-verify-token", "the-app-secret"
DOOR = "/messenger/whatsapp"
LOOKASIDE = "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid="
MIB = 1 << 20


class Service:
    """The API of the messenger's service: keeps what is sent, serves media, fails when told to."""

    def __init__(self) -> None:
        self.media: dict[str, bytes] = {"2754859441498128": CHEST}
        self.sent: list[dict[str, Any]] = []
        self.uploaded: dict[str, bytes] = {}
        self.url_of, self.told_size = LOOKASIDE, True
        self.failures: list[int] = []
        self.asked: list[str] = []
        self.app = Starlette(
            routes=[
                Route("/v23.0/{media_id}", self._where),
                Route("/whatsapp_business/attachments/", self._file),
                Route(f"/v23.0/{PHONE_ID}/messages", self._message, methods=["POST"]),
                Route(f"/v23.0/{PHONE_ID}/media", self._upload, methods=["POST"]),
            ]
        )

    def whatsapp(self, waits_s: tuple[float, ...] = (0.0, 0.0)) -> WhatsApp:
        """The messenger, whose every request comes here."""
        return WhatsApp(Account(TOKEN, VERIFY, SECRET, PHONE_ID), waits_s, httpx.ASGITransport(self.app))

    def _refused(self, request: Request) -> Response | None:
        self.asked.append(f"{request.method} {request.url.hostname}{request.url.path}")
        if self.failures:
            return JSONResponse({"error": {"code": 2}}, self.failures.pop(0))
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"error": {"code": 190, "type": "OAuthException"}}, 401)
        return None

    async def _where(self, request: Request) -> Response:
        media_id = request.path_params["media_id"]
        if (refused := self._refused(request)) is not None:
            return refused
        if media_id not in self.media:
            return JSONResponse({"error": {"code": 100, "error_subcode": 33}}, 400)
        data = self.media[media_id]
        size = len(data) if self.told_size else 1
        told = {"messaging_product": "whatsapp", "url": f"{self.url_of}{media_id}", "mime_type": "image/jpeg",
                "sha256": hashlib.sha256(data).hexdigest(), "file_size": size, "id": media_id}  # fmt: skip
        return JSONResponse(told)

    async def _file(self, request: Request) -> Response:
        return self._refused(request) or Response(self.media[request.query_params["mid"]])

    async def _message(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        message = await request.json()
        self.sent.append(message)
        return JSONResponse(
            {
                "messaging_product": "whatsapp",
                "contacts": [{"input": message["to"], "wa_id": message["to"]}],
                "messages": [{"id": "wamid.answer"}],
            }
        )

    async def _upload(self, request: Request) -> Response:
        if (refused := self._refused(request)) is not None:
            return refused
        async with request.form() as form:
            assert (form["messaging_product"], form["type"]) == ("whatsapp", "image/jpeg")
            self.uploaded["4490709327384033"] = await form["file"].read()  # type: ignore[union-attr]
        return JSONResponse({"id": "4490709327384033"})

    def texts(self) -> list[str]:
        return [sent["text"]["body"] for sent in self.sent if sent["type"] == "text"]


class StubDesk:
    """A desk that reads every picture as it is told to."""

    def __init__(self, folder: Path) -> None:
        self.settings = SimpleNamespace(max_bytes=MIB)
        self.incoming, self.told = folder, diagnosis()
        self.errors: list[ApiError] = []
        self.reads: list[bytes] = []
        self.kept: list[int] = []
        self.cases = SimpleNamespace(add=lambda user_id, _: self.kept.append(user_id))

    @contextlib.asynccontextmanager
    async def read(self, upload: Upload, keep: bool) -> AsyncIterator[NewCase]:
        self.reads.append(upload.read())
        if self.errors:
            raise self.errors.pop(0)
        yield a_new_case(self.incoming, self.told)


def diagnosis(**changed: Any) -> dict[str, Any]:
    def finding(score: float, word: str) -> dict[str, Any]:
        return {"score": score, "probability": score / 2, "word": word, "reason": "a test"}

    findings = {"Edema": finding(0.4, "possible"), "Pneumonia": finding(0.9, "likely"), "Hernia": finding(0.1, "unlikely")}  # fmt: skip
    return {
        "domain": "film", "gate": {"xray": 0.9, "passed": True}, "findings": findings, "quality": [],
        "kind": {"label": "chest_frontal", "scores": {"chest_frontal": 1.0}}, **changed,
    }  # fmt: skip


def a_new_case(folder: Path, told: dict[str, Any]) -> NewCase:
    """A reading with a grey picture and heat for Pneumonia in its right half."""
    files = a_reading(folder).files
    for file in files:
        file.path.write_bytes(CHEST)
    heat = np.zeros((1, 48, 64), np.uint8)
    heat[..., 40:] = 255
    path = folder / "heat.part"
    with path.open("wb") as out:
        np.savez_compressed(out, heat=heat, names=np.frombuffer(b'["Pneumonia"]', np.uint8))
    return NewCase(told, 64, 48, (*files, NewFile("heat", path, "npz")))


def payload(*messages: dict[str, Any], phone_id: str = PHONE_ID) -> dict[str, Any]:
    """What the service posts for messages, as documented."""
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": phone_id},
        "contacts": [{"profile": {"name": "Sheena Nelson"}, "wa_id": SENDER}],
        "messages": list(messages),
    }
    change = {"value": value, "field": "messages"}
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": "102290129340398", "changes": [change]}],
    }


def photo(message_id: str = "wamid.one", media_id: str = "2754859441498128") -> dict[str, Any]:
    image = {
        "mime_type": "image/jpeg",
        "sha256": "SfInY0gGKTsJlUWbwxC1k",
        "id": media_id,
        "caption": "Mr Doe",
    }
    return {"from": SENDER, "id": message_id, "timestamp": "1744344496", "type": "image", "image": image}


def words(message_id: str = "wamid.words") -> dict[str, Any]:
    return {
        "from": SENDER,
        "id": message_id,
        "timestamp": "1744344496",
        "type": "text",
        "text": {"body": "Hello"},
    }


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def desk(tmp_path: Path) -> StubDesk:
    return StubDesk(tmp_path)


@pytest.fixture
def door(service: Service, desk: StubDesk) -> Iterator[TestClient]:
    """The webhook over a desk that does not compute."""
    whatsapp = service.whatsapp()

    @contextlib.asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        answering = app.state.answering = Answering(whatsapp, desk, waiting=4)  # type: ignore[arg-type]
        answering.start()
        yield
        await answering.stop()

    app = FastAPI(lifespan=life)
    add_error_handlers(app)
    app.include_router(door_of(whatsapp))
    with TestClient(app) as client:
        yield client


def post(client: TestClient, told: Any, secret: str = SECRET) -> Any:
    """Deliver a payload as the service does, signed."""
    body = json.dumps(told).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"}
    return client.post(DOOR, content=body, headers=headers)


def deliver(client: TestClient, told: Any) -> None:
    """Deliver a payload and wait until it is answered."""
    assert post(client, told).status_code == 200
    client.portal.call(client.app.state.answering.answered)  # type: ignore[union-attr,attr-defined]


def test_the_challenge_goes_back_to_who_knows_the_token_only(door: TestClient) -> None:
    asked = {"hub.mode": "subscribe", "hub.verify_token": VERIFY, "hub.challenge": "1158201444"}
    answer = door.get(DOOR, params=asked)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert answer.headers["content-type"].startswith("text/plain")
    for wrong in ({"hub.verify_token": "guess"}, {"hub.verify_token": "tökén"}, {"hub.mode": "other"}):
        refused = door.get(DOOR, params=asked | wrong)
        assert refused.status_code == 403
        assert "1158201444" not in refused.text


def test_a_forged_or_missing_signature_is_refused_and_nothing_is_asked(
    door: TestClient, service: Service
) -> None:
    assert post(door, payload(photo()), secret="guess").status_code == 403
    body = json.dumps(payload(photo())).encode()
    right = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    for signature in ("", right, f"sha1={right}", f"sha256={right.upper()}", "sha256=\xe9"):
        headers = {"X-Hub-Signature-256": signature.encode("latin-1")}
        assert door.post(DOOR, content=body, headers=headers).status_code == 403
    changed = body.replace(b"Mr Doe", b"Mr Roe")
    assert (
        door.post(DOOR, content=changed, headers={"X-Hub-Signature-256": f"sha256={right}"}).status_code
        == 403
    )
    assert service.asked == []


def test_a_photo_is_answered_with_text_and_overlay(
    door: TestClient, service: Service, desk: StubDesk
) -> None:
    deliver(door, payload(photo()))
    text, image = service.sent
    assert {one["to"] for one in service.sent} == {SENDER}
    assert {one["context"]["message_id"] for one in service.sent} == {"wamid.one"}
    assert text["text"]["body"] == (
        "X-ray: frontal chest (photo of a film).\n\n"
        "Likely: Pneumonia (45%).\nPossible: Edema (20%).\n\n"
        "Research software, not a medical device. Nothing here replaces a radiologist's reading.\n\n"
        "The picture shows where the network looked for: Pneumonia."
    )
    assert (image["type"], image["image"]) == ("image", {"id": "4490709327384033"})
    sent = cv2.imdecode(np.frombuffer(service.uploaded["4490709327384033"], np.uint8), cv2.IMREAD_COLOR_RGB)
    assert sent is not None
    spread = sent.max(axis=2).astype(int) - sent.min(axis=2)
    assert sent.shape == (48, 64, 3)
    assert spread[:, :30].max() < 12, "cold and grey where the network did not look"
    assert spread[:, 50:].min() > 40, "coloured where it did"
    assert desk.reads == [CHEST]
    assert desk.kept == [], "without a reader nothing is kept"


def test_a_document_is_read_like_a_photo(door: TestClient, service: Service, desk: StubDesk) -> None:
    document = {
        "id": "2754859441498128",
        "filename": "DOE_JOHN.jpg",
        "mime_type": "image/jpeg",
        "sha256": "x",
    }
    deliver(door, payload({"from": SENDER, "id": "wamid.two", "type": "document", "document": document}))
    assert desk.reads == [CHEST]


def test_what_is_no_x_ray_is_said_to_be_none_without_a_picture(
    door: TestClient, service: Service, desk: StubDesk
) -> None:
    desk.told = diagnosis(gate={"xray": 0.1, "passed": False}, kind=None, findings=None)
    deliver(door, payload(photo()))
    (text,) = service.texts()
    assert text.startswith("This does not look like an x-ray.\n\nIt is grey like a scan.")
    assert "not a medical device" in text
    assert service.uploaded == {}


@pytest.mark.parametrize("kind", ["text", "audio", "video", "location", "sticker", "unsupported"])
def test_other_messages_get_a_help_text(door: TestClient, service: Service, kind: str) -> None:
    deliver(door, payload({"from": SENDER, "id": "wamid.other", "type": kind, kind: {"id": "1"}}))
    assert service.texts() == [wording.HELP]


def test_statuses_reactions_and_other_numbers_get_no_answer(door: TestClient, service: Service) -> None:
    status = payload()
    status["entry"][0]["changes"][0]["value"]["statuses"] = [{"id": "wamid.x", "status": "sent", "recipient_id": SENDER}]  # fmt: skip
    reaction = {"from": SENDER, "id": "wamid.r", "type": "reaction", "reaction": {"emoji": "x"}}
    for told in (
        status,
        payload(reaction),
        payload(photo(), phone_id="1"),
        [],
        {"entry": [{"changes": 3}]},
        None,
    ):
        deliver(door, told)
    assert post(door, payload({"from": 3, "id": [], "type": {}})).status_code == 200
    assert service.asked == []


@pytest.mark.parametrize("told_size", [True, False])
def test_a_file_beyond_the_bound_is_left_and_its_sender_told(
    door: TestClient, service: Service, desk: StubDesk, told_size: bool
) -> None:
    service.media["big"], service.told_size = bytes(MIB + 1), told_size
    deliver(door, payload(photo(media_id="big")))
    assert service.texts() == [
        "This file cannot be read. The file: more than 1,048,576 bytes. Make the file smaller first."
    ]
    assert desk.reads == []
    assert any("attachments" in asked for asked in service.asked) is not told_size


def test_a_file_that_is_no_picture_is_named(door: TestClient, service: Service) -> None:
    service.media["text"] = b"dear doctor, " * 20
    deliver(door, payload(photo(media_id="text")))
    assert "this is text, not an image" in service.texts()[0]


def test_a_message_delivered_again_is_answered_once(
    door: TestClient, service: Service, desk: StubDesk
) -> None:
    deliver(door, payload(photo(), photo()))
    deliver(door, payload(photo()))
    assert (len(desk.reads), len(service.texts())) == (1, 1)


def test_a_service_that_is_down_for_a_moment_is_asked_again(door: TestClient, service: Service) -> None:
    service.failures = [503, 500]
    deliver(door, payload(photo()))
    assert len(service.texts()) == 1


def test_a_service_that_stays_down_is_given_up_and_logged_without_anybodys_data(
    door: TestClient, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.failures = [503] * 6
    with caplog.at_level(logging.DEBUG):
        deliver(door, payload(photo()))
        assert (len(service.asked), service.sent) == (6, []), "three times for the file, three for an answer"
        deliver(door, payload(words()))
    assert "a message's file was not got: the service answered 503" in caplog.messages
    assert "a message is left unanswered: the service answered 503" in caplog.messages
    assert service.texts() == [wording.HELP], "the next message is answered"
    logged = caplog.text
    for secret in (SENDER, PHONE_ID, TOKEN, SECRET, "wamid", "2754859441498128", "Sheena", "Mr Doe"):
        assert secret not in logged


def test_who_sent_a_file_that_is_gone_is_told_to_send_it_again(door: TestClient, service: Service) -> None:
    deliver(door, payload(photo(media_id="gone")))
    assert service.texts() == [wording.LATER]
    assert len(service.asked) == 2, "what the service refuses is not asked for again"


def test_a_picture_that_failed_here_is_asked_for_later_and_a_full_queue_is_waited_for(
    door: TestClient, service: Service, desk: StubDesk
) -> None:
    desk.errors = [ApiError(429, "busy", "", "", {"Retry-After": "0"}), ApiError(504, "too_slow", "", "")]
    deliver(door, payload(photo()))
    assert len(desk.reads) == 2
    assert service.texts() == [wording.LATER]


def test_messages_without_room_are_to_be_delivered_again(service: Service, desk: StubDesk) -> None:
    # nobody works here: the queue stays full
    answering = Answering(service.whatsapp(), desk, waiting=2)  # type: ignore[arg-type]
    three = [Incoming(f"wamid.{number}", SENDER) for number in range(3)]
    assert answering.take(three) is False
    assert answering.take(three[:2]) is True, "what was taken is known"
    assert answering.take(three[2:]) is False


def test_who_sends_without_end_is_not_read_without_end(service: Service, desk: StubDesk) -> None:
    answering = Answering(service.whatsapp(), desk, waiting=1000)  # type: ignore[arg-type]
    assert answering.take(Incoming(f"wamid.{number}", SENDER) for number in range(200))
    assert answering.take([Incoming("wamid.other", "4915112345678")])
    assert 30 <= answering._queue.qsize() <= 40


@pytest.mark.parametrize(
    "url",
    [
        "http://lookaside.fbsbx.com/?mid=",
        "https://evil.example/?mid=",
        "https://lookaside.fbsbx.com.evil.example/?mid=",
        "https://evillookaside.fbsbx.com/?mid=",
        "https://lookaside.fbsbx.com:8443/?mid=",
        "https://graph.facebook.com@127.0.0.1/?mid=",
        "http://127.0.0.1:8000/?mid=",
        "http://169.254.169.254/?mid=",
        "https://[::1]/?mid=",
        "file:///etc/passwd?mid=",
        "https://[/?mid=",
    ],
)
def test_a_file_is_fetched_from_the_services_own_hosts_only(service: Service, url: str) -> None:
    service.url_of = url
    with pytest.raises(MessengerFault, match="address"):
        asyncio.run(service.whatsapp().fetch("2754859441498128", MIB))
    assert len(service.asked) == 1


@pytest.mark.parametrize("media_id", ["", "..", "../me", "a/b", "a?b", "a" * 300])
def test_a_media_id_cannot_change_the_address(service: Service, media_id: str) -> None:
    with pytest.raises(MessengerFault, match="a media id of a wrong form"):
        asyncio.run(service.whatsapp().fetch(media_id, MIB))
    assert service.asked == []


def test_redirects_are_not_followed_and_packed_bodies_not_unpacked() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if request.url.path.endswith("/id"):
            return httpx.Response(302, headers={"Location": "https://evil.example/"})
        told = json.dumps({"url": f"{LOOKASIDE}x", "file_size": 10}).encode()
        return httpx.Response(200, stream=httpx.ByteStream(told))

    whatsapp = WhatsApp(Account(TOKEN, VERIFY, SECRET, PHONE_ID), (), httpx.MockTransport(answer))
    with pytest.raises(MessengerFault, match="the service answered 302"):
        asyncio.run(whatsapp.fetch("id", MIB))
    assert [request.url.host for request in asked] == ["graph.facebook.com"]
    assert asked[0].headers["accept-encoding"] == "identity"
    with pytest.raises(ImageTooLarge, match="more than 20 bytes"):
        asyncio.run(whatsapp.fetch("other", 20))


def test_an_answer_that_may_have_arrived_is_not_sent_again() -> None:
    asked = []

    def lost(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        raise httpx.ReadTimeout("no answer")

    whatsapp = WhatsApp(Account(TOKEN, VERIFY, SECRET, PHONE_ID), (0.0, 0.0), httpx.MockTransport(lost))
    with pytest.raises(MessengerFault, match=re.escape("the service was not reached (ReadTimeout)")):
        asyncio.run(whatsapp.reply(Incoming("wamid.one", SENDER), "text"))
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"findings": None, "kind": {"label": "chest_lateral", "scores": {"chest_lateral": 1.0}}},
         "Findings are read on frontal chest x-rays only."),
        ({"findings": {"Edema": {"score": 0.1, "probability": None, "word": "unlikely", "reason": ""}}},
         "Nothing stands out. That does not mean that nothing is there."),
        ({"findings": {"Edema": {"score": 0.9, "probability": None, "word": "not assessed", "reason": ""}}},
         "Not assessed on such a picture: 1 of 1 findings."),
        ({"findings": {"Edema": {"score": 0.9, "probability": None, "word": "likely", "reason": ""}}}, "Likely: Edema."),
        ({"quality": [{"name": "blurred", "sentence": "The picture is blurred.", "value": 0, "threshold": 1}]},
         "A better photo would be read better. The picture is blurred. Sent as a document, it keeps its quality."),
    ],
)  # fmt: skip
def test_the_words_say_what_was_read_and_what_spoils_it(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    text = wording.answer(a_new_case(tmp_path, diagnosis(**changed)), CHEST)
    assert said in text
    assert text.endswith(wording.NOTICE)


def test_secrets_come_from_the_environment_and_are_never_shown() -> None:
    given = {
        "RADSNAP_WHATSAPP_TOKEN": TOKEN,
        "RADSNAP_WHATSAPP_VERIFY_TOKEN": VERIFY,
        "RADSNAP_WHATSAPP_APP_SECRET": SECRET,
        "RADSNAP_WHATSAPP_PHONE_ID": PHONE_ID,
    }
    made = from_environment(given | {"RADSNAP_WHATSAPP_URL": "http://127.0.0.1:9"})
    assert (made.account.url, made.account.token) == ("http://127.0.0.1:9", TOKEN)
    assert not [secret for secret in given.values() if secret in repr(made.account)]
    assert SENDER not in repr(Incoming("wamid.one", SENDER, "1"))
    with pytest.raises(UsageError, match="lacks RADSNAP_WHATSAPP_APP_SECRET; see"):
        messenger("whatsapp", {**given, "RADSNAP_WHATSAPP_APP_SECRET": ""})
    with pytest.raises(UsageError, match="RADSNAP_WHATSAPP_URL: needs https, got 'http'"):
        from_environment(given | {"RADSNAP_WHATSAPP_URL": "http://graph.example"})
    with pytest.raises(UsageError, match="RADSNAP_WHATSAPP_PHONE_ID: not one"):
        from_environment(given | {"RADSNAP_WHATSAPP_PHONE_ID": "../1"})
    with pytest.raises(UsageError, match="no messenger 'pigeon'; known are: whatsapp"):
        messenger("pigeon", given)


def test_cases_are_kept_for_a_reader_of_the_server_only(make_settings: MakeSettings) -> None:
    assert make_settings(codes=CODES, messenger_reader="ana").messenger_reader == "ana"
    with pytest.raises(ValueError, match="known are: ana, ben, cora") as told:
        make_settings(codes=CODES, messenger_reader="dora")
    assert CODES["ana"] not in str(told.value)


def test_the_server_reads_a_message_and_keeps_it_for_its_reader(
    make_settings: MakeSettings, service: Service
) -> None:
    settings = make_settings(messenger_reader="local")
    with TestClient(create_app(settings, service.whatsapp()), raise_server_exceptions=False) as client:
        wait_ready(client)
        assert DOOR not in client.get("/openapi.json").json()["paths"]
        assert post(client, payload(photo()), secret="guess").json()["error"]["code"] == "refused"
        deliver(client, payload(photo()))
        (case,) = client.get("/api/v1/cases").json()["cases"]
        assert list((settings.data / "incoming").iterdir()) == []
        about = client.get("/about").text
        assert "A photo sent by messenger (whatsapp), and its answer, pass through that service." in about
        assert "no third parties" not in about
    assert service.texts()[0].startswith("X-ray: frontal chest")
    assert case["kind"] == "chest_frontal"


def test_the_door_is_shut_unless_asked_for(make_settings: MakeSettings) -> None:
    # not started: an address needs no workers
    client = TestClient(create_app(make_settings()), raise_server_exceptions=False)
    assert client.get(DOOR, params={"hub.mode": "subscribe"}).status_code == 404
