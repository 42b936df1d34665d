from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Picture
from typer.testing import CliRunner

from radsnap.cli.app import app
from radsnap.errors import ManifestError, UsageError, WeightsError
from radsnap.jobs.diagnose import diagnose
from radsnap.jobs.evaluate import EvaluateConfig, Evaluation, evaluate
from radsnap.jobs.evaluation_files import write
from radsnap.jobs.phantom import write_collection
from radsnap.jobs.pointing import pointing_game
from radsnap.measure import auroc
from radsnap.models.card import Figure
from radsnap.phantom import MIXED
from radsnap.tables import build_manifest, labels, read_manifest, write_manifest


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_collection(folder, 48, seed=5, size_px=160, mix=MIXED)
    return folder / "manifest.csv"


def by_subject(figures):
    return {(figure.measure, figure.subject): figure for figure in figures}


def test_the_gates_figures_are_those_of_what_it_said(phantoms):
    found = evaluate(EvaluateConfig(stage="gate", manifest=phantoms, split=None, replicates=100))
    figures = by_subject(found.figures)
    table = np.asarray(found.confusion.table)
    assert table.sum() == found.rows == 48
    recalls = np.diag(table) / table.sum(axis=1)
    whole = figures["balanced_accuracy", "x-ray or not"]
    assert whole.value == pytest.approx(recalls.mean())
    assert whole.low <= whole.value <= whole.high
    assert whole.n == 48


def test_what_the_camera_saw_is_scored_over_x_rays_by_level(phantoms, tmp_path):
    manifest = read_manifest(phantoms)
    frame = manifest.frame.assign(level="")
    frame.loc[frame.index % 2 == 1, ["domain", "level"]] = ["film", "3"]
    write_manifest(build_manifest(frame, manifest.root), tmp_path / "seen.csv")
    found = evaluate(
        EvaluateConfig(stage="domain", manifest=tmp_path / "seen.csv", split=None, replicates=100)
    )
    figures = by_subject(found.figures)
    table = np.asarray(found.confusion.table)
    assert table.sum() == found.rows == (frame["body"] != "none").sum()
    assert figures["accuracy", "digital"].value == pytest.approx(table[0, 0] / table[0].sum())
    assert figures["accuracy", "film, level 3"].n == table[2].sum()
    assert ("accuracy", "screen") not in figures  # none was there


def test_findings_figures_equal_those_of_predict(phantoms, tmp_path):
    manifest = read_manifest(phantoms)
    found = evaluate(EvaluateConfig(stage="findings", manifest=phantoms, split=None, replicates=100))
    out = tmp_path / "predictions.csv"
    command = [sys.executable, "-m", "radsnap", "predict", "findings", str(phantoms), "-o", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    said = pd.read_csv(out).set_index("image_id").loc[manifest.frame["image_id"]]
    truth = labels(manifest, ["Cardiomegaly"], uncertain="ignore")[:, 0]
    known = ~np.isnan(truth)
    figure = by_subject(found.figures)["auroc", "Cardiomegaly"]
    assert figure.value == pytest.approx(
        auroc(truth[known], said["Cardiomegaly"].to_numpy()[known]), abs=1e-9
    )
    assert figure.n == known.sum()


def test_findings_without_labels_are_undefined_with_the_reason(phantoms):
    found = evaluate(EvaluateConfig(stage="findings", manifest=phantoms, split=None, replicates=100))
    figure = by_subject(found.figures)["auroc", "Hernia"]
    assert figure.value is None
    assert figure.reason == "no rows"


def test_kind_is_scored_over_x_rays_alone(phantoms):
    manifest = read_manifest(phantoms)
    found = evaluate(EvaluateConfig(stage="kind", manifest=phantoms, split=None, replicates=100))
    assert found.rows == (manifest.frame["body"] != "none").sum()


def test_the_chain_is_scored_as_diagnose_reads(phantoms):
    manifest = read_manifest(phantoms)
    found = evaluate(EvaluateConfig(stage="chain", manifest=phantoms, split=None, replicates=100))
    gate, kind, end = (figure.value for figure in found.figures[:3])
    assert 0 <= end <= kind <= gate <= 1
    read = [diagnose(manifest.root / path, lungs=None) for path in manifest.frame["path"]]
    bodies = manifest.frame["body"]
    assert gate == np.mean(
        [one.gate.passed == (body != "none") for one, body in zip(read, bodies, strict=True)]
    )
    said = [one.kind.label if one.kind else "none" for one in read]
    assert kind == np.mean(said == bodies.to_numpy())
    assert np.asarray(found.confusion.table).sum() == found.rows == 48


def test_the_chain_scores_its_finding_on_the_chests_labelled_for_it(phantoms, tmp_path):
    manifest = read_manifest(phantoms)
    frontal = np.flatnonzero(manifest.frame["body"] == "chest_frontal")[:10]
    read = [diagnose(manifest.root / manifest.frame["path"].iloc[place], lungs=None) for place in frontal]
    called = [one.findings is not None and one.findings["Lung Opacity"].word == "likely" for one in read]
    agree = [True] * 6 + [False] * 4  # of the labels with what is read
    said = [str(int(call == same)) for call, same in zip(called, agree, strict=True)]
    frame = manifest.frame.iloc[frontal].assign(**{"Lung Opacity": said})
    write_manifest(build_manifest(frame, manifest.root), tmp_path / "rows.csv")
    found = evaluate(
        EvaluateConfig(stage="chain", manifest=tmp_path / "rows.csv", split=None, replicates=100)
    )
    right = [
        same and one.kind is not None and one.kind.label == "chest_frontal" and one.findings is not None
        for one, same in zip(read, agree, strict=True)
    ]
    assert sum(right) > 2
    figure = by_subject(found.figures)["accuracy", "gate, kind and Lung Opacity, of chests labelled for it"]
    assert (figure.n, figure.value) == (10, pytest.approx(np.mean(right)))


def test_the_chain_needs_a_model_with_its_finding(phantoms):
    config = EvaluateConfig(
        stage="chain", manifest=phantoms, split=None, replicates=100, model="pneumonia-child"
    )
    with pytest.raises(WeightsError, match="no operating point for Lung Opacity on digital pictures"):
        evaluate(config)


def test_the_command_writes_table_figure_and_exit_code(phantoms, tmp_path):
    command = [
        sys.executable,
        "-m",
        "radsnap",
        "evaluate",
        "kind",
        str(phantoms),
        "--split",
        "",
        "--replicates",
        "100",
    ]
    done = subprocess.run(
        [*command, "-o", str(tmp_path)], capture_output=True, text=True, env={**os.environ, "COLUMNS": "160"}
    )
    assert done.returncode == 0, done.stderr
    assert "frontal chest against the rest" in " ".join(done.stdout.split())
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert set(pd.read_csv(tmp_path / "figures.csv")["measure"]) == {"accuracy", "balanced_accuracy"}


def test_each_bar_of_the_figure_is_named_by_its_measure(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Picture, "savefig", lambda picture, path: seen.append(picture))
    named = [("auroc", "Lung Opacity"), ("peak_in_a_box", "Lung Opacity"), ("chance", "Lung Opacity")]
    figures = [
        Figure(measure=measure, subject=subject, data="", value=0.5, low=0.4, high=0.6, n=9, method="")
        for measure, subject in named
    ]
    write(Evaluation(tuple(figures), None, (), 9), tmp_path)
    axes = seen[0].axes[0]
    said = [label.get_text() for label in axes.get_yticklabels()][::-1]
    assert said == [f"{one}, Lung Opacity (n=9)" for one in ("auroc", "peak in a box", "chance")]
    assert axes.get_xlabel() == ""


def test_the_chain_takes_no_card(phantoms, monkeypatch):
    monkeypatch.setattr("radsnap.jobs.evaluate.evaluate", lambda config, report: pytest.fail("it ran"))
    refused = CliRunner().invoke(app, ["evaluate", "chain", str(phantoms), "--into-card"])
    assert isinstance(refused.exception, UsageError)
    assert str(refused.exception).startswith("--into-card writes the figures of one network")


def test_an_empty_split_is_refused(phantoms):
    with pytest.raises(ManifestError, match="has no rows of split 'test', source 'None'"):
        evaluate(EvaluateConfig(stage="gate", manifest=phantoms, split="test"))


class Points:
    """A stand-in for a network whose heat is always in one cell of its map."""

    def __init__(self, row: int, column: int) -> None:
        from radsnap.models.runtime import load

        self.card = load("findings").card
        self.heat = np.zeros((1, self.card.outputs, 7, 7), np.float32)
        self.heat[:, :, row, column] = 1

    def run(self, images):
        return {"heat_maps": self.heat}


def test_the_pointing_game_counts_peaks_inside_boxes(tmp_path):
    from radsnap.imaging import write_image

    write_image(tmp_path / "wide.png", np.full((100, 200), 128, np.uint8))
    row = {"image_id": "a", "study_id": "a", "patient_id": "p", "path": "wide.png"}
    # the upper right quarter of the picture
    frame = pd.DataFrame([{**row, "boxes_xywh": "Lung Opacity:100,0,100,50"}])
    manifest = build_manifest(frame, tmp_path)
    right = pointing_game(Points(1, 5), manifest, "Lung Opacity")
    wrong = pointing_game(Points(5, 1), manifest, "Lung Opacity")
    assert right.hit.tolist() == [True]
    assert wrong.hit.tolist() == [False]
    assert right.chance[0] == pytest.approx(0.25, abs=0.01)
    assert len(pointing_game(Points(1, 5), manifest, "Pneumonia").hit) == 0
