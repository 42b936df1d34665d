"""Each remark names what is wrong with the picture, and a sound picture gets none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from radsnap.flatten.judging import BARS
from radsnap.imaging import Provenance
from radsnap.reading import quality
from radsnap.reading.lungs import SMALL_SHARE, Measures, lung_remarks


def film(size: int = 600) -> np.ndarray:
    """Smooth shapes with grain: sharp, of full range, neither dark nor bright."""
    rng = np.random.default_rng(0)
    shapes = cv2.GaussianBlur(rng.random((size, size)).astype(np.float32), (0, 0), size / 16)
    shapes = (shapes - shapes.min()) / (shapes.max() - shapes.min())
    return np.clip(0.1 + 0.75 * shapes + rng.normal(0, 0.03, shapes.shape), 0, 1).astype(np.float32)


def names(grey: np.ndarray, size_px: tuple[int, int] = (600, 600)) -> list[str]:
    return [remark.name for remark in quality.remarks(grey, size_px)]


def test_a_sound_picture_gets_no_remark() -> None:
    assert names(film()) == []


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("dark", lambda grey: grey * 0.1),
        ("bright", lambda grey: 0.88 + grey * 0.11),
        ("flat", lambda grey: 0.4 + grey * 0.2),
        ("clipped", lambda grey: np.minimum(grey * 3, 1)),
        ("blurred", lambda grey: cv2.GaussianBlur(grey, (0, 0), 5)),
    ],
)
def test_a_spoilt_picture_gets_its_remark(name: str, spoil: object) -> None:
    spoilt = np.asarray(spoil(film()), dtype=np.float32)  # type: ignore[operator]
    (remark,) = [remark for remark in quality.remarks(spoilt, (600, 600)) if remark.name == name]
    assert remark.sentence.endswith(".")
    assert remark.value != remark.threshold


def test_size_is_judged_by_the_file_not_by_the_decoded_pixels() -> None:
    assert names(film(), (150, 900)) == ["small"]
    (remark,) = quality.remarks(film(), (150, 900))
    assert remark.sentence == "The shorter side has only 150 px; fine findings need 200 or more."


def test_sharpness_does_not_depend_on_contrast() -> None:
    grey = film(400)
    assert quality.sharpness(0.3 * grey) == pytest.approx(quality.sharpness(grey), rel=1e-4)


def test_a_picture_of_one_grey_has_no_sharpness() -> None:
    assert quality.sharpness(np.full((64, 64), 0.5, dtype=np.float32)) == 0.0


def test_a_damaged_file_gets_a_remark_in_the_decoders_words() -> None:
    assert quality.file_remarks(Provenance("a.jpg")) == ()
    (remark,) = quality.file_remarks(Provenance("a.jpg", damage="Corrupt JPEG data: premature end"))
    assert remark.name == "damaged"
    assert "(Corrupt JPEG data: premature end)" in remark.sentence


def test_the_page_names_every_remark() -> None:
    page = (Path(__file__).parents[2] / "docs/diagnose.md").read_text()
    listed = page[page.index("`quality` names are") :].partition("\n\n")[0]
    whole = {name for grey in (0.0, 1.0) for name in names(np.full((100, 100), grey, np.float32), (100, 100))}
    assert whole == {"small", "dark", "bright", "flat", "clipped", "blurred"}
    lungs = [
        remark.name
        for share in (0.0, 0.9 * SMALL_SHARE)
        for remark in lung_remarks(Measures(0, None, share, (), None, None, None, ("left",)))
    ]
    assert lungs == ["no lungs", "cut off", "far"]
    assert [name for name in {*whole, *BARS, *lungs, "damaged"} if f"`{name}`" not in listed] == []
