"""`radsnap serve`: who may enter, and what it says when it cannot start."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from tests.web.conftest import a_reading

import radsnap.serving.run
from radsnap.cli.app import app
from radsnap.errors import UsageError
from radsnap.web.lock import held
from radsnap.web.storage.cases import Cases
from radsnap.web.storage.database import open_database
from radsnap.web.storage.people import People
from radsnap.web.storage.pictures import open_pictures

Serve = Callable[..., FastAPI]


@pytest.fixture
def serve(tmp_path: Path, tiny_chain: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Run the command up to the server itself; gives the application that it would have served."""
    for name in ("RADSNAP_DATABASE", "RADSNAP_ACCESS_CODES", "RADSNAP_DATA"):
        monkeypatch.delenv(name, raising=False)
    served: list[FastAPI] = []

    def run(app: FastAPI, *_: object, ready: Callable[[str], None]) -> None:
        served.append(app)
        ready("http://127.0.0.1:8000/")

    monkeypatch.setattr(radsnap.serving.run, "serve", run)
    models = [
        f"--{option}={tiny_chain / card}.card.json"
        for option, card in (("gate", "gate"), ("kind", "kind"), ("model", "findings"))
    ]

    def serve(*options: str) -> FastAPI:
        app(
            ["serve", f"--data={tmp_path / 'data'}", "--lungs=none", *models, *options], standalone_mode=False
        )
        return served.pop()

    return serve


@pytest.mark.parametrize(
    "options",
    [
        ["--host", "0.0.0.0"],
        ["--behind-https", "--name", "xray.clinic.example"],
        ["--behind-https"],
        ["--name", "xray.clinic.example"],
    ],
)
def test_beyond_this_machine_and_behind_a_proxy_a_code_is_asked_for(
    serve: Serve, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    made = serve(*options).state.settings.codes
    shown = re.search(r"^Access code: (\S+)", capsys.readouterr().out, re.MULTILINE)
    assert shown is not None
    assert made == {"reader": shown[1]}
    given = serve(*options, "--access-code", "ana=LONG-CODE-1").state.settings.codes
    assert given == {"ana": "LONG-CODE-1"}
    assert "Access code" not in capsys.readouterr().out


@pytest.mark.parametrize("options", [[], ["--host", "::1"], ["--name", "radsnap.localhost"]])
def test_on_this_machine_alone_no_code_is_asked_for(serve: Serve, options: list[str]) -> None:
    assert serve(*options).state.settings.open


def test_photos_are_kept_for_somebody_who_can_enter(serve: Serve) -> None:
    with pytest.raises(UsageError, match=r"^--messenger-reader: .* known are: reader, got 'local'$"):
        serve("--behind-https", "--messenger-reader", "local")


@pytest.mark.parametrize("where", ["environment", "options"])
def test_a_code_that_is_refused_shows_no_code(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    options = []
    if where == "environment":
        monkeypatch.setenv("RADSNAP_ACCESS_CODES", "ana=GOOD-LONG-CODE-1 ben=abc")
    else:
        options = ["--access-code", "ana=GOOD-LONG-CODE-1", "--access-code", "ben=abc"]
    with pytest.raises(UsageError, match=r"^codes: the access code of 'ben' is shorter") as told:
        serve(*options)
    for text in (str(told.value), str(told.value.__cause__)):
        assert "GOOD-LONG-CODE-1" not in text
        assert "abc" not in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--database", "postgresql://u:secret@127.0.0.1:1/x"], "the database cannot be opened"),
        (["--database", "sqlite:////nowhere/at/all.db"], "the database cannot be opened"),
    ],
)
def test_without_its_database_it_says_so_in_a_line_and_does_not_listen(
    serve: Serve, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    with pytest.raises(UsageError, match=words) as told:
        serve(*options)
    assert "\n" not in str(told.value)
    assert "secret" not in str(told.value)
    assert capsys.readouterr().out == ""


def test_a_folder_of_another_server_is_refused_before_it_listens(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with held(tmp_path / "data"), pytest.raises(UsageError, match="in use by another radsnap"):
        serve()
    assert capsys.readouterr().out == ""
    assert serve().state.opened is False  # and was, for as long as it was served


def test_pictures_of_another_database_are_neither_served_nor_checked(serve: Serve, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    engine = open_database(f"sqlite:///{tmp_path / 'right.db'}")
    cases = Cases(engine, open_pictures(None, data / "pictures"))
    kept = cases.add(People(engine).user("ana").id, a_reading(tmp_path))
    engine.dispose()
    for options in ([], ["--check"]):
        with pytest.raises(UsageError, match="the pictures belong to the cases of another database"):
            serve(*options)
    assert list(cases.pictures.cases()) == [kept]
    assert serve("--database", f"sqlite:///{tmp_path / 'right.db'}").state.desk.cases.count() == 1
