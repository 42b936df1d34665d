"""Photos of any camera in any order: each to its row by its codes, every other one named with its reason."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from studio import PAGE, SOAK, forget_xrays, jpeg, session_of, shot, xrays
from typer.testing import CliRunner

from radsnap.cli.app import app
from radsnap.errors import TableError, UsageError
from radsnap.imaging import encode_jpeg, read_radiograph
from radsnap.jobs.capturing.chexpeditor import photo_name
from radsnap.jobs.capturing.importing import ImportConfig, Imported, import_photos
from radsnap.jobs.capturing.intake import keep_photo
from radsnap.jobs.capturing.session import Session, open_session
from radsnap.jobs.capturing.sheet import SheetConfig, make_sheet
from radsnap.seeds import stream

COUNT = 10 if SOAK == 1 else 300


def page_of(session: Session, number: int) -> np.ndarray:
    return session.page(number, session.journal.lay_out(number, PAGE), PAGE)


def do_import(session: Session, folder: Path, **settings: object) -> Imported:
    return import_photos(ImportConfig(session=session.folder, photos=(folder,), **settings))  # type: ignore[arg-type]


def test_hand_held_photos_in_random_order(tmp_path: Path) -> None:
    """Ten photos (300 in `make soak`), and more: 5 % without codes, 5 % doubles, 2 % of another session."""
    session = session_of(tmp_path / "a", COUNT)
    other = session_of(tmp_path / "b", 2)
    folder = tmp_path / "DCIM"
    folder.mkdir()
    names = iter(stream(1, "names").permutation(10 * COUNT + 100))
    truth: dict[str, tuple[str, int | None]] = {}

    def put(data: bytes, outcome: str, number: int | None) -> bytes:
        name = f"IMG_{next(names):05d}.jpg"
        (folder / name).write_bytes(data)
        truth[str(folder / name)] = (outcome, number)
        return data

    for number in range(COUNT):
        data = put(jpeg(shot(page_of(session, number), 1, f"hand {number}")), "attached", number)
        if number % 20 == 1:
            put(data, "double", number)
        if number % 20 == 2:
            put(jpeg(shot(page_of(session, number), 2, f"again {number}")), "double", number)
        if number % 20 == 3:
            put(jpeg(shot(session.page(number, 0, PAGE, clean=True), 3, f"plain {number}")), "no code", None)
        if number % 50 == 4:
            put(jpeg(shot(page_of(other, 1), 4, f"foreign {number}")), "foreign", None)
    put(b"\xff\xd8\xff\xe0 no photo", "unreadable", None)
    done = do_import(session, folder)
    # a reflection can spoil a photo: it is known for what it shows, and said to be taken again
    spoilt = {line.file: line for line in done.lines if line.outcome == "refused"}
    assert len(spoilt) <= max(1, 0.02 * COUNT)
    assert {f: line.number for f, line in spoilt.items()} == {f: truth[f][1] for f in spoilt}
    assert all("plain white" in line.reason for line in spoilt.values())
    truth |= {f: ("refused", number) for f, (_, number) in truth.items() if f in spoilt}
    got = {line.file: (line.outcome, line.number) for line in done.lines}
    # of two photos of one picture either may come first
    swap = {number for outcome, number in truth.values() if outcome == "double"}
    assert {f: o for f, o in got.items() if o[1] not in swap} == {
        f: o for f, o in truth.items() if o[1] not in swap
    }
    assert Counter(got.values()) == Counter(truth.values())
    assert set(done.missing) == {line.number for line in spoilt.values()}
    assert all(line.reason for line in done.lines if not line.fine)
    with (session.folder / "import.csv").open(newline="") as opened:
        assert {row["file"]: row["outcome"] for row in csv.DictReader(opened)} == {
            f: o for f, (o, _) in got.items()
        }
    again = do_import(session, folder)
    assert again.counts["known"] == COUNT - len(spoilt)
    assert again.missing == done.missing


def test_one_xray_that_cannot_be_read_stops_no_import(tmp_path: Path) -> None:
    session = session_of(tmp_path, 3)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(encode_jpeg(page_of(session, number), 95))
    first = tmp_path / "xrays" / str(session.xrays.rows["path"].iloc[0])
    whole = first.read_bytes()
    first.write_bytes(b"no picture")
    forget_xrays()
    done = do_import(session, folder)
    assert [line.outcome for line in done.lines] == ["unreadable", "attached", "attached"]
    assert done.lines[0].reason.startswith("the x-ray of picture 1 cannot be read: ")
    assert first.name in done.lines[0].reason
    assert (session.folder / "import.csv").is_file()
    first.write_bytes(whole)
    assert do_import(session, folder).counts == {"attached": 1, "known": 2}


@pytest.fixture
def plain(tmp_path: Path) -> tuple[Session, Path]:
    """A session of four, and a photo of its third picture without any code."""
    session = session_of(tmp_path, 4)
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "plain.jpg").write_bytes(jpeg(shot(session.page(2, 0, PAGE, clean=True), 1, "plain")))
    return session, folder


def test_photos_without_codes_are_proposed_and_never_attached(plain: tuple[Session, Path]) -> None:
    session, folder = plain
    done = do_import(session, folder)
    assert (done.lines[0].outcome, session.journal.photos()) == ("no code", [])
    assert done.proposals[0].number == 2
    assert done.proposals[0].image_id == session.image_id(2)
    assert list(session.photos.iterdir()) == []


def test_a_person_accepts_a_proposal(plain: tuple[Session, Path]) -> None:
    session, folder = plain
    do_import(session, folder)
    table = session.folder / "proposals.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], "x" + lines[1], *lines[2:]]) + "\n")
    done = import_photos(ImportConfig(session=session.folder, accept=table))
    assert [(line.outcome, line.number) for line in done.lines] == [("by hand", 2)]
    [photo] = session.journal.photos()
    assert (photo.state, photo.number) == ("by hand", 2)
    assert 2 in done.missing, "a person's word is no proof"
    table.write_text("\n".join([lines[0], "x" + lines[1], "x" + lines[1]]) + "\n")
    with pytest.raises(TableError, match="is accepted 2 times"):
        import_photos(ImportConfig(session=session.folder, accept=table))
    with pytest.raises(TableError, match="has the columns accept, file"):
        import_photos(ImportConfig(session=session.folder, accept=session.folder / "import.csv"))


def test_corners_of_a_proposal_are_four_points(plain: tuple[Session, Path]) -> None:
    session, folder = plain
    do_import(session, folder)
    table = session.folder / "proposals.csv"
    lines = table.read_text().splitlines()
    for corners in ("[[1,2]]", "[[1,2],[3,4],[5,6],[7,NaN]]", f"[[1,2],[3,4],[5,6],[7,{'9' * 400}]]", "{}"):
        row = ["x", str(folder / "plain.jpg"), session.image_id(2), "2", "99", f'"{corners}"']
        table.write_text("\n".join([lines[0], ",".join(row)]) + "\n")
        with pytest.raises(UsageError, match="corners_px is not four points"):
            import_photos(ImportConfig(session=session.folder, accept=table))


def test_a_refused_photo_says_so_again(tmp_path: Path) -> None:
    session = session_of(tmp_path, 1)
    page = page_of(session, 0)
    (tmp_path / "cut.jpg").write_bytes(encode_jpeg(page[:, page.shape[1] // 3 :].copy(), 95))
    first, again = (do_import(session, tmp_path / "cut.jpg").lines for _ in range(2))
    assert first[0].outcome == "refused"
    assert again == first


def test_an_import_that_was_killed_takes_the_photo_anew(tmp_path: Path) -> None:
    session = session_of(tmp_path, 2)
    (tmp_path / "a.jpg").write_bytes(encode_jpeg(page_of(session, 1), 95))
    taken = keep_photo((tmp_path / "a.jpg").read_bytes(), session.photos, "a.jpg")
    phone = session.journal.named_phone("camera", "import").id
    session.journal.receive(taken.hash, phone, None, "single", "a.jpg", taken.file, {})
    done = do_import(session, tmp_path / "a.jpg")
    assert [(line.outcome, line.number) for line in done.lines] == [("attached", 1)]
    assert [photo.state for photo in session.journal.photos()] == ["good"]


def test_the_camera_names_the_device(tmp_path: Path) -> None:
    session = session_of(tmp_path, 1)
    exif, data = Image.Exif(), io.BytesIO()
    exif[0x0110] = "Pear Phone 9/Pro"
    Image.fromarray(page_of(session, 0)).save(data, "JPEG", exif=exif, quality=95)
    (tmp_path / "one.jpg").write_bytes(data.getvalue())
    import_photos(ImportConfig(session=session.folder, photos=(tmp_path / "one.jpg",)))
    assert [phone.name for phone in session.journal.phones()] == ["pear-phone-9-pro"]


def test_codes_count_more_than_a_name(tmp_path: Path) -> None:
    session = session_of(tmp_path, 3)
    wrong = tmp_path / photo_name(2, 7, "patient00001/study1/view1_frontal.png")
    wrong.write_bytes(encode_jpeg(page_of(session, 1), 95))
    done = import_photos(ImportConfig(session=session.folder, photos=(wrong,)))
    assert (done.lines[0].outcome, done.lines[0].number) == ("attached", 1)
    assert done.lines[0].reason == "its name says picture 2, its codes prove 1: the codes count"


def test_tags_on_paper_are_read_beside_a_film(tmp_path: Path) -> None:
    session_folder = tmp_path / "films"
    files = make_sheet(
        SheetConfig(session=session_folder, manifest=str(xrays(tmp_path / "x", 3)), kind="tags", format="png")
    )
    sheet = np.rint(read_radiograph(files[0]).pixels * 255).astype(np.uint8)
    session = open_session(session_folder)
    assert session.config.domain == "film"
    # the second tag, cut out, beside a film on a light box
    length, height, edge, room = 945, 236, 142, 47
    tag = sheet[edge : edge + height, edge + length + room : edge + 2 * length + room]
    box = np.full((1500, 2300), 230, np.uint8)
    film = cv2.resize(session.xray(1), (1100, 1100), interpolation=cv2.INTER_CUBIC)
    box[200:1300, 60:1160] = film
    box[600 : 600 + height, 1240 : 1240 + length] = tag
    (tmp_path / "film.jpg").write_bytes(encode_jpeg(box, 90))
    done = import_photos(
        ImportConfig(session=session_folder, photos=(tmp_path / "film.jpg",), device="canon")
    )
    assert [(line.outcome, line.number) for line in done.lines] == [("attached", 1)]


def test_slides_are_pages_of_the_session(tmp_path: Path) -> None:
    config = SheetConfig(
        session=tmp_path / "s",
        manifest=str(xrays(tmp_path / "x", 2)),
        kind="slides",
        format="png",
        width_px=960,
        height_px=540,
    )
    files = make_sheet(config)
    assert [file.name for file in files] == ["00001.png", "00002.png"]
    done = import_photos(ImportConfig(session=tmp_path / "s", photos=tuple(files)))
    assert [line.outcome for line in done.lines] == ["attached", "attached"]


@pytest.mark.parametrize(("kind", "name"), [("tags", "tags.pdf"), ("slides", "slides.pdf")])
def test_sheets_come_as_pdf(tmp_path: Path, kind: str, name: str) -> None:
    from pypdf import PdfReader

    config = {
        "session": tmp_path / "s",
        "manifest": str(xrays(tmp_path / "x", 2)),
        "kind": kind,
        "width_px": 960,
        "height_px": 540,
    }
    [file] = make_sheet(SheetConfig.model_validate(config))
    assert file.name == name
    assert len(PdfReader(file).pages) == (1 if kind == "tags" else 2)


def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    run = CliRunner()
    folder, source = tmp_path / "s", xrays(tmp_path / "x", 2)
    made = run.invoke(
        app, ["capture", "sheet", str(source), "-o", str(folder), "--kind", "slides", "--format", "png"]
    )
    assert made.exit_code == 0, made.output
    (folder / "slides" / "00002.png").unlink()
    blank = tmp_path / "blank.jpg"
    blank.write_bytes(encode_jpeg(np.full((300, 400), 9, np.uint8)))
    done = run.invoke(app, ["capture", "import", str(folder / "slides"), str(blank), "-s", str(folder)])
    assert done.exit_code == 1
    assert "blank.jpg: no code" in done.output
    assert "1 attached, 1 no code" in done.output
    assert "missing: 2 " in done.output
    told = run.invoke(app, ["capture", "status", str(folder)])
    assert "1 of 2 pictures have a good photo" in told.output
    assert "missing: 2" in told.output
    refused = run.invoke(app, ["capture", "status", str(tmp_path / "nothing")])
    assert isinstance(refused.exception, UsageError)
    assert "holds no capture session" in str(refused.exception)
