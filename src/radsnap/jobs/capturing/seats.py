"""Phones that take part in a session: which pictures each has, and what it was told of its last photo."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from radsnap.jobs.capturing.journal import Phone

LOST_S = 20.0  # a phone that has not asked for so long is not waited for
TRIES = 8  # refused photos of one picture in a row, before the operator is asked


@dataclass(eq=False)
class Seat:
    """A phone that takes part. attempt: which one at the present showing; has: whether it has this phase."""

    phone: Phone
    seen: float
    done: set[int]
    attempt: int = 1
    has: bool = False
    refused: int = 0
    said: str = ""
    good: bool | None = None
    battery: int | None = None

    def is_there(self, now: float) -> bool:
        """Tell whether it is waited for."""
        return self.phone.kind == "udp" or now - self.seen < LOST_S

    def begin(self) -> None:
        """Begin a showing."""
        self.attempt, self.has = 1, False

    def take(self, said: str, good: bool | None = True) -> None:
        """Note a photo that serves; good: None where nobody has seen it."""
        self.has, self.good, self.said = True, good, said
        if said == "good":
            self.refused = 0

    def refuse(self, said: str) -> bool:
        """Note a photo that does not serve; true when it was one too many in a row."""
        self.good, self.said = False, said
        self.attempt += 1
        self.refused = (self.refused + 1) % TRIES
        return self.refused == 0

    def to_json(self, now: float) -> dict[str, Any]:
        """Say how it does, for the operator."""
        return {
            "name": self.phone.name,
            "there": self.is_there(now),
            "good": self.good,
            "said": self.said,
            "done": len(self.done),
            "battery": self.battery,
        }


def next_wanted(
    at: int, rows: int, count: int, skipped: Collection[int], seats: Collection[Seat]
) -> int | None:
    """Give the next of `count` pictures that a phone lacks: onwards in this condition, then from its start, then on.

    rows: how many x-rays a condition has.
    """
    start = min(max(at, 0), count - 1)
    first = start // rows * rows
    order = (range(start, first + rows), range(first, start), range(first + rows, count), range(first))
    for span in order:
        for number in span:
            if number not in skipped and any(number not in seat.done for seat in seats):
                return number
    return None


def all_have(count: int, skipped: Collection[int], seats: Collection[Seat]) -> bool:
    """Tell whether every phone has every picture."""
    return all(n in skipped or all(n in seat.done for seat in seats) for n in range(count))
