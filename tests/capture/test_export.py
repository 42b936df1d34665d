"""Exports: CheXphoto's layout, corners that fit the cut, nothing unproven unless it is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from studio import PAGE, forget_xrays, session_of, shot, xray
from typer.testing import CliRunner

from radsnap.cli.app import app
from radsnap.collections import import_collection
from radsnap.errors import UsageError
from radsnap.imaging import corners_of, encode_jpeg, homography, inverse, project, read_image, warp
from radsnap.jobs.capturing.export import ExportConfig, export_session
from radsnap.jobs.capturing.intake import keep_photo
from radsnap.jobs.capturing.proving import prove
from radsnap.jobs.capturing.session import Session
from radsnap.markers import look
from radsnap.tables import read_manifest


def take(session: Session, number: int, data: bytes, device: str = "pixel") -> str:
    phone = session.journal.named_phone(device, "browser")
    taken = keep_photo(data, session.photos, "photo")
    made = session.journal.receive(taken.hash, phone.id, None, "single", "photo", taken.file, taken.meta)
    return prove(session, made).state


def photo_of(session: Session, number: int) -> bytes:
    page = session.page(number, session.journal.lay_out(number, PAGE), PAGE)
    return encode_jpeg(shot(page, 1, f"export {number}", 1).photo.pixels, 95)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Path]:
    """Two x-rays under two conditions with notes, all photographed, exported."""
    folder = tmp_path_factory.mktemp("export")
    settings = {
        "vary": {"light": ["on", "off"]},
        "notes": {"place": "ward 3"},
        "monitor": "Desk 24",
        "monitor_cm": 53.0,
    }
    session = session_of(folder, 2, **settings)
    assert [take(session, number, photo_of(session, number)) for number in range(4)] == 4 * ["good"]
    done = export_session(ExportConfig(session=session.folder, output=folder / "Photos"))
    assert (done.photos, done.left_out) == (4, {})
    return session, folder / "Photos"


def test_the_manifest_lists_what_was_recorded(exported: tuple[Session, Path]) -> None:
    session, folder = exported
    frame = read_manifest(folder / "manifest.csv").frame
    assert len(frame) == 4
    assert set(frame["condition_light"]) == {"on", "off"}
    row = frame.iloc[0]
    assert (row["domain"], row["origin"], row["note_place"], row["monitor"]) == (
        "screen",
        "real",
        "ward 3",
        "Desk 24",
    )
    assert (row["device"], row["verified"], row["source_image_id"]) == (
        "pixel-on",
        "codes",
        session.image_id(0),
    )
    assert (float(row["monitor_cm"]), json.loads(row["page_px"])) == (53.0, list(PAGE))
    assert 20 < float(row["distance_cm"]) < 200
    assert float(row["tilt_deg"]) < 30


def test_conditions_that_are_written_alike_have_folders_of_their_own(tmp_path: Path) -> None:
    session = session_of(tmp_path, 1, vary={"angle": ["-20", "20"]})
    assert [take(session, number, photo_of(session, number)) for number in range(2)] == ["good", "good"]
    done = export_session(ExportConfig(session=session.folder, output=tmp_path / "Photos"))
    frame = read_manifest(tmp_path / "Photos" / "manifest.csv").frame
    assert (done.photos, sorted(frame["device"])) == (2, ["pixel-20-1", "pixel-20-2"])


def test_one_xray_that_cannot_be_read_stops_no_export(tmp_path: Path) -> None:
    session = session_of(tmp_path, 2)
    assert [take(session, number, photo_of(session, number)) for number in range(2)] == ["good", "good"]
    first = tmp_path / "xrays" / str(session.xrays.rows["path"].iloc[0])
    first.write_bytes(b"no picture")
    forget_xrays()
    done = CliRunner().invoke(app, ["capture", "export", str(session.folder), str(tmp_path / "Photos")])
    assert done.exit_code == 1
    assert "1 photos → " in done.output
    assert "not exported: picture 1: " in done.output
    assert first.name in done.output
    assert len(list((tmp_path / "Photos").rglob("*.jpg"))) == 3, "natural, marked, rectified of the other"
    (tmp_path / "xrays" / str(session.xrays.rows["path"].iloc[1])).write_bytes(b"no picture")
    forget_xrays()
    with pytest.raises(UsageError, match=r"no photo could be exported \(picture 1: "):
        export_session(ExportConfig(session=session.folder, output=tmp_path / "None"))


def test_corners_and_homography_fit_the_cut(exported: tuple[Session, Path]) -> None:
    session, folder = exported
    frame = read_manifest(folder / "manifest.csv").frame
    for _, row in frame.iterrows():
        size = session.file_px(int(row["number"]) % 2)
        corners = np.array(json.loads(row["corners_px"]))
        matrix = np.array(json.loads(row["homography"]))
        assert np.abs(project(matrix, corners_of(size)) - corners).max() < 0.01
        photo = cv2.cvtColor(read_image(folder / row["path"]).pixels, cv2.COLOR_RGB2GRAY)
        flat = warp(np.asarray(photo, np.uint8), inverse(matrix), size)
        truth = xray(int(row["number"]) % 2)
        assert np.corrcoef(cv2.blur(flat, (5, 5)).ravel(), cv2.blur(truth, (5, 5)).ravel())[0, 1] > 0.97
        straight = cv2.cvtColor(read_image(folder / row["rectified"]).pixels, cv2.COLOR_RGB2GRAY)
        whole = homography(corners_of(straight.shape[::-1]), corners_of(size))
        again = warp(np.asarray(straight, np.uint8), whole, size)
        assert np.corrcoef(cv2.blur(again, (5, 5)).ravel(), cv2.blur(truth, (5, 5)).ravel())[0, 1] > 0.97


def test_no_marker_is_left_in_the_cut(exported: tuple[Session, Path]) -> None:
    _, folder = exported
    frame = read_manifest(folder / "manifest.csv").frame
    for _, row in frame.iterrows():
        assert look(grey_of(folder / row["path"])).markers == {}
        assert look(grey_of(folder / row["path"])).codes == {}
        assert len(look(grey_of(folder / row["marked"])).markers) >= 4


def grey_of(path: Path) -> np.ndarray:
    return np.asarray(cv2.cvtColor(read_image(path).pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def test_the_layout_is_chexphotos(tmp_path: Path) -> None:
    """With splits, the export is a collection that radsnap's own reader of CheXphoto takes."""
    from studio import xrays

    source = xrays(tmp_path / "CheXpert", 3)
    paths = [f"CheXpert/{path.relative_to(source)}" for path in sorted(source.rglob("*.png"))][::2]
    for split in ("train", "valid"):
        (source / split).mkdir()
    table = tmp_path / "list.csv"
    rows = []
    for index, path in enumerate(paths):
        split = ("train", "valid")[index]
        target = source / split / Path(path).relative_to("CheXpert")
        target.parent.mkdir(parents=True)
        target.write_bytes((tmp_path / path).read_bytes())
        rows.append(
            {
                "Path": f"CheXpert/{split}/{Path(path).relative_to('CheXpert')}",
                "Sex": "Female",
                "Age": "61",
                "Edema": "1.0",
            }
        )
    pd.DataFrame(rows).to_csv(table, index=False)
    session = session_of(tmp_path / "s", 1, manifest=str(table))
    for number in range(2):
        take(session, number, photo_of(session, number))
    export_session(ExportConfig(session=session.folder, output=tmp_path / "MyPhotos"))
    manifest = import_collection("chexphoto", tmp_path / "MyPhotos")
    assert sorted(manifest.frame["path"]) == [
        "train/natural/pixel/patient00001/study1/view1_frontal.jpg",
        "valid/natural/pixel/patient00002/study1/view1_frontal.jpg",
    ]
    assert set(manifest.frame["origin"]) == {"real"}
    assert set(manifest.frame["Edema"]) == {1.0}
    assert all((tmp_path / "MyPhotos" / path).is_file() for path in manifest.frame["path"])


def test_unproven_photos_stay_out_unless_asked_for(tmp_path: Path) -> None:
    session = session_of(tmp_path, 2)
    page = session.page(0, session.journal.lay_out(0, PAGE), PAGE)
    over = page.copy()
    left, top, width, height = session.frame(0, PAGE).xray_px
    over[top : top + height, left : left + width // 2] = 255
    assert take(session, 0, encode_jpeg(over, 95)) == "refused"
    with pytest.raises(UsageError, match=r"no proven photo to export \(1 refused; --unverified takes them\)"):
        export_session(ExportConfig(session=session.folder, output=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    done = export_session(ExportConfig(session=session.folder, output=tmp_path / "out", unverified=True))
    frame = read_manifest(tmp_path / "out" / "manifest.csv").frame
    assert (done.photos, list(frame["verified"])) == (1, ["no: blown_out"])


def test_other_folders_are_not_written_over(exported: tuple[Session, Path], tmp_path: Path) -> None:
    session, folder = exported
    (tmp_path / "letters.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty and holds no export"):
        export_session(ExportConfig(session=session.folder, output=tmp_path))
    with pytest.raises(UsageError, match="lies among the session's photos"):
        export_session(ExportConfig(session=session.folder, output=session.photos / "out"))
    before = {path: path.read_bytes() for path in folder.rglob("*.csv")}
    export_session(ExportConfig(session=session.folder, output=folder))
    assert {path: path.read_bytes() for path in folder.rglob("*.csv")} == before, "again is the same"
