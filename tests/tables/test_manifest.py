"""The manifest keeps its contract: what it refuses, in which words, and what comes back after writing."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radsnap.errors import ManifestError
from radsnap.tables import COLUMNS, Manifest, build_manifest, combine, paths, read_manifest, write_manifest


def rows(**changed: list[object]) -> pd.DataFrame:
    table: dict[str, list[object]] = {
        "image_id": ["a", "b", "c"],
        "study_id": ["s1", "s1", "s2"],
        "patient_id": ["p1", "p1", "p2"],
        "path": ["x/a.png", "x/b.png", "c.png"],
        "split": ["train", "train", "test"],
        "Edema": ["1", "-1", ""],
    }
    return pd.DataFrame(table | changed)


def refusal(tmp_path: Path, **changed: list[object]) -> str:
    with pytest.raises(ManifestError) as error:
        build_manifest(rows(**changed), tmp_path)
    return str(error.value)


def test_absent_optional_columns_become_blank_and_columns_get_their_order(tmp_path: Path) -> None:
    manifest = build_manifest(
        rows(device=["d"] * 3)[["device", "Edema", "path", "patient_id", "study_id", "image_id"]], tmp_path
    )
    assert list(manifest.frame.columns) == [*COLUMNS, "Edema", "device"]
    assert set(manifest.frame["domain"]) == {""}
    assert manifest.findings == ("Edema",)
    np.testing.assert_array_equal(manifest.frame["Edema"], np.array([1, -1, np.nan], dtype=np.float32))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_written_manifest_reads_back_the_same(tmp_path: Path, suffix: str) -> None:
    manifest = build_manifest(
        rows(remark=['says "no", twice', "two\nlines", "ümlaut"], recipe=['{"a": 1}', "", ""]), tmp_path
    )
    write_manifest(manifest, tmp_path / f"m{suffix}")
    again = read_manifest(tmp_path / f"m{suffix}")
    pd.testing.assert_frame_equal(again.frame, manifest.frame)
    assert again.root == tmp_path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_same_manifest_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    for name in ("one", "two"):
        write_manifest(build_manifest(rows(), tmp_path), tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_labels_are_written_as_whole_numbers_and_blanks(tmp_path: Path) -> None:
    write_manifest(build_manifest(rows(), tmp_path), tmp_path / "m.csv")
    assert pd.read_csv(tmp_path / "m.csv", dtype=str, keep_default_na=False)["Edema"].tolist() == [
        "1",
        "-1",
        "",
    ]


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.csv").write_text("old")
    monkeypatch.setattr(pd.DataFrame, "to_csv", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_manifest(build_manifest(rows(), tmp_path), tmp_path / "m.csv")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("m.csv", "old")]


def test_paths_follow_the_table_when_it_is_written_above_its_images(tmp_path: Path) -> None:
    masks = {name: ["m/a.png|m/b.png", "", "c.png"] for name in ("mask", "heart_mask")}
    manifest = build_manifest(rows(**masks), tmp_path / "images")
    write_manifest(manifest, tmp_path / "m.csv")
    again = read_manifest(tmp_path / "m.csv")
    assert again.frame["path"].tolist() == ["images/x/a.png", "images/x/b.png", "images/c.png"]
    for name in masks:
        assert again.frame[name].tolist() == ["images/m/a.png|images/m/b.png", "", "images/c.png"]
    assert paths(again) == paths(manifest)


def test_a_table_beside_its_images_remembers_their_folder(tmp_path: Path) -> None:
    manifest = build_manifest(rows(), tmp_path / "images")
    write_manifest(manifest, tmp_path / "tables" / "m.csv")
    again = read_manifest(tmp_path / "tables" / "m.csv")
    assert "root" not in again.frame.columns
    assert paths(again) == paths(manifest)
    assert read_manifest(tmp_path / "tables" / "m.csv", root=tmp_path / "moved").root == tmp_path / "moved"


def test_combined_manifests_find_all_their_images_and_unknown_is_not_negative(tmp_path: Path) -> None:
    one = build_manifest(rows(), tmp_path / "one")
    other = rows(image_id=["d", "e", "f"], study_id=["s3", "s4", "s5"], patient_id=["p3", "p4", "p5"])
    two = build_manifest(other.drop(columns="Edema").assign(Pneumonia="1", note="n"), tmp_path / "two")
    both = combine(one, two)
    assert paths(both) == paths(one) + paths(two)
    assert both.frame["Edema"][3:].isna().all()
    assert both.frame["Pneumonia"][:3].isna().all()
    assert both.frame["note"].tolist() == ["", "", "", "n", "n", "n"]


def test_where_keeps_rows_in_their_order(tmp_path: Path) -> None:
    manifest = build_manifest(rows(), tmp_path)
    assert manifest.where(split="train").frame["image_id"].tolist() == ["a", "b"]
    assert manifest.where(split=("train", "test"), study_id="s2").frame["image_id"].tolist() == ["c"]
    with pytest.raises(ManifestError, match="column 'splits' is missing; is it 'split'"):
        manifest.where(splits="train")


def test_a_missing_column_is_named_with_its_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        ManifestError, match=r"column 'patient_id' is missing; is it 'patientid'\? then rename that"
    ):
        build_manifest(rows().rename(columns={"patient_id": "patientid"}), tmp_path)


def test_a_doubled_image_is_named_with_both_rows(tmp_path: Path) -> None:
    message = refusal(tmp_path, image_id=["a", "b", "a"])
    assert (
        message
        == "row 3, column 'image_id': 'a' stands in row 1 already (1 doubles in all); give every image its own"
    )


@pytest.mark.parametrize("column", ["image_id", "study_id", "patient_id"])
def test_blank_and_spaced_ids_are_refused(tmp_path: Path, column: str) -> None:
    good = rows()[column].tolist()
    assert f"row 2, column '{column}' is blank" in refusal(tmp_path, **{column: [good[0], "", good[2]]})
    assert f"row 3, column '{column}' has ' q'" in refusal(tmp_path, **{column: [*good[:2], " q"]})
    assert f"row 3, column '{column}' has 'q\\n'" in refusal(tmp_path, **{column: [*good[:2], "q\n"]})


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "is blank"),
        ("/etc/passwd", "an absolute path"),
        ("C:/x.png", "an absolute path"),
        ("~/x.png", "an absolute path"),
        ("../x.png", "may lead out of the root folder and is refused"),
        ("a/../../x.png", "may lead out of the root folder and is refused"),
        ("a/..", "may lead out of the root folder and is refused"),
        ("a\\b.png", "write folders with '/'"),
        ("a\nb.png", "control character"),
    ],
)
def test_paths_that_leave_the_root_are_refused(tmp_path: Path, path: str, words: str) -> None:
    message = refusal(tmp_path, path=["a.png", path, "c.png"])
    assert message.startswith("row 2, column 'path'")
    assert words in message
    if path:
        assert words in refusal(tmp_path, mask=["", f"good.png|{path}", ""])
        assert "column 'heart_mask'" in refusal(tmp_path, heart_mask=["", f"good.png|{path}", ""])


def test_dots_inside_names_are_no_way_out(tmp_path: Path) -> None:
    build_manifest(rows(path=["a..png", "..a/b.png", "x/...png"], mask=["", "a..b.png|c.png", ""]), tmp_path)


@pytest.mark.parametrize(
    ("column", "words"),
    [("domain", "digital, screen, film"), ("origin", "real, synthetic"), ("split", "train, val, test")],
)
def test_a_value_outside_the_vocabulary_is_named_with_what_to_write(
    tmp_path: Path, column: str, words: str
) -> None:
    message = refusal(tmp_path, **{column: ["", "noisy", "noisy"]})
    assert (
        message == f"row 2, column '{column}' has 'noisy'; write {words} or leave it blank (2 rows like it)"
    )


def test_a_bad_label_is_named_with_row_and_column(tmp_path: Path) -> None:
    message = refusal(tmp_path, Edema=["1", "0", "yes"])
    assert message == "row 3, column 'Edema' has 'yes'; a label is 1, 0, -1 (uncertain) or blank (unknown)"


def test_a_misspelt_finding_is_named_with_its_nearest(tmp_path: Path) -> None:
    assert "'Pnuemonia' is not a finding that radsnap knows, but nearly 'Pneumonia'" in refusal(
        tmp_path, Pnuemonia=["1"] * 3
    )
    assert "column 'Effusion' is the finding 'Pleural Effusion'; rename the column" in refusal(
        tmp_path, Effusion=["1"] * 3
    )
    build_manifest(rows(masks=["1"] * 3, device=["x"] * 3, reading=["y"] * 3), tmp_path)


def test_findings_in_other_spellings_are_renamed_on_reading(tmp_path: Path) -> None:
    rows().rename(columns={"Edema": "Effusion"}).to_csv(tmp_path / "m.csv", index=False)
    assert read_manifest(tmp_path / "m.csv").findings == ("Pleural Effusion",)
    rows(oedema=["1"] * 3).to_csv(tmp_path / "m.csv", index=False)
    with pytest.raises(
        ManifestError, match=r"columns \['Edema', 'oedema'\] are all the finding 'Edema'; keep one"
    ):
        read_manifest(tmp_path / "m.csv")


def test_a_patient_in_two_splits_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, split=["train", "test", "test"])
    assert message == (
        "column 'split': patient 'p1' is in train and test (1 such patients); make the split again with 'radsnap data split'"
    )
    build_manifest(rows(split=["train", "", "test"]), tmp_path)


def test_a_study_of_two_patients_is_refused(tmp_path: Path) -> None:
    assert "study 's1' belongs to the patients p1, p9" in refusal(tmp_path, patient_id=["p1", "p9", "p2"])


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]",
        "[[1,2],[3,4],[5,6]]",
        "[[1,2],[3,4],[5,6],[7,NaN]]",
        "no",
        "[[1,2],[3,4],[5,6],[7,true]]",
        "[[1,2],[3,4],[5,6],[7,-Infinity]]",
        f"[[1,2],[3,4],[5,6],[7,{'9' * 400}]]",
        f"[[1,2],[3,4],[5,6],[-{'9' * 9999},8]]",
    ],
)
def test_corners_are_four_points(tmp_path: Path, text: str) -> None:
    build_manifest(rows(corners_px=["", "[[0, 0], [9.5, 0], [9, 9], [0, 9]]", ""]), tmp_path)
    assert "row 2, column 'corners_px'" in refusal(tmp_path, corners_px=["", text, ""])


def test_a_recipe_is_json(tmp_path: Path) -> None:
    assert "row 1, column 'recipe' has '{', which is not JSON" in refusal(tmp_path, recipe=["{", "", ""])


def test_validate_checks_a_frame_that_was_changed_afterwards(tmp_path: Path) -> None:
    manifest = build_manifest(rows(), tmp_path)
    changed = Manifest(manifest.frame.assign(Edema=np.float32(7)), manifest.root)
    with pytest.raises(ManifestError, match=r"row 1, column 'Edema' has '7\.0'"):
        changed.validate()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty; its first row names the columns"),
        ("image_id,path\na,b,c\n", "not a comma-separated table in UTF-8"),
        ("image_id,path,x\na,b\n", "not a comma-separated table in UTF-8"),
        ("image_id,path,image_id\na,b,c\n", "column 'image_id' stands twice"),
        ("image_id,study_id,patient_id,path,root\na,a,a,a,/x\nb,b,b,b,/y\n", "column 'root' has 2 values"),
    ],
)
def test_a_broken_file_is_refused_with_its_name(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ManifestError) as error:
        read_manifest(tmp_path / "m.csv")
    assert str(error.value).startswith(str(tmp_path / "m.csv"))
    assert words in str(error.value)


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such file"):
        read_manifest(tmp_path / "m.csv")
    with pytest.raises(ManifestError, match=r"a table is a \.csv or \.parquet file, got '\.xlsx'"):
        read_manifest(tmp_path / "m.xlsx")
    (tmp_path / "m.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(ManifestError, match="not a Parquet table"):
        read_manifest(tmp_path / "m.parquet")
    (tmp_path / "m.csv").write_bytes("image_id,path\ncafé,x\n".encode("latin-1"))
    with pytest.raises(ManifestError, match="UTF-8"):
        read_manifest(tmp_path / "m.csv")


def test_excel_marks_numbers_and_line_ends_are_understood(tmp_path: Path) -> None:
    text = "image_id,study_id,patient_id,path, Edema \r\n007,1,1,a.png,1.0\r\n"
    (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    frame = read_manifest(tmp_path / "m.csv").frame
    assert frame["image_id"].tolist() == ["007"]
    assert frame["Edema"].tolist() == [1.0]


def test_parquet_with_numbers_for_ids_and_labels_reads_as_text(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "image_id": [1, 2],
            "study_id": [1.0, 2.0],
            "patient_id": [7, 8],
            "path": ["a", "b"],
            "Edema": [1, None],
            "age": [50.5, None],
        }
    )
    table.to_parquet(tmp_path / "m.parquet")
    frame = read_manifest(tmp_path / "m.parquet").frame
    assert frame["image_id"].tolist() == ["1", "2"]
    assert frame["study_id"].tolist() == ["1", "2"]
    assert frame["age"].tolist() == ["50.5", ""]
    np.testing.assert_array_equal(frame["Edema"], [1, np.nan])


def test_a_large_manifest_reads_within_seconds(tmp_path: Path) -> None:
    count = 50_000
    name = pd.Series(range(count)).astype(str)
    table = pd.DataFrame({"image_id": name, "study_id": name, "patient_id": name, "path": "p/" + name})
    for finding in ("Edema", "Pneumonia", "Atelectasis"):
        table[finding] = np.resize(["1", "0", "-1", ""], count)
    table.to_csv(tmp_path / "m.csv", index=False)
    begin = time.process_time()
    assert len(read_manifest(tmp_path / "m.csv")) == count
    assert time.process_time() - begin < 5  # measured 0.3 s; row by row it takes minutes
