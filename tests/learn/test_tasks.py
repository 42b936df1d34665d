from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.train

from radsnap.errors import ManifestError, UsageError  # noqa: E402
from radsnap.learn import tasks  # noqa: E402
from radsnap.tables import Manifest, build_manifest  # noqa: E402


def rows(tmp_path, **columns) -> Manifest:
    n = len(next(iter(columns.values())))
    ids = [f"i{k}" for k in range(n)]
    frame = pd.DataFrame({"image_id": ids, "study_id": ids, "patient_id": ids, "path": ids, **columns})
    return build_manifest(frame, tmp_path)


def test_unknown_is_not_negative(tmp_path):
    manifest = rows(tmp_path, Edema=["1", "0", "", "-1"], Mass=["", "", "1", "0"])
    targets = tasks.findings(("Edema", "Mass")).targets(manifest)
    np.testing.assert_array_equal(targets, [[1, np.nan], [0, np.nan], [np.nan, 1], [np.nan, 0]])


def test_the_policy_for_uncertain_labels_is_obeyed(tmp_path):
    manifest = rows(tmp_path, Edema=["-1"])
    assert tasks.findings(("Edema",), "ones").targets(manifest) == 1
    assert tasks.findings(("Edema",), "zeros").targets(manifest) == 0


def test_a_gate_asks_no_domain_of_what_is_no_xray(tmp_path):
    manifest = rows(tmp_path, body=["chest_frontal", "none", ""], domain=["digital", "", "screen"])
    targets = tasks.gate().targets(manifest)
    np.testing.assert_array_equal(targets[0], [1, 1, 0, 0])
    assert targets[1, 0] == 0
    assert np.isnan(targets[1, 1:]).all()
    assert np.isnan(targets[2]).all()


def test_a_gate_draws_by_where_pictures_come_from_too(tmp_path):
    manifest = rows(tmp_path, body=["none"] * 3, kind=["medical"] * 3, source=["skin", "skin", "mri"])
    assert tasks.gate().groups(manifest).nunique() == 2
    assert tasks.gate().groups(rows(tmp_path, body=["none"] * 3)).nunique() == 1


def test_sides_get_equal_draws_and_small_groups_more_than_their_share():
    groups = pd.Series(["a"] * 90 + ["b"] * 10 + ["c"] * 900)
    sides = pd.Series(["x"] * 100 + ["y"] * 900)
    weights = tasks.draw_weights(groups, sides, balance=0.5)
    assert weights.sum() == pytest.approx(1)
    assert weights[:100].sum() == pytest.approx(0.5)
    assert weights[90:100].sum() / weights[:90].sum() == pytest.approx((10 / 90) ** 0.5)


def test_balance_one_draws_rows_evenly():
    weights = tasks.draw_weights(pd.Series(["a", "a", "b"]), pd.Series(["", "", ""]), balance=1)
    np.testing.assert_allclose(weights, 1 / 3)


def test_kind_takes_any_column_of_classes(tmp_path):
    manifest = rows(tmp_path, body_part=["knee", "skull", "", "none"])
    classes = tasks.classes_in(manifest, "body_part")
    assert classes == ("knee", "skull")
    targets = tasks.kind("body_part", classes).targets(manifest)
    np.testing.assert_array_equal(targets, [[1, 0], [0, 1], [np.nan] * 2, [np.nan] * 2])


def test_one_class_is_not_a_task(tmp_path):
    with pytest.raises(UsageError, match="holds 1 classes; a training needs two or more"):
        tasks.classes_in(rows(tmp_path, body_part=["knee", ""]), "body_part")


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(ManifestError, match="needs the column 'shape'"):
        tasks.kind("shape", ("a", "b")).targets(rows(tmp_path, body=["none"]))
