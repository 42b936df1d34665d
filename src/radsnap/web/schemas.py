"""What the API takes and gives, as types; the OpenAPI document is made of them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

WordName = Literal["likely", "possible", "unlikely", "not assessed"]
Verdict = Literal["agree", "disagree"]
NO_NUL = r"^[^\x00]*$"  # PostgreSQL's text holds none


class _Out(BaseModel):
    # A reading may say more than this page knows: what is new passes.
    model_config = ConfigDict(extra="allow", populate_by_name=True)


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorDetail(BaseModel):
    """What went wrong: a code for programs, a sentence, and what to do."""

    code: str = Field(examples=["not_an_image"])
    message: str
    what_to_do: str


class ErrorAnswer(BaseModel):
    """The one shape of every error."""

    error: ErrorDetail


class GateOut(_Out):
    """Whether the picture is an x-ray."""

    xray: float = Field(ge=0, le=1)
    passed: bool


class KindOut(_Out):
    """Which x-ray it is."""

    label: str = Field(examples=["chest_frontal"])
    scores: dict[str, float]


class FindingOut(_Out):
    """One finding. `probability` is null where the network is not calibrated for such pictures."""

    score: float = Field(ge=0, le=1)
    probability: float | None
    word: WordName
    reason: str


class RemarkOut(_Out):
    """Something about the picture that may spoil its reading."""

    name: str
    sentence: str
    value: float
    threshold: float


class OutlineOut(_Out):
    """An x-ray's corners as shares of the picture's sides, the one that is upper left when it is upright first."""

    corners: list[list[float]]
    aspect: float = Field(gt=0, description="its own width over its height")
    sure: bool = Field(
        description="whether it was found surely; findings are read straightened either way, gate and kind of a sure one only"
    )


class CaseLink(BaseModel):
    """Where a stored case is."""

    id: str
    url: str = Field(description="the case's page; its JSON is at /api/v1/cases/{id}")


class DiagnosisOut(_Out):
    """One picture, read as far as the chain went. Without `findings`, `reason` says why."""

    schema_: int = Field(alias="schema")
    ok: bool
    error: str | None
    domain: str | None = Field(description="what the camera saw: digital, screen or film")
    corners_px: list[list[float]] | None = Field(
        description="the x-ray's corners in a photo that was read straightened, in pixels of the file that was sent"
    )
    outline: OutlineOut | None = Field(
        None, description="where an x-ray was found in a photo, sure or not; null where it fills the picture"
    )
    lungs: dict[str, Any] | None
    gate: GateOut | None
    kind: KindOut | None
    findings: dict[str, FindingOut] | None = None
    reason: str | None = None
    quality: list[RemarkOut]
    model: dict[str, Any] = Field(description="radsnap's version, and name and sha256 of each network")
    ms: dict[str, float] = Field(description="milliseconds by stage, and in total")
    heat_maps: list[str] = Field(description="findings that have a heat map")
    notice: str
    case: CaseLink | None = Field(None, description="null with ?store=false")


class CaseSummary(BaseModel):
    """A case in a list."""

    id: str
    url: str
    created_at: str = Field(description="ISO 8601, UTC")
    kind: str | None = Field(description="which x-ray; null when it is none")
    domain: str | None
    xray: bool
    assessed: bool = Field(description="whether findings were asked for")
    likely: list[str]
    possible: list[str]
    quality: list[str] = Field(description="names of the remarks on the picture")
    verdict: Verdict | None
    thumbnail_url: str


class CaseList(BaseModel):
    """A page of cases, the newest first."""

    cases: list[CaseSummary]
    next: str | None = Field(description="the cursor of the next page; null on the last")


class CaseOut(CaseSummary):
    """A case with all that is known of it."""

    width: int = Field(description="of image.jpg, in pixels")
    height: int
    diagnosis: DiagnosisOut
    note: str
    verdict_at: str | None
    image_url: str
    heat_map_urls: dict[str, str] = Field(
        description="by finding: a grey PNG over the whole picture, white where the network looked most"
    )
    straightened_url: str | None = Field(
        description="the x-ray alone, straight and upright; null without an outline. "
        "`?straightened=true` after a heat map's address gives the map that lies over it"
    )
    export_urls: dict[str, str]


class VerdictIn(_In):
    """A reader's own verdict on a case."""

    verdict: Verdict | None = Field(description="null takes it back")
    note: str = Field("", max_length=2000)


class JobItem(BaseModel):
    """One picture of a job; `index` is its place among the files sent."""

    index: int
    status: Literal["waiting", "running", "done", "failed"]
    case: CaseSummary | None = None
    error: ErrorDetail | None = None


class JobOut(BaseModel):
    """Several pictures, read one after the other."""

    id: str
    url: str
    events_url: str
    status: Literal["running", "done"]
    done: int = Field(description="items that are done or failed")
    total: int
    items: list[JobItem]


class SessionIn(_In):
    """How a person signs in."""

    code: str = Field(min_length=1, max_length=200)
    name: str = Field(
        "", max_length=80, pattern=NO_NUL, description="may be left out where there is one reader"
    )


class SessionOut(BaseModel):
    """Who is signed in. A page sends `csrf_token` as X-CSRF-Token with every change it asks for."""

    user: str
    csrf_token: str | None
    open: bool = Field(description="whether this server asks for no code")


class TokenIn(SessionIn):
    """How a program gets its token."""

    label: str = Field("", max_length=80, pattern=NO_NUL)
    days: int = Field(90, ge=1, le=3650)


class TokenOut(BaseModel):
    """A token, shown this once. Send it as `Authorization: Bearer TOKEN`."""

    id: str
    token: str
    label: str
    expires_at: str


class HealthOut(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class ReadyOut(BaseModel):
    """Whether pictures can be read and cases kept."""

    ready: bool
    workers: int = Field(description="workers with their networks loaded")
    waiting: int = Field(description="pictures in the queue")
    database: bool


class ModelOut(BaseModel):
    """A network in use, with its card."""

    stage: str
    name: str
    sha256: str
    card: dict[str, Any]


class AboutOut(BaseModel):
    """What this server is and what it does not do."""

    radsnap: str
    notice: str
    models: list[ModelOut]
    limits: dict[str, int | float | None]
