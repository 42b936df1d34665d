"""Uncertain and blank labels become what the caller says, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radsnap.errors import ManifestError, UsageError
from radsnap.tables import Manifest, build_manifest, labels, parse_labels


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    name = ["a", "b", "c", "d"]
    table = pd.DataFrame({"image_id": name, "study_id": name, "patient_id": name, "path": name})
    return build_manifest(
        table.assign(Edema=["1", "0", "-1", ""], Mass=[0, 1, None, -1], covid=["1", "", "0", "0"]), tmp_path
    )


@pytest.mark.parametrize(("policy", "value"), [("ones", 1.0), ("zeros", 0.0), ("ignore", np.nan)])
def test_uncertain_becomes_what_the_policy_says_and_blank_stays_unknown(
    manifest: Manifest, policy: str, value: float
) -> None:
    table = labels(manifest, ["Mass", "Edema"], uncertain=policy)  # type: ignore[arg-type]
    assert table.dtype == np.float32
    np.testing.assert_array_equal(table, [[0, 1], [1, 0], [np.nan, value], [value, np.nan]])


def test_the_policy_has_no_default_and_no_other_names(manifest: Manifest) -> None:
    with pytest.raises(TypeError, match="uncertain"):
        labels(manifest, ["Edema"])  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="uncertain labels are 'ones', 'zeros' or 'ignore', got 'one'"):
        labels(manifest, ["Edema"], uncertain="one")  # type: ignore[arg-type]


def test_any_column_of_labels_can_be_a_task(manifest: Manifest) -> None:
    np.testing.assert_array_equal(labels(manifest, ["covid"], uncertain="ignore")[:, 0], [1, np.nan, 0, 0])
    with pytest.raises(ManifestError, match="row 1, column 'path' has 'a'"):
        labels(manifest, ["path"], uncertain="ignore")


def test_an_absent_finding_is_refused_with_those_that_are_there(manifest: Manifest) -> None:
    with pytest.raises(
        ManifestError, match="the manifest has no column 'Hernia'; its findings are Edema, Mass"
    ):
        labels(manifest, ["Hernia"], uncertain="ones")


def test_asking_does_not_change_the_manifest(manifest: Manifest) -> None:
    labels(manifest, ["Edema"], uncertain="ones")
    assert manifest.frame["Edema"].tolist()[2] == -1.0


def test_labels_are_read_in_every_usual_spelling() -> None:
    column = pd.Series(["1", "1.0", " 0", "-1.0", "", "nan", "NaN"])
    np.testing.assert_array_equal(parse_labels(column, "x"), [1, 1, 0, -1, np.nan, np.nan, np.nan])


@pytest.mark.parametrize("bad", ["2", "0.5", "true", "-2", "inf"])
def test_other_values_are_refused_as_text_and_as_numbers(bad: str) -> None:
    with pytest.raises(ManifestError, match="row 2, column 'x' has"):
        parse_labels(pd.Series(["1", bad, bad]), "x")
    if bad != "true":
        with pytest.raises(ManifestError, match="row 2, column 'x' has"):
            parse_labels(pd.Series([1.0, float(bad)]), "x")
