"""How far a session is, as both pages tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RATE_S = 120.0  # photos a minute are counted over so long


@dataclass(frozen=True)
class Standing:
    """Where a session is. number: of the picture, from 0; recent: photos of the last RATE_S; wanted: photos in all."""

    version: int
    state: str
    number: int
    count: int
    phase: str
    condition: Mapping[str, str]
    photos: int
    wanted: int
    recent: int
    trouble: str

    def to_json(self) -> dict[str, Any]:
        """Give what both pages show, with the rate and the time left; numbers count from 1."""
        rate = self.recent / RATE_S
        return {
            "version": self.version,
            "state": self.state,
            "number": self.number + 1 if 0 <= self.number < self.count else 0,
            "count": self.count,
            "phase": self.phase,
            "condition": dict(self.condition),
            "photos": self.photos,
            "wanted": self.wanted,
            "rate_per_min": round(rate * 60, 1),
            "left_s": round((self.wanted - self.photos) / rate) if rate > 0 else None,
            "trouble": self.trouble,
        }
