"""`radsnap calibrate`: a model of the same weights with other settings, adopted only where they gain."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from radsnap.cli.app import app
from radsnap.errors import ManifestError, UsageError
from radsnap.imaging import write_image
from radsnap.jobs import calibrate as job
from radsnap.jobs.calibrate import CalibrateConfig, calibrate
from radsnap.jobs.predict import Scores
from radsnap.models.card import Domain, Threshold, read_card, sha256_of, write_card
from radsnap.models.runtime import locate
from radsnap.tables import build_manifest, labels, write_manifest

FINDING = "Pneumonia"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Sixty photos of sixty patients with one label."""
    write_image(tmp_path / "x.jpg", np.full((64, 64), 90, np.uint8))
    names = [f"p{k}" for k in range(60)]
    table = pd.DataFrame({"image_id": names, "study_id": names, "patient_id": names, "path": "x.jpg"})
    table["domain"], table["body"] = "screen", "chest_frontal"
    table[FINDING] = ["1", "0"] * 30
    write_manifest(build_manifest(table, tmp_path), tmp_path / "photos.csv")
    return tmp_path / "photos.csv"


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that tells the two apart on photos, at logits far below its operating point."""

    def scores(network, manifest, report, **_):
        rng = np.random.default_rng(0)
        logits = np.zeros((len(manifest), network.card.outputs), np.float32)
        place = network.card.head("findings").classes.index(FINDING)
        sick = labels(manifest, [FINDING], uncertain="ignore")[:, 0] == 1
        logits[:, place] = np.where(sick, -5.0, -8.0) + rng.normal(0, 1, len(manifest))
        return Scores(tuple(manifest.frame["image_id"]), logits, {})

    monkeypatch.setattr(job, "score_manifest", scores)


def config(photos: Path, **more: object) -> CalibrateConfig:
    return CalibrateConfig(
        model="findings", manifest=photos, output=photos.parent / "models", replicates=200, **more
    )


@pytest.mark.usefixtures("moved")
def test_a_moved_operating_point_is_found_and_written(photos: Path) -> None:
    before = read_card(locate("findings"))
    made = calibrate(config(photos))
    assert made.adopted == {("screen", FINDING)}
    after = read_card(made.path)
    assert after.name == "findings-calibrated"
    assert after.sha256 == before.sha256 == sha256_of(made.path.parent / after.file)
    point = after.domain("screen").operating_points[FINDING]
    assert -8 < np.log(point.score / (1 - point.score)) < -5
    assert after.domain("digital") == before.domain("digital")
    others = {name for name in before.domain("screen").operating_points if name != FINDING}
    assert all(
        after.domain("screen").operating_points[name] == before.domain("screen").operating_points[name]
        for name in others
    )
    measured = [figure for figure in after.figures if "out of fold" in figure.data]
    assert [figure.measure for figure in measured] == ["sensitivity", "specificity"]
    assert all(figure.value is not None and figure.value > 0.8 for figure in measured)


@pytest.mark.usefixtures("moved")
def test_a_model_is_not_overwritten_unasked(photos: Path) -> None:
    calibrate(config(photos))
    with pytest.raises(UsageError, match="is there already"):
        calibrate(config(photos))
    calibrate(config(photos, replace=True))


def test_labels_that_are_all_blank_are_refused(photos: Path) -> None:
    table = pd.read_csv(photos, dtype=str, keep_default_na=False)
    table[FINDING] = ""
    table.to_csv(photos, index=False)
    with pytest.raises(ManifestError, match="no row has a label of"):
        calibrate(config(photos))


@pytest.mark.usefixtures("moved")
def test_too_few_images_are_refused(photos: Path) -> None:
    table = pd.read_csv(photos, dtype=str, keep_default_na=False)
    table.loc[8:, FINDING] = ""
    table.to_csv(photos, index=False)
    with pytest.raises(
        ManifestError, match="4 positive and 4 negative images; 5 of each are needed at least"
    ):
        calibrate(config(photos))


def published(folder: Path, **changed: object) -> Path:
    """Copy the findings network beside a card with other contents."""
    card = read_card(locate("findings")).model_copy(update=changed)
    folder.mkdir()
    shutil.copy(locate("findings").parent / card.file, folder / card.file)
    write_card(card, folder / "other.card.json")
    return folder / "other.card.json"


def test_a_point_without_a_curve_gives_way_to_a_shown_gain_only(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = Threshold(score=0.5, possible=0.5, rule="published", n=None)
    domains = {"any": Domain(operating_points={FINDING: point})}
    model = published(tmp_path / "published", domains=domains)

    def well_placed(network, manifest, report, **_):
        logits = np.zeros((len(manifest), network.card.outputs), np.float32)
        sick = labels(manifest, [FINDING], uncertain="ignore")[:, 0] == 1
        place = network.card.head("findings").classes.index(FINDING)
        noise = np.random.default_rng(0).normal(0, 1.4, len(manifest))
        logits[:, place] = np.where(sick, 1.0, -1.0) + noise
        return Scores(tuple(manifest.frame["image_id"]), logits, {})

    monkeypatch.setattr(job, "score_manifest", well_placed)
    asked = config(photos).model_copy(update={"model": str(model)})
    made = calibrate(asked)
    assert made.found["screen", FINDING].verdict == "no gain shown"
    assert made.adopted == frozenset()
    assert read_card(made.path).domains == domains


def test_findings_that_exclude_each_other_are_refused(photos: Path, tmp_path: Path) -> None:
    heads = tuple(
        head.model_copy(update={"activation": "softmax"}) for head in read_card(locate("findings")).heads
    )
    model = published(tmp_path / "one-of", heads=heads)
    with pytest.raises(UsageError, match=r"the findings of findings exclude each other \(softmax\)"):
        calibrate(config(photos).model_copy(update={"model": str(model)}))


@pytest.mark.usefixtures("moved")
def test_the_command_says_what_was_taken_over(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(
        app, ["calibrate", "findings", str(photos), "-o", str(photos.parent / "m"), "--replicates", "200"]
    )
    assert result.exit_code == 0, result.output
    assert "yes: better" in result.output
    assert "use it with --model" in result.output
