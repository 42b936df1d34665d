"""A whole study under one set of resamples."""

from __future__ import annotations

import numpy as np
import pytest

from radsnap import measure
from radsnap.measure import Cell, Contrast, Estimate, Undefined

NONE = ("", "")


@pytest.fixture
def study():
    rng = np.random.default_rng(3)
    truth = (rng.random((80, 2)) < 0.4).astype(float)
    digital = truth + rng.normal(size=(80, 2))
    photo = digital + rng.normal(size=(80, 2))
    photo[:6] = np.nan
    return truth, {"digital": Cell(measure.auroc, digital, NONE), "photo": Cell(measure.auroc, photo, NONE)}


def of(figures):
    return {(figure.name, figure.finding): figure.result for figure in figures}


CHANGE = {"change": Contrast((("photo", 1.0), ("digital", -1.0)), difference=True)}


def test_a_difference_is_that_of_the_shared_studies_under_the_studys_resamples(study):
    truth, cells = study
    plan = measure.resample(80, 300, 4)
    found = of(measure.evaluate(truth, ["a", "b"], cells, CHANGE, plan))["change", "a"]
    photo, digital, y = cells["photo"].values[6:, 0], cells["digital"].values[6:, 0], truth[6:, 0]
    assert found.value == pytest.approx(measure.auroc(y, photo) - measure.auroc(y, digital), abs=1e-12)
    assert found.n == 74
    weights = np.concatenate(list(plan.blocks()), axis=1)[6:]
    drawn = measure.weighted(measure.auroc, y, photo)(weights) - measure.weighted(measure.auroc, y, digital)(
        weights
    )
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-12)
    assert found.p == pytest.approx(measure.two_sided_p(drawn))


def test_the_mean_is_resampled_as_a_whole(study):
    truth, cells = study
    plan = measure.resample(80, 300, 4)
    alone = {"digital": Contrast((("digital", 1.0),))}
    found = of(measure.evaluate(truth, ["a", "b"], cells, alone, plan))
    drawn = [
        measure.replicate(
            [measure.weighted(measure.auroc, truth[:, k], cells["digital"].values[:, k])], plan.blocks()
        )
        for k in range(2)
    ]
    low, high = np.quantile(np.mean(drawn, axis=0), [0.025, 0.975])
    mean = found["digital", "mean"]
    assert (mean.low, mean.high) == pytest.approx((low, high), abs=1e-12)
    assert mean.value == pytest.approx((found["digital", "a"].value + found["digital", "b"].value) / 2)
    assert mean.p is None


def test_a_finding_with_one_class_is_left_out_of_the_mean_for_all_alike(study):
    truth, cells = study
    truth[:, 1] = 0
    found = of(measure.evaluate(truth, ["a", "b"], cells, CHANGE, measure.resample(80, 50, 4)))
    assert found["change", "b"] == Undefined("no positives among 74 studies")
    assert found["change", "mean"].value == found["change", "a"].value


def test_a_column_that_does_not_exist_leaves_the_mean_undefined(study):
    truth, cells = study
    cells["photo"] = Cell(measure.auroc, cells["photo"].values, ("", "no column 'b' in x.csv"))
    found = of(measure.evaluate(truth, ["a", "b"], cells, CHANGE, measure.resample(80, 50, 4)))
    assert found["change", "b"] == Undefined("no column 'b' in x.csv")
    assert found["change", "mean"] == Undefined("undefined for b")


def test_agreement_of_readers_is_estimated_on_what_all_have_read():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, (60, 1)).astype(float)
    ratings = {f"r{i}": np.where(rng.random((60, 1)) < 0.2, 1 - truth, truth) for i in range(3)}
    ratings["r0"][:4] = np.nan
    found = of(measure.readers_agreement(truth, ratings, ["a"], measure.resample(60, 200, 1)))[
        "Fleiss kappa", "a"
    ]
    assert isinstance(found, Estimate)
    assert found.n == 56
    assert found.value == measure.fleiss_kappa(np.stack([r[4:, 0] for r in ratings.values()]))
    assert found.low < found.value < found.high


SHARE = {
    "drop": Contrast(
        (("digital", 1.0), ("photo", -1.0)),
        difference=True,
        base=measure.Base((("digital", 1.0),), "digital is 0 or below"),
    )
}


def test_a_share_is_resampled_with_its_base_and_its_mean_is_the_share_of_the_means(study):
    truth, cells = study
    plan = measure.resample(80, 300, 4)
    both = {
        "digital": Contrast((("digital", 1.0), ("photo", 0.0)), difference=True),
        "change": CHANGE["change"],
    }
    found, parts = (of(measure.evaluate(truth, ["a", "b"], cells, c, plan)) for c in (SHARE, both))
    for name in ("a", "b", "mean"):
        assert found["drop", name].value == pytest.approx(
            -parts["change", name].value / parts["digital", name].value
        )
        assert found["drop", name].p is None
    y, pair = truth[6:, 0], [cells[name].values[6:, 0] for name in ("digital", "photo")]
    weights = np.concatenate(list(plan.blocks()), axis=1)[6:]
    digital, photo = (measure.weighted(measure.auroc, y, one)(weights) for one in pair)
    expected = tuple(np.quantile((digital - photo) / digital, [0.025, 0.975]))
    assert (found["drop", "a"].low, found["drop", "a"].high) == pytest.approx(expected, abs=1e-12)


def test_a_share_of_nothing_is_undefined_and_of_nearly_nothing_has_no_interval(study):
    truth, cells = study
    plan = measure.resample(80, 200, 4)
    reason = "the baseline loses nothing"

    def share(constant):
        base = measure.Base((("digital", 1.0),), reason, constant)
        contrast = {"x": Contrast((("photo", 1.0),), base=base)}
        return of(measure.evaluate(truth, ["a", "b"], cells, contrast, plan))["x", "a"]

    value = measure.auroc(truth[:, 0], cells["digital"].values[:, 0])
    assert share(-1.0) == Undefined(reason)
    near = share(-value + 1e-3)
    assert near.value > 0
    assert np.isnan(near.low)
    assert near.method.startswith("no interval: the baseline loses nothing in ")
    assert not np.isnan(share(0.0).low)


def test_bca_intervals_are_those_of_one_estimate_alone(study):
    truth, cells = study
    figures = measure.evaluate(
        truth, ["a", "b"], cells, {**CHANGE, "digital": Contrast((("digital", 1.0),))},
        measure.resample(80, 300, 4), interval="bca",
    )  # fmt: skip
    found = of(figures)
    digital = cells["digital"].values[:, 1]
    alone = measure.estimate(measure.auroc, truth[:, 1], digital, replicates=300, seed=4, interval="bca")
    assert found["digital", "b"] == alone
    assert "BCa bootstrap 95 %" in found["change", "mean"].method
    plain = of(measure.evaluate(truth, ["a", "b"], cells, CHANGE, measure.resample(80, 300, 4)))
    assert found["change", "mean"].value == plain["change", "mean"].value
    assert found["change", "mean"].low != plain["change", "mean"].low


def test_a_count_of_readers_keeps_percentiles_and_leaves_out_who_has_not_read():
    rng = np.random.default_rng(6)
    truth = (rng.random((70, 1)) < 0.4).astype(float)
    score = truth + rng.normal(size=(70, 1))
    readers = np.where(rng.random((70, 3)) < 0.25, 1 - truth, truth)
    readers[:, 2] = np.nan
    cell = Cell(
        measure.count_under, np.concatenate([score, readers], axis=1)[:, None, :], ("",), smooth=False
    )
    plan = measure.resample(70, 200, 1)
    found = of(
        measure.evaluate(truth, ["a"], {"c": cell}, {"c": Contrast((("c", 1.0),))}, plan, interval="bca")
    )["c", "a"]
    assert found.value == measure.readers_under(truth[:, 0], score[:, 0], list(readers.T[:2]))
    assert 0 <= found.low <= found.value <= found.high <= 2
    assert found.n == 70
    assert found.method.startswith("percentile")
