"""Resampling weights: equal to resampled rows, shared, repeatable, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from radsnap import measure
from radsnap.errors import UsageError
from radsnap.measure import Undefined, bootstrap, scores


def simulate(seed, n=120):
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < 0.3).astype(int)
    return truth, np.round(truth + rng.normal(size=n), 1)


def rows_of(column):
    return np.repeat(np.arange(len(column)), column.astype(int))


def inputs(metric, score):
    if metric in (measure.brier, measure.ece):
        return 1 / (1 + np.exp(-score))
    if metric is measure.count_under:  # ties in the scores, and readers close to the curve
        readers = np.random.default_rng(7).normal(size=(len(score), 4)) + score[:, None] > 0.9
        return np.column_stack([score, readers])
    return score if metric in (measure.auroc, measure.average_precision) else (score > 0.8).astype(int)


@pytest.mark.parametrize("metric", bootstrap.WEIGHTED, ids=lambda metric: metric.__name__)
def test_weights_score_like_repeated_rows(metric):
    truth, score = simulate(1)
    values = inputs(metric, score)
    at = measure.weighted(metric, truth, values)
    for weights in measure.resample(len(truth), 40, 5).blocks():
        expected = [metric(truth[rows_of(c)], values[rows_of(c)]) for c in weights.T]
        assert at(weights) == pytest.approx(np.array(expected), abs=1e-12)


@pytest.mark.parametrize("metric", bootstrap.WEIGHTED, ids=lambda metric: metric.__name__)
def test_a_resample_without_a_class_is_undefined_not_zero(metric):
    truth, decision = np.array([0, 0, 1, 1, 0]), np.array([0, 1, 1, 0, 0])
    only_negatives = np.array([[1, 1, 0, 0, 1]], dtype=np.float32).T
    if metric is measure.count_under:
        decision = np.column_stack([decision, decision])
    expected = metric(truth[[0, 1, 4]], decision[[0, 1, 4]])
    found = measure.weighted(metric, truth, decision)(only_negatives)[0]
    assert np.isnan(found) if isinstance(expected, Undefined) else found == pytest.approx(expected, abs=1e-12)


def test_product_and_running_sums_agree_to_the_last_bit():
    truth, score = simulate(3, n=400)
    pos, neg = np.flatnonzero(truth), np.flatnonzero(1 - truth)
    weights = next(measure.resample(400, 64, 2).blocks())
    product = scores._by_product(score, pos, neg)(weights)
    assert (product == scores._by_running_sums(score, pos, neg)(weights)).all()


def test_many_studies_take_running_sums_and_score_the_same():
    truth, score = simulate(4, n=3000)
    weights = next(measure.resample(3000, 32, 2).blocks())
    found = measure.weighted(measure.auroc, truth, score)(weights)
    expected = [measure.auroc(truth[rows_of(c)], score[rows_of(c)]) for c in weights.T[:5]]
    assert found[:5] == pytest.approx(np.array(expected), abs=1e-12)


@pytest.mark.parametrize("strata", [None, np.arange(97) % 3])
def test_the_same_weights_whatever_the_block(strata):
    plan = measure.resample(97, 200, 11, strata)
    whole = np.concatenate(list(plan.blocks(200)), axis=1)
    parts = np.concatenate(list(plan.blocks(33)), axis=1)
    assert (whole == parts).all()
    assert not (whole == np.concatenate(list(measure.resample(97, 200, 12, strata).blocks()), axis=1)).all()


def test_weights_are_multinomial_counts():
    drawn = np.concatenate(list(measure.resample(20, 4000, 1).blocks()), axis=1)
    assert (drawn.sum(axis=0) == 20).all()
    assert drawn.mean(axis=1) == pytest.approx(np.ones(20), abs=0.08)
    assert drawn.var(axis=1) == pytest.approx(np.full(20, 0.95), abs=0.12)


def test_studies_of_one_patient_are_drawn_together():
    patients = np.array(["b", "a", "b", "c", "a"])
    drawn = np.concatenate(list(measure.resample(patients, 50, 1).blocks()), axis=1)
    assert (drawn[0] == drawn[2]).all()
    assert (drawn[1] == drawn[4]).all()
    assert (drawn[[0, 1, 3]].sum(axis=0) == 3).all()


def test_strata_keep_their_size_in_every_resample():
    truth = np.array([0, 0, 0, 1, 1, 0])
    drawn = np.concatenate(list(measure.resample(6, 100, 1, truth).blocks()), axis=1)
    assert (drawn[truth == 1].sum(axis=0) == 2).all()


def test_clusters_widen_the_interval_of_copied_studies():
    truth, score = simulate(5)
    alone = measure.estimate(measure.auroc, truth, score, seed=1)
    copies = (np.tile(truth, 4), np.tile(score, 4))
    naive = measure.estimate(measure.auroc, *copies, seed=1)
    clustered = measure.estimate(measure.auroc, *copies, clusters=np.tile(np.arange(120), 4), seed=1)
    assert (clustered.low, clustered.high) == (alone.low, alone.high)
    assert (naive.high - naive.low) < 0.6 * (clustered.high - clustered.low)
    assert "120 patients of 480 studies" in clustered.method


def test_percentile_and_bca_agree_with_scipy():
    truth, score = simulate(6)
    rows = np.arange(len(truth))

    def area(sample, axis):
        return np.apply_along_axis(lambda i: float(measure.auroc(truth[i], score[i])), axis, sample)

    for ours, theirs in (("percentile", "percentile"), ("bca", "BCa")):
        found = measure.estimate(measure.auroc, truth, score, replicates=8000, seed=2, interval=ours)
        oracle = stats.bootstrap(
            (rows,), area, n_resamples=6000, method=theirs, vectorized=True, rng=np.random.default_rng(1)
        ).confidence_interval
        assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=0.012)


def test_bca_levels_equal_scipy_on_the_same_replicates():
    truth, score = simulate(7)
    plan = measure.resample(len(truth), 1000, 3)
    at = measure.weighted(measure.auroc, truth, score)
    drawn = measure.replicate([at], plan.blocks())[:, 0]
    left_out = measure.replicate([at], plan.leave_one_out())[:, 0]
    value = measure.auroc(truth, score)
    share = ((drawn < value).sum() + (drawn <= value).sum()) / (2 * len(drawn))
    bias = stats.norm.ppf(share)
    gap = left_out.mean() - left_out
    lean = (gap**3).sum() / (6 * (gap**2).sum() ** 1.5)
    levels = [
        stats.norm.cdf(bias + (bias + z) / (1 - lean * (bias + z))) for z in stats.norm.ppf([0.025, 0.975])
    ]
    assert measure.bounds(value, drawn, jackknife=left_out) == pytest.approx(
        tuple(np.quantile(drawn, levels))
    )


def test_jackknife_leaves_each_patient_out_once():
    patients = np.array([0, 1, 1, 2])
    weights = np.concatenate(list(measure.resample(patients, 5, 0).leave_one_out()), axis=1)
    assert weights.tolist() == [[0, 1, 1], [1, 0, 1], [1, 0, 1], [1, 1, 0]]


def test_any_function_can_be_resampled():
    truth, score = simulate(8)

    def own(t, s):
        return measure.auroc(t, s)

    slow = measure.estimate(own, truth, score, replicates=50, seed=4)
    fast = measure.estimate(measure.auroc, truth, score, replicates=50, seed=4)
    assert (slow.low, slow.high) == pytest.approx((fast.low, fast.high), abs=1e-12)


def test_undefined_resamples_are_counted_in_the_method():
    truth, score = np.array([1, 0, 0, 0, 0, 0]), np.arange(6.0)
    found = measure.estimate(measure.auroc, truth, score, replicates=1000, seed=1)
    undefined = int(found.method.split(", ")[-1].split()[0])
    assert 0.25 < undefined / 1000 < 0.42  # (5/6)**6 = 0.335
    assert found.value == 0.0


def test_one_patient_has_a_value_and_no_interval():
    found = measure.estimate(measure.auroc, [0, 1], [0.1, 0.9], clusters=["p", "p"])
    assert found.value == 1.0
    assert np.isnan(found.low)
    assert found.method == "no interval: one patient only"
    assert str(found) == "1.000"


def test_undefined_stays_undefined_with_its_reason():
    found = measure.estimate(measure.auroc, [0, 0], [0.1, 0.2])
    assert str(found) == "undefined: no positives among 2 studies"


def test_wrong_plans_are_refused():
    with pytest.raises(UsageError, match="replicates must be at least 1, got 0"):
        measure.resample(5, 0)
    with pytest.raises(UsageError, match="resampling needs at least one study"):
        measure.resample(np.array([]), 5)
    with pytest.raises(UsageError, match="same length"):
        measure.estimate(measure.auroc, [0, 1], [0.1, 0.2], clusters=[1, 2, 3])


COVERED = 200  # data sets here; bench/measure.py takes 1,000


@pytest.mark.parametrize("metric", [measure.auroc, measure.mcc], ids=["auroc", "mcc"])
def test_intervals_cover_the_truth(metric):
    # Of 200 intervals at 95 %, between 90 and 98.5 % cover with probability 0.998.
    rng = np.random.default_rng(20)
    hits = 0
    for i in range(COVERED):
        truth = (rng.random(300) < 0.35).astype(int)
        score = truth + rng.normal(size=300)
        if metric is measure.auroc:
            true, values = stats.norm.cdf(1 / np.sqrt(2)), score
        else:
            true, values = _true_mcc(), (score > 0.5).astype(int)
        found = measure.estimate(metric, truth, values, replicates=500, seed=i)
        hits += found.low <= true <= found.high
    assert 0.90 <= hits / COVERED <= 0.985


def _true_mcc(prevalence=0.35, cut=0.5):
    tpr, fpr = stats.norm.sf(cut - 1), stats.norm.sf(cut)
    called = prevalence * tpr + (1 - prevalence) * fpr
    return (tpr - fpr) * np.sqrt(prevalence * (1 - prevalence) / (called * (1 - called)))


def test_strata_hold_patients_of_the_same_findings_and_the_rare_patterns_together():
    truth = np.array([[0, 0]] * 4 + [[1, 0]] * 3 + [[0, 1]] + [[1, np.nan]])
    alone = measure.label_strata(truth, np.arange(9), smallest=3)
    assert len(set(alone[:4])) == len(set(alone[4:7])) == 1
    assert alone[0] != alone[4]
    assert alone[7:].tolist() == [0, 0]
    # the study without a finding is of a patient whose other study has one
    together = measure.label_strata(truth[[0, 4, 5, 6, 1, 2, 3]], ["p", "p", "q", "r", "s", "t", "u"], 3)
    assert len(set(together[:4])) == len(set(together[4:])) == 1
    assert together[0] != together[4]


def test_stratified_resamples_keep_every_stratum_as_large_as_it_is():
    strata = np.array([0] * 7 + [1] * 20 + [2] * 13)
    plan = measure.resample(40, 50, 3, strata)
    for weights in plan.blocks():
        for stratum, size in ((0, 7), (1, 20), (2, 13)):
            assert (weights[strata == stratum].sum(axis=0) == size).all()
    assert plan.words() == "50 resamples of 40 studies, stratified (3 strata)"


def test_the_p_value_of_bca_says_when_its_interval_leaves_zero_out():
    rng = np.random.default_rng(2)
    decided = 0
    for shift in np.linspace(0.5, 3.5, 40):
        drawn = rng.gamma(2.0, 1.0, 4000) - 2 + shift
        jackknife = rng.gamma(2.0, 0.1, 80)
        value = float(np.median(drawn)) + 0.1
        p = measure.two_sided_p(drawn, value, jackknife)
        low, high = measure.bounds(value, drawn, jackknife=jackknife)
        if abs(p - 0.05) > 0.002:  # the p-value counts the data themselves as one resample more
            assert (p < 0.05) == (low > 0 or high < 0)
            decided += p < 0.05
    assert 5 < decided < 35
