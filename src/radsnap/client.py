"""A client of `radsnap serve`: the API as typed Python. Needs httpx (the extra `web`) and nothing else of radsnap."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from radsnap.errors import RadsnapError, UsageError
from radsnap.extras import need

Picture = str | os.PathLike[str] | bytes
Format = Literal["json", "csv", "pdf", "dcm", "sr.dcm"]
Verdict = Literal["agree", "disagree"]
_BUSY = frozenset({429, 503})


class Refused(RadsnapError):
    """What the server said no with: HTTP status, code, sentence and advice."""

    def __init__(self, status: int, code: str, message: str, what_to_do: str) -> None:
        super().__init__(f"{message}; {what_to_do}")
        self.status, self.code, self.message, self.what_to_do = status, code, message, what_to_do


@dataclass(frozen=True)
class Finding:
    """One finding: score in [0, 1], calibrated probability or None, the word for it and why."""

    score: float
    probability: float | None
    word: str
    reason: str


@dataclass(frozen=True)
class Reading:
    """One picture, read as far as the chain went. `json` is all the server said; `case_id` None if not stored."""

    xray: bool
    kind: str | None
    domain: str | None
    findings: Mapping[str, Finding] | None
    reason: str | None
    quality: tuple[str, ...]
    case_id: str | None
    json: Mapping[str, Any]

    def said(self, *words: str) -> list[str]:
        """Name the findings that carry one of these words, the highest score first."""
        named = self.findings or {}
        return sorted(
            (name for name in named if named[name].word in words), key=lambda name: -named[name].score
        )


@dataclass(frozen=True)
class CaseSummary:
    """A case in a list."""

    id: str
    created_at: str
    xray: bool
    kind: str | None
    domain: str | None
    likely: tuple[str, ...]
    possible: tuple[str, ...]
    verdict: str | None


@dataclass(frozen=True)
class Case(CaseSummary):
    """A case with its reading and what its reader said of it."""

    reading: Reading
    note: str
    width: int
    height: int


@dataclass(frozen=True)
class JobItem:
    """One picture of a job: its place among those sent, and its case or what was wrong."""

    index: int
    status: str
    case: CaseSummary | None
    error: str | None


class Client:
    """Speaks to one server. A server beyond this machine asks for a token: see `sign_in`.

    A busy server (429, 503) is asked again for `patience_s` seconds. Every method raises Refused for an
    answer that is an error or another address, and RadsnapError when the server cannot be reached or is no
    radsnap. `verify` may name a certificate, PEM; raises UsageError where it cannot be read.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        token: str | None = None,
        *,
        timeout_s: float = 60.0,
        patience_s: float = 60.0,
        verify: str | bool = True,
    ) -> None:
        self._httpx = need("httpx", extra="web")
        sent = {} if token is None else {"Authorization": f"Bearer {token}"}
        trust: Any = verify
        if isinstance(verify, str):
            import ssl

            try:
                trust = ssl.create_default_context(cafile=verify)
            except OSError as error:
                raise UsageError(
                    f"{verify} cannot be trusted ({error.strerror}); name a certificate, PEM"
                ) from error
        self._http = self._httpx.Client(base_url=url, headers=sent, timeout=timeout_s, verify=trust)
        self._patience_s = patience_s

    @classmethod
    def sign_in(cls, url: str, code: str, name: str = "", *, days: int = 1, **options: Any) -> Client:
        """Trade an access code for a token of some days, and use it. Options are the constructor's."""
        with cls(url, **options) as stranger:
            given = {"code": code, "name": name, "days": days, "label": "radsnap.Client"}
            token = stranger._json("POST", "/api/v1/tokens", json=given)["token"]
        return cls(url, token, **options)

    def diagnose(self, image: Picture, *, store: bool = True) -> Reading:
        """Read one picture: a path, or a file's bytes."""
        asked = {"store": "true" if store else "false"}
        return _reading(self._json("POST", "/api/v1/diagnose", content=_bytes(image), params=asked))

    def diagnose_many(self, images: Iterable[Picture], *, every_s: float = 0.5) -> Iterator[JobItem]:
        """Read several pictures as one job; gives each as it is done or has failed."""
        files = [("file", (f"{index}", _bytes(image))) for index, image in enumerate(images)]
        job = self._json("POST", "/api/v1/jobs", files=files)
        told: set[int] = set()
        while True:
            for item in job["items"]:
                if item["status"] in ("done", "failed") and item["index"] not in told:
                    told.add(item["index"])
                    yield _item(item)
            if job["status"] == "done":
                return
            time.sleep(every_s)
            job = self._json("GET", job["url"])

    def cases(
        self, query: str = "", *, finding: str = "", word: str = "", verdict: str = ""
    ) -> Iterator[CaseSummary]:
        """List your cases, the newest first; pages are fetched as they are needed."""
        asked = {
            "query": query,
            "finding": finding,
            "word": word,
            "verdict": verdict,
            "cursor": "",
            "limit": "100",
        }
        while True:
            page = self._json("GET", "/api/v1/cases", params=asked)
            yield from (_summary(case) for case in page["cases"])
            if page["next"] is None:
                return
            asked["cursor"] = page["next"]

    def case(self, case_id: str) -> Case:
        """Get one of your cases."""
        return _case(self._json("GET", f"/api/v1/cases/{case_id}"))

    def judge(self, case_id: str, verdict: Verdict | None, note: str = "") -> Case:
        """Keep your own verdict and note; None takes the verdict back."""
        given = {"verdict": verdict, "note": note}
        return _case(self._json("PUT", f"/api/v1/cases/{case_id}/verdict", json=given))

    def delete(self, case_id: str) -> None:
        """Delete a case for good."""
        self._ask("DELETE", f"/api/v1/cases/{case_id}")

    def image(self, case_id: str) -> bytes:
        """Get a case's picture, a JPEG."""
        return self._content(f"/api/v1/cases/{case_id}/image.jpg")

    def straightened(self, case_id: str) -> bytes:
        """Get the x-ray that was found in a case's photo, cut out, straight and upright, a JPEG."""
        return self._content(f"/api/v1/cases/{case_id}/straightened.jpg")

    def heat_map(self, case_id: str, finding: str, *, straightened: bool = False) -> bytes:
        """Get where the network looked for a finding, a grey PNG over the whole picture or the straightened x-ray."""
        from urllib.parse import quote

        place = f"/api/v1/cases/{case_id}/heatmaps/{quote(finding, safe='')}.png"
        return self._content(f"{place}?straightened=true" if straightened else place)

    def export(self, case_id: str, format: Format) -> bytes:
        """Get a case as JSON, CSV, PDF, DICOM image or DICOM structured report."""
        return self._content(f"/api/v1/cases/{case_id}/export.{format}")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _json(self, method: str, path: str, **sent: Any) -> Any:
        answer = self._ask(method, path, **sent)
        try:
            return answer.json()
        except ValueError as error:
            raise RadsnapError(
                f"the server at {self._http.base_url} answered with no JSON; is the address radsnap's?"
            ) from error

    def _content(self, path: str) -> bytes:
        return bytes(self._ask("GET", path).content)

    def _ask(self, method: str, path: str, **sent: Any) -> Any:
        ends = time.monotonic() + self._patience_s
        while True:
            try:
                answer = self._http.request(method, path, **sent)
            except self._httpx.HTTPError as error:
                raise RadsnapError(
                    f"the server at {self._http.base_url} cannot be reached ({type(error).__name__}); is it running?"
                ) from error
            if answer.is_success:
                return answer
            wait = _wait_s(answer)
            # only what was refused unread is sent again
            if answer.status_code not in _BUSY or time.monotonic() + wait > ends:
                raise _refused(answer)
            time.sleep(wait)


def _bytes(image: Picture) -> bytes:
    if isinstance(image, bytes):
        return image
    try:
        return Path(image).read_bytes()
    except OSError as error:
        raise UsageError(f"{image} cannot be read ({error.strerror}); check the path") from error


def _wait_s(answer: Any) -> float:
    told = answer.headers.get("Retry-After", "")
    return float(told) if told.isdigit() else 1.0


def _refused(answer: Any) -> Refused:
    try:
        error = answer.json()["error"]
        return Refused(answer.status_code, error["code"], error["message"], error["what_to_do"])
    except (ValueError, LookupError, TypeError):  # a proxy's own page
        elsewhere = answer.headers.get("Location")
        return Refused(
            answer.status_code,
            "unknown",
            f"the server answered {answer.status_code}",
            f"it is at {elsewhere}" if elsewhere else "is the address radsnap's?",
        )


def _reading(told: Mapping[str, Any]) -> Reading:
    findings = told.get("findings")
    return Reading(
        xray=bool((told["gate"] or {}).get("passed")),
        kind=(told["kind"] or {}).get("label"),
        domain=told["domain"],
        findings=None
        if findings is None
        else {
            name: Finding(one["score"], one["probability"], one["word"], one["reason"])
            for name, one in findings.items()
        },
        reason=told.get("reason"),
        quality=tuple(remark["sentence"] for remark in told["quality"]),
        case_id=(told.get("case") or {}).get("id"),
        json=told,
    )


def _known(case: Mapping[str, Any]) -> dict[str, Any]:
    alike = {name: case[name] for name in ("id", "created_at", "xray", "kind", "domain", "verdict")}
    return {**alike, "likely": tuple(case["likely"]), "possible": tuple(case["possible"])}


def _summary(case: Mapping[str, Any]) -> CaseSummary:
    return CaseSummary(**_known(case))


def _case(case: Mapping[str, Any]) -> Case:
    size = {"width": case["width"], "height": case["height"]}
    return Case(**_known(case), **size, reading=_reading(case["diagnosis"]), note=case["note"])


def _item(item: Mapping[str, Any]) -> JobItem:
    case, error = item["case"], item["error"]
    return JobItem(
        index=item["index"],
        status=item["status"],
        case=None if case is None else _summary(case),
        error=None if error is None else f"{error['message']}; {error['what_to_do']}",
    )
