"""The benchmark from files to report: numbers against scikit-learn, joins, thresholds, refusals."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import matthews_corrcoef, roc_auc_score

from radsnap.errors import PredictionsError, TableError, UsageError
from radsnap.jobs.benchmark import COLUMNS, BenchmarkConfig, benchmark, evaluate
from radsnap.jobs.leaderboard import leaderboard

FINDINGS = ["Atelectasis", "Edema", "Pleural Effusion"]
N = 90


def write(path, frame):
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)
    return path


def ids(split="test"):
    return [f"CheXpert-v1.0/{split}/patient{64000 + i}/study1" for i in range(N)]


@pytest.fixture
def study(tmp_path):
    """Three models in two domains, two with decisions, and three readers; nothing in the same order twice."""
    rng = np.random.default_rng(5)
    truth = pd.DataFrame(
        {"Study": ids(), "No Finding": 0, **{f: (rng.random(N) < 0.35).astype(int) for f in FINDINGS}}
    )
    write(tmp_path / "truth.csv", truth)
    for m in range(3):
        base = {f: np.round(truth[f] * 1.5 + rng.normal(size=N), 1) for f in FINDINGS}  # ties
        digital = pd.DataFrame(
            {"Study": ids(), **{f: base[f] for f in rng.permutation(FINDINGS)}, "remark": "x"}
        )
        write(tmp_path / "digital" / f"model{m}_predictions.csv", digital.sample(frac=1, random_state=m))
        photo = pd.DataFrame(
            {"Study": ids("valid"), **{f: np.round(base[f] + rng.normal(size=N), 1) for f in FINDINGS}}
        )
        write(tmp_path / "photo" / f"model{m}.csv", photo.sample(frac=1, random_state=m + 9))
        if m < 2:
            called = digital[["Study"]].assign(
                **{f: (digital[f] > 0.85).astype(int) for f in reversed(FINDINGS)}
            )
            write(tmp_path / "decisions" / f"model{m}_decisions.csv", called)
    for r in range(3):
        flip = rng.random((N, 3)) < 0.15
        read = truth.assign(
            **{f: np.where(flip[:, k], 1 - truth[f], truth[f]) for k, f in enumerate(FINDINGS)}
        )
        write(tmp_path / "readers" / f"reader{r}.csv", read[["Study", *reversed(FINDINGS)]])
    return tmp_path


def config(study, **changes):
    every = {
        "truth": study / "truth.csv",
        "output": study / "report",
        **{
            arm: tuple(sorted((study / arm).glob("*.csv")))
            for arm in ("digital", "photo", "decisions", "readers")
        },
        "replicates": 60,
        "seed": 1,
    }
    return BenchmarkConfig.model_validate({**every, **changes})


def table(path):
    return pd.read_csv(path).set_index("Study").rename(index=lambda name: name.split("/", 2)[2])


def pick(result, **wanted):
    frame = result if isinstance(result, pd.DataFrame) else result.frame()
    for column, value in wanted.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1, f"{len(frame)} rows of {wanted}"
    return frame.iloc[0]


def test_figures_equal_scikit_learn_whatever_the_order_of_rows_and_columns(study):
    result = evaluate(config(study))
    truth, values = table(study / "truth.csv"), {}
    for m in range(3):
        for arm, name in (("digital", f"model{m}_predictions.csv"), ("photo", f"model{m}.csv")):
            scores = table(study / arm / name).loc[truth.index]
            for f in FINDINGS:
                values[m, arm, f] = roc_auc_score(truth[f], scores[f])
                row = pick(result, subject=f"model{m}", role="model", domain=arm, finding=f, measure="AUROC")
                assert row.value == pytest.approx(values[m, arm, f], abs=1e-12)
                assert row.low <= row.value <= row.high
                assert row.n == N
        change = [values[m, "photo", f] - values[m, "digital", f] for f in FINDINGS]
        for f, value in (*zip(FINDINGS, change, strict=True), ("mean", np.mean(change))):
            row = pick(
                result,
                subject=f"model{m}",
                role="difference",
                domain="photo-digital",
                finding=f,
                measure="AUROC",
            )
            assert row.value == pytest.approx(value, abs=1e-12)
            assert 0 < row.p <= 1
    for f in FINDINGS:
        mccs = [
            matthews_corrcoef(truth[f], table(study / "readers" / f"reader{r}.csv").loc[truth.index, f])
            for r in range(3)
        ]
        for r in range(3):
            row = pick(result, subject=f"reader{r}", role="reader", finding=f, measure="MCC")
            assert row.value == pytest.approx(mccs[r], abs=1e-12)
        row = pick(result, role="readers' mean", finding=f, measure="MCC")
        assert row.value == pytest.approx(np.mean(mccs), abs=1e-12)
        own = matthews_corrcoef(
            truth[f], table(study / "decisions" / "model0_decisions.csv").loc[truth.index, f]
        )
        assert pick(
            result, subject="model0", role="model", domain="digital", finding=f, measure="MCC"
        ).value == (pytest.approx(own, abs=1e-12))
        row = pick(result, subject="model0 - readers' mean", domain="digital", finding=f, measure="MCC")
        assert row.value == pytest.approx(own - np.mean(mccs), abs=1e-12)


def test_each_figure_stands_once(study):
    frame = evaluate(config(study)).frame()
    assert list(frame.columns) == list(COLUMNS)
    assert not frame.duplicated(["subject", "role", "domain", "finding", "measure"]).any()
    assert set(frame.role) == {"model", "reader", "readers' mean", "difference"}
    assert (frame.method.str.len() > 0).all()


def test_thresholds_that_digital_decisions_imply_apply_to_photos(study):
    result = evaluate(config(study))
    truth, photo = table(study / "truth.csv"), table(study / "photo" / "model1.csv")
    called = photo.loc[truth.index, "Edema"] >= 0.85
    row = pick(result, subject="model1", role="model", domain="photo", finding="Edema", measure="MCC")
    assert row.value == pytest.approx(matthews_corrcoef(truth["Edema"], called), abs=1e-12)
    assert "threshold 0.85 implied by the digital decisions" in row.method
    assert (
        result.frame().query("subject == 'model2' and measure == 'MCC'").empty
    )  # no decisions, no threshold
    digital = table(study / "decisions" / "model1_decisions.csv").loc[truth.index, "Edema"]
    flips = pick(result, subject="model1", domain="photo-digital", finding="Edema", measure="flips")
    assert flips.value == pytest.approx(np.mean(called != digital))


def test_decisions_without_a_threshold_say_so_and_are_not_applied(study):
    path = study / "decisions" / "model0_decisions.csv"
    frame = pd.read_csv(path)
    frame["Edema"] = np.arange(N) % 2
    write(path, frame)
    result = evaluate(config(study))
    row = pick(result, subject="model0", role="model", domain="photo", finding="Edema", measure="MCC")
    assert np.isnan(row.value)
    assert row.method.startswith("undefined: no threshold gives the decisions")
    assert (
        pick(result, subject="model0", role="model", domain="digital", finding="Edema", measure="MCC").n == N
    )
    mean = pick(result, subject="model0", role="model", domain="photo", finding="mean", measure="MCC")
    assert mean.method == "undefined: undefined for Edema"
    assert any(
        "model0 (photo): no decisions for Edema: no threshold gives" in text for text in result.warnings
    )


def test_decisions_of_an_arm_come_before_its_threshold(study):
    truth = pd.read_csv(study / "truth.csv")
    path = write(study / "photo_decisions" / "model0.csv", truth[["Study", *FINDINGS]])
    result = evaluate(config(study, decisions_of=(("photo", path),)))
    row = pick(result, subject="model0", role="model", domain="photo", finding="Edema", measure="MCC")
    assert row.value == 1.0
    assert "decisions as given" in row.method


def test_the_same_file_twice_differs_by_nothing(study):
    result = evaluate(config(study, photo=config(study).digital))
    row = pick(
        result, subject="model0", role="difference", domain="photo-digital", finding="mean", measure="AUROC"
    )
    assert (row.value, row.low, row.high, row.p) == (0.0, 0.0, 0.0, 1.0)


def test_a_missing_study_is_left_out_where_it_is_missing(study):
    path = study / "photo" / "model0.csv"
    kept = pd.read_csv(path).iloc[7:]
    write(path, kept)
    result = evaluate(config(study))
    truth, scores = table(study / "truth.csv"), table(path)
    shared = truth.index.intersection(scores.index)
    row = pick(result, subject="model0", role="model", domain="photo", finding="Edema", measure="AUROC")
    assert row.n == N - 7
    assert row.value == pytest.approx(roc_auc_score(truth.loc[shared, "Edema"], scores.loc[shared, "Edema"]))
    digital = table(study / "digital" / "model0_predictions.csv")
    change = row.value - roc_auc_score(truth.loc[shared, "Edema"], digital.loc[shared, "Edema"])
    row = pick(
        result, subject="model0", role="difference", domain="photo-digital", finding="Edema", measure="AUROC"
    )
    assert row.value == pytest.approx(change, abs=1e-12)
    assert any(f"model0.csv lacks 7 of {N} studies (patient" in text for text in result.warnings)


def test_unknown_studies_are_left_out_with_a_warning(study):
    path = study / "digital" / "model0_predictions.csv"
    more = pd.concat(
        [pd.read_csv(path), pd.DataFrame({"Study": ["patient1/study1"], **dict.fromkeys(FINDINGS, 9)})]
    )
    before = evaluate(config(study)).frame()
    write(path, more)
    result = evaluate(config(study))
    assert any(
        "has 1 studies that the truth does not have (patient1/study1)" in text for text in result.warnings
    )
    pd.testing.assert_frame_equal(result.frame(), before)


def test_double_and_missing_numbers_are_refused_with_their_row(study):
    path = study / "digital" / "model0_predictions.csv"
    frame = pd.read_csv(path)
    write(path, pd.concat([frame, frame.iloc[:1]]))
    with pytest.raises(PredictionsError, match="row 91, column 'Study'"):
        evaluate(config(study))
    frame.loc[3, "Edema"] = np.nan
    write(path, frame)
    with pytest.raises(PredictionsError, match="row 4, column 'Edema' is blank"):
        evaluate(config(study))


def test_a_finding_absent_from_one_file_is_left_out_with_a_warning_or_refused_when_asked_for(study):
    path = study / "photo" / "model2.csv"
    write(path, pd.read_csv(path).drop(columns="Edema"))
    result = evaluate(config(study))
    assert result.inputs.findings == ("Atelectasis", "Pleural Effusion")
    assert f"Edema is left out: no such column in {path}" in result.warnings
    with pytest.raises(PredictionsError, match=r"model2.csv: column 'Edema' is missing; add it, or leave"):
        evaluate(config(study, findings=("Edema",)))


def test_a_reader_without_a_finding_is_undefined_there(study):
    path = study / "readers" / "reader1.csv"
    write(path, pd.read_csv(path).drop(columns="Edema"))
    result = evaluate(config(study))
    row = pick(result, subject="reader1", role="reader", finding="Edema", measure="MCC")
    assert row.method == "undefined: no column 'Edema' in reader1.csv"
    row = pick(result, role="readers' mean", finding="Edema", measure="MCC")
    assert np.isnan(row.value)


def test_no_finding_in_common_is_refused(study):
    path = write(study / "other" / "x.csv", pd.DataFrame({"Study": ids(), "Hernia": 0.5}))
    with pytest.raises(
        PredictionsError, match=r"x.csv: no finding is in the truth and in every model's file"
    ):
        evaluate(config(study, digital=(path,), photo=(), decisions=(), readers=()))


def test_readers_of_other_studies_are_refused(study):
    path = study / "readers" / "reader0.csv"
    frame = pd.read_csv(path)
    write(path, frame.assign(Study=[f"patient{i}/study9" for i in range(N)]))
    with pytest.raises(
        PredictionsError, match=r"none of its 90 studies is in the truth; the truth has 'patient64000"
    ):
        evaluate(config(study))


def test_truth_with_one_class_is_undefined_and_left_out_of_means(study):
    truth = pd.read_csv(study / "truth.csv")
    write(study / "truth.csv", truth.assign(Edema=0))
    result = evaluate(config(study))
    row = pick(result, subject="model0", role="model", domain="digital", finding="Edema", measure="AUROC")
    assert row.method == f"undefined: no positives among {N} studies"
    mean = pick(result, subject="model0", role="model", domain="digital", finding="mean", measure="AUROC")
    others = [
        pick(result, subject="model0", role="model", domain="digital", finding=f, measure="AUROC").value
        for f in ("Atelectasis", "Pleural Effusion")
    ]
    assert mean.value == pytest.approx(np.mean(others))
    assert any("Edema has no positives among 90 studies" in text for text in result.warnings)


def test_uncertain_truth_needs_a_policy(study):
    truth = pd.read_csv(study / "truth.csv")
    truth.loc[:4, "Edema"] = -1
    write(study / "truth.csv", truth)
    with pytest.raises(
        PredictionsError, match=r"is uncertain \(-1\) for 'Edema' \(5 in all\); say what that means"
    ):
        evaluate(config(study))
    for policy, n, positives in (("ignore", N - 5, 0), ("ones", N, 5), ("zeros", N, 0)):
        result = evaluate(config(study, uncertain=policy))
        row = pick(result, subject="model0", role="model", domain="digital", finding="Edema", measure="AUROC")
        assert row.n == n
        assert np.nansum(result.inputs.truth[:5, 1]) == positives


def test_decisions_other_than_0_and_1_are_refused(study):
    path = study / "decisions" / "model0_decisions.csv"
    frame = pd.read_csv(path)
    frame["Edema"] = frame["Edema"] * 0.7
    write(path, frame)
    with pytest.raises(PredictionsError, match=r"has 0\.7 for 'Edema'; a decision is 0 or 1"):
        evaluate(config(study))


def test_images_are_combined_to_studies_by_the_rule(study):
    path = study / "digital" / "model0_predictions.csv"
    frame = pd.read_csv(path)
    views = [
        frame.assign(
            Path=[f"{name}/view{v}_frontal.jpg" for name in frame.Study],
            **{f: frame[f] + v for f in FINDINGS},
        )
        for v in (1, 2)
    ]
    write(path, pd.concat(views)[["Path", *FINDINGS]])
    for rule, shift in (("max", 2.0), ("mean", 1.5)):
        result = evaluate(config(study, views=rule))
        scores = result.inputs.scores["digital"]["model0"].values
        expected = frame.set_index("Study").loc[ids(), FINDINGS].to_numpy() + shift
        assert scores == pytest.approx(expected)
        assert result.inputs.combined == ["digital model0"]


def test_truth_by_image_must_agree_within_a_study(study):
    truth = pd.read_csv(study / "truth.csv")
    views = pd.concat(
        [truth.assign(Path=[f"{name}/view{v}_frontal.jpg" for name in truth.Study]) for v in (1, 2)]
    )
    views = views[["Path", *FINDINGS]].reset_index(drop=True)
    write(study / "truth.csv", views)
    before = evaluate(config(study))
    assert before.inputs.truth == pytest.approx(truth[FINDINGS].to_numpy())
    assert before.plan.clusters == N
    views.loc[0, "Edema"] = 1 - views.loc[0, "Edema"]
    write(study / "truth.csv", views)
    with pytest.raises(PredictionsError, match=r"the images of 'patient64000/study1' disagree about 'Edema'"):
        evaluate(config(study))


def test_patients_are_resampled_when_there_are_several_studies_of_one(study):
    truth = pd.read_csv(study / "truth.csv")
    write(study / "truth.csv", truth.assign(patient_id=[f"p{i // 3}" for i in range(N)]))
    result = evaluate(config(study))
    assert result.plan.clusters == N // 3
    row = pick(result, subject="model0", role="model", domain="digital", finding="Edema", measure="AUROC")
    assert "60 resamples of 30 patients of 90 studies" in row.method
    assert any("DeLong's test takes studies as independent" in text for text in result.warnings)
    assert evaluate(config(study, unit="studies")).plan.clusters == N


def test_thresholds_from_a_file(study):
    path = write(
        study / "t.csv", pd.DataFrame({"model": ["model2", "*"], **{f: [1.0, 0.5] for f in FINDINGS}})
    )
    result = evaluate(config(study, thresholds=path, decisions=()))
    truth, photo = table(study / "truth.csv"), table(study / "photo" / "model2.csv")
    row = pick(result, subject="model2", role="model", domain="photo", finding="Edema", measure="MCC")
    assert row.value == pytest.approx(
        matthews_corrcoef(truth["Edema"], photo.loc[truth.index, "Edema"] >= 1.0)
    )
    assert (
        "threshold 0.5 given in t.csv"
        in pick(result, subject="model0", role="model", domain="photo", finding="Edema", measure="MCC").method
    )
    write(study / "t.csv", pd.DataFrame({"model": ["other"], "Edema": [1.0]}))
    with pytest.raises(PredictionsError, match="thresholds of 'other', which is not among the models"):
        evaluate(config(study, thresholds=path))
    write(study / "t.csv", pd.DataFrame({"model": ["model0"], "Edema": ["high"]}))
    with pytest.raises(PredictionsError, match="row 1, column 'Edema' has 'high'; a threshold is a number"):
        evaluate(config(study, thresholds=path))


def test_thresholds_chosen_on_a_validation_set(study):
    rng = np.random.default_rng(1)
    names = [f"patient{i}/study1" for i in range(60)]
    truth = pd.DataFrame({"Study": names, **{f: rng.integers(0, 2, 60) for f in FINDINGS}})
    valid = write(study / "v.csv", truth)
    scores = truth.assign(**{f: truth[f] * 2 + np.linspace(0, 1, 60) for f in FINDINGS})
    files = tuple(write(study / "v" / f"model{m}.csv", scores) for m in range(3))
    chosen = {"decisions": (), "validation": valid, "validation_predictions": files}
    result = evaluate(config(study, **chosen))
    threshold = scores.loc[truth["Edema"] == 1, "Edema"].min()  # separable: Youden's best
    row = pick(result, subject="model2", role="model", domain="photo", finding="Edema", measure="MCC")
    assert f"threshold {threshold:.6g} chosen on v.csv by Youden's index" in row.method
    assert any("prevalence of" in text and "in validation" in text for text in result.warnings)
    row = pick(
        evaluate(config(study, **chosen, rule="sensitivity=0.9")),
        subject="model2", role="model", domain="photo", finding="Edema", measure="MCC",
    )  # fmt: skip
    assert "by a sensitivity of at least 0.9" in row.method
    flattering = evaluate(config(study, decisions=(), validation=study / "truth.csv"))
    assert any(
        "90 studies of the validation set truth.csv are in the truth too" in w for w in flattering.warnings
    )
    with pytest.raises(
        UsageError, match=r"a rule is youden, mcc, sensitivity=0\.9 or specificity=0\.9, got 'best'"
    ):
        evaluate(config(study, **chosen, rule="best"))
    with pytest.raises(UsageError, match="not both"):
        evaluate(config(study, **chosen, thresholds=valid))


def test_warnings_that_a_reader_of_the_paper_wants(study):
    truth = pd.read_csv(study / "truth.csv")
    few = truth["Edema"].where(truth["Edema"].cumsum() <= 4, 0)
    write(study / "truth.csv", truth.assign(Edema=few))
    a, b = (study / "digital" / f"model{m}_predictions.csv" for m in (1, 2))
    same = pd.read_csv(a).set_index("Study")["Edema"]
    other = pd.read_csv(b)
    write(b, other.assign(Edema=same.loc[other.Study].to_numpy()))
    photo = pd.read_csv(study / "photo" / "model0.csv")
    write(study / "photo" / "model0.csv", photo.assign(Edema=photo.Edema - 50))
    warnings = "\n".join(evaluate(config(study)).warnings)
    assert "Edema has only 4 positives" in warnings
    assert "model1 and model2 have identical scores for Edema (digital)" in warnings
    assert "model0 (photo) calls no study positive for Edema (threshold 0.85 implied" in warnings


def test_a_sweep_of_effects_and_levels(study):
    digital = sorted((study / "digital").glob("*.csv"))
    photo = sorted((study / "photo").glob("*.csv"))
    arms = tuple((f"glare-{level}", path) for level, files in ((1, digital), (2, photo)) for path in files)
    result = evaluate(config(study, photo=(), arms=arms, baseline="model0"))

    def auroc(model, domain, role="model"):
        return pick(result, subject=model, role=role, domain=domain, finding="mean", measure="AUROC").value

    change = auroc("model1", "glare (mean of levels)-digital", "difference")
    assert change == pytest.approx((auroc("model1", "glare-2") - auroc("model1", "digital")) / 2)
    own, base = (2 - auroc(m, "glare-1") - auroc(m, "glare-2") for m in ("model1", "model0"))
    row = pick(result, subject="model1 / model0", measure="corruption error", finding="mean")
    assert row.value == pytest.approx(own / base)
    assert row.low < row.value < row.high
    assert np.isnan(row.p)
    own, base = (
        2 * auroc(m, "digital") - auroc(m, "glare-1") - auroc(m, "glare-2") for m in ("model1", "model0")
    )
    row = pick(result, subject="model1 / model0", measure="relative corruption error", finding="mean")
    assert row.value == pytest.approx(own / base)
    itself = pick(result, subject="model0 / model0", measure="corruption error", finding="Edema")
    assert (itself.value, itself.low, itself.high) == (1.0, 1.0, 1.0)
    lost = pick(
        result, subject="model1", domain="glare (mean of levels)-digital", finding="mean",
        measure="relative drop in AUROC",
    )  # fmt: skip
    assert lost.value == pytest.approx(-change / auroc("model1", "digital"))
    with pytest.raises(UsageError, match="the baseline 'x' is not among the models"):
        evaluate(config(study, photo=(), arms=arms, baseline="x"))
    with pytest.raises(UsageError, match="a baseline needs a sweep"):
        evaluate(config(study, baseline="model0"))


def test_flips_of_patients_are_flips_in_any_of_their_studies(study):
    truth = pd.read_csv(study / "truth.csv")
    patients = np.array([f"p{i // 3}" for i in range(N)])
    write(study / "truth.csv", truth.assign(patient_id=patients))
    result = evaluate(config(study))
    digital = table(study / "decisions" / "model0_decisions.csv").loc[truth.Study.str.split("/", n=2).str[2]]
    photo = table(study / "photo" / "model0.csv").loc[digital.index]
    turned = (photo[FINDINGS] >= 0.85) != (digital[FINDINGS] == 1)
    by_patient = turned.groupby(patients).any()
    wanted = {**by_patient.mean(), "mean": by_patient.mean().mean(), "any": by_patient.any(axis=1).mean()}
    for finding, share in wanted.items():
        row = pick(
            result, subject="model0", domain="photo-digital", finding=finding, measure="flips per patient"
        )
        assert row.value == pytest.approx(share)
        assert row.n == N // 3
        assert row.low <= row.value <= row.high


def test_readers_under_the_curve_have_intervals_and_leave_out_who_has_not_read(study):
    path = study / "readers" / "reader1.csv"
    write(path, pd.read_csv(path).drop(columns="Edema"))
    result = evaluate(config(study, interval="bca"))
    row = pick(result, subject="model0", domain="digital", finding="Edema", measure="readers under ROC")
    assert "count of 2 readers strictly under the curve" in row.method
    assert row.method.startswith("percentile")
    assert 0 <= row.low <= row.value <= row.high <= 2
    assert "BCa" in pick(
        result, subject="model0", role="model", domain="digital", finding="Edema", measure="AUROC"
    ).method  # fmt: skip


def test_strata_are_patterns_of_findings(study):
    result = evaluate(config(study, stratified=True))
    truth = table(study / "truth.csv")[FINDINGS].to_numpy()
    sizes = np.unique(truth, axis=0, return_counts=True)[1]
    expected = (sizes >= 10).sum() + (sizes < 10).any()
    row = pick(result, subject="model0", role="model", domain="digital", finding="Edema", measure="AUROC")
    assert f"stratified ({expected} strata)" in row.method
    assert len(np.unique(result.plan.strata)) == expected


def test_a_family_of_tests_is_corrected(study):
    result = evaluate(config(study, replicates=400))
    family = [
        row
        for row in result.rows
        if row.label.kind == "arms" and row.finding == "mean" and row.label.measure == "AUROC"
    ]
    assert [row.family for row in family] == [3, 3, 3]
    smallest = min(row.result.p for row in family)
    assert min(row.p_holm for row in family) == pytest.approx(min(1.0, 3 * smallest))
    assert "Holm-corrected p = " in family[0].method()


def test_a_margin_gives_verdicts(study):
    row = pick(
        evaluate(config(study, margin=0.9)),
        subject="model0 - readers' mean", domain="digital", finding="mean", measure="MCC",
    )  # fmt: skip
    assert "non-inferior at a margin of 0.9" in row.method or "superior" in row.method


def test_models_are_needed_and_names_are_unique(study):
    with pytest.raises(UsageError, match="a benchmark needs predictions"):
        evaluate(config(study, digital=(), photo=(), decisions=()))
    copy = write(study / "again" / "model0.csv", pd.read_csv(study / "digital" / "model0_predictions.csv"))
    with pytest.raises(UsageError, match="two files are named 'model0' in one arm"):
        evaluate(config(study, digital=(*config(study).digital, copy)))


def test_arms_may_be_absent(study):
    for absent in ("digital", "photo", "readers"):
        result = evaluate(config(study, **{absent: ()}))
        assert (result.frame().role == "model").any()
    only = evaluate(config(study, digital=(), photo=()))
    assert pick(only, subject="model0", role="model", domain="digital", finding="mean", measure="MCC").n == N


class _Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []
        self.tags = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.found += [v for k, v in attrs if k in ("src", "href", "xlink:href") and not v.startswith("#")]


def test_the_report_is_whole_self_contained_and_the_same_again(study):
    first = benchmark(config(study))
    folder = study / "report"
    assert {path.name for path in folder.iterdir()} == {
        "figures", "report.html", "report.json", "results.csv", "tables.md", "tables.tex",
    }  # fmt: skip
    figures = {path.stem for path in (folder / "figures").glob("*.svg")}
    assert figures == {"roc", "drops", "readers", "flips"}  # scores are no probabilities: no reliability
    assert {path.stem for path in (folder / "figures").glob("*.png")} == figures
    text = (folder / "report.html").read_text()
    links = _Links()
    links.feed(text)
    assert links.found == []
    assert "script" not in links.tags
    assert not re.search(r"url\((?!#)", text)
    for digest in first.inputs.hashes.values():
        assert digest in text
    assert len(first.inputs.hashes) == 1 + 3 + 3 + 2 + 3
    body = json.loads((folder / "report.json").read_text())
    assert body["schema"] == 1
    assert len(body["rows"]) == len(first.rows)
    assert "60 resamples of 90 patients" in body["methods"]
    csv = pd.read_csv(folder / "results.csv")
    pd.testing.assert_frame_equal(csv, first.frame(), check_dtype=False)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    benchmark(config(study))
    assert all(path.read_bytes() == data for path, data in before.items())


def test_undefined_lines_stay_in_the_printed_tables(study):
    photo = pd.read_csv(study / "photo" / "model0.csv")
    write(study / "photo" / "model0.csv", photo.assign(**{f: photo[f] - 50 for f in FINDINGS}))
    benchmark(config(study))
    text = (study / "report" / "tables.md").read_text()
    assert "| model0 | photo | – | – | – | – |" in text
    assert "– is undefined; results.csv says why." in text


def test_probabilities_get_reliability_curves(study):
    for path in (*config(study).digital, *config(study).photo):
        frame = pd.read_csv(path)
        write(path, frame.assign(**{f: 1 / (1 + np.exp(-frame[f])) for f in FINDINGS}))
    result = benchmark(config(study))
    assert (study / "report" / "figures" / "reliability.svg").exists()
    assert (
        pick(result, subject="model0", role="model", domain="photo", finding="mean", measure="ECE").value > 0
    )


def test_hostile_names_stay_text(study):
    path = write(study / "x" / "<b>$a_1&|.csv", pd.read_csv(study / "digital" / "model0_predictions.csv"))
    benchmark(config(study, digital=(path,), photo=(), decisions=(), readers=()))
    folder = study / "report"
    assert "<b>$a" not in (folder / "report.html").read_text()
    assert r"\$a\_1\&" in (folder / "tables.tex").read_text()
    assert r"&lt;b>$a_1&\|" in (folder / "tables.md").read_text()


def test_a_file_in_the_way_is_refused(study):
    (study / "report").write_text("x")
    with pytest.raises(UsageError, match="report is a file; a report is written into a folder"):
        benchmark(config(study))


def test_the_leaderboard_ranks_reports_of_one_truth_together(study):
    benchmark(
        config(
            study,
            output=study / "one",
            digital=config(study).digital[:1],
            photo=config(study).photo[:1],
            decisions=(),
        )
    )
    benchmark(
        config(
            study,
            output=study / "two",
            digital=config(study).digital[1:],
            photo=config(study).photo[1:],
            decisions=(),
        )
    )
    benchmark(config(study, output=study / "three", findings=("Edema",)))
    assert leaderboard((study / "one", study / "two", study / "three"), study / "site") == 6
    boards = json.loads((study / "site" / "leaderboard.json").read_text())["boards"]
    assert [len(board["lines"]) for board in boards] == [3, 3]
    ranked = [line["AUROC"]["photo"]["value"] for line in boards[0]["lines"]]
    assert ranked == sorted(ranked, reverse=True)
    page = (study / "site" / "index.html").read_text()
    assert "1. model" in page
    assert "<script" not in page
    (study / "bad").mkdir()
    (study / "bad" / "report.json").write_text('{"schema": 1}')
    with pytest.raises(TableError, match="not a benchmark report"):
        leaderboard((study / "bad",), study / "site")
    with pytest.raises(TableError, match="no such file; give folders written by 'radsnap benchmark'"):
        leaderboard((study / "none",), study / "site")


def run_cli(monkeypatch, *arguments):
    from radsnap.cli.app import main

    monkeypatch.setattr(sys, "argv", ["radsnap", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_the_command_repeats_options_and_has_exit_codes(study, monkeypatch, capsys):
    options = ["--truth", study / "truth.csv", "--replicates", 20, "-o", study / "report"]
    for path in config(study).digital:
        options += ["--digital", path]
    for path in config(study).photo:
        options += ["--arm", f"phone={path}"]
    assert run_cli(monkeypatch, "benchmark", *options) == 0
    shown = capsys.readouterr()
    assert "report.html" in shown.out
    rows = pd.read_csv(study / "report" / "results.csv")
    assert "phone-digital" in set(rows.domain)
    assert run_cli(monkeypatch, "leaderboard", study / "report", "-o", study / "site") == 0
    assert run_cli(monkeypatch, "benchmark", *options, "--arm", "phone") == 2
    assert "--arm takes NAME=FILE, got 'phone'" in capsys.readouterr().err
    assert run_cli(monkeypatch, "benchmark", *options, "--replicates", 0) == 2
    assert run_cli(monkeypatch, "benchmark", *options, "--digital", study / "none.csv") == 1
    assert "no such file" in capsys.readouterr().err
