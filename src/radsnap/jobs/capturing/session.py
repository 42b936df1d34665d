"""A session's folder: what is shown under which conditions, its key, its journal, its photos."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import threading
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from radsnap.errors import UsageError
from radsnap.imaging import Bounds, read_radiograph
from radsnap.imaging.radiograph import ByteImage
from radsnap.jobs.capturing.journal import Journal
from radsnap.jobs.photograph_source import XrayList, list_xrays
from radsnap.markers import Frame, Identity, Limits, Shown, draw_page, place, write_code
from radsnap.markers.identity import NUMBERS, SESSIONS

SETTINGS, KEY, PHOTOS, JOURNAL = "session.json", "session.key", "photos", "journal.sqlite"
_SHOWN_PX = 2600  # longer side of an x-ray as it is shown: no monitor has more pixels for it
_KEPT_XRAYS = 6
_PATHS = ("manifest", "root")  # of the settings
_BOUNDS = Bounds()
Mode = Literal["markers", "clean"]


class CaptureConfig(BaseModel):
    """What a session is of. It never changes once photos were taken.

    vary: conditions to walk through, name → values; notes: what holds for all of it (place, light, film);
    share: of the screen that x-ray and frame take; mode: "clean" photographs the x-ray without markers, between two
    photos with them; monitor, monitor_cm: its name, and the width of what it shows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: str
    root: str | None = None
    mode: Mode = "markers"
    share: float = Field(default=0.95, ge=0.2, le=1)
    settle_ms: int = Field(default=300, ge=0, le=60_000)
    vary: dict[str, tuple[str, ...]] = {}
    notes: dict[str, str] = {}
    domain: Literal["screen", "film"] = "screen"
    monitor: str = ""
    monitor_cm: float | None = Field(default=None, gt=0, le=1000)
    blur_frac: float = Field(default=Limits.blur_frac, gt=0, le=1)
    blown_frac: float = Field(default=Limits.blown_frac, ge=0, le=1)

    @field_validator("vary")
    @classmethod
    def _has_values(cls, vary: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name, values in vary.items():
            if not name.isidentifier() or not values or len(set(values)) < len(values):
                raise ValueError(
                    f"a condition has a plain name and different values, not {name}={','.join(values)}"
                )
        return vary

    @property
    def conditions(self) -> tuple[dict[str, str], ...]:
        """Every combination of the conditions' values; the last name changes fastest."""
        products = itertools.product(*self.vary.values())
        return tuple(dict(zip(self.vary, values, strict=True)) for values in products)

    @property
    def limits(self) -> Limits:
        return Limits(blur_frac=self.blur_frac, blown_frac=self.blown_frac)


@dataclass(frozen=True, eq=False)
class Session:
    """An open session. number: what its codes say; key: proves them; xrays: what is shown, a row each."""

    folder: Path
    number: int
    key: bytes
    config: CaptureConfig
    xrays: XrayList
    journal: Journal

    @property
    def count(self) -> int:
        """How many pictures the plan has: x-rays times conditions."""
        return len(self.xrays) * len(self.config.conditions)

    @property
    def photos(self) -> Path:
        return self.folder / PHOTOS

    def place_of(self, number: int) -> tuple[int, int]:
        """Give the row of the x-ray and the index of the condition: all x-rays under one condition, then the next."""
        condition, row = divmod(number, len(self.xrays))
        return row, condition

    def image_id(self, number: int) -> str:
        return str(self.xrays.rows["image_id"].iloc[self.place_of(number)[0]])

    def condition(self, number: int) -> dict[str, str]:
        return self.config.conditions[self.place_of(number)[1]]

    def xray(self, row: int) -> ByteImage:
        """Read an x-ray as it is shown: uint8 (h, w), bone bright, at most 2,600 px long. Raises ImageError."""
        return self._read(row)[0]

    def file_px(self, row: int) -> tuple[int, int]:
        """Give (width, height) of the x-ray's file."""
        return self._read(row)[1]

    def _read(self, row: int) -> tuple[ByteImage, tuple[int, int]]:
        with _READ_LOCK:
            kept = _READ.get((self.number, row))
        if kept is not None:
            return kept
        store = self.xrays.store
        name = str(self.xrays.rows["path"].iloc[row])
        pixels = read_radiograph(store.image(name, _BOUNDS), _BOUNDS).pixels
        shown = np.asarray(np.rint(pixels * np.float32(255)), np.uint8)
        size_px = (shown.shape[1], shown.shape[0])
        scale = _SHOWN_PX / max(shown.shape)
        if scale < 1:
            size = (max(round(shown.shape[1] * scale), 1), max(round(shown.shape[0] * scale), 1))
            shown = np.asarray(cv2.resize(shown, size, interpolation=cv2.INTER_AREA), np.uint8)
        with _READ_LOCK:
            _READ[self.number, row] = (shown, size_px)
            while len(_READ) > _KEPT_XRAYS:
                _READ.popitem(last=False)
        return shown, size_px

    def size_of(self, row: int) -> tuple[int, int]:
        """Give (width, height) of the x-ray as it is shown."""
        height, width = self.xray(row).shape
        return width, height

    def frame(self, number: int, page_px: tuple[int, int]) -> Frame:
        """Lay out the page of a picture."""
        return place(page_px, self.size_of(self.place_of(number)[0]), self.config.share)

    def page(self, number: int, round_: int, page_px: tuple[int, int], clean: bool = False) -> ByteImage:
        """Draw the page of a picture: uint8 (H, W)."""
        code = None if clean else write_code(Identity(self.number, number, round_), self.key)
        return draw_page(self.xray(self.place_of(number)[0]), self.frame(number, page_px), code)

    def shown(self, identity: Identity) -> Shown | None:
        """Say what was shown under an identity; None for what was never shown."""
        if not 0 <= identity.number < self.count:
            return None
        pages = self.journal.page_of(identity.number, identity.round)
        if pages is None:
            return None
        xray = self.xray(self.place_of(identity.number)[0])
        frame = place(pages, (xray.shape[1], xray.shape[0]), self.config.share) if pages != (0, 0) else None
        return Shown(frame, self.file_px(self.place_of(identity.number)[0]), xray)


def create_session(folder: str | Path, config: CaptureConfig) -> Session:
    """Begin a session in a new or empty folder. Raises UsageError, ManifestError, or ImageError for an x-ray."""
    place_ = Path(folder)
    xrays = list_xrays(config.manifest, config.root)
    if len(xrays) * len(config.conditions) > NUMBERS:
        raise UsageError(
            f"{len(xrays)} x-rays under {len(config.conditions)} conditions are over {NUMBERS:,} pictures; "
            "make several sessions"
        )
    if place_.exists() and any(place_.iterdir()):
        raise UsageError(f"{place_} is not empty and holds no session; give a new folder")
    try:
        (place_ / PHOTOS).mkdir(parents=True, mode=0o700, exist_ok=True)
        place_.chmod(0o700)
        _write(place_ / KEY, secrets.token_hex(32).encode(), 0o600)
    except OSError as error:
        raise UsageError(f"{place_} cannot be written ({error.strerror}); name another folder") from error
    config = _absolute(config)
    table = {
        "radsnap_capture": 1,
        "session": secrets.randbelow(SESSIONS),
        "xrays": xrays.digest(),
        "config": config.model_dump(mode="json"),
    }
    Journal(place_ / JOURNAL).close()
    # last: a folder with settings is a whole session
    _write(place_ / SETTINGS, (json.dumps(table, indent=1) + "\n").encode(), 0o600)
    return open_session(place_)


def open_session(folder: str | Path) -> Session:
    """Open a session. Raises UsageError when the folder holds none, or its list of x-rays has changed."""
    place_ = Path(folder)
    try:
        table = json.loads((place_ / SETTINGS).read_bytes())
        config = CaptureConfig.model_validate(table["config"])
        number, digest = int(table["session"]), str(table["xrays"])
        key = bytes.fromhex((place_ / KEY).read_text("ascii"))
    except FileNotFoundError as error:
        raise UsageError(
            f"{place_} holds no capture session; begin one: radsnap capture start MANIFEST -o {place_}"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise UsageError(f"{place_}/{SETTINGS} is broken ({type(error).__name__}); restore it") from error
    xrays = list_xrays(config.manifest, config.root)
    if xrays.digest() != digest:
        raise UsageError(
            f"{config.manifest} lists other x-rays than when the session began; restore it, or begin a new session"
        )
    return Session(place_, number, key, config, xrays, Journal(place_ / JOURNAL))


def keep_to(session: Session, asked: Mapping[str, Any]) -> Session:
    """Give the session when what is asked of it is what it was begun with. Raises UsageError naming what is not."""
    ours = session.config.model_dump(mode="json")
    wanted = _absolute(CaptureConfig.model_validate({**ours, **asked})).model_dump(mode="json")
    other = [name for name in asked if _as_text(name, ours[name]) != _as_text(name, wanted[name])]
    if other:
        told = "; ".join(f"{name} is {ours[name]!r}, not {wanted[name]!r}" for name in other)
        raise UsageError(
            f"{session.folder} goes on as it was begun: {told}; leave that out, or begin a new session with another -o"
        )
    return session


def _as_text(name: str, value: object) -> str:
    """Write a setting so that equal ones are equal: a path by where it leads, conditions with their order."""
    if name in _PATHS and isinstance(value, str) and "://" not in value:
        return os.path.realpath(value)
    return json.dumps(value)


def is_session(folder: str | Path) -> bool:
    """Tell whether a folder holds a session."""
    return (Path(folder) / SETTINGS).is_file()


def _absolute(config: CaptureConfig) -> CaptureConfig:
    """Make local paths absolute, so that the session opens from any folder."""
    changed: dict[str, Any] = {}
    for name in _PATHS:
        value = getattr(config, name)
        if value is not None and "://" not in value:
            changed[name] = str(Path(value).absolute())
    return config.model_copy(update=changed)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a file whole or not at all, and see it on the disk."""
    partial = path.with_name(f".{uuid.uuid4().hex}.part")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """See a folder's entries on the disk, after a rename in it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_READ: OrderedDict[tuple[int, int], tuple[ByteImage, tuple[int, int]]] = OrderedDict()
_READ_LOCK = threading.Lock()
