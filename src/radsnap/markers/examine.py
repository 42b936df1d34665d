"""Examine a photo of a page: whose picture is it, where does the x-ray lie, and is it good enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from radsnap.imaging.homography import Matrix, Points, homography, is_convex
from radsnap.imaging.radiograph import ByteImage
from radsnap.markers.identity import Claim, Identity, is_proven
from radsnap.markers.layout import Frame
from radsnap.markers.pose import Pose, find_pose
from radsnap.markers.quality import blown_frac, blur_px, likeness, look_size, rectified
from radsnap.markers.sight import Seen, look

REASONS = {
    "no_code": "no code can be read: hold the phone so that both rows of squares are sharp and in view",
    "codes_disagree": "the codes say different things: the photo was taken while the picture changed",
    "unproven": "the code claims to be of this session, but its check sum is wrong",
    "foreign_session": "the code belongs to another session",
    "unknown_number": "the code names a picture that this session does not have",
    "one_code": "only one code can be read: let no hand, edge or reflection cover the others",
    "no_pose": "fewer than two markers were found, so the x-ray's corners are unknown",
    "one_side": "the squares on one side of the x-ray are hidden or out of view, so its corners are a guess",
    "out_of_view": "a part of the x-ray lies outside of the photo: go further away, or aim better",
    "blurred": "the photo is blurred: hold the phone still, tap to focus",
    "blown_out": "a part of the x-ray is plain white: turn the light down, or move the phone out of the reflection",
    "other_picture": "the photo does not show the x-ray that was on the screen",
    "moved": "the phone moved between the three photos: put it on a stand",
}


@dataclass(frozen=True)
class Limits:
    """What a photo must be. blur_frac: standard deviation of the blur over the x-ray's longer side, at most (codes
    become unreadable from 0.005 on);
    blown_frac: share of the x-ray that may be plain white; codes: how many must say the same;
    likeness: what a photo without markers needs at least; drift_frac: how far the corners may move between the
    photos before and after it, of the diagonal."""

    blur_frac: float = 0.004
    blown_frac: float = 0.2
    codes: int = 2
    likeness: float = 0.35
    drift_frac: float = 0.01


@dataclass(frozen=True, eq=False)
class Examined:
    """What a photo shows. reasons: keys of REASONS, none for a good photo; identity: proven, else None.

    claims: what the codes say, as far as it was read; corners_px: of the x-ray, (4, 2); homography: from pixels of
    the x-ray's file to the photo, through its corners.
    """

    reasons: tuple[str, ...]
    identity: Identity | None = None
    claims: tuple[Claim, ...] = ()
    pose: Pose | None = None
    corners_px: Points | None = None
    homography: Matrix | None = None
    blur_frac: float | None = None
    blown_frac: float | None = None
    likeness: float | None = None
    seen: Seen = field(default_factory=lambda: Seen({}, {}))

    @property
    def good(self) -> bool:
        return not self.reasons


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture as it was shown: its page, and the x-ray's 8-bit pixels (h, w) at any size, or None.

    size_px: (width, height) of the x-ray's file; frame: None for a lone tag, which tells nothing of corners.
    """

    frame: Frame | None
    size_px: tuple[int, int]
    xray: ByteImage | None = None


def examine(
    grey: ByteImage,
    session: int,
    key: bytes,
    shown: Callable[[Identity], Shown | None],
    limits: Limits | None = None,
) -> Examined:
    """Examine a photo, uint8 (H, W) upright. shown: gives a picture by its identity, None for an unknown one."""
    limits = limits or Limits()
    seen = look(grey)
    claims = tuple(seen.codes.values())
    reason, identity = identify(claims, session, key, limits.codes)
    if identity is None:
        soft = reason == "no_code" and _too_soft_for_codes(grey, seen)
        return Examined((reason, *(["blurred"] if soft else [])), claims=claims, seen=seen)
    picture = shown(identity)
    if picture is None:
        return Examined(("unknown_number",), claims=claims, seen=seen)
    if picture.frame is None:
        return _tagged(grey, seen, limits, [reason] if reason else [], identity, claims)
    pose = find_pose(picture.frame, seen.markers, (grey.shape[1], grey.shape[0]))
    reasons = [reason] if reason else []
    if pose is None:
        return Examined((*reasons, "no_pose"), identity, claims, seen=seen)
    corners = pose.to_photo(picture.frame.corners)
    blur = blur_px(grey, seen.markers)
    return _judged(grey, corners, picture, limits, reasons, identity, claims, pose, blur, seen)


def _too_soft_for_codes(grey: ByteImage, seen: Seen) -> bool:
    """Tell whether markers were found, and their edges say why no code was: blur of half a code's module."""
    blur = blur_px(grey, seen.markers)
    if blur is None:
        return False
    sides = [np.hypot(*(np.roll(c, -1, axis=0) - c).T).mean() for c in seen.markers.values()]
    return blur > 0.03 * float(np.median(sides))


def _tagged(
    grey: ByteImage,
    seen: Seen,
    limits: Limits,
    reasons: list[str],
    identity: Identity,
    claims: tuple[Claim, ...],
) -> Examined:
    """Judge a photo with a lone tag: its blur against the photo's shorter side, of which a film takes most."""
    blur = blur_px(grey, seen.markers)
    soft = None if blur is None else blur / min(grey.shape)
    if soft is not None and soft > limits.blur_frac:
        reasons.append("blurred")
    return Examined(tuple(reasons), identity, claims, blur_frac=soft, seen=seen)


def _judged(
    grey: ByteImage, corners: Points, picture: Shown, limits: Limits, reasons: list[str],
    identity: Identity, claims: tuple[Claim, ...], pose: Pose, blur: float | None, seen: Seen,
) -> Examined:  # fmt: skip
    if not is_convex(corners):
        return Examined((*reasons, "no_pose"), identity, claims, seen=seen)
    if pose.bands < 2:
        reasons.append("one_side")
    if not in_view(corners, (grey.shape[1], grey.shape[0])):
        reasons.append("out_of_view")
    longer = float(np.hypot(*(np.roll(corners, -1, axis=0) - corners).T).max())
    soft = None if blur is None else blur / longer
    if soft is None or soft > limits.blur_frac:
        reasons.append("blurred")
    blown, like = compare(grey, corners, picture)
    if blown > limits.blown_frac:
        reasons.append("blown_out")
    matrix = homography(_outline(picture.size_px), corners)
    return Examined(tuple(reasons), identity, claims, pose, corners, matrix, soft, blown, like, seen)


def examine_clean(
    grey: ByteImage, before: Examined, after: Examined, picture: Shown, limits: Limits | None = None
) -> Examined:
    """Examine a photo without markers by the photos with markers that were taken just before and after it.

    Both must be good, of one identity and one pose; then the x-ray lies between the two, and must be seen there.
    """
    limits = limits or Limits()
    reasons = [reason for one in (before, after) for reason in one.reasons]
    one_picture = before.identity == after.identity and before.identity is not None
    if (
        reasons
        or not one_picture
        or before.corners_px is None
        or after.corners_px is None
        or before.pose is None
    ):
        return Examined(tuple(dict.fromkeys(reasons or ["codes_disagree"])))
    assert before.identity is not None
    drift = float(np.hypot(*(before.corners_px - after.corners_px).T).max())
    if drift > limits.drift_frac * float(np.hypot(*grey.shape)) or before.pose.size_px != grey.shape[::-1]:
        return Examined(("moved",), before.identity, before.claims)
    corners = (before.corners_px + after.corners_px) / 2
    if picture.frame is None:
        return Examined(("no_pose",), before.identity, before.claims)
    blurs = [(one.blur_frac or 0.0) for one in (before, after)]
    longer = float(np.hypot(*(np.roll(corners, -1, axis=0) - corners).T).max())
    made = _judged(
        grey, corners, picture, limits, [], before.identity, (*before.claims, *after.claims), before.pose,
        max(blurs) * longer, before.seen,
    )  # fmt: skip
    if made.likeness is not None and made.likeness < limits.likeness:
        return Examined(
            (*made.reasons, "other_picture"), made.identity, made.claims, made.pose, made.corners_px, made.homography,
            made.blur_frac, made.blown_frac, made.likeness, made.seen,
        )  # fmt: skip
    return made


def identify(claims: Iterable[Claim], session: int, key: bytes, least: int) -> tuple[str, Identity | None]:
    """Say which picture codes prove, or the reason why they prove none.

    All codes of this session must say the same: two pictures in one photo are no identity. With fewer than `least`
    codes the identity is proven, and "one_code" is its reason to be refused all the same.
    """
    given = list(claims)
    if not given:
        return "no_code", None
    ours = [claim for claim in given if claim.identity.session == session]
    if not ours:
        return "foreign_session", None
    proven = [claim.identity for claim in ours if is_proven(claim, key)]
    if not proven:
        return "unproven", None
    if len(set(proven)) > 1 or len(ours) < len(given):
        return "codes_disagree", None
    return ("" if len(proven) >= least else "one_code"), proven[0]


def in_view(corners: Points, size_px: tuple[int, int]) -> bool:
    """Tell whether all corners lie in the photo."""
    return bool((corners >= -0.5).all() and (corners <= np.array(size_px) - 0.5).all())


def compare(grey: ByteImage, corners: Points, picture: Shown) -> tuple[float, float | None]:
    """Give the blown-out share and the likeness (None without the x-ray's pixels) of the x-ray in a photo."""
    size = look_size(*picture.size_px)
    seen = rectified(grey, homography(_outline(size), corners), size)
    if picture.xray is None:
        return blown_frac(seen, None), None
    import cv2

    shown = np.asarray(cv2.resize(picture.xray, size, interpolation=cv2.INTER_AREA), np.uint8)
    return blown_frac(seen, shown), likeness(seen, shown)


def _outline(size_px: tuple[int, int]) -> Points:
    width, height = size_px
    return np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
