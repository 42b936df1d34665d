"""The shipped `pneumonia-child`: its card, and what it says of children it was not trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from radsnap.jobs.models import list_models
from radsnap.jobs.predict import PredictConfig, predict
from radsnap.measure import accuracy, auroc
from radsnap.models.runtime import load
from radsnap.tables import labels, read_manifest, read_predictions, write_manifest


def test_it_ships_with_a_card_and_is_listed():
    network = load("pneumonia-child", threads=1)
    card = network.card
    assert ("pneumonia-child", "shipped") in [(one.name, whose) for one, whose in list_models()]
    assert [head.classes for head in card.heads] == [("Pneumonia",)]
    assert card.precision == "int8"
    assert all("CC BY 4.0" in source for source in card.training.data)
    assert any("Not a medical device" in caveat for caveat in card.caveats)
    weights = Path(load.__code__.co_filename).parent / "weights" / card.file
    assert weights.stat().st_size <= 9_000_000


def test_one_half_is_its_operating_point():
    card = load("pneumonia-child", threads=1).card
    point = card.domains["digital"].operating_points["Pneumonia"]
    assert point.score == pytest.approx(0.5)
    assert point.n is not None
    assert point.n > 200


def test_it_gives_a_score_and_a_heat_map():
    network = load("pneumonia-child", threads=1)
    size = network.card.input.size_px
    images = np.random.default_rng(0).normal(size=(1, 1, size, size)).astype(np.float32)
    said = network.run(images)
    assert said["logits"].shape == (1, 1)
    assert (said["heat_maps"] >= 0).all()
    assert 0 < expit(said["logits"][0, 0]) < 1


@pytest.mark.shared
def test_predict_tells_children_apart(shared_data: Path, tmp_path: Path) -> None:
    from radsnap.collections import import_collection

    manifest = import_collection("gathered", shared_data).where(split="test")
    children = manifest.rows((manifest.frame["kind"] == "cxr_paediatric").to_numpy())
    truth = labels(children, ("Pneumonia",), uncertain="ignore")[:, 0]
    few = np.isin(np.arange(len(truth)), [*np.flatnonzero(truth == 1)[:30], *np.flatnonzero(truth == 0)[:30]])
    write_manifest(children.rows(few), tmp_path / "children.csv")
    predict(
        PredictConfig(
            model="pneumonia-child", manifest=tmp_path / "children.csv", output=tmp_path / "said.csv"
        )
    )
    said = read_predictions(tmp_path / "said.csv").frame["Pneumonia"].to_numpy()
    assert auroc(truth[few], said) > 0.95
    assert accuracy(truth[few], (said >= 0.5).astype(float)) > 0.88
    assert len(read_manifest(tmp_path / "children.csv")) == 60
