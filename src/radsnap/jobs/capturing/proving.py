"""Prove what the photos of a session show, one at a time or three around a clean picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from radsnap.errors import ImageError
from radsnap.jobs.capturing.intake import read_grey
from radsnap.jobs.capturing.journal import Photo
from radsnap.jobs.capturing.session import Session
from radsnap.markers import REASONS, Examined, Identity, Shown, examine, examine_clean, view_of
from radsnap.markers.layout import Frame

_FULL_FRAME_MM = 43.27  # the diagonal to which a 35 mm equivalent belongs


def prove(session: Session, photo: Photo) -> Photo:
    """Examine a photo that was received, and write down what became of it.

    Its codes alone say which picture it shows; what the server believed to be on the screen does not matter.
    A marked photo around a clean one becomes a part; the last of the three decides on all of them. A photo that
    cannot be read, or whose x-ray cannot, is refused and says so: it holds up no other one.
    """
    if photo.state != "received":
        return photo
    if photo.phase == "clean":
        return session.journal.settle(photo.id, "part", None, None, (), {})
    try:
        examined = _examined(session, photo)
        found = describe(session, photo, examined)
    except (ImageError, OSError) as error:
        return _unreadable(session, photo, error)
    identity = examined.identity
    number, round_ = (identity.number, identity.round) if identity else (None, None)
    state = "refused" if examined.reasons else "good"
    if state == "good" and photo.phase in ("before", "after"):
        state = "part"
    settled = session.journal.settle(photo.id, state, number, round_, examined.reasons, found)
    return (
        _prove_clean(session, settled, examined) if settled.phase == "after" and state == "part" else settled
    )


def _prove_clean(session: Session, after: Photo, examined: Examined) -> Photo:
    """Judge the clean photo between two marked ones; gives it, settled, or the last one with its reasons."""
    before, clean = _partners(session, after)
    if before is None or clean is None or examined.identity is None:
        return after
    try:
        earlier = _examined(session, before)
        grey = read_grey(session.photos / clean.file)
        picture = _shown(session, examined.identity)
        assert picture is not None
        made = examine_clean(grey, earlier, examined, picture, session.config.limits)
        found = describe(session, clean, made)
    except (ImageError, OSError) as error:
        return _unreadable(session, clean, error)
    number, round_ = examined.identity.number, examined.identity.round
    return session.journal.settle(
        clean.id, "refused" if made.reasons else "good", number, round_, made.reasons, found
    )


def _partners(session: Session, after: Photo) -> tuple[Photo | None, Photo | None]:
    """Find the photo before and the clean one of the same phone, in the showings just before this one."""
    if after.showing is None:
        return None, None
    # the three are showings one after another; several photos of one showing are tries, the last of which counts
    given = session.journal.photos(
        "phone = ? AND state = 'part' AND showing IN (?, ?)",
        (after.phone, after.showing - 2, after.showing - 1),
    )
    parts = {(photo.showing, photo.phase): photo for photo in given}
    before, clean = parts.get((after.showing - 2, "before")), parts.get((after.showing - 1, "clean"))
    if before is None or clean is None or (before.number, before.round) != (after.number, after.round):
        return None, None
    shown = session.journal.showing(after.showing - 1)
    right = shown is not None and (shown.number, shown.round) == (after.number, after.round)
    return (before, clean) if right else (None, None)


def _examined(session: Session, photo: Photo) -> Examined:
    grey = read_grey(session.photos / photo.file)
    return examine(grey, session.number, session.key, lambda one: _shown(session, one), session.config.limits)


def _shown(session: Session, identity: Identity) -> Shown | None:
    """Say what was shown. Raises ImageError that names the picture when its x-ray cannot be read."""
    try:
        return session.shown(identity)
    except (ImageError, OSError) as error:
        raise ImageError(f"the x-ray of picture {identity.number + 1} cannot be read: {error}") from error


def _unreadable(session: Session, photo: Photo, error: Exception) -> Photo:
    return session.journal.settle(photo.id, "refused", None, None, ("unreadable",), {"fault": str(error)})


def describe(session: Session, photo: Photo, examined: Examined) -> dict[str, Any]:
    """Write down what was measured in a photo, in JSON's types."""
    found: dict[str, Any] = {
        "codes": len(examined.claims),
        "markers": len(examined.seen.markers),
        "blur_frac": _rounded(examined.blur_frac, 6),
        "blown_frac": _rounded(examined.blown_frac, 5),
        "likeness": _rounded(examined.likeness, 4),
    }
    if not examined.identity and examined.claims:
        found["session"] = examined.claims[0].identity.session
    if examined.pose is None or examined.corners_px is None or examined.homography is None:
        return found
    found |= {
        "corners_px": np.round(examined.corners_px, 3).tolist(),
        "homography": examined.homography.tolist(),
        "bend": _rounded(examined.pose.bend, 5),
        "miss_px": _rounded(examined.pose.miss_px, 3),
        "size_px": list(examined.pose.size_px),
    }
    assert examined.identity is not None
    picture = _shown(session, examined.identity)
    if picture is not None and picture.frame is not None:
        found |= {"bands": bands_in_photo(examined, picture.frame)}
        focal = photo.meta.get("focal_35mm")
        known = float(focal) if isinstance(focal, int | float) and 5 <= focal <= 500 else None
        view = view_of(examined.pose, picture.frame, None if known is None else known / _FULL_FRAME_MM)
        found |= {"tilt_deg": round(view.tilt_deg, 2), "yaw_deg": round(view.yaw_deg, 2)}
        found |= {"pitch_deg": round(view.pitch_deg, 2), "distance_xrays": round(view.distance_widths, 3)}
        width_cm = xray_cm(session, picture.frame)
        if width_cm is not None:
            found["distance_cm"] = round(view.distance_widths * width_cm, 1)
    return found


def bands_in_photo(examined: Examined, frame: Frame) -> list[Any]:
    """Give the outlines of the bands of markers in the photo, to take them out of it."""
    assert examined.pose is not None
    outlines = []
    for band in frame.bands:
        first, last = band.corners(band.cells[0]), band.corners(band.cells[-1])
        down = band.along[0] == 0
        page = np.array(
            [first[0], first[1], last[2], last[3]] if down else [first[0], last[1], last[2], first[3]]
        )
        outlines.append(np.round(examined.pose.to_photo(page), 2).tolist())
    return outlines


def xray_cm(session: Session, frame: Frame) -> float | None:
    """Give the x-ray's width on the monitor, where the monitor's is known."""
    if session.config.monitor_cm is None:
        return None
    return session.config.monitor_cm * frame.xray_px[2] / frame.page_px[0]


def explain(reasons: Sequence[str], fault: str = "") -> str:
    """Say reasons in words."""
    return "; ".join(REASONS.get(reason, fault or reason) for reason in reasons)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
