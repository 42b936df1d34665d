"""ROC curves, thresholds that are chosen and thresholds that decisions imply."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from radsnap import measure
from radsnap.errors import UsageError
from radsnap.measure import OperatingPoint, Undefined

quick = settings(max_examples=150, deadline=None)
tied = st.lists(st.tuples(st.integers(0, 1), st.integers(-4, 4)), min_size=2, max_size=30)


@quick
@given(tied)
def test_roc_curve_equals_scikit_learn(pairs):
    truth, score = (np.array(column) for column in zip(*pairs, strict=True))
    curve = measure.roc_curve(truth, score)
    if truth.min() == truth.max():
        assert isinstance(curve, Undefined)
        return
    fpr, tpr, thresholds = metrics.roc_curve(truth, score, drop_intermediate=False)
    assert curve.false_positive_rate == pytest.approx(fpr, abs=1e-12)
    assert curve.true_positive_rate == pytest.approx(tpr, abs=1e-12)
    assert (curve.threshold == thresholds).all()
    area = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
    assert area == pytest.approx(measure.auroc(truth, score), abs=1e-12)


@quick
@given(tied, st.integers(-4, 4))
def test_implied_threshold_gives_the_decisions_back(pairs, cut):
    score = np.array([pair[1] for pair in pairs], dtype=float) / 7
    decision = measure.decide(score, cut / 7)
    found = measure.implied_threshold(score, decision)
    if decision.all() or not decision.any():
        assert isinstance(found, Undefined)
        assert "any threshold" in found.reason
    else:
        assert (measure.decide(score, found.value) == decision).all()
        assert (measure.decide(score, found.high) == decision).all()
        assert not (measure.decide(score, found.low) == decision).all()


def test_implied_threshold_between_neighbouring_floats():
    low = 0.1
    high = np.nextafter(low, 1)
    found = measure.implied_threshold([low, high], [0, 1])
    assert (found.value, found.high) == (high, high)


def test_decisions_without_a_threshold_are_undefined_with_the_count():
    found = measure.implied_threshold([0.1, 0.2, 0.3, 1.7], [0, 1, 0, 1])
    assert found == Undefined(
        "no threshold gives the decisions: a study of score 0.3 is called negative and one of 0.2 "
        "positive; the best threshold is wrong on 1 of 4 studies"
    )
    tie = measure.implied_threshold([0.2, 0.2, 0.3], [0, 1, 1])
    assert "wrong on 1 of 3 studies" in tie.reason


@quick
@given(tied)
def test_fewest_wrong_is_the_minimum_over_all_thresholds(pairs):
    decision, score = (np.array(column) for column in zip(*pairs, strict=True))
    found = measure.implied_threshold(score, decision)
    if isinstance(found, Undefined) and "best threshold" in found.reason:
        wrong = min(int((measure.decide(score, t) != (decision == 1)).sum()) for t in [*score, np.inf])
        assert f"wrong on {wrong} of {len(score)} studies" in found.reason


@quick
@given(tied)
def test_chosen_thresholds_are_the_best_of_all(pairs):
    truth, score = (np.array(column) for column in zip(*pairs, strict=True))
    if truth.min() == truth.max():
        assert isinstance(measure.choose_threshold(truth, score, "youden"), Undefined)
        return
    by = {t: measure.operating_point(truth, measure.decide(score, t)) for t in np.unique(score)}
    youden = {t: p.sensitivity + p.specificity for t, p in by.items()}
    best = measure.choose_threshold(truth, score, "youden")
    assert youden[best] == pytest.approx(max(youden.values()), abs=1e-12)
    mcc = {t: measure.mcc(truth, measure.decide(score, t)) for t in by}
    mcc = {t: v for t, v in mcc.items() if not isinstance(v, Undefined)}
    best = measure.choose_threshold(truth, score, "mcc")
    if mcc:
        assert mcc[best] == pytest.approx(max(mcc.values()), abs=1e-12)
    else:
        assert best == Undefined("all scores are equal")
    best = measure.choose_threshold(truth, score, "sensitivity", 0.8)
    assert best == max(t for t, p in by.items() if p.sensitivity >= 0.8)
    best = measure.choose_threshold(truth, score, "specificity", 0.6)
    reached = [t for t, p in by.items() if p.specificity >= 0.6]
    assert best == (min(reached) if reached else Undefined("no threshold has a specificity of 0.6 or more"))


def test_rules_take_the_level_they_need_and_no_other():
    with pytest.raises(UsageError, match="the rule 'sensitivity' needs at_least"):
        measure.choose_threshold([0, 1], [0, 1], "sensitivity")
    with pytest.raises(UsageError, match="the rule 'youden' takes no at_least"):
        measure.choose_threshold([0, 1], [0, 1], "youden", 0.9)


def test_between_tied_scores_a_curve_is_straight_and_a_climb_after_it_does_not_count():
    # (0, 0) to (.5, .5), where two of four negatives and one of two positives are tied, then up to (.5, 1)
    curve = measure.roc_curve([1, 0, 0, 1, 0, 0], [3.0, 3.0, 3.0, 2.0, 1.0, 1.0])
    assert not measure.lies_under(measure.OperatingPoint(0.3, 0.75), curve)
    assert measure.lies_under(measure.OperatingPoint(0.2, 0.75), curve)
    assert measure.lies_under(measure.OperatingPoint(0.9, 0.5), curve)
    assert not measure.lies_under(measure.OperatingPoint(1.0, 0.5), curve)


def test_readers_under_the_curve_by_hand():
    truth = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    score = np.array([1, 2, 3, 6, 4, 5, 7, 8])  # curve through (0, .5), (.25, .5), (.25, 1)
    on_the_curve = score >= 7
    under = np.array([0, 0, 0, 1, 0, 0, 1, 0])  # (.25, .25)
    above = np.array([0, 0, 0, 0, 1, 1, 1, 0])  # (0, .75)
    on_the_top = np.array([1, 1, 0, 1, 1, 1, 1, 1])
    assert measure.readers_under(truth, score, [on_the_curve, under, above, on_the_top]) == 1
    assert measure.readers_under(truth, score, []) == 0
    assert isinstance(measure.readers_under(truth * 0, score, [under]), Undefined)


def test_mean_reader_is_the_mean_point():
    truth = [0, 0, 1, 1]
    found = measure.mean_reader(truth, [[0, 0, 1, 0], [1, 1, 1, 1]])
    assert found == OperatingPoint(0.75, 0.5)
    assert measure.mean_reader(truth, []) == Undefined("no readers")
    assert measure.mean_reader([0, 0], [[0, 1]]) == Undefined("no positives among 2 studies")


def test_readers_mean_is_undefined_when_one_reader_is():
    truth = [0, 0, 1, 1]
    assert measure.readers_mean(measure.mcc, truth, [[0, 0, 1, 1], [0, 1, 0, 1]]) == pytest.approx(0.5)
    found = measure.readers_mean(measure.mcc, truth, [[0, 0, 1, 1], [0, 0, 0, 0]])
    assert found == Undefined("1 of 2 readers: nothing called positive among 4 studies")


@quick
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=40))
def test_cohen_kappa_equals_scikit_learn(pairs):
    a, b = (np.array(column) for column in zip(*pairs, strict=True))
    found = measure.cohen_kappa(a, b)
    if len(set(a) | set(b)) == 1:
        assert found == Undefined(f"both readers say {a[0]} of all {len(a)} studies")
    else:
        assert found == pytest.approx(metrics.cohen_kappa_score(a, b), abs=1e-12)


def test_fleiss_kappa_gives_the_published_example():
    # The worked example of the literature: 14 raters, 10 subjects, 5 categories, kappa 0.210.
    votes = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    ratings = np.array([np.repeat(np.arange(5), row) for row in votes]).T
    assert measure.fleiss_kappa(ratings) == pytest.approx(0.210, abs=5e-4)


def test_fleiss_kappa_of_resamples_is_that_of_repeated_studies():
    rng = np.random.default_rng(0)
    ratings = rng.integers(0, 2, (3, 30))
    weights = next(measure.resample(30, 20, 1).blocks())
    found = measure.weighted_fleiss_kappa(ratings)(weights)
    expected = [measure.fleiss_kappa(ratings[:, np.repeat(np.arange(30), c.astype(int))]) for c in weights.T]
    assert found == pytest.approx(np.array(expected), abs=1e-12)


def test_agreement_needs_two_readers():
    with pytest.raises(UsageError, match="two readers or more"):
        measure.fleiss_kappa([[0, 1]])
    assert measure.fleiss_kappa([[1, 1], [1, 1]]) == Undefined("all readers say 1 of all 2 studies")
