"""`predict --flatten` and `calibrate` read photos as `diagnose` does, and say so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from radsnap.flatten import Quad, Survey
from radsnap.imaging import read_image
from radsnap.jobs import calibrate as calibrating
from radsnap.jobs.predict import PredictConfig, predict
from radsnap.jobs.predict_journal import Batch, Journal, Note
from radsnap.jobs.progress import Progress
from radsnap.models.card import Card
from radsnap.reading import flattening
from radsnap.reading.pipeline import load_pipeline
from radsnap.tables import build_manifest, read_predictions, write_manifest

CORNERS = np.array([(60.0, 30.0), (250.0, 44.0), (236.0, 200.0), (70.0, 190.0)])
# By the brightness of the ground around the x-ray, which no straightened picture shows.
QUADS = {
    110: Quad(CORNERS, 0.97),
    120: Quad(CORNERS, 0.3),
    130: Quad(CORNERS, 0.99, cropped_already=True),
    140: None,
}
DOMAINS = ["screen", "film", "screen", "film", "digital", ""]
GROUNDS = [110, 120, 130, 140, 110, 110]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest of four photos whose x-ray is found, unsure, all of it, and absent; one digital, one of no domain."""
    rows = []
    for number, ground in enumerate(GROUNDS):
        pixels = np.full((240, 320), ground, np.uint8)
        texture = np.where(np.arange(240)[:, None] % 2, 102, 152).astype(np.uint8)
        mask = np.zeros((240, 320), np.uint8)
        cv2.fillConvexPoly(mask, np.rint(CORNERS).astype(np.int32), 1)
        pixels[mask > 0] = np.broadcast_to(texture, (240, 320))[mask > 0]
        cv2.imwrite(str(tmp_path / f"{number}.png"), pixels)
        study = f"s{number // 2}"
        rows.append(
            {"image_id": f"i{number}", "study_id": study, "patient_id": study, "path": f"{number}.png"}
        )
    frame = pd.DataFrame(rows).assign(domain=DOMAINS)
    write_manifest(build_manifest(frame, tmp_path), tmp_path / "photos.csv")
    monkeypatch.setattr(flattening, "survey", lambda photo: Survey(QUADS[int(photo.pixels[0, 0, 0])], {}))
    return tmp_path / "photos.csv"


def config(chain: Path, photos: Path, **changes: object) -> PredictConfig:
    values = {
        "model": str(chain / "findings.card.json"), "manifest": photos, "output": photos.parent / "p.csv",
        "batch_size": 4,
    }  # fmt: skip
    return PredictConfig.model_validate(values | changes)


def test_photos_are_scored_as_diagnose_scores_them(tiny_chain: Path, photos: Path) -> None:
    predict(config(tiny_chain, photos, flatten=True))
    table = pd.read_csv(photos.parent / "p.csv").set_index("image_id")
    chain = load_pipeline(
        *(tiny_chain / f"{name}.card.json" for name in ("gate", "kind")),
        {"chest_frontal": tiny_chain / "findings.card.json"},
    )
    for number, domain in enumerate(DOMAINS):
        straighten = domain in ("screen", "film")
        read = replace(chain, flatten=straighten).diagnose(read_image(photos.parent / f"{number}.png"))
        assert read.findings is not None
        assert table.loc[f"i{number}", "Pneumonia"] == pytest.approx(
            read.findings["Pneumonia"].score, abs=1e-5
        )
    predict(config(tiny_chain, photos, output=photos.parent / "plain.csv"))
    plain = pd.read_csv(photos.parent / "plain.csv").set_index("image_id")
    moved = (plain["Pneumonia"] - table["Pneumonia"]).abs() > 1e-4
    assert moved.tolist() == [True, True, False, False, False, False]


def test_the_file_says_how_each_photo_was_read(tiny_chain: Path, photos: Path) -> None:
    predict(config(tiny_chain, photos, flatten=True))
    table = pd.read_csv(photos.parent / "p.csv", dtype=str, keep_default_na=False)
    assert table.columns.tolist() == ["image_id", "Pneumonia", "Edema", "Hernia", "flatten", "confidence"]
    assert table["flatten"].tolist() == ["straightened", "straightened", "as it is", "as it is", "", ""]
    assert table["confidence"].tolist() == ["0.97", "0.3", "", "", "", ""]
    assert read_predictions(photos.parent / "p.csv").findings == ("Pneumonia", "Edema", "Hernia")
    predict(config(tiny_chain, photos, flatten=True, by="study"))
    table = pd.read_csv(photos.parent / "p.csv", dtype=str, keep_default_na=False)
    assert table["flatten"].tolist() == ["straightened", "as it is", ""]
    assert table["confidence"].tolist() == ["0.3", "", ""]
    predict(config(tiny_chain, photos))
    assert pd.read_csv(photos.parent / "p.csv").columns.tolist() == [
        "image_id",
        "Pneumonia",
        "Edema",
        "Hernia",
    ]


@pytest.mark.parametrize("first", [True, False])
def test_a_run_is_resumed_only_by_a_run_that_flattens_alike(
    first: bool, tiny_chain: Path, photos: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done >= 4:
            raise KeyboardInterrupt

    def begin() -> None:
        with pytest.raises(KeyboardInterrupt):
            predict(config(tiny_chain, photos, flatten=first), stop)

    begin()
    assert predict(config(tiny_chain, photos, flatten=not first)).resumed == 0
    predict(config(tiny_chain, photos, flatten=first))
    whole = (photos.parent / "p.csv").read_bytes()
    begin()
    assert predict(config(tiny_chain, photos, flatten=first)).resumed == 4
    assert (photos.parent / "p.csv").read_bytes() == whole


def test_a_journal_keeps_how_photos_were_read(tmp_path: Path) -> None:
    notes = {"a": Note("straightened", 0.25), "b": Note("as it is", None)}
    with Journal(tmp_path / "j", "key") as journal:
        journal.add(0, Batch(("a", "b"), np.zeros((2, 1), np.float32), {}, notes))
    with Journal(tmp_path / "j", "key") as again:
        assert again.done[0].notes == notes
    assert json.loads((tmp_path / "j").read_text().splitlines()[1])["notes"]["a"] == ["straightened", 0.25]


@pytest.mark.parametrize("flatten", [True, False])
def test_calibrate_reads_photos_as_it_is_told(
    flatten: bool, tiny_chain: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    plain = calibrating.score_manifest

    def scores(*given: object, flatten: bool) -> object:
        told.append(flatten)
        return plain(*given, flatten=flatten)  # type: ignore[arg-type]

    monkeypatch.setattr(calibrating, "score_manifest", scores)
    frame = pd.concat([pd.read_csv(photos, dtype=str).iloc[:1]] * 12, ignore_index=True)
    names = [f"p{k}" for k in range(12)]
    frame = frame.assign(image_id=names, study_id=names, patient_id=names, Pneumonia=["1", "0"] * 6)
    write_manifest(build_manifest(frame, photos.parent), photos)
    made = calibrating.calibrate(
        calibrating.CalibrateConfig(
            model=str(tiny_chain / "findings.card.json"), manifest=photos, output=photos.parent / "models",
            flatten=flatten, force=True, replicates=100,
        )
    )  # fmt: skip
    assert told == [flatten]
    assert isinstance(made.card, Card)
    assert made.card.caveats[-1].endswith("photos straightened." if flatten else "photos as they are.")
