"""`flatten` writes what it finds, leaves alone what it should, and names what fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from radsnap.errors import UsageError
from radsnap.flatten import Quad
from radsnap.imaging import Photo, Radiograph, read_image, write_image
from radsnap.jobs import flatten as job
from radsnap.jobs.flatten import FlattenConfig, flatten_files

CORNERS = np.array([(20.0, 10.0), (200.0, 14.0), (196.0, 150.0), (24.0, 146.0)])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        write_image(tmp_path / "in" / f"{name}.png", rng.integers(0, 255, (180, 240, 3), np.uint8))
    return tmp_path / "in"


def run(
    photos: Path, quad: Quad | None, monkeypatch: pytest.MonkeyPatch, **options: object
) -> list[job.Flattened]:
    monkeypatch.setattr(job, "find", lambda photo, model: quad)
    given = {"paths": (str(photos),), "output": photos.parent / "out", "turn": False, "jobs": 2}
    return flatten_files(FlattenConfig.model_validate({**given, **options}))


def test_a_found_xray_is_written_with_overlay_and_record(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(photos, Quad(CORNERS, 0.99), monkeypatch)
    out = photos.parent / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "a-overlay.jpg", "a.png", "b-overlay.jpg", "b.png", "flatten.jsonl",
    ]  # fmt: skip
    lines = [json.loads(line) for line in (out / "flatten.jsonl").read_text().splitlines()]
    assert [line["status"] for line in lines] == ["flattened", "flattened"]
    assert lines[0]["quad"]["corners_px"] == CORNERS.tolist()
    assert lines[0]["size_px"] == [240, 180]
    assert lines[0] == json.loads(json.dumps(done[0].to_json()))
    written = read_image(out / "a.png")
    assert abs(written.pixels.shape[1] - 177) <= 3


def test_a_cropped_picture_is_written_as_it_is(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(photos, Quad(CORNERS, 0.99, cropped_already=True), monkeypatch)
    assert [item.status for item in done] == ["cropped already"] * 2
    assert "left as it is" in done[0].sentence
    told = done[0].to_json()
    assert told["retake"] in (True, False)
    assert {one["name"] for one in told["quality"]} >= {"glare", "blurred"}
    same = read_image(photos.parent / "out" / "a.png")
    assert np.array_equal(same.pixels, read_image(photos / "a.png").pixels)


@pytest.mark.parametrize(("quad", "status"), [(None, "no x-ray found"), (Quad(CORNERS, 0.4), "not sure")])
def test_without_a_sure_quad_nothing_is_straightened(
    quad: Quad | None, status: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(photos, quad, monkeypatch, overlay=False)
    assert [(item.status, item.file, item.error) for item in done] == [(status, None, None)] * 2
    assert [path.name for path in (photos.parent / "out").iterdir()] == ["flatten.jsonl"]


def test_an_unsure_quad_is_taken_when_asked(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(photos, Quad(CORNERS, 0.4), monkeypatch, unsure=True)[0].status == "flattened"


def test_broken_files_and_empty_patterns_are_named_and_the_others_done(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "c.jpg").write_bytes(b"no picture")
    done = run(photos, Quad(CORNERS, 0.99), monkeypatch, paths=(str(photos), "nowhere/*.jpg"))
    assert [item.status for item in done] == ["flattened", "flattened", "failed", "failed"]
    assert "c.jpg" in str(done[2].error)
    assert "nowhere" in str(done[3].error)


def test_a_dicom_comes_back_as_the_same_pixels(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(photos, Quad(CORNERS, 0.99), monkeypatch, format="dicom")
    assert done[0].file is not None
    again = read_image(done[0].file)
    straight = done[0].straight
    assert straight is not None
    pixels = again.pixels if isinstance(again, Radiograph) else again.pixels[..., 0] / np.float32(255)
    assert np.abs(pixels - straight.radiograph.pixels).max() < 0.01


def test_a_picture_is_never_written_over(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"a\.png is one of the pictures"):
        run(photos, Quad(CORNERS, 0.99), monkeypatch, output=photos)


def test_the_overlay_shows_the_quad_in_its_colour() -> None:
    photo = Photo(np.zeros((180, 240, 3), np.uint8))
    sure, unsure = (job.draw_quad(photo, Quad(CORNERS, confidence)) for confidence in (0.99, 0.4))
    assert tuple(sure[12, 100]) == (0, 200, 90)
    assert tuple(unsure[12, 100]) == (230, 159, 0)
    assert not job.draw_quad(photo, None).any()
