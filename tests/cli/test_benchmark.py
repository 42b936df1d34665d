"""`radsnap benchmark` as a user types it: every bad input with the exact line it gets, and what is handled."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from radsnap.cli.app import main

N = 24
FINDINGS = ["Atelectasis", "Cardiomegaly", "Edema"]
IDS = [f"CheXpert-v1.0/test/patient{100 + i}/study1" for i in range(N)]


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Two models on digital and photo, decisions of the first, and a reader, in the current folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    truth = pd.DataFrame({"Study": IDS, **{f: np.arange(N) % (k + 2) == 0 for k, f in enumerate(FINDINGS)}})
    truth[FINDINGS] = truth[FINDINGS].astype(int)
    truth.to_csv("truth.csv", index=False)
    for name in ("a", "b"):
        for arm in ("digital", "photo"):
            Path(arm).mkdir(exist_ok=True)
            scores = (truth[FINDINGS] + rng.normal(size=(N, 3))).round(2)
            scores.assign(Study=IDS)[["Edema", "Study", "Atelectasis", "Cardiomegaly"]].to_csv(
                f"{arm}/{name}_predictions.csv", index=False
            )
    scores = pd.read_csv("digital/a_predictions.csv")
    scores[FINDINGS] = (scores[FINDINGS] > 0.5).astype(int)
    scores.to_csv("a_decisions.csv", index=False)
    truth.to_csv("reader.csv", index=False)
    return tmp_path


def run(monkeypatch, *more):
    options = ["--truth", "truth.csv", "--replicates", "20", "-o", "report"]
    for name in ("a", "b"):
        options += [
            "--digital",
            f"digital/{name}_predictions.csv",
            "--photo",
            f"photo/{name}_predictions.csv",
        ]
    options += ["--decisions", "a_decisions.csv", "--readers", "reader.csv", *more]
    monkeypatch.setattr(sys, "argv", ["radsnap", "benchmark", *options])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def edit(path, change):
    frame = change(pd.read_csv(path, dtype=str))
    frame.to_csv(path, index=False)


def put(row, column, value):
    def change(frame):
        frame.loc[row, column] = value
        return frame

    return change


DIGITAL = "digital/a_predictions.csv"
# what is done to which file → the line on stderr
REFUSED = {
    "a double study": (
        DIGITAL, lambda t: pd.concat([t, t.iloc[2:3]]),
        f"{DIGITAL}: row 25, column 'Study': '{IDS[2]}' stands in row 3 already (1 doubles in all); keep one row each",
    ),
    "one study under two prefixes": (
        DIGITAL, put(5, "Study", IDS[2].replace("/test/", "/valid/")),
        f"{DIGITAL}: row 6, column 'Study': '{IDS[2].replace('/test/', '/valid/')}' stands in row 3 already, "
        f"written '{IDS[2]}' (1 doubles in all); keep one row each",
    ),
    "NaN": (
        DIGITAL, put(1, "Edema", "NaN"),
        f"{DIGITAL}: row 2, column 'Edema' has 'NaN'; write a finite number for every row",
    ),
    "a blank": (
        DIGITAL, put(3, "Edema", None),
        f"{DIGITAL}: row 4, column 'Edema' is blank; write a finite number for every row",
    ),
    "infinity": (
        "photo/b_predictions.csv", put(0, "Cardiomegaly", "-inf"),
        "photo/b_predictions.csv: row 1, column 'Cardiomegaly' has '-inf'; write a finite number for every row",
    ),
    "a word": (
        DIGITAL, lambda t: t.assign(Edema=["high", "low", *t.Edema[2:]]),
        f"{DIGITAL}: row 1, column 'Edema' has 'high'; write a finite number for every row (2 rows like it)",
    ),
    "no id": (
        DIGITAL, put(7, "Study", None),
        f"{DIGITAL}: row 8, column 'Study' is blank; every row needs its id",
    ),
    "no key": (
        DIGITAL, lambda t: t.rename(columns={"Study": "name"}),
        f"{DIGITAL}: no column names the rows; expected Study, Path, image_id or study_id, found "
        "Edema, name, Atelectasis, Cardiomegaly",
    ),
    "other studies": (
        DIGITAL, lambda t: t.assign(Study=t.Study.str.replace("study1", "study2")),
        f"{DIGITAL}: none of its 24 studies is in the truth; the truth has 'patient100/study1', this file "
        "'patient100/study2'",
    ),
    "a reader on other studies": (
        "reader.csv", lambda t: t.assign(Study=[f"patient{i}/study1" for i in range(N)]),
        "reader.csv: none of its 24 studies is in the truth; the truth has 'patient100/study1', this file "
        "'patient0/study1'",
    ),
    "a reader between yes and no": (
        "reader.csv", put(2, "Edema", "0.5"),
        "reader.csv: 'patient102/study1' has 0.5 for 'Edema'; a reading is 0 or 1",
    ),
    "decisions that are scores": (
        "a_decisions.csv", put(2, "Edema", "0.7"),
        "a_decisions.csv: 'patient102/study1' has 0.7 for 'Edema'; a decision is 0 or 1",
    ),
    "uncertain truth": (
        "truth.csv", put(4, "Edema", "-1"),
        "truth.csv: 'patient104/study1' is uncertain (-1) for 'Edema' (1 in all); say what that means by "
        "--uncertain ones, zeros or ignore",
    ),
    "truth of three classes": (
        "truth.csv", put(4, "Edema", "2"), "truth.csv: 'patient104/study1' has 2 for 'Edema'; truth is 0 or 1",
    ),
    "a finding twice": (
        DIGITAL, lambda t: t.assign(edema=t.Edema),
        f"{DIGITAL}: columns 'Edema' and 'edema' are both 'Edema'; keep one",
    ),
    "no finding": (
        DIGITAL, lambda t: t[["Study"]].assign(score="1"),
        f"{DIGITAL}: no finding is in the truth and in every model's file; truth has Atelectasis, Cardiomegaly, "
        "Edema, this file none",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_refused_in_words(case, study, monkeypatch, capsys):
    path, change, message = REFUSED[case]
    edit(path, change)
    assert run(monkeypatch) == 1
    assert capsys.readouterr().err == f"radsnap: {message}\n"
    assert not (study / "report").exists()


def test_a_finding_that_is_asked_for_and_absent_from_one_file_is_refused(study, monkeypatch, capsys):
    edit("photo/b_predictions.csv", lambda t: t.drop(columns="Edema"))
    assert run(monkeypatch, "--findings", "Edema,Atelectasis") == 1
    assert capsys.readouterr().err == (
        "radsnap: photo/b_predictions.csv: column 'Edema' is missing; add it, or leave that finding out by --findings\n"
    )


USAGE = {
    ("--interval", "t"): "--interval: Input should be 'percentile' or 'bca', got 't'",
    ("--replicates", "0"): "--replicates: Input should be greater than or equal to 1, got 0",
    ("--margin", "-1"): "--margin: Input should be greater than 0, got -1.0",
    ("--rule", "best", "--validation", "truth.csv"): (
        "a rule is youden, mcc, sensitivity=0.9 or specificity=0.9, got 'best'"
    ),
    ("--arm", "phone"): "--arm takes NAME=FILE, got 'phone'",
    ("--decisions-of", "=x.csv"): "--decisions-of takes NAME=FILE, got '=x.csv'",
    ("--thresholds", "truth.csv", "--validation", "truth.csv"): (
        "thresholds are given (--thresholds) or chosen (--validation), not both"
    ),
    ("--digital", "photo/a_predictions.csv"): (
        "two files are named 'a' in one arm, the second is photo/a_predictions.csv; rename one"
    ),
    (
        "--baseline",
        "a",
    ): "a baseline needs a sweep: arms named by effect and level, such as --arm glare-1=FILE",
    ("--baseline", "x"): "the baseline 'x' is not among the models a, b",
}


@pytest.mark.parametrize("options", USAGE, ids=" ".join)
def test_wrong_usage_is_told_in_one_line(options, study, monkeypatch, capsys):
    assert run(monkeypatch, *options) == 2
    assert capsys.readouterr().err == f"radsnap: {USAGE[options]}\n"


def test_what_is_handled_is_told_in_warnings(study, monkeypatch, capsys):
    few = ["1", "1", *["0"] * (N - 2)]
    edit("truth.csv", lambda t: t.assign(Atelectasis="0", Cardiomegaly=few, Fracture="0"))
    same = pd.read_csv(DIGITAL).Cardiomegaly
    edit("digital/b_predictions.csv", lambda t: t.assign(Cardiomegaly=same, Fracture="0.1"))
    edit(DIGITAL, lambda t: pd.concat([t, t.iloc[:1].assign(Study="patient9/study9")]))
    edit("photo/a_predictions.csv", lambda t: t.iloc[3:].assign(Edema=-100))
    edit("photo/b_predictions.csv", lambda t: t.drop(columns="Edema").assign(Edema=0.5))
    Path("photo/b_predictions.csv").rename("photo/c_predictions.csv")
    Path("photo/b_predictions.csv").write_bytes(Path("digital/b_predictions.csv").read_bytes())
    assert run(monkeypatch, "--photo", "photo/c_predictions.csv") == 0
    lines = capsys.readouterr().err.splitlines()
    implied = pd.read_csv(DIGITAL).Edema.iloc[:N]
    cut = (implied[implied > 0.5].min() + implied[implied <= 0.5].max()) / 2
    assert [line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")] == [
        "Fracture is left out: no such column in digital/a_predictions.csv, photo/a_predictions.csv, "
        "photo/c_predictions.csv",
        "digital/a_predictions.csv has 1 studies that the truth does not have (patient9/study9); they are left out",
        "photo/a_predictions.csv lacks 3 of 24 studies (patient100/study1, patient101/study1, patient102/study1); "
        "its figures rest on the others, its differences on the studies that both have",
        "Atelectasis has no positives among 24 studies: most measures are undefined, and it is left out of means",
        "Cardiomegaly has only 2 positives: its intervals are wide and unreliable",
        "Edema has only 6 positives: its intervals are wide and unreliable",
        "a and b have identical scores for Cardiomegaly (digital): they are not independent",
        "prevalence of Cardiomegaly is 0.00 among the studies of a (photo) and 0.08 in the truth",
        "c (photo) has no digital predictions of that name: no change is measured",
        f"a (photo) calls no study positive for Edema (threshold {cut:.6g} implied by the digital decisions)",
    ]
    results = pd.read_csv("report/results.csv").query("subject == 'a' and domain == 'digital'")
    undefined = results.query("measure == 'AUROC' and finding == 'Atelectasis'").iloc[0]
    assert undefined.method == "undefined: no positives among 24 studies"
    assert np.isnan(undefined.value)


def test_keys_prefixes_orders_and_extra_columns_are_joined_by_name_and_id(study, monkeypatch, capsys):
    truth = pd.read_csv("truth.csv").set_index("Study")
    expected = {}
    for arm in ("digital", "photo"):
        scores = pd.read_csv(f"{arm}/a_predictions.csv").set_index("Study").loc[truth.index]
        expected[arm] = roc_auc_score(truth.Edema, scores.Edema)
    view = lambda ids: ids.str.replace("/test/", "/valid/") + "/view1_frontal.jpg"  # noqa: E731
    edit(DIGITAL, lambda t: t.assign(Path=view(t.Study), note="x").drop(columns="Study").iloc[::-1])
    edit(
        "photo/a_predictions.csv",
        lambda t: t.assign(image_id=view(t.Study)).drop(columns="Study").sample(frac=1, random_state=1),
    )
    edit("reader.csv", lambda t: t.rename(columns={"Study": "study_id"}).iloc[::-1])
    assert run(monkeypatch, "--interval", "bca", "--stratified", "--margin", "0.1") == 0
    assert "report.html" in capsys.readouterr().out
    results = pd.read_csv("report/results.csv").query("finding == 'Edema'").set_index(
        ["subject", "domain", "measure"]
    )  # fmt: skip
    for arm, value in expected.items():
        row = results.loc["a", arm, "AUROC"]
        assert row.value == pytest.approx(value, abs=1e-12)
        assert row.method == "BCa bootstrap 95 %, 20 resamples of 24 studies, stratified (1 strata)"
    lost = results.loc["a", "photo-digital", "relative drop in AUROC"]
    assert lost.value == pytest.approx(1 - expected["photo"] / expected["digital"])
    assert results.loc["a", "photo-digital", "flips per patient"].n == N
    assert results.loc["reader", "digital", "MCC"].value == 1.0
    assert "intervals from 20 resamples of 24 patients" in Path("report/tables.md").read_text()
