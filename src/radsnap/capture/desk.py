"""What the handlers share: the session, its stepper, who is paired, and a bell for who waits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from radsnap.capture.paired import Phones
from radsnap.jobs.capturing.journal import Phone
from radsnap.jobs.capturing.session import Session
from radsnap.jobs.capturing.steps import Stepper
from radsnap.serving.pairing import Pairing

PHONE_COOKIE, SCREEN_COOKIE = "radsnap_phone", "radsnap_screen"
_LONGEST_WAIT_S = 25.0


class NotPaired(Exception):
    """A request without a good cookie; for a page, the way to the form."""

    def __init__(self, form: str | None = None) -> None:
        super().__init__("not paired")
        self.form = form


@dataclass(eq=False)
class Desk:
    """One session's server."""

    session: Session
    stepper: Stepper
    phones: Pairing
    screens: Pairing
    kept: Phones
    address: str
    secure: bool
    bell: asyncio.Event = field(default_factory=asyncio.Event)

    async def changed(self, after: int, wait_s: float) -> None:
        """Wait until the stepper's version is another one, or the time is over."""
        ends = asyncio.get_running_loop().time() + min(max(wait_s, 0.0), _LONGEST_WAIT_S)
        while self.stepper.version == after:
            left = ends - asyncio.get_running_loop().time()
            if left <= 0:
                return
            try:
                await asyncio.wait_for(self.bell.wait(), left)
            except TimeoutError:
                return
            except asyncio.CancelledError:
                return  # the server stops: whoever waits is told how things stand

    def ring(self) -> None:
        """Wake who waits; the next one waits for the next ring."""
        self.bell.set()
        self.bell = asyncio.Event()

    def phone(self, token: str | None) -> Phone:
        """Give the phone that a cookie stands for. Raises NotPaired."""
        device = self.phones.device(token)
        if device is None:
            raise NotPaired
        return self.kept.phone(device.token_hash)
