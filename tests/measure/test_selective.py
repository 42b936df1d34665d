"""Risk against coverage: every point and the area against their definitions, one study at a time."""

from __future__ import annotations

import numpy as np
import pytest

from radsnap.errors import UsageError
from radsnap.measure import RiskCurve, Undefined, plots, selective_risk


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ties", [False, True])
def test_points_and_area_are_what_leaving_studies_out_gives(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    loss, trust = rng.random(n), rng.integers(0, 5, n) / 4 if ties else rng.random(n)
    curve = selective_risk(loss, trust)
    assert isinstance(curve, RiskCurve)
    levels = sorted(set(trust), reverse=True)
    assert curve.confidence.tolist() == levels
    assert curve.coverage.tolist() == pytest.approx([np.mean(trust >= level) for level in levels])
    assert curve.risk.tolist() == pytest.approx([loss[trust >= level].mean() for level in levels])
    assert curve.area == pytest.approx(np.mean([loss[trust >= one].mean() for one in trust]))


def test_the_order_of_studies_and_the_scale_of_confidence_do_not_matter() -> None:
    rng = np.random.default_rng(9)
    loss, trust = rng.random(30), rng.integers(0, 9, 30)
    first, turn = selective_risk(loss, trust), rng.permutation(30)
    again = selective_risk(loss[turn], np.exp(trust[turn] / 3.0))
    assert isinstance(first, RiskCurve)
    assert isinstance(again, RiskCurve)
    np.testing.assert_allclose(again.risk, first.risk)
    assert again.area == pytest.approx(first.area)


def test_no_other_order_has_a_smaller_area_than_that_of_the_losses_themselves() -> None:
    rng = np.random.default_rng(4)
    loss = rng.random(20)
    best = selective_risk(loss, -loss)
    assert isinstance(best, RiskCurve)
    assert best.risk.tolist() == sorted(best.risk)
    for _ in range(50):
        other = selective_risk(loss, rng.random(20))
        assert isinstance(other, RiskCurve)
        assert other.area > best.area
    same = selective_risk(loss, np.ones(20))
    assert isinstance(same, RiskCurve)
    assert (same.area, same.coverage.tolist()) == (pytest.approx(loss.mean()), [1.0])


def test_what_cannot_be_drawn_is_undefined_or_refused() -> None:
    assert selective_risk([], []) == Undefined("no studies")
    with pytest.raises(UsageError, match="confidence has no number in 1 rows"):
        selective_risk([0, 1], [0.5, np.nan])
    with pytest.raises(UsageError, match="same length"):
        selective_risk([0, 1], [0.5])
    with pytest.raises(UsageError, match="a loss is a finite number"):
        selective_risk([0, np.inf], [0.5, 0.6])


def test_the_figure_names_models_and_areas() -> None:
    curve = selective_risk([0, 1, 0, 1], [0.9, 0.2, 0.8, 0.1])
    assert isinstance(curve, RiskCurve)
    svg = plots.to_svg(plots.selective_figure({"photo": {"worn": curve}, "flattened": {"worn": curve}}))
    assert "worn" in svg
    assert "area 0.208" in svg  # (0 + 0 + 1/3 + 1/2) / 4
    assert "flattened" in svg
