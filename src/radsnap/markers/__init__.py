"""Marks that prove which picture a photo shows, and where in it: draw them, find them, judge the photo.

frame = place((1920, 1080), (2500, 2048), share=0.9)
page = draw_page(xray, frame, write_code(Identity(session=4711, number=17), key))
examine(photo, 4711, key, shown).corners_px
"""

from radsnap.markers.draw import draw_page, draw_tag
from radsnap.markers.examine import (
    REASONS,
    Examined,
    Limits,
    Shown,
    compare,
    examine,
    examine_clean,
    identify,
)
from radsnap.markers.identity import Claim, Identity, is_proven, read_code, write_code
from radsnap.markers.layout import Band, Frame, place, place_tag
from radsnap.markers.pose import Pose, View, find_pose, view_of
from radsnap.markers.sight import Seen, look

__all__ = [
    "REASONS",
    "Band",
    "Claim",
    "Examined",
    "Frame",
    "Identity",
    "Limits",
    "Pose",
    "Seen",
    "Shown",
    "View",
    "compare",
    "draw_page",
    "draw_tag",
    "examine",
    "examine_clean",
    "find_pose",
    "identify",
    "is_proven",
    "look",
    "place",
    "place_tag",
    "read_code",
    "view_of",
    "write_code",
]
