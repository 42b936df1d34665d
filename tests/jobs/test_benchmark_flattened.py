"""The third arm: photos straightened before they were read, and what of the loss that wins back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from radsnap import measure
from radsnap.errors import UsageError
from radsnap.jobs.benchmark import Benchmark, BenchmarkConfig, benchmark, evaluate
from radsnap.jobs.benchmarking.figures import figures_of
from radsnap.jobs.benchmarking.plan import NO_LOSS, WON_BACK, compared
from radsnap.measure import Estimate, Undefined

FINDINGS = ["Edema", "Cardiomegaly"]
N = 160
NOISE = {"digital": 0.5, "photo": 3.0, "flattened": 1.0}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Model `worn` loses on photos and wins most back; `hardy` reads all the same but for a little noise."""
    rng = np.random.default_rng(3)
    ids = [f"patient{i}/study1" for i in range(N)]
    truth = pd.DataFrame({"Study": ids, **{f: (rng.random(N) < 0.4).astype(int) for f in FINDINGS}})
    truth.to_csv(tmp_path / "truth.csv", index=False)
    base = {f: rng.normal(size=N) for f in FINDINGS}
    for arm, noise in NOISE.items():
        (tmp_path / arm).mkdir()
        for model, times in (("worn", noise), ("hardy", 0.02)):
            scores = truth.assign(
                **{f: truth[f] * 2 + base[f] + times * rng.normal(size=N) for f in FINDINGS}
            )
            scores.sample(frac=1, random_state=1).to_csv(
                tmp_path / arm / f"{model}_predictions.csv", index=False
            )
            called = scores.assign(**{f: (scores[f] > 1).astype(int) for f in FINDINGS})
            called.to_csv(tmp_path / arm / f"{model}_decisions.csv", index=False)
    (tmp_path / "flattened" / "worn_failures.csv").write_text("image_id,path,error\n")
    return tmp_path


def config(study: Path, **changes: object) -> BenchmarkConfig:
    folders = {arm: (study / arm,) for arm in NOISE}
    decisions = tuple((arm, study / arm / f"{m}_decisions.csv") for arm in NOISE for m in ("worn", "hardy"))
    given = {"truth": study / "truth.csv", "output": study / "report", "replicates": 300, "seed": 2}
    return BenchmarkConfig.model_validate({**folders, "decisions_of": decisions, **given, **changes})


def pick(result: Benchmark, model: str, domain: str, name: str, finding: str) -> Estimate | Undefined:
    found = [
        row.result
        for row in result.rows
        if (row.label.subject, row.label.domain, row.label.measure, row.finding)
        == (model, domain, name, finding)
    ]
    assert len(found) == 1
    return found[0]


def scores_of(study: Path, arm: str, finding: str) -> np.ndarray:
    table = pd.read_csv(study / arm / "worn_predictions.csv").set_index("Study")
    return table.loc[pd.read_csv(study / "truth.csv")["Study"], finding].to_numpy()


def test_the_share_won_back_is_the_gain_over_the_loss_under_the_same_resamples(study: Path) -> None:
    result = evaluate(config(study))
    truth = pd.read_csv(study / "truth.csv")
    plan = measure.resample(truth["Study"].str.split("/").str[0].to_numpy(), 300, 2)
    drawn: dict[tuple[str, str], np.ndarray] = {}
    value: dict[tuple[str, str], float] = {}
    for finding in FINDINGS:
        y = truth[finding].to_numpy()
        for arm in NOISE:
            scores = scores_of(study, arm, finding)
            value[arm, finding] = roc_auc_score(y, scores)
            at = measure.weighted(measure.auroc, y, scores)
            drawn[arm, finding] = measure.replicate([at], plan.blocks())[:, 0]

    def share(of: dict, findings: list[str]):  # type: ignore[type-arg]
        gain = sum(of["flattened", f] - of["photo", f] for f in findings)
        return gain / sum(of["digital", f] - of["photo", f] for f in findings)

    for finding, over in ((FINDINGS[0], FINDINGS[:1]), (FINDINGS[1], FINDINGS[1:]), ("mean", FINDINGS)):
        found = pick(result, "worn", "flattened-photo", WON_BACK["AUROC"], finding)
        assert isinstance(found, Estimate)
        assert found.value == pytest.approx(share(value, over), abs=1e-9)
        assert (found.low, found.high) == pytest.approx(
            tuple(np.quantile(share(drawn, over), [0.025, 0.975])), abs=1e-6
        )
        assert 0.4 < found.value < 1.2
        assert found.p is None


def test_three_contrasts_add_up_and_have_paired_intervals(study: Path) -> None:
    result = evaluate(config(study))
    for name in ("AUROC", "MCC"):
        lost, left, won = (
            pick(result, "worn", domain, name, "mean")
            for domain in ("photo-digital", "flattened-digital", "flattened-photo")
        )
        assert isinstance(lost, Estimate)
        assert isinstance(left, Estimate)
        assert isinstance(won, Estimate)
        assert won.value == pytest.approx(left.value - lost.value)
        assert lost.high < 0 < won.low
        assert won.p is not None
    assert isinstance(pick(result, "worn", "flattened-photo", "flips", "mean"), Estimate)
    assert isinstance(pick(result, "worn", "flattened-photo", "AUROC (DeLong)", "Edema"), Estimate)


def test_no_share_is_claimed_of_a_loss_that_is_not_shown(study: Path) -> None:
    result = benchmark(config(study))
    for name, share in WON_BACK.items():
        change = pick(result, "hardy", "photo-digital", name, "mean")
        assert isinstance(change, Estimate)
        assert change.high >= 0
        found = pick(result, "hardy", "flattened-photo", share, "mean")
        assert isinstance(found, Undefined)
        assert found.reason.startswith(NO_LOSS)
        assert isinstance(pick(result, "worn", "flattened-photo", share, "mean"), Estimate)
    told = (study / "report" / "tables.md").read_text()
    line = next(
        part
        for part in told.partition("## Share of the lost AUROC won back")[2].splitlines()
        if "hardy" in part
    )
    assert NO_LOSS in line
    table = pd.read_csv(study / "report" / "results.csv")
    rows = table[table["measure"].isin(WON_BACK.values()) & (table["subject"] == "hardy")]
    assert rows["value"].isna().all()
    assert rows["method"].str.contains(NO_LOSS).all()
    assert NO_LOSS in (study / "report" / "figures" / "won_back.svg").read_text()


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_a_claim_needs_a_loss_whose_interval_lies_below_0(study: Path, interval: str) -> None:
    """On few studies losses are doubtful: each claim must agree with the loss beside it."""
    few = pd.read_csv(study / "truth.csv").head(30)
    few.to_csv(study / "truth.csv", index=False)
    result = evaluate(config(study, interval=interval, replicates=100))
    claimed = 0
    for model in ("worn", "hardy"):
        for name, share in WON_BACK.items():
            for finding in (*FINDINGS, "mean"):
                change = pick(result, model, "photo-digital", name, finding)
                found = pick(result, model, "flattened-photo", share, finding)
                assert isinstance(change, Estimate)
                assert isinstance(found, Estimate) == (change.high < 0)
                claimed += isinstance(found, Estimate)
    assert 0 < claimed < 12


def test_arms_are_compared_with_digital_and_with_the_photos_they_come_of() -> None:
    assert compared(["digital", "photo", "flattened"]) == [
        ("photo", "digital"),
        ("flattened", "digital"),
        ("flattened", "photo"),
    ]
    assert compared(["photo", "flattened"]) == [("flattened", "photo")]
    assert compared(["film", "flattened"]) == [("flattened", "film")]
    assert compared(["glare-1", "glare-1-flattened"]) == [("glare-1-flattened", "glare-1")]
    assert compared(["flattened", "x-flattened"]) == []


def test_folders_stand_for_the_predictions_in_them(study: Path) -> None:
    listed = {arm: tuple(sorted((study / arm).glob("*_predictions.csv"))) for arm in NOISE}
    assert config(study).files() == listed
    (study / "empty").mkdir()
    with pytest.raises(
        UsageError, match=r"empty: no predictions \(.csv, .csv.gz or .parquet\) in this folder"
    ):
        evaluate(config(study, flattened=(study / "empty",)))


def test_files_in_the_wrong_arm_and_missing_partners_are_told(study: Path) -> None:
    path = study / "photo" / "worn_predictions.csv"
    pd.read_csv(path).assign(flatten="straightened", confidence=0.95).to_csv(path, index=False)
    (study / "flattened" / "hardy_predictions.csv").unlink()
    told = "\n".join(evaluate(config(study)).warnings)
    assert f"{path} (photo) was predicted with --flatten; give it by --flattened" in told
    assert "hardy (photo) has no flattened predictions of that name" in told
    alone = evaluate(config(study, photo=(), decisions_of=())).warnings
    assert "no photos as they are beside the flattened ones: what is won back is not measured" in alone


def test_a_column_of_confidence_gives_a_selective_risk_curve(study: Path) -> None:
    path = study / "photo" / "worn_predictions.csv"
    plain = pd.read_csv(path)
    trust = np.random.default_rng(0).random(N)
    assert "selective" not in figures_of(evaluate(config(study)))
    plain.assign(quality=[""] * 10 + [str(one) for one in trust[10:]]).to_csv(path, index=False)
    result = evaluate(config(study))
    _, caption = figures_of(result)["selective"]
    assert "left out" in caption
    held = result.inputs.scores["photo"]["worn"].confidence
    assert held is not None
    at = {one: k for k, one in enumerate(result.inputs.ids)}
    for row, one in enumerate(plain["Study"]):
        assert held[at[one]] == (
            pytest.approx(trust[row]) if row >= 10 else pytest.approx(np.nan, nan_ok=True)
        )
    assert result.inputs.scores["photo"]["hardy"].confidence is None
    plain.assign(confidence="good").to_csv(path, index=False)
    result = evaluate(config(study))
    assert "selective" not in figures_of(result)
    assert any("column 'confidence' is left out" in text for text in result.warnings)
