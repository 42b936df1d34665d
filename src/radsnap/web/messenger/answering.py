"""Messages in, answers out: acknowledged at once, read one after the other, each answered once.

What waits lives in memory: a message that a killed server had taken is lost, and its sender sends it again.
Logs say what went wrong, never with whom: no number, no id, no name of a file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from radsnap.errors import ImageError
from radsnap.imaging.files import sniff
from radsnap.serving.limits import Buckets
from radsnap.serving.uploads import Upload
from radsnap.web.desk import Desk
from radsnap.web.errors import ApiError
from radsnap.web.messenger import Incoming, Messenger, MessengerFault, wording
from radsnap.web.storage.people import User

LOG = logging.getLogger("radsnap.web")
_REMEMBERED = 20_000  # messages, so that one delivered again is known
_FROM_ONE_A_MINUTE, _FROM_ONE_AT_ONCE = 12.0, 30.0
_NAME = "the file"


class Answering:
    """Takes a messenger's messages and answers them. `reader` is whose cases they become; None keeps nothing.

    `waiting` messages may wait, `at_once` are read side by side, each within `within_s`.
    """

    def __init__(
        self, messenger: Messenger, desk: Desk, reader: User | None = None,
        *, waiting: int = 100, at_once: int = 2, within_s: float = 300.0,
    ) -> None:  # fmt: skip
        self.messenger, self.desk, self.reader = messenger, desk, reader
        self.at_once, self.within_s = at_once, within_s
        self._queue: asyncio.Queue[Incoming] = asyncio.Queue(waiting)
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._each = Buckets(_FROM_ONE_A_MINUTE, _FROM_ONE_AT_ONCE)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to answer."""
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self.at_once)]

    async def stop(self) -> None:
        """End; what waits is not answered."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._queue.empty():
            LOG.warning("%d messages are left unanswered", self._queue.qsize())
        await self.messenger.close()

    def take(self, messages: Iterable[Incoming]) -> bool:
        """Take messages in, each once; False when some found no room and should be delivered again."""
        for message in messages:
            if message.id in self._seen:
                continue
            if self._queue.full():
                return False
            self._seen[message.id] = None
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
            if self._each.take(message.sender) > 0:
                LOG.warning("a message is left unanswered: its sender sends too many")
                continue
            self._queue.put_nowait(message)
        return True

    async def answered(self) -> None:
        """Wait until nothing waits and nothing is being read."""
        await self._queue.join()

    async def _work(self) -> None:
        while True:
            message = await self._queue.get()
            try:
                async with asyncio.timeout(self.within_s):
                    await self._answer(message)
            except MessengerFault as error:
                LOG.warning("a message is left unanswered: %s", error)
            except TimeoutError:
                LOG.warning("a message is left unanswered: it took longer than %.0f s", self.within_s)
            except Exception as error:  # noqa: BLE001 - one message must not end the others
                # its text may hold what came with the message; where it arose does not
                at = traceback.extract_tb(error.__traceback__)[-1]
                LOG.error(
                    "a message failed: %s in %s:%s", type(error).__name__, Path(at.filename).name, at.lineno
                )
            finally:
                self._queue.task_done()

    async def _answer(self, message: Incoming) -> None:
        if message.media_id is None:
            await self.messenger.reply(message, wording.HELP)
            return
        try:
            text, image = await self._read(message.media_id)
        except ImageError as error:
            text, image = wording.refusal(error), None
        except MessengerFault as error:
            LOG.warning("a message's file was not got: %s", error)
            text, image = wording.LATER, None
        except ApiError as error:
            LOG.warning("a message's picture was not read: %s", error.code)
            text, image = wording.LATER, None
        await self.messenger.reply(message, text, image)

    async def _read(self, media_id: str) -> tuple[str, bytes | None]:
        data = await self.messenger.fetch(media_id, self.desk.settings.max_bytes)
        async with self._kept(data) as upload:
            while True:
                try:
                    return await self._told(upload)
                except ApiError as error:
                    if error.code != "busy":
                        raise
                    # others ask too; a message waits its turn
                    await asyncio.sleep(float(error.headers["Retry-After"]))

    async def _told(self, upload: Upload) -> tuple[str, bytes | None]:
        async with self.desk.read(upload, keep=True) as new:
            thumbnail = await run_in_threadpool(wording.thumbnail_of, new)
            text = await run_in_threadpool(wording.answer, new, thumbnail)
            shown = await run_in_threadpool(wording.picture, new)
            if self.reader is not None:  # it takes the files away: last
                await run_in_threadpool(self.desk.cases.add, self.reader.id, new)
        if shown is None:
            return text, None
        return f"{text}\n\nThe picture shows where the network looked for: {shown[1]}.", shown[0]

    @asynccontextmanager
    async def _kept(self, data: bytes) -> AsyncIterator[Upload]:
        """Put a file where the workers find it, for as long as the block runs. Raises ImageError."""
        kind = sniff(data[:4096], _NAME)
        path = self.desk.incoming / f"{uuid.uuid4().hex}.part"
        try:
            await run_in_threadpool(path.write_bytes, data)
            yield Upload(path, _NAME, len(data), kind)
        finally:
            path.unlink(missing_ok=True)


def door_of(messenger: Messenger) -> APIRouter:
    """Make the address that the messenger's service calls: GET asks whether it is meant, POST brings messages."""
    router = APIRouter(prefix="/messenger", include_in_schema=False)

    @router.get(f"/{messenger.name}")
    async def challenged(request: Request) -> Response:
        given = messenger.challenge(request.query_params)
        if given is None:
            raise HTTPException(403, "the verify token is wrong")
        return PlainTextResponse(given)

    @router.post(f"/{messenger.name}")
    async def delivered(request: Request) -> Response:
        body = await request.body()
        if not messenger.verify(request.headers, body):
            raise HTTPException(403, "the signature is wrong")
        try:
            payload = json.loads(body)
        except (ValueError, RecursionError):
            raise HTTPException(400) from None
        answering: Answering = request.app.state.answering
        if not answering.take(messenger.messages(payload)):
            raise HTTPException(503, "too many messages wait", {"Retry-After": "30"})
        return Response(status_code=200)

    return router
