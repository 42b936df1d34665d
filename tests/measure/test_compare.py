"""Paired differences, DeLong, Holm, margins, and losses over a sweep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from radsnap import measure
from radsnap.errors import UsageError
from radsnap.measure import Estimate, NonInferiority, Undefined

quick = settings(max_examples=60, deadline=None)

# Ratings of 109 CT images by one reader, 1 definitely normal to 5 definitely abnormal.
# Source: Hanley & McNeil 1982, table I.
HANLEY_TRUTH = np.repeat([0, 1], [58, 51])
HANLEY_RATING = np.concatenate(
    [np.repeat(np.arange(1, 6), n) for n in ([33, 6, 6, 11, 2], [3, 2, 2, 11, 33])]
)


def test_delong_gives_the_published_numbers_of_the_textbook_case():
    # Area 0.8932, standard error 0.0307, interval 0.83295 to 0.95339: Stata's manual [R] roctab.
    found = measure.delong_interval(HANLEY_TRUTH, HANLEY_RATING)
    areas = measure.delong_areas(HANLEY_TRUTH, HANLEY_RATING)
    assert found.value == pytest.approx(0.8932, abs=5e-5)
    assert np.sqrt(areas.covariance[0, 0]) == pytest.approx(0.0307, abs=5e-5)
    assert (found.low, found.high) == pytest.approx((0.83295, 0.95339), abs=5e-6)


def slow_delong(truth, *scores):
    """DeLong's covariance from the definition, pair by pair."""
    pos, neg = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
    areas, v10, v01 = [], [], []
    for s in scores:
        wins = np.array([[float(s[i] > s[j]) + 0.5 * (s[i] == s[j]) for j in neg] for i in pos])
        areas.append(wins.mean())
        v10.append(wins.mean(axis=1))
        v01.append(wins.mean(axis=0))
    k = len(scores)
    cov = np.zeros((k, k))
    for a in range(k):
        for b in range(k):
            cov[a, b] = sum((v10[a] - areas[a]) * (v10[b] - areas[b])) / (len(pos) - 1) / len(pos)
            cov[a, b] += sum((v01[a] - areas[a]) * (v01[b] - areas[b])) / (len(neg) - 1) / len(neg)
    return np.array(areas), cov


@quick
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 5)), min_size=4, max_size=25))
def test_delong_equals_its_definition_pair_by_pair(rows):
    truth, a, b = (np.array(column) for column in zip(*rows, strict=True))
    found = measure.delong_areas(truth, a, b)
    if min(truth.sum(), (1 - truth).sum()) < 2:
        assert isinstance(found, Undefined)
        return
    areas, covariance = slow_delong(truth, a, b)
    assert found.values == pytest.approx(areas, abs=1e-12)
    assert found.covariance == pytest.approx(covariance, abs=1e-12)


def simulate(seed, n=400):
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < 0.3).astype(int)
    score = truth * 1.5 + rng.normal(size=n)
    return truth, score, score + rng.normal(size=n) * 0.8


def test_delong_and_bootstrap_check_each_other():
    truth, digital, photo = simulate(1)
    closed = measure.delong_test(truth, photo, digital)
    drawn = measure.paired_difference(measure.auroc, truth, photo, digital, replicates=4000, seed=1)
    assert drawn.value == pytest.approx(closed.value, abs=1e-12)
    assert (drawn.low, drawn.high) == pytest.approx((closed.low, closed.high), abs=0.006)
    areas, cov = slow_delong(truth, photo, digital)
    z = (areas[0] - areas[1]) / np.sqrt(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1])
    assert closed.p == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)


def test_a_score_against_itself_differs_by_nothing():
    truth, digital, _ = simulate(2)
    same = measure.paired_difference(measure.auroc, truth, digital, digital, replicates=200)
    assert (same.value, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)
    assert measure.delong_test(truth, digital, digital).p == 1.0
    assert measure.delong_test([0, 0, 1, 1], [0, 1, 2, 3], [3, 2, 1, 0]) == Undefined(
        "the difference has no variance"
    )


def test_pairing_narrows_the_interval():
    truth, digital, photo = simulate(3)
    paired = measure.paired_difference(measure.auroc, truth, photo, digital, seed=1)
    a = measure.estimate(measure.auroc, truth, digital, seed=1)
    b = measure.estimate(measure.auroc, truth, photo, seed=2)
    apart = np.hypot(a.high - a.low, b.high - b.low)
    assert paired.high - paired.low < 0.75 * apart
    assert paired.p < 0.05
    assert paired.high < 0


def test_the_difference_is_undefined_with_either_side():
    found = measure.paired_difference(measure.mcc, [0, 1], [0, 1], [0, 0])
    assert found == Undefined("nothing called positive among 2 studies")


def test_bootstrap_p_agrees_with_the_interval():
    # p below 0.05 and an interval at 95 % without 0 are the same statement, up to one resample.
    rng = np.random.default_rng(4)
    for shift in np.linspace(-4, 4, 41):
        drawn = rng.normal(shift, 1, 2000)
        low, high = measure.bounds(shift, drawn)
        p = measure.two_sided_p(drawn)
        if abs(p - 0.05) > 0.003:
            assert (p < 0.05) == (low > 0 or high < 0)
    assert measure.two_sided_p(np.full(99, 1.0)) == pytest.approx(0.02)
    assert np.isnan(measure.two_sided_p(np.array([np.nan])))


def test_p_values_are_uniform_when_nothing_differs():
    rng = np.random.default_rng(5)
    p = []
    for i in range(200):
        truth = (rng.random(100) < 0.4).astype(int)
        base = truth + rng.normal(size=100)
        pair = (base + rng.normal(size=100), base + rng.normal(size=100))
        p.append(measure.paired_difference(measure.auroc, truth, *pair, replicates=300, seed=i).p)
    assert 0.01 <= np.mean(np.array(p) < 0.05) <= 0.10
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_holm_gives_the_textbook_steps():
    assert measure.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert measure.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    with_gap = measure.holm([0.01, np.nan, 0.04])
    assert with_gap[[0, 2]] == pytest.approx([0.02, 0.04])
    assert np.isnan(with_gap[1])
    with pytest.raises(UsageError, match=r"a p-value lies in \[0, 1\], got 1.2"):
        measure.holm([0.1, 1.2])


@quick
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_the_step_down_procedure_rejects(p):
    corrected = measure.holm(p)
    order = np.argsort(p, kind="stable")
    rejected = np.zeros(len(p), dtype=bool)
    for step, i in enumerate(order):
        if p[i] * (len(p) - step) > 0.05:
            break
        rejected[i] = True
    assert ((corrected <= 0.05) == rejected).all()


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.1, "superior"), (-0.04, 0.1, "non-inferior"), (-0.2, -0.06, "inferior"), (-0.06, 0.1, "open")],
)
def test_a_margin_is_judged_by_the_interval(low, high, verdict):
    found = measure.non_inferiority(Estimate(0.0, low, high, 10, ""), 0.05)
    assert found == NonInferiority(0.05, verdict)


def test_a_margin_is_positive_and_needs_an_interval():
    with pytest.raises(UsageError, match="a margin of non-inferiority is above 0, got 0"):
        measure.non_inferiority(Estimate(0.0, -1, 1, 10, ""), 0)
    nothing = Estimate(0.0, np.nan, np.nan, 10, "")
    assert measure.non_inferiority(nothing, 0.1).verdict == "open"


def test_drops_by_hand():
    found = measure.drops(0.9, [[0.8, 0.6], [0.9, 0.9]])
    assert found.absolute == pytest.approx(np.array([[0.1, 0.3], [0.0, 0.0]]))
    assert found.relative == pytest.approx(found.absolute / 0.9)
    assert found.mean == pytest.approx([0.2, 0.0])
    with pytest.raises(UsageError, match="a sweep has no undefined cell"):
        measure.drops(0.9, [[0.8, np.nan]])


def test_corruption_errors_by_hand():
    ratios, mean = measure.corruption_error([[0.8, 0.6], [0.9, 0.9]], [[0.7, 0.5], [0.9, 0.8]])
    assert ratios == pytest.approx([0.6 / 0.8, 0.2 / 0.3])
    assert mean == pytest.approx(np.mean([0.6 / 0.8, 0.2 / 0.3]))
    ratios, _ = measure.relative_corruption_error(0.9, [[0.8, 0.6]], 0.8, [[0.7, 0.5]])
    assert ratios == pytest.approx([0.4 / 0.4])
    assert isinstance(measure.corruption_error([[0.8]], [[1.0]]), Undefined)
    with pytest.raises(UsageError, match="the same effects and levels"):
        measure.corruption_error([[0.8]], [[0.9, 0.8]])


def test_flips_count_studies_and_patients():
    found = measure.flips([0, 1, 1, 0], [1, 0, 1, 0], clusters=["a", "a", "b", "c"])
    assert (found.to_positive, found.to_negative, found.studies) == (1, 1, 4)
    assert found.share == 0.5
    assert found.patient_share == pytest.approx(1 / 3)
    assert measure.flips([], []) == Undefined("no studies")


def test_a_mean_names_what_is_undefined():
    assert measure.mean_value([0.5, 0.7], ["a", "b"]) == pytest.approx(0.6)
    assert measure.mean_value([0.5, Undefined("x")], ["a", "b"]) == Undefined("undefined for b")
