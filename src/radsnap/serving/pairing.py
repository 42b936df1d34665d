"""Pairing: a code shown on one screen is typed or photographed once, and makes one device known."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field

from radsnap.serving.limits import Buckets
from radsnap.serving.tokens import hash_token, new_code, new_token, tidy


@dataclass(frozen=True)
class Device:
    """A paired device; `token_hash` is what is kept of its token, `paired_at` is seconds since 1970."""

    token_hash: str
    name: str
    paired_at: float


class TooManyTries(Exception):
    """Somebody tries codes; `retry_after_s` says when the next try is heard."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"too many codes tried; wait {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


@dataclass(eq=False)
class Pairing:
    """One-time codes that become device tokens.

    `devices` maps what is kept of a token to its device; a mapping over a database survives a restart,
    the codes, which live for minutes, do not. A code is kept as a hash, works once, and ends after
    `lifetime_s`. Each address, and all together, are heard a few times a minute only.
    """

    devices: MutableMapping[str, Device] = field(default_factory=dict)
    lifetime_s: float = 600.0
    code_length: int = 8
    clock: Callable[[], float] = time.time
    tries_a_minute: float = 6.0

    def __post_init__(self) -> None:
        self._codes: dict[str, float] = {}
        self._lock = threading.Lock()
        self._each = Buckets(self.tries_a_minute, burst=5)
        self._all = Buckets(self.tries_a_minute * 10, burst=50)

    def new_code(self) -> str:
        """Make a code to show. Earlier codes that were not used yet stay good until they end."""
        code = new_code(self.code_length)
        now = self.clock()
        with self._lock:
            self._codes = {kept: ends for kept, ends in self._codes.items() if ends > now}
            if len(self._codes) >= 100:  # a page that is reloaded all night
                self._codes.pop(next(iter(self._codes)))
            self._codes[hash_token(tidy(code))] = now + self.lifetime_s
        return code

    def redeem(self, code: str, name: str = "", address: str = "") -> str | None:
        """Give a device token for a code, once; None for a code that is wrong, used or ended.

        Raises TooManyTries for an address, or a crowd of them, that tries codes.
        """
        for buckets, key in ((self._each, address), (self._all, "")):
            wait = buckets.take(key)
            if wait > 0:
                raise TooManyTries(wait)
        given, now = hash_token(tidy(code)), self.clock()
        with self._lock:
            # Every code is compared, whichever fits: the time tells nothing.
            fitting = [kept for kept in self._codes if hmac.compare_digest(kept, given)]
            ends = self._codes.pop(fitting[0], 0.0) if fitting else 0.0
        if ends <= now:
            return None
        token = new_token()
        self.devices[hash_token(token)] = Device(hash_token(token), name.strip()[:80], now)
        return token

    def device(self, token: str | None) -> Device | None:
        """Give the device that a token belongs to, or None."""
        return self.devices.get(hash_token(token)) if token else None

    def forget(self, device: Device) -> None:
        """Unpair a device."""
        self.devices.pop(device.token_hash, None)
