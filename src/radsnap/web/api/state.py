"""What this server is, and how it does."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from radsnap import __version__
from radsnap.reading.report import NOTICE
from radsnap.web.access import CurrentUser
from radsnap.web.api.answers import errors, file
from radsnap.web.desk import Desk
from radsnap.web.schemas import AboutOut, HealthOut, ReadyOut
from radsnap.web.storage.database import answers

router = APIRouter(tags=["state"])
_NO_STORE = {"Cache-Control": "no-store"}


@router.get("/health", summary="Does it answer", response_model=HealthOut)
async def health() -> Response:
    """The process answers. For a supervisor; says nothing of networks and database."""
    return JSONResponse({"status": "ok"}, headers=_NO_STORE)


@router.get(
    "/ready",
    summary="Can it read",
    response_model=ReadyOut,
    responses={503: {"model": ReadyOut, "description": "not yet, or not now"}},
)
async def ready(request: Request) -> Response:
    """Tell whether pictures can be read and cases kept. For a load balancer."""
    desk: Desk = request.app.state.desk
    counts = desk.workers.counts
    database = await run_in_threadpool(answers, desk.cases.engine)
    good = database and counts.ready > 0
    told = {"ready": good, "workers": counts.ready, "waiting": counts.waiting, "database": database}
    return JSONResponse(told, 200 if good else 503, headers=_NO_STORE)


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={**errors(), **file("text/plain")},
)
async def metrics(request: Request, user: CurrentUser) -> Response:
    """Figures in Prometheus' text format; give its scraper a token."""
    desk: Desk = request.app.state.desk
    return Response(desk.metrics.text(), media_type=CONTENT_TYPE_LATEST, headers=_NO_STORE)


@router.get("/api/v1/about", summary="Models, versions, limits", response_model=AboutOut, responses=errors())
async def about(request: Request, user: CurrentUser) -> Response:
    """See the networks in use with their cards, and what this server takes."""
    desk: Desk = request.app.state.desk
    settings = desk.settings
    models = [
        {"stage": stage, "name": card.name, "sha256": card.sha256, "card": card.model_dump(mode="json")}
        for stage, card in desk.cards.items()
    ]
    limits = settings.model_dump(
        include={"max_bytes", "max_pixels", "max_files", "timeout_s", "retention_days"}
    )
    told = {"radsnap": __version__, "notice": NOTICE, "models": models, "limits": limits}
    return JSONResponse(told, headers=_NO_STORE)
