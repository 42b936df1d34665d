"""`radsnap segment`: masks as files, the table, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from drawn_lungs import LEFT, LUNG, RIGHT, drawn

from radsnap.errors import UsageError, WeightsError
from radsnap.imaging import Radiograph, read_image, write_image
from radsnap.jobs.segment import SegmentConfig, mask_names, segment


def mask_of(path):
    return read_image(path).pixels[..., 0]


def run(by_tone, output, *paths, **more):
    return segment(SegmentConfig(paths=tuple(map(str, paths)), output=output, model=str(by_tone), **more))


def test_a_mask_has_the_pictures_size_and_two_values(by_tone, tmp_path):
    picture = drawn(210, 333, LEFT, RIGHT)
    write_image(tmp_path / "in" / "chest.jpg", picture)
    (done,) = run(by_tone, tmp_path / "out", tmp_path / "in" / "chest.jpg")
    mask = mask_of(tmp_path / "out" / "chest.png")
    assert mask.shape == (210, 333)
    assert set(np.unique(mask)) == {0, 255}
    assert ((mask > 0) == (picture == LUNG)).mean() > 0.97
    assert done.measures.area_px == (mask > 0).sum()
    assert read_image(tmp_path / "out" / "chest-overlay.jpg").pixels.shape == (210, 333, 3)


def test_a_jpeg_that_is_decoded_reduced_has_a_mask_of_its_files_size(by_tone, tmp_path):
    write_image(tmp_path / "in" / "large.jpg", drawn(1400, 1500, LEFT, RIGHT))
    run(by_tone, tmp_path / "out", tmp_path / "in", heart=True)
    assert mask_of(tmp_path / "out" / "large.png").shape == (1400, 1500)
    assert mask_of(tmp_path / "out" / "heart" / "large.png").shape == (1400, 1500)
    height, width, _ = read_image(tmp_path / "out" / "large-overlay.jpg").pixels.shape
    assert width <= 1024
    assert height / width == pytest.approx(1400 / 1500, abs=0.01)


def test_pictures_of_one_name_keep_their_masks_apart(by_tone, tmp_path):
    for folder, boxes in (("a", (LEFT, RIGHT)), ("b", ()), ("c", (LEFT,))):
        write_image(tmp_path / folder / "Chest.png", drawn(64, 64, *boxes))
    write_image(tmp_path / "d" / "other.png", drawn(64, 64))
    done = run(by_tone, tmp_path / "out", *(tmp_path / name for name in "abcd"))
    assert len({item.mask for item in done}) == 4
    assert done[3].mask.name == "other.png"
    areas = [int((mask_of(item.mask) > 0).sum()) for item in done]
    assert areas == [item.measures.area_px for item in done]
    assert areas[0] > areas[2] > areas[1] == 0


def test_names_do_not_depend_on_the_order(tmp_path):
    paths = [tmp_path / "a" / "x.png", tmp_path / "b" / "X.jpg", tmp_path / "b" / "y.png"]
    assert mask_names(paths) == mask_names(paths[::-1])


def test_files_that_fail_are_named_and_the_rest_is_done(by_tone, tmp_path):
    write_image(tmp_path / "good.png", drawn(64, 64, LEFT, RIGHT))
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    command = [
        *(sys.executable, "-m", "radsnap", "segment", "good.png", "bad.png", "gone.png", "no/*.png"),
        *("-o", "out", "--model", str(by_tone), "--json", "--no-overlay"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [item["ok"] for item in said] == [True, False, False, False]
    assert said[0]["lungs"]["sides"][0]["patient"] == "right"
    for name in ("bad.png", "gone.png", "no/*.png"):
        assert name in done.stderr
    table = pd.read_csv(tmp_path / "out" / "lungs.csv")
    assert list(table["error"].isna()) == [True, False, False, False]
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"good.png", "lungs.csv"}


def test_the_table_names_both_sides(by_tone, tmp_path):
    write_image(tmp_path / "in" / "chest.png", drawn(100, 100, LEFT, RIGHT))
    run(by_tone, tmp_path / "out", tmp_path / "in", overlay=False)
    row = pd.read_csv(tmp_path / "out" / "lungs.csv", dtype=str).iloc[0]
    assert row["right_lung_image_side"] == "left"
    assert row["left_lung_image_side"] == "right"
    assert int(row["right_lung_px"]) + int(row["left_lung_px"]) == int(row["area_px"])
    assert float(row["cardiothoracic_ratio"]) == pytest.approx(0.23, abs=0.05)
    assert row[["area_mm2", "error", "cut_off"]].isna().all()


def test_a_dicom_with_spacing_has_areas_in_mm(by_tone, tmp_path, monkeypatch):
    from radsnap.jobs import segment as job

    pixels = drawn(128, 128, LEFT, RIGHT).astype(np.float32) / 255
    monkeypatch.setattr(job, "read_image", lambda *_args, **_more: Radiograph(pixels, (0.2, 0.3)))
    (done,) = run(by_tone, tmp_path / "out", tmp_path / "any.dcm", overlay=False)
    assert done.measures.area_mm2 == pytest.approx(done.measures.area_px * 0.06)


def test_a_mask_never_takes_a_pictures_place(by_tone, tmp_path):
    write_image(tmp_path / "chest.png", drawn(64, 64, LEFT, RIGHT))
    before = (tmp_path / "chest.png").read_bytes()
    with pytest.raises(
        UsageError, match=r"chest\.png is one of the pictures, .* give another folder with -o"
    ):
        run(by_tone, tmp_path, tmp_path)
    assert (tmp_path / "chest.png").read_bytes() == before


def test_a_model_without_lungs_is_refused(tiny_chain, tmp_path):
    write_image(tmp_path / "chest.png", drawn(64, 64))
    with pytest.raises(WeightsError, match="model gate has no head 'masks'"):
        run(tiny_chain / "gate.card.json", tmp_path / "out", tmp_path / "chest.png")


def test_a_mask_that_cannot_be_written_is_an_error_of_its_picture(by_tone, tmp_path):
    write_image(tmp_path / "in" / "one.png", drawn(64, 64, LEFT, RIGHT))
    write_image(tmp_path / "in" / "two.png", drawn(64, 64, LEFT, RIGHT))
    (tmp_path / "out" / "one.png").mkdir(parents=True)
    done = run(by_tone, tmp_path / "out", tmp_path / "in", overlay=False)
    assert "one.png: its mask could not be written" in done[0].error
    assert done[1].error is None
