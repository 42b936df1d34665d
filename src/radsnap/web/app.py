"""The application: one store, one queue, one door, and the pages and the API over them."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles

from radsnap import __version__, serving
from radsnap.models.card import Card, read_card
from radsnap.models.runtime import locate
from radsnap.reading.report import NOTICE
from radsnap.serving.headers import SameOrigin, SecurityHeaders
from radsnap.serving.limits import BodyLimit, RateLimit
from radsnap.serving.run import AccessLog, Timed
from radsnap.serving.tokens import Signer, kept_secret
from radsnap.web import reading
from radsnap.web.access import Door
from radsnap.web.api import router as api
from radsnap.web.desk import Desk
from radsnap.web.errors import add_error_handlers
from radsnap.web.jobs import Jobs
from radsnap.web.lock import held
from radsnap.web.messenger import Messenger
from radsnap.web.messenger.answering import Answering, door_of
from radsnap.web.metrics import Metrics, route_of
from radsnap.web.settings import Settings
from radsnap.web.storage.cases import Cases
from radsnap.web.storage.database import now_us, open_database
from radsnap.web.storage.people import People, User
from radsnap.web.storage.pictures import open_pictures
from radsnap.web.workers import Workers

LOG = logging.getLogger("radsnap.web")
_SMALL = 1 << 16  # what a request without a picture may weigh
_FORM = 1 << 16  # what a form weighs beside its files
_MESSAGES = 4 << 20  # what a messenger's service may tell at once; WhatsApp's may send 3 MB
_DAY_US = 86_400_000_000
_SWEEP_EVERY_S = 900.0


def create_app(settings: Settings, messenger: Messenger | None = None) -> FastAPI:
    """Make the application. Its workers start when it does, and before them `opened` what is not open yet.

    `messenger` is whose messages are read and answered too. Raises WeightsError for a model that is not there.
    """
    cards = cards_of(settings)
    app = FastAPI(
        title="radsnap",
        version=__version__,
        description=f"Reads chest x-rays from phone photos. {NOTICE}",
        lifespan=_life,
        docs_url=None,  # its page would fetch scripts from elsewhere
        redoc_url=None,
        middleware=_middleware(settings),
    )
    workers = Workers(settings.workers, settings.queue, settings.timeout_s, reading.load, (settings,))
    metrics = Metrics(lambda: workers.counts)
    app.add_middleware(Timed, ended=metrics.answered)
    app.state.settings, app.state.workers, app.state.metrics, app.state.cards = (
        settings,
        workers,
        metrics,
        cards,
    )
    add_error_handlers(app)
    app.include_router(api)
    _add_pages(app)
    app.state.messenger, app.state.opened = messenger, False
    if messenger is not None:
        app.include_router(door_of(messenger))
    app.mount("/serving", StaticFiles(directory=Path(serving.__file__).parent / "static"))
    return app


def cards_of(settings: Settings) -> dict[str, Card]:
    """Read the cards of the networks in use, by stage: gate, kind, findings, further kinds of x-ray, lungs."""
    chain = {"gate": settings.gate, "kind": settings.kind}
    last = {} if settings.lungs is None else {"lungs": settings.lungs}
    readers = {"findings" if kind == "chest_frontal" else kind: path for kind, path in settings.chain.items()}
    return {stage: read_card(locate(path)) for stage, path in {**chain, **readers, **last}.items()}


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    workers = app.state.workers
    with ExitStack() as stores:
        if not app.state.opened:
            await run_in_threadpool(stores.enter_context, opened(app))
        await run_in_threadpool(workers.start)
        ends = asyncio.Event()
        sweeping = asyncio.create_task(_sweep(app.state.desk, ends))
        answering = None
        if app.state.messenger is not None:
            reader = await run_in_threadpool(_messages_reader, app)
            answering = app.state.answering = Answering(app.state.messenger, app.state.desk, reader)
            answering.start()
        try:
            yield
        finally:
            ends.set()
            if answering is not None:
                await answering.stop()
            await app.state.jobs.stop()
            await run_in_threadpool(workers.stop)
            await sweeping  # not cancelled: its thread would go on deleting in a database that is closed
            app.state.desk.cases.engine.dispose()


@contextmanager
def opened(app: FastAPI) -> Iterator[None]:
    """Hold an application's data folder and open its database and pictures, as long as the block runs.

    Raises UsageError: the folder is another's, the database away, the pictures of another database.
    """
    settings: Settings = app.state.settings
    with held(settings.data):
        engine = open_database(settings.database_url)
        try:
            _furnish(app, engine)
            app.state.opened = True
            yield
        finally:
            app.state.opened = False
            engine.dispose()


def _furnish(app: FastAPI, engine: Engine) -> None:
    settings: Settings = app.state.settings
    cases = Cases(engine, open_pictures(settings.images, settings.data / "pictures"))
    cases.claim()
    people = People(engine)
    people.set_codes(settings.codes)
    app.state.door = Door(settings, people, Signer(kept_secret(settings.data / "secret")))
    incoming = cleared(settings.data / "incoming")
    app.state.desk = Desk(settings, cases, app.state.workers, app.state.metrics, app.state.cards, incoming)
    app.state.jobs = Jobs(app.state.desk)


def _messages_reader(app: FastAPI) -> User | None:
    name = app.state.settings.messenger_reader
    return None if name is None else app.state.door.people.user(name)


def cleared(folder: Path) -> Path:
    """Empty the folder for what comes in: whatever a killed server left there is nobody's case."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    return folder


async def _sweep(desk: Desk, ends: asyncio.Event) -> None:
    """Delete what is older than the settings say, now and every quarter of an hour."""
    days = desk.settings.retention_days
    while days is not None and not ends.is_set():
        try:
            gone = await run_in_threadpool(desk.cases.delete_older, now_us() - int(days * _DAY_US))
        except Exception as error:  # noqa: BLE001 - the database or the disk may be back in a quarter of an hour
            # its type only: a message may hold data
            LOG.error("cases older than %g days could not be deleted: %s", days, type(error).__name__)
        else:
            if gone:
                LOG.info("%d cases were older than %g days and are deleted", gone, days)
        with suppress(TimeoutError):
            await asyncio.wait_for(ends.wait(), _SWEEP_EVERY_S)


def _middleware(settings: Settings) -> list[Middleware]:
    one = settings.max_bytes + _FORM
    bodies: Mapping[str, int] = {
        "/api/v1/diagnose": one,
        "/api/v1/jobs": settings.max_job_bytes,
        "/dicomweb": one,
        "/messenger": _MESSAGES,
    }
    burst = max(20.0, settings.requests_a_minute / 4)
    return [
        Middleware(AccessLog, named=route_of),
        Middleware(SecurityHeaders, https=settings.secure and not settings.self_signed),
        Middleware(SameOrigin, hosts=settings.hosts),
        Middleware(
            RateLimit,
            a_minute=settings.requests_a_minute,
            burst=burst,
            paths=("/api/", "/dicomweb", "/login", "/messenger"),
        ),
        Middleware(BodyLimit, max_bytes=_SMALL, paths=dict(bodies)),
    ]


def _add_pages(app: FastAPI) -> None:
    # The API stands without pages.
    if importlib.util.find_spec("radsnap.web.pages") is None:
        return
    from radsnap.web import pages

    app.include_router(pages.router)
    app.state.error_page = pages.error_page
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
