"""The verbs of data: what they write, what they find wrong, what they say and with which exit code."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from radsnap.cli.app import main
from radsnap.cli.data import data
from radsnap.errors import ManifestError, UsageError
from radsnap.jobs.data import (
    CheckConfig,
    ImportConfig,
    ShowConfig,
    SplitConfig,
    check_data,
    contact_sheet,
    import_data,
    show_data,
    split_data,
)
from radsnap.jobs.progress import Progress
from radsnap.tables import Manifest, build_manifest, read_manifest, write_manifest

COUNT = 24


def picture(path: Path, seed: int, width: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.random.default_rng(seed).integers(0, 256, (32, width), dtype=np.uint8)
    path.write_bytes(cv2.imencode(".png", grey)[1].tobytes())


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    for k in range(COUNT):
        picture(tmp_path / "images" / f"{k:02d}.png", k)
    name = [f"{k:02d}" for k in range(COUNT)]
    table = pd.DataFrame({"image_id": name, "study_id": name, "patient_id": name})
    table["path"] = "images/" + table["image_id"] + ".png"
    table["domain"] = ["digital", ""] * (COUNT // 2)
    table["body"] = np.resize(["hand_wrist", "chest_frontal", "spine"], COUNT)
    table["Edema"] = np.resize(["1", "0", "-1", ""], COUNT)
    made = build_manifest(table, tmp_path)
    write_manifest(made, tmp_path / "m.csv")
    return made


def change(manifest: Manifest, **columns: dict[int, str]) -> Path:
    """Write the manifest with some cells changed."""
    frame = manifest.frame.copy()
    for column, cells in columns.items():
        texts = frame[column].tolist() if column in frame.columns else [""] * len(frame)
        for row, text in cells.items():
            texts[row] = text
        frame[column] = pd.Series(texts, dtype=str)
    write_manifest(Manifest(frame, manifest.root), manifest.root / "changed.csv")
    return manifest.root / "changed.csv"


def test_import_writes_a_manifest_and_copies_nothing(manifest: Manifest, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*.png"))
    made = import_data(
        ImportConfig(collection="folder", folder=tmp_path / "images", output=tmp_path / "new.csv")
    )
    assert len(made) == COUNT
    assert read_manifest(tmp_path / "new.csv").frame["path"].tolist()[0] == "images/00.png"
    assert sorted(tmp_path.rglob("*.png")) == before


def test_a_good_manifest_has_no_failures_and_reports_every_row(manifest: Manifest) -> None:
    seen: list[Progress] = []
    assert check_data(CheckConfig(manifest=manifest.root / "m.csv"), seen.append) == []
    assert [progress.done for progress in seen] == list(range(1, COUNT + 1))
    assert seen[-1].total == COUNT


def test_check_names_absent_and_broken_files_and_goes_on(manifest: Manifest) -> None:
    root = manifest.root
    (root / "images" / "03.png").unlink()
    good = (root / "images" / "04.png").read_bytes()
    (root / "images" / "04.png").write_bytes(good[: len(good) // 2])
    (root / "images" / "05.png").write_text("no image")
    table = change(manifest, mask={7: "images/00.png|masks/none.png", 8: "images/00.png"})
    failures = check_data(CheckConfig(manifest=table))
    assert [failure.row for failure in failures] == [4, 5, 6, 8]
    assert failures[0].reason == f"{root / 'images' / '03.png'}: no such file"
    assert failures[3].reason == f"{root / 'masks' / 'none.png'}: no such file"
    without = check_data(CheckConfig(manifest=table, decode=False))
    assert [failure.row for failure in without] == [4, 8]


def test_check_finds_the_same_file_in_two_splits(manifest: Manifest) -> None:
    images = manifest.root / "images"
    (images / "09.png").write_bytes((images / "02.png").read_bytes())
    together = change(manifest, split={2: "train", 9: "train"})
    assert check_data(CheckConfig(manifest=together)) == []
    apart = change(manifest, split={2: "train", 9: "test"})
    failures = check_data(CheckConfig(manifest=apart))
    assert [(one.row, one.image_id) for one in failures] == [(10, "09")]
    assert failures[0].reason == "the same file as '02', which is in 'train', not 'test'; leave one out"


def test_check_refuses_a_wrong_table_before_it_opens_a_file(manifest: Manifest) -> None:
    text = (manifest.root / "m.csv").read_text().replace(",digital,", ",clean,", 1)
    (manifest.root / "bad.csv").write_text(text)
    with pytest.raises(
        ManifestError, match=r"bad\.csv: row 1, column 'domain' has 'clean'; write digital, screen, film"
    ):
        check_data(CheckConfig(manifest=manifest.root / "bad.csv"))


def test_split_writes_shares_and_keeps_what_it_is_told(manifest: Manifest) -> None:
    table = change(manifest, split={0: "test", 1: "test"})
    out = manifest.root / "split.csv"
    made = split_data(SplitConfig(manifest=table, output=out, train=0.5, val=0.5, keep=("test",)))
    assert made.frame["split"].value_counts().to_dict() == {"train": 11, "val": 11, "test": 2}
    assert read_manifest(out).frame["split"].tolist() == made.frame["split"].tolist()
    with pytest.raises(UsageError, match="add up to 1"):
        split_data(SplitConfig(manifest=table, output=out, train=0.9))


def test_show_counts_labels_values_and_missing_files(manifest: Manifest) -> None:
    (manifest.root / "images" / "03.png").unlink()
    overview = show_data(ShowConfig(manifest=manifest.root / "m.csv"))
    assert (overview.images, overview.studies, overview.patients) == (COUNT, COUNT, COUNT)
    assert overview.counts["body"] == {"hand_wrist": 8, "chest_frontal": 8, "spine": 8}
    assert overview.counts["domain"] == {"digital": 12, "": 12}
    assert overview.labels.loc["Edema"].tolist() == [6, 6, 6, 6]
    assert overview.missing == (str(manifest.root / "images" / "03.png"),)


def test_a_contact_sheet_shows_every_group_and_the_same_one_for_the_same_seed(manifest: Manifest) -> None:
    sheet = contact_sheet(manifest, count=6, tile_px=64, seed=3)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (2 * (64 + 34 + 4) + 4, 3 * (64 + 4) + 4, 3)
    np.testing.assert_array_equal(sheet, contact_sheet(manifest, count=6, tile_px=64, seed=3))
    assert (sheet != contact_sheet(manifest, count=6, tile_px=64, seed=4)).any()
    first_tile = sheet[4 : 4 + 64, 4 : 4 + 64]
    assert first_tile[32].std() > 20  # a picture of noise
    assert not first_tile[:5].any()  # 32 x 40 px fits in with black above


def test_an_unreadable_image_is_a_marked_tile(manifest: Manifest) -> None:
    for path in (manifest.root / "images").iterdir():
        path.unlink()
    sheet = contact_sheet(manifest, count=1, tile_px=96, seed=0)
    assert sheet[6, 6].tolist() == [70, 16, 16]
    assert sheet[4 : 4 + 96, 4 : 4 + 96].max() > 200  # the words


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(data, [str(argument) for argument in arguments], catch_exceptions=False)
    return result.exit_code, result.output


def test_the_commands_answer_and_exit_as_promised(manifest: Manifest, tmp_path: Path) -> None:
    code, said = run("import", "folder", tmp_path / "images", "-o", tmp_path / "new.csv")
    assert (code, said) == (0, f"{tmp_path / 'new.csv'}  24 images of 24 patients, 0 findings\n")
    code, said = run("check", tmp_path / "m.csv")
    assert code == 0
    assert said.endswith("m.csv  all is well\n")
    code, said = run(
        "split",
        tmp_path / "m.csv",
        "-o",
        tmp_path / "s.csv",
        "--train",
        "0.5",
        "--val",
        "0.25",
        "--test",
        "0.25",
    )
    assert (code, said) == (
        0,
        f"{tmp_path / 's.csv'}  test 6 of 6 patients, train 12 of 12 patients, val 6 of 6 patients\n",
    )
    code, said = run("show", tmp_path / "s.csv", "--sheet", tmp_path / "sheet.png", "--count", "4")
    assert code == 0
    assert "split: train 12, " in said
    assert (tmp_path / "sheet.png").stat().st_size > 500
    (tmp_path / "images" / "03.png").unlink()
    code, said = run("check", tmp_path / "m.csv", "--no-decode")
    assert code == 1
    assert "row 4, '03': " in said
    assert said.endswith("1 rows failed\n")


def test_wrong_usage_exits_with_2_and_a_wrong_folder_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, code, words in (("nhi", 2, "did you mean 'nih'?"), ("nih", 1, "does not look like NIH")):
        monkeypatch.setattr("sys.argv", ["radsnap", "data", "import", name, str(tmp_path)])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == code
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(UsageError, match="workers: "):
        run("check", "m.csv", "--workers", "0")


@pytest.mark.shared
def test_the_real_chests_and_films_can_be_shown(shared_data: Path) -> None:
    from radsnap.collections import import_collection

    sheet = contact_sheet(import_collection("gathered", shared_data), count=12, tile_px=64, seed=0)
    tiles = sheet[4 : 4 + 64]
    assert tiles.std() > 30
