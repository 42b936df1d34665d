"""Scores against scikit-learn, on random and degenerate inputs."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from radsnap import measure
from radsnap.errors import UsageError
from radsnap.measure import Undefined

quick = settings(max_examples=150, deadline=None)


@st.composite
def studies(draw, kind="score"):
    """A truth and scores with many ties, or decisions; any number of studies, any prevalence."""
    n = draw(st.integers(1, 40))
    truth = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    values = {
        "score": st.one_of(st.integers(-3, 3), st.floats(-1e6, 1e6)),
        "decision": st.integers(0, 1),
        "probability": st.one_of(st.sampled_from([0.0, 0.1, 0.5, 0.95, 1.0]), st.floats(0, 1)),
    }[kind]
    return truth, np.array(draw(st.lists(values, min_size=n, max_size=n)), dtype=float)


@quick
@given(studies())
def test_auroc_equals_scikit_learn_or_is_undefined_with_one_class(data):
    truth, score = data
    found = measure.auroc(truth, score)
    if truth.min() == truth.max():
        assert found == Undefined(
            f"no {'positives' if truth[0] == 0 else 'negatives'} among {len(truth)} studies"
        )
    else:
        assert found == pytest.approx(metrics.roc_auc_score(truth, score), abs=1e-12)


@quick
@given(studies())
def test_average_precision_equals_scikit_learn(data):
    truth, score = data
    found = measure.average_precision(truth, score)
    if truth.max() == 0:
        assert found == Undefined(f"no positives among {len(truth)} studies")
    else:
        assert found == pytest.approx(metrics.average_precision_score(truth, score), abs=1e-12)


ORACLES = {
    "mcc": metrics.matthews_corrcoef,
    "sensitivity": lambda t, d: metrics.recall_score(t, d, zero_division=np.nan),
    "specificity": lambda t, d: metrics.recall_score(t, d, pos_label=0, zero_division=np.nan),
    "ppv": lambda t, d: metrics.precision_score(t, d, zero_division=np.nan),
    "npv": lambda t, d: metrics.precision_score(t, d, pos_label=0, zero_division=np.nan),
    "f1": lambda t, d: metrics.f1_score(t, d, zero_division=np.nan),
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
}
EMPTY = {  # which margin, when empty, leaves the measure undefined
    "mcc": lambda t, d: t.min() == t.max() or d.min() == d.max(),
    "sensitivity": lambda t, d: t.max() == 0,
    "specificity": lambda t, d: t.min() == 1,
    "ppv": lambda t, d: d.max() == 0,
    "npv": lambda t, d: d.min() == 1,
    "f1": lambda t, d: t.max() == 0 and d.max() == 0,
    "accuracy": lambda t, d: False,
    "balanced_accuracy": lambda t, d: t.min() == t.max(),
}


@pytest.mark.parametrize("name", ORACLES)
@quick
@given(data=studies("decision"))
def test_decision_scores_equal_scikit_learn_where_defined(name, data):
    truth, decision = data
    found = getattr(measure, name)(truth, decision)
    if EMPTY[name](truth, decision):
        assert isinstance(found, Undefined)
        assert f"among {len(truth)} studies" in found.reason
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn warns of a single class
            assert found == pytest.approx(ORACLES[name](truth, decision), abs=1e-12)


def test_mcc_keeps_its_digits_with_millions_of_studies():
    truth = np.repeat([1, 1, 0, 0], [3_000_000, 1_000_000, 2_000_000, 5_000_000])
    decision = np.repeat([1, 0, 1, 0], [3_000_000, 1_000_000, 2_000_000, 5_000_000])
    tp, fn, fp, tn = 3, 1, 2, 5
    expected = (tp * tn - fp * fn) / np.sqrt(float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))
    assert measure.mcc(truth, decision) == pytest.approx(expected, abs=1e-12)


@quick
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=40))
def test_many_classes_equal_scikit_learn(pairs):
    truth, named = (np.array(column) for column in zip(*pairs, strict=True))
    found = measure.confusion_matrix(truth, named)
    oracle = [[sum(p == (t, d) for p in pairs) for d in found.classes] for t in found.classes]
    assert found.table.tolist() == oracle
    assert measure.accuracy(truth, named) == pytest.approx(metrics.accuracy_score(truth, named), abs=1e-12)
    balanced = measure.balanced_accuracy(truth, named)
    if len(set(truth)) == 1:
        assert balanced == Undefined(f"only one class, {truth[0]}, among {len(truth)} studies")
    else:
        recalls = metrics.recall_score(truth, named, average=None, labels=np.unique(truth), zero_division=0)
        assert balanced == pytest.approx(recalls.mean(), abs=1e-12)
        assert np.nanmean(found.recalls()) == pytest.approx(balanced, abs=1e-12)


def test_confusion_keeps_the_order_of_classes_and_empty_ones():
    found = measure.confusion_matrix(["b", "a", "b"], ["b", "b", "a"], classes=("c", "b", "a"))
    assert found.table.tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 0]]
    with pytest.raises(UsageError, match="class 'a' is not among the classes"):
        measure.confusion_matrix(["a"], ["b"], classes=("b", "c"))


@quick
@given(studies("probability"))
def test_brier_equals_scikit_learn_and_ece_its_definition(data):
    truth, probability = data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = metrics.brier_score_loss(truth, probability, pos_label=1)
    assert measure.brier(truth, probability) == pytest.approx(oracle, abs=1e-12)
    total = 0.0
    for i in range(10):
        held = [j for j, p in enumerate(probability) if min(int(p * 10), 9) == i]
        if held:
            total += len(held) * abs(probability[held].mean() - truth[held].mean())
    assert measure.ece(truth, probability) == pytest.approx(total / len(truth), abs=1e-12)
    curve = measure.reliability(truth, probability)
    assert curve.n.sum() == len(truth)
    assert (curve.n * np.abs(curve.probability - curve.share)).sum() / len(truth) == pytest.approx(
        measure.ece(truth, probability), abs=1e-12
    )


def test_calibration_of_scores_that_are_no_probabilities_is_undefined():
    reason = Undefined("scores run from -0.2 to 1.7; calibration needs probabilities")
    assert measure.ece([0, 1], [-0.2, 1.7]) == reason
    assert measure.brier([0, 1], [-0.2, 1.7]) == reason
    assert measure.reliability([0, 1], [-0.2, 1.7]) == reason


def test_undefined_says_which_margin_is_empty():
    assert measure.mcc([0, 1], [0, 0]) == Undefined("nothing called positive among 2 studies")
    assert measure.mcc([1, 1, 1], [0, 1, 0]) == Undefined("no negatives among 3 studies")
    assert measure.npv([0, 1], [1, 1]) == Undefined("nothing called negative among 2 studies")
    assert measure.auroc([], []) == Undefined("no studies")
    assert measure.mcc([], []) == Undefined("no studies")


def test_nan_and_other_labels_are_refused_with_the_row():
    with pytest.raises(UsageError, match="score has no number in 1 rows, the first is row 2"):
        measure.auroc([0, 1, 1], [0.1, 0.2, np.nan])
    with pytest.raises(UsageError, match=r"truth must be 0 or 1, got -1.* in row 1; leave unknown rows out"):
        measure.auroc([0, -1, 1], [0.1, 0.2, 0.3])
    with pytest.raises(UsageError, match="truth must be 0 or 1, got nan in row 0"):
        measure.mcc([np.nan, 1.0], [0, 1])
    with pytest.raises(UsageError, match=r"must have the same length, got \[2, 3\]"):
        measure.auroc([0, 1], [0.1, 0.2, 0.3])
    with pytest.raises(UsageError, match=r"one column, got shape \(1, 2\)"):
        measure.auroc([[0, 1]], [0.1, 0.2])


@quick
@given(studies())
def test_auroc_mirrors_and_ignores_rising_maps(data):
    truth, score = data
    if truth.min() == truth.max():
        return
    area = measure.auroc(truth, score)
    assert measure.auroc(truth, -score) == pytest.approx(1 - area, abs=1e-12)
    assert measure.auroc(1 - truth, score) == pytest.approx(1 - area, abs=1e-12)
    ranks = np.unique(score, return_inverse=True)[1]
    assert measure.auroc(truth, ranks) == area
