"""The API, version 1: handlers that parse, ask the desk and answer."""

from __future__ import annotations

from fastapi import APIRouter

from radsnap.web.api import cases, diagnose, dicomweb, people, state

router = APIRouter()
for part in (diagnose, cases, people, dicomweb, state):
    router.include_router(part.router)
