"""A split keeps patients together, spreads findings alike, and depends on nothing but patients and seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radsnap.errors import ManifestError, UsageError
from radsnap.tables import Manifest, build_manifest, split_by_patient

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    rng = np.random.default_rng(5)
    count = 3000
    patient = pd.Series(rng.integers(0, 900, count)).astype(str)
    name = pd.Series(range(count)).astype(str)
    table = pd.DataFrame({"image_id": name, "study_id": name, "patient_id": "p" + patient, "path": name})
    table["Edema"] = (rng.random(count) < 0.3).astype(int)
    table["Hernia"] = (rng.random(count) < 0.012).astype(int)
    table["Mass"] = rng.choice(["1", "0", "-1", ""], count)
    table["body"] = rng.choice(["hand", "knee", "skull"], count, p=[0.6, 0.37, 0.03])
    return build_manifest(table, Path("/nowhere"))


def test_no_patient_is_in_two_splits_and_every_row_has_one(manifest: Manifest) -> None:
    frame = split_by_patient(manifest, SHARES, seed=1).frame
    assert frame.groupby("patient_id")["split"].nunique().max() == 1
    assert set(frame["split"]) == set(SHARES)


def test_sizes_and_rare_findings_follow_the_shares(manifest: Manifest) -> None:
    frame = split_by_patient(manifest, SHARES, seed=1).frame
    for column in (None, "Edema", "Hernia", "Mass"):
        of = frame if column is None else frame[frame[column] == 1]
        share = of["split"].value_counts(normalize=True)
        for name, wanted in SHARES.items():
            assert share[name] == pytest.approx(wanted, abs=1.5 / len(of) + 0.005), (column, name)


def test_a_random_split_by_patient_would_be_less_even(manifest: Manifest) -> None:
    def worst(frame: pd.DataFrame) -> float:
        share = frame[frame["Hernia"] == 1]["split"].value_counts(normalize=True)
        return max(abs(share.get(name, 0) - wanted) for name, wanted in SHARES.items())

    ours = worst(split_by_patient(manifest, SHARES, seed=1).frame)
    rng = np.random.default_rng(0)
    patients = manifest.frame["patient_id"].unique()
    others = []
    for _ in range(50):
        place = dict(
            zip(patients, rng.choice(list(SHARES), len(patients), p=list(SHARES.values())), strict=True)
        )
        others.append(worst(manifest.frame.assign(split=manifest.frame["patient_id"].map(place))))
    assert ours <= min(others) + 1e-9


def test_text_columns_are_spread_too(manifest: Manifest) -> None:
    frame = split_by_patient(manifest, SHARES, seed=2, stratify=["body"]).frame
    share = frame[frame["body"] == "skull"]["split"].value_counts(normalize=True)
    for name, wanted in SHARES.items():
        assert share[name] == pytest.approx(wanted, abs=0.025)


def test_the_same_seed_gives_the_same_split_in_any_order_of_rows(manifest: Manifest) -> None:
    once = split_by_patient(manifest, SHARES, seed=3).frame.set_index("image_id")["split"]
    shuffled = Manifest(manifest.frame.sample(frac=1, random_state=0).reset_index(drop=True), manifest.root)
    again = split_by_patient(shuffled, SHARES, seed=3).frame.set_index("image_id")["split"]
    pd.testing.assert_series_equal(once, again.loc[once.index])
    other = split_by_patient(manifest, SHARES, seed=4).frame.set_index("image_id")["split"]
    assert (once != other).mean() > 0.1


def test_a_kept_split_stays_as_it_is(manifest: Manifest) -> None:
    official = split_by_patient(manifest, {"train": 0.8, "test": 0.2}, seed=1)
    again = split_by_patient(official, {"train": 0.9, "val": 0.1}, seed=2, keep=["test"])
    before, after = official.frame["split"] == "test", again.frame["split"] == "test"
    assert (before == after).all()
    assert again.frame["split"].value_counts()["val"] == pytest.approx(0.1 * (~before).sum(), abs=5)


def test_a_kept_split_that_shares_patients_is_refused(tmp_path: Path) -> None:
    name = ["a", "b"]
    table = pd.DataFrame({"image_id": name, "study_id": name, "patient_id": ["p", "p"], "path": name})
    manifest = build_manifest(table.assign(split=["test", ""]), tmp_path)
    with pytest.raises(ManifestError, match="patient 'p' is in train and test"):
        split_by_patient(manifest, {"train": 1.0}, seed=0, keep=["test"])


def test_a_share_of_nothing_gets_nothing(manifest: Manifest) -> None:
    assert set(split_by_patient(manifest, {"train": 1.0, "val": 0.0}, seed=0).frame["split"]) == {"train"}


def test_wrong_shares_and_columns_are_refused(manifest: Manifest) -> None:
    with pytest.raises(UsageError, match="splits are train, val, test, got 'dev'"):
        split_by_patient(manifest, {"dev": 1.0}, seed=0)
    with pytest.raises(UsageError, match=r"shares lie in 0 to 1 and add up to 1, got train 0\.5, test 0\.4"):
        split_by_patient(manifest, {"train": 0.5, "test": 0.4}, seed=0)
    with pytest.raises(ManifestError, match="cannot stratify by 'sex': the manifest has no such column"):
        split_by_patient(manifest, SHARES, seed=0, stratify=["sex"])
    with pytest.raises(UsageError, match="cannot stratify by 'image_id': it has 3000 values, 64 at most"):
        split_by_patient(manifest, SHARES, seed=0, stratify=["image_id"])
