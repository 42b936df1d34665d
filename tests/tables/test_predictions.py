"""Predictions are joined by name and paired by id; what cannot be read is refused with row and column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radsnap.errors import PredictionsError, UsageError
from radsnap.findings import COMPETITION_5
from radsnap.tables import (
    Predictions,
    align,
    build_manifest,
    by_study,
    read_predictions,
    write_predictions,
)


def refusal(tmp_path: Path, text: str, findings: list[str] | None = None) -> str:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(PredictionsError) as error:
        read_predictions(tmp_path / "m.csv", findings)
    assert str(error.value).startswith(str(tmp_path / "m.csv"))
    return str(error.value).removeprefix(str(tmp_path / "m.csv") + ": ")


def test_columns_are_taken_by_name_whatever_their_order_and_company(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("Study,Edema,Atelectasis\ns1,0.25,-3\ns2,1.7,1e-3\n")
    (tmp_path / "two.csv").write_text("remark,Atelectasis,age,Study,Edema\nhm,1e-3,50,s2,1.7\n,-3,,s1,0.25\n")
    one = read_predictions(tmp_path / "one.csv", ["Atelectasis", "Edema"])
    two = read_predictions(tmp_path / "two.csv", ["Atelectasis", "Edema"])
    pd.testing.assert_frame_equal(one.frame, two.frame.loc[one.frame.index])
    assert one.key == "study"
    assert one.frame.loc["s1"].tolist() == [-3.0, 0.25]


@pytest.mark.parametrize(
    ("column", "value", "key", "plain"),
    [
        ("Study", "CheXpert-v1.0/test/patient64741/study1", "study", "patient64741/study1"),
        ("Study", "CheXpert-v1.0-small/valid/patient64741/study1/", "study", "patient64741/study1"),
        ("Path", "CheXpert-v1.0/test/patient64741/study1", "study", "patient64741/study1"),
        (
            "Path",
            "/data/valid/patient64741/study1/view1_frontal.jpg",
            "image",
            "patient64741/study1/view1_frontal",
        ),
        (
            "Path",
            "CheXphoto-v1.0/valid/natural/nokia/patient1/study2/view3_lateral.jpg",
            "image",
            "patient1/study2/view3_lateral",
        ),
        (
            "image_id",
            "train/natural/nokia/patient1/study2/view3_lateral",
            "image",
            "train/natural/nokia/patient1/study2/view3_lateral",
        ),
        ("study_id", "mimic/s50414267", "study", "mimic/s50414267"),
        ("study", "XR_HAND/patient00001/study1_positive", "study", "XR_HAND/patient00001/study1_positive"),
    ],
)
def test_keys_are_understood_and_prefixes_left_out(
    tmp_path: Path, column: str, value: str, key: str, plain: str
) -> None:
    (tmp_path / "m.csv").write_text(f"{column},Edema\n{value},0.5\n")
    read = read_predictions(tmp_path / "m.csv")
    assert (read.key, read.frame.index.tolist()) == (key, [plain])


def test_a_model_is_called_by_its_file(tmp_path: Path) -> None:
    for stem in ("drnet_predictions", "drnet_decisions", "drnet"):
        (tmp_path / f"{stem}.csv").write_text("Study,Edema\ns1,0.5\n")
        assert read_predictions(tmp_path / f"{stem}.csv").name == "drnet"


def test_all_findings_of_the_vocabulary_are_taken_when_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("Study,effusion,age,No Finding,Pleural_Thickening\ns1,1,50,0,1\n")
    assert read_predictions(tmp_path / "m.csv").findings == (
        "Pleural Effusion",
        "No Finding",
        "Pleural Thickening",
    )


def test_a_task_of_ones_own_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image_id,covid\na,0.5\n")
    assert read_predictions(tmp_path / "m.csv", ["covid"]).frame.loc["a", "covid"] == 0.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Study,Edema\ns1,0.5\ns2,\n", "row 2, column 'Edema' is blank; write a finite number for every row"),
        (
            "Study,Edema\ns1,0.5\ns2,high\ns3,low\n",
            "row 2, column 'Edema' has 'high'; write a finite number for every row (2 rows like it)",
        ),
        ("Study,Edema\ns1,nan\n", "row 1, column 'Edema' has 'nan'; write a finite number for every row"),
        ("Study,Edema\ns1,inf\n", "row 1, column 'Edema' has 'inf'; write a finite number for every row"),
        (
            "Study,Edema\ns1,1\ns2,1\ns1,2\n",
            "row 3, column 'Study': 's1' stands in row 1 already (1 doubles in all); keep one row each",
        ),
        (
            "Study,Edema\nvalid/patient1/study1,1\ntest/patient1/study1,1\n",
            "row 2, column 'Study': 'test/patient1/study1' stands in row 1 already, written 'valid/patient1/study1' (1 doubles in all); keep one row each",
        ),
        ("Study,Edema\n,1\n", "row 1, column 'Study' is blank; every row needs its id"),
        (
            "Name,Edema\ns1,1\n",
            "no column names the rows; expected Study, Path, image_id or study_id, found Name, Edema",
        ),
        (
            "Study,age\ns1,1\n",
            "no column is a finding; found Study, age; name columns such as 'Edema' or 'Pleural Effusion'",
        ),
        (
            "Study,Effusion,Pleural Effusion\ns1,1,2\n",
            "columns 'Effusion' and 'Pleural Effusion' are both 'Pleural Effusion'; keep one",
        ),
    ],
)
def test_bad_tables_are_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    assert refusal(tmp_path, text) == words


def test_a_missing_finding_is_named_with_its_nearest(tmp_path: Path) -> None:
    assert (
        refusal(tmp_path, "Study,Edemma\ns1,1\n", ["Edema"])
        == "column 'Edema' is missing; is it 'Edemma'? then rename that"
    )


def test_rubbish_in_a_column_that_nobody_asked_for_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("Study,Edema,Mass\ns1,1,oops\n")
    assert read_predictions(tmp_path / "m.csv", ["Edema"]).findings == ("Edema",)


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    assert "not a comma-separated table" in refusal(tmp_path, "Study,Edema,Mass\ns1,1,1\ns2,0")


def test_blank_can_be_unknown_in_truth(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("Study,Edema\ns1,1\ns2,\n")
    np.testing.assert_array_equal(
        read_predictions(tmp_path / "m.csv", blank="unknown").frame["Edema"], [1, np.nan]
    )
    (tmp_path / "m.csv").write_text("Study,Edema\ns1,1\ns2,x\n")
    with pytest.raises(PredictionsError, match="row 2, column 'Edema' has 'x'"):
        read_predictions(tmp_path / "m.csv", blank="unknown")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("key", ["image", "study"])
def test_written_numbers_come_back_bit_for_bit(tmp_path: Path, suffix: str, key: str) -> None:
    values = np.random.default_rng(0).normal(size=(20, 5)) * 10.0 ** np.arange(-200, 50, 50)
    frame = pd.DataFrame(
        values, index=pd.Index([f"i{k}" for k in range(20)], name=key), columns=COMPETITION_5
    )
    write_predictions(Predictions(frame, key), tmp_path / f"m{suffix}")  # type: ignore[arg-type]
    again = read_predictions(tmp_path / f"m{suffix}")
    assert again.key == key
    np.testing.assert_array_equal(again.frame.to_numpy(), values)


def test_a_number_that_is_none_is_not_written(tmp_path: Path) -> None:
    frame = pd.DataFrame({"Edema": [0.5, np.nan]}, index=["a", "b"])
    with pytest.raises(PredictionsError, match="'b' has nan for 'Edema'"):
        write_predictions(Predictions(frame, "image"), tmp_path / "m.csv")
    assert not list(tmp_path.iterdir())


def test_align_pairs_by_id_and_names_the_missing(tmp_path: Path) -> None:
    predictions = Predictions(
        pd.DataFrame({"Edema": [1.0, 2.0, 3.0]}, index=["a", "b", "c"]), "study", "drnet"
    )
    np.testing.assert_array_equal(align(predictions, ["c", "a"]), [[3.0], [1.0]])
    with pytest.raises(
        PredictionsError, match=r"^drnet: 4 of 5 studies are missing \(w, x, y, \.\.\.\); predict them"
    ):
        align(predictions, ["a", "w", "x", "y", "z"])


def test_views_of_a_study_are_combined_by_the_stated_rule(tmp_path: Path) -> None:
    ids = ["patient1/study1/view1_frontal", "patient1/study1/view2_lateral", "patient2/study1/view1_frontal"]
    predictions = Predictions(pd.DataFrame({"Edema": [1.0, 3.0, 5.0]}, index=ids), "image")
    assert by_study(predictions, "max").frame["Edema"].to_dict() == {
        "patient1/study1": 3.0,
        "patient2/study1": 5.0,
    }
    assert by_study(predictions, "mean").frame["Edema"].to_dict() == {
        "patient1/study1": 2.0,
        "patient2/study1": 5.0,
    }
    with pytest.raises(UsageError, match="'max' or 'mean', got 'median'"):
        by_study(predictions, "median")  # type: ignore[arg-type]


def test_studies_of_other_images_come_from_the_manifest(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"image_id": ["a", "b"], "study_id": ["s", "s"], "patient_id": ["p", "p"], "path": ["a", "b"]}
    )
    predictions = Predictions(pd.DataFrame({"Edema": [1.0, 3.0]}, index=["a", "b"]), "image", "m")
    assert by_study(predictions, "mean", build_manifest(table, tmp_path)).frame["Edema"].to_dict() == {
        "s": 2.0
    }
    with pytest.raises(
        PredictionsError, match=r"m: the study of 2 images is unknown \(a, b\); give the manifest"
    ):
        by_study(predictions, "mean")
