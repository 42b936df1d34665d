"""The messenger door: a photo comes in by messenger, a sentence and a picture go back.

A messenger is one file here: a class with what `Messenger` asks for, and its line in `MESSENGERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

from radsnap.errors import UsageError

# Name → module and the function in it that makes the messenger of the environment's variables.
MESSENGERS: Mapping[str, tuple[str, str]] = {
    "whatsapp": ("radsnap.web.messenger.whatsapp", "from_environment")
}


@dataclass(frozen=True)
class Incoming:
    """One message: who sent it and the file it carries, or None for words and the rest.

    What names a person stays out of the repr, and so out of logs.
    """

    id: str = field(repr=False)
    sender: str = field(repr=False)
    media_id: str | None = field(default=None, repr=False)


class MessengerFault(Exception):
    """The messenger's service cannot be asked. The message names no person and no address: it is logged."""


class Messenger(Protocol):
    """What a messenger has to do. Nothing of it knows of x-rays."""

    name: str

    def challenge(self, query: Mapping[str, str]) -> str | None:
        """Answer the service's question whether this address is meant; None where it is asked wrongly."""

    def verify(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Tell whether the service itself sent this body."""

    def messages(self, payload: Any) -> list[Incoming]:
        """Find the messages in a body's JSON; whatever else it tells is left out."""

    async def fetch(self, media_id: str, max_bytes: int) -> bytes:
        """Get a message's file. Raises ImageTooLarge beyond `max_bytes`, MessengerFault."""

    async def reply(self, to: Incoming, text: str, image: bytes | None = None) -> None:
        """Answer a message with words and a picture, a JPEG. Raises MessengerFault."""

    async def close(self) -> None:
        """End what is open."""


def messenger(name: str, environment: Mapping[str, str]) -> Messenger:
    """Make a messenger by name, with its secrets from the environment. Raises UsageError."""
    if name not in MESSENGERS:
        raise UsageError(f"--messenger: no messenger '{name}'; known are: {', '.join(MESSENGERS)}")
    module, maker = MESSENGERS[name]
    make: Callable[[Mapping[str, str]], Messenger] = getattr(import_module(module), maker)
    return make(environment)
