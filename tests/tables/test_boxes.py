"""Boxes of findings, as the manifest writes them."""

from __future__ import annotations

import pytest

from radsnap.errors import ManifestError
from radsnap.tables import parse_boxes


def test_boxes_are_read_with_their_findings():
    text = "Lung Opacity:1,2,3,4;Pneumonia:5,6,7,8;Lung Opacity:9,10,11,12.5"
    assert parse_boxes(text) == [
        ("Lung Opacity", (1, 2, 3, 4)), ("Pneumonia", (5, 6, 7, 8)), ("Lung Opacity", (9, 10, 11, 12.5)),
    ]  # fmt: skip


def test_empty_parts_are_passed_over():
    assert parse_boxes("") == []
    assert parse_boxes("Mass:1,2,3,4; ;") == [("Mass", (1, 2, 3, 4))]


@pytest.mark.parametrize("text", ["Mass", "Mass:1,2,3", "Mass:1,2,3,wide", "Mass:1,2,3,4,5"])
def test_what_is_no_box_is_refused(text):
    with pytest.raises(ManifestError, match=f"column 'boxes_xywh' holds '{text}'; write boxes as Name:x,y"):
        parse_boxes(text)
