"""Storage: whole or not at all, on SQLite and on PostgreSQL, in a folder and on fsspec."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from tests.web.conftest import CHEST, a_reading

from radsnap.errors import UsageError
from radsnap.web.lock import held
from radsnap.web.settings import Settings
from radsnap.web.storage import check as checking
from radsnap.web.storage import tables
from radsnap.web.storage.cases import Cases, Query
from radsnap.web.storage.database import now_us, open_database
from radsnap.web.storage.people import People
from radsnap.web.storage.pictures import open_pictures


@pytest.fixture(params=["sqlite", "postgres"])
def cases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cases]:
    """An empty store on each database."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    if request.param == "postgres":
        url = Settings(database=request.getfixturevalue("postgres")).database_url
    engine = open_database(url)
    with engine.begin() as connection:
        for table in reversed(tables.METADATA.sorted_tables):
            if table is not tables.identity:
                connection.execute(table.delete())
    yield Cases(engine, open_pictures(None, tmp_path / "pictures"))
    engine.dispose()


def test_tables_are_what_the_code_says_they_are(cases: Cases) -> None:
    found = inspect(cases.engine)
    for table in tables.METADATA.sorted_tables:
        there = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
        assert there == {column.name: column.nullable for column in table.columns}, table.name
        indexes = {index["name"] for index in found.get_indexes(table.name)}
        assert {index.name for index in table.indexes} <= indexes
        keys = {
            (key["referred_table"], key["options"].get("ondelete"))
            for key in found.get_foreign_keys(table.name)
        }
        wanted = {(key.column.table.name, key.ondelete) for key in table.foreign_keys}
        assert keys == wanted
    open_database(
        str(cases.engine.url.render_as_string(hide_password=False))
    ).dispose()  # a second time changes nothing


def test_a_case_is_stored_searched_judged_and_deleted(cases: Cases, tmp_path: Path) -> None:
    people = People(cases.engine)
    ana, ben = people.user("ana"), people.user("ben")
    assert people.user("ana") == ana
    case_id = cases.add(ana.id, a_reading(tmp_path))
    case = cases.get(ana.id, case_id)
    assert case is not None
    assert (case.kind, case.xray, case.said("likely")) == ("chest_frontal", True, ["Edema"])
    assert cases.get(ben.id, case_id) is None
    picture = cases.file(ana.id, case_id, "picture")
    assert picture is not None
    assert picture[0] == CHEST + b"picture"
    assert cases.judge(ana.id, case_id, "agree", "ÄRGER 'quoted' \\ %")
    assert not cases.judge(ben.id, case_id, "agree", "")
    for words in ("ärger", "'QUOTED'", "\\ %", "EDEMA chest"):
        assert [one.id for one in cases.search(ana.id, Query(text=words))[0]] == [case_id], words
    assert cases.search(ana.id, Query(finding="Edema", word="unlikely"))[0] == []
    assert not cases.delete(ben.id, case_id)
    assert cases.delete(ana.id, case_id)
    assert cases.count() == 0
    with cases.engine.connect() as connection:
        for table in (tables.findings, tables.files):
            assert connection.execute(table.select()).all() == []
    assert list(cases.pictures.cases()) == []


def test_what_failed_half_way_leaves_nothing(cases: Cases, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the reader of this case is gone"):
        cases.add(424242, a_reading(tmp_path))
    assert list(cases.pictures.cases()) == []
    assert cases.count() == 0


def test_a_check_removes_leftovers_and_names_what_is_broken(cases: Cases, tmp_path: Path) -> None:
    user = People(cases.engine).user("ana")
    whole, changed, lost = (cases.add(user.id, a_reading(tmp_path)) for _ in range(3))
    orphan = tmp_path / "stray"
    orphan.write_bytes(CHEST)
    cases.pictures.put("f" * 32, "0" * 64 + ".jpg", orphan)
    root = tmp_path / "pictures"
    next(iter((root / changed[:2] / changed).iterdir())).write_bytes(b"changed")
    next(iter((root / lost[:2] / lost).iterdir())).unlink()
    found = cases.check()
    assert (found.cases, found.removed, found.broken) == (3, ("f" * 32,), tuple(sorted((changed, lost))))
    assert cases.check().removed == ()
    assert set(cases.pictures.cases()) == {whole, changed, lost}


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("images", ["{}/pictures", "file://{}/bucket"])
def test_pictures_of_another_database_are_left_alone(tmp_path: Path, marked: bool, images: str) -> None:
    pytest.importorskip("fsspec")
    url = f"sqlite:///{tmp_path / 'right.db'}"
    right = Settings(data=tmp_path, database=url, images=images.format(tmp_path))
    engine = open_database(right.database_url)
    cases = Cases(engine, open_pictures(right.images, tmp_path))
    user = People(engine).user("ana")
    kept = {cases.add(user.id, a_reading(tmp_path)) for _ in range(3)}
    engine.dispose()
    if marked:
        assert checking.check(right).cases == 3
    wrong = right.model_copy(update={"database": None})
    for looked_over in (wrong, wrong):  # the empty one that the first has made is none of theirs either
        with pytest.raises(UsageError, match="the pictures belong to the cases of another database; name it"):
            checking.check(looked_over)
    assert set(cases.pictures.cases()) == kept
    found = checking.check(right)
    assert (found.cases, found.removed, found.broken) == (3, (), ())


def test_a_marked_store_without_cases_is_still_cleared_of_leftovers(cases: Cases, tmp_path: Path) -> None:
    assert cases.check().removed == ()
    orphan = tmp_path / "stray"
    orphan.write_bytes(CHEST)
    cases.pictures.put("f" * 32, "0" * 64 + ".jpg", orphan)
    assert cases.check().removed == ("f" * 32,)


def test_an_id_or_cursor_that_is_none_finds_nothing(cases: Cases, tmp_path: Path) -> None:
    user = People(cases.engine).user("ana")
    case_id = cases.add(user.id, a_reading(tmp_path))
    for wrong in ("\0", case_id[:-1] + "\0", case_id + "0", case_id.upper(), ""):
        assert cases.get(user.id, wrong) is None
        cursor = base64.urlsafe_b64encode(f"{now_us()} {wrong}".encode()).decode().rstrip("=")
        with pytest.raises(UsageError, match="this cursor is none of ours"):
            cases.search(user.id, Query(), cursor=cursor)


def test_old_cases_go_and_the_rest_stays(cases: Cases, tmp_path: Path) -> None:
    user = People(cases.engine).user("ana")
    old = [cases.add(user.id, a_reading(tmp_path)) for _ in range(3)]
    between = now_us()
    new = cases.add(user.id, a_reading(tmp_path))
    assert cases.delete_older(between) == 3
    assert list(cases.pictures.cases()) == [new]
    assert all(cases.get(user.id, case_id) is None for case_id in old)


def test_files_that_cannot_be_deleted_now_keep_no_other_old_case(
    cases: Cases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases.claim()
    user = People(cases.engine).user("ana")
    for _ in range(3):
        cases.add(user.id, a_reading(tmp_path))
    with monkeypatch.context() as broken:
        broken.setattr(shutil, "rmtree", _no_disk)
        with pytest.raises(OSError, match="no disk"):
            cases.delete_older(now_us())
    assert cases.delete_older(now_us()) == 2
    assert len(list(cases.pictures.cases())) == 1
    assert len(cases.check().removed) == 1


def _no_disk(*_: object) -> None:
    raise OSError("no disk")


def test_pictures_are_kept_on_fsspec_too(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    engine = open_database(f"sqlite:///{tmp_path / 'a.db'}")
    cases = Cases(engine, open_pictures(f"file://{tmp_path / 'bucket'}", tmp_path / "unused"))
    user = People(engine).user("ana")
    kept, gone = (cases.add(user.id, a_reading(tmp_path)) for _ in range(2))
    cases.delete(user.id, gone)
    assert list(cases.pictures.cases()) == [kept]
    stored = cases.file(user.id, kept, "thumbnail")
    assert stored is not None
    assert stored[0] == CHEST + b"thumbnail"
    assert cases.check().broken == ()
    assert not (tmp_path / "unused").exists()
    engine.dispose()


@pytest.mark.parametrize("name", ["../x.jpg", "x.jpg", "0" * 64 + ".jpg/../../y", "0" * 64 + ".JPG"])
def test_no_name_leaves_the_folder(tmp_path: Path, name: str) -> None:
    pictures = open_pictures(None, tmp_path)
    with pytest.raises(UsageError, match="is no stored file's name"):
        pictures.get("0" * 32, name)
    with pytest.raises(UsageError, match="is no case's id"):
        pictures.drop("../../etc")


def test_wrong_databases_are_refused_with_the_reason(tmp_path: Path) -> None:
    for url, words in (
        ("mysql://x", "is not tried"),
        ("no url", "is none"),
        (f"sqlite:///{tmp_path}/none/a.db", "cannot be opened"),
        ("postgresql+psycopg://u:secret@127.0.0.1:1/x", "cannot be opened"),
        (f"sqlite:///{__file__}", r"cannot be opened \(file is not a database\)"),
    ):
        with pytest.raises(UsageError, match=words) as told:
            open_database(url)
        assert "secret" not in str(told.value)


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'a.db'}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(UsageError, match="made by a newer radsnap"):
        open_database(f"sqlite:///{tmp_path / 'a.db'}")


def test_a_first_start_killed_half_way_can_be_tried_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    code = (
        "import os, signal, alembic.op, sys\n"
        "from radsnap.web.storage.database import open_database\n"
        "alembic.op.create_index = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "open_database(sys.argv[1])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", code, url], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    engine = open_database(url)
    assert People(engine).user("ana").name == "ana"
    engine.dispose()


def test_a_folder_serves_one_server_and_no_check_beside_it(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    with held(tmp_path), pytest.raises(UsageError, match="in use by another radsnap"):
        checking.check(settings)
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming" / "left.part").write_bytes(b"x")
    assert checking.check(settings).cases == 0
    assert not (tmp_path / "incoming").exists()
