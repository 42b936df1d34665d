"""`radsnap capture start`: what is asked of it wrongly is said in a line, and what was begun goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from studio import session_of, xrays
from typer.testing import CliRunner

from radsnap.capture.run import Place, run_capture
from radsnap.cli.app import app
from radsnap.errors import UsageError
from radsnap.jobs.capturing.chexpeditor import UdpAddress
from radsnap.jobs.capturing.session import CaptureConfig, create_session, open_session
from radsnap.jobs.capturing.sheet import SheetConfig, make_sheet


def fault(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["capture", "start", *arguments])
    assert isinstance(done.exception, UsageError), done.output
    return str(done.exception)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--vary", "light"], "--vary takes NAME=VALUE, got 'light'"),
        (["--vary", "light=on,on"], "a condition has a plain name and different values"),
        (["--vary", "../x=on"], "a condition has a plain name"),
        (["--note", "=x"], "--note takes NAME=VALUE"),
        (["--share", "7"], "share: Input should be less than or equal to 1, got 7.0"),
        (["--phone", "phone:1"], "a phone is udp://ADDRESS:4445"),
        (["--no-https"], "without a certificate only this machine is served"),
        (["--port", "99999"], "a port is 0 to 65535, got 99999"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, given: list[str], said: str) -> None:
    assert said in fault(str(xrays(tmp_path / "x", 1)), "-o", str(tmp_path / "s"), "--no-browser", *given)


def test_a_session_needs_xrays_or_its_folder(tmp_path: Path) -> None:
    assert "begin one: radsnap capture start MANIFEST -o" in fault("-o", str(tmp_path / "nothing"))
    (tmp_path / "letters.txt").write_text("mine")
    assert "is not empty and holds no session" in fault(str(xrays(tmp_path / "x", 1)), "-o", str(tmp_path))


def test_a_session_of_other_xrays_is_not_gone_on_with(tmp_path: Path) -> None:
    session = session_of(tmp_path, 2)
    xrays(tmp_path / "xrays", 3)
    with pytest.raises(UsageError, match="lists other x-rays than when the session began"):
        open_session(session.folder)


def test_options_that_differ_from_the_sessions_are_refused(tmp_path: Path) -> None:
    session = session_of(tmp_path, 2, vary={"light": ["on", "off"], "pose": ["front", "left"]})
    other = str(xrays(tmp_path / "other", 2))
    old = ["-o", str(session.folder), "--no-browser", "--no-https"]
    said = fault(other, *old, "--clean", "--note", "place=ward")
    assert said == (
        f"{session.folder} goes on as it was begun: mode is 'markers', not 'clean'; "
        f"notes is {{}}, not {{'place': 'ward'}}; manifest is '{tmp_path / 'xrays'}', not '{other}'; "
        "leave that out, or begin a new session with another -o"
    )
    assert "vary is" in fault(*old, "--vary", "pose=front,left", "--vary", "light=on,off"), "another order"
    assert "blown_frac is 0.2, not 0.0" in fault(*old, "--blown-frac", "0")
    assert "share: Input should be" in fault(*old, "--share", "7")
    # what is said and the same, or not said, goes on: as far as the door that only this machine may use
    same = [*old, "--vary", "light=on,off", "--vary", "pose=front,left", "--share", "0.8"]
    assert "without a certificate only this machine is served" in fault(f"{tmp_path}/other/../xrays/", *same)


def test_a_sheet_of_another_list_is_refused(tmp_path: Path) -> None:
    session, other = session_of(tmp_path, 2), str(xrays(tmp_path / "other", 1))
    with pytest.raises(UsageError, match="goes on as it was begun: manifest is"):
        make_sheet(SheetConfig(session=session.folder, manifest=other))


def test_settings_that_are_broken_are_named(tmp_path: Path) -> None:
    session = session_of(tmp_path, 1)
    (session.folder / "session.json").write_text("{")
    with pytest.raises(UsageError, match=r"session.json is broken"):
        open_session(session.folder)


def test_a_plan_has_at_most_a_million_pictures(tmp_path: Path) -> None:
    config = CaptureConfig(
        manifest=str(xrays(tmp_path / "x", 2)), vary={"n": tuple(map(str, range(600_000)))}
    )
    with pytest.raises(UsageError, match="are over 1,000,000 pictures"):
        create_session(tmp_path / "s", config)
    assert not (tmp_path / "s").exists()


def test_chexpeditor_takes_no_part_in_clean_sessions(tmp_path: Path) -> None:
    session = session_of(tmp_path, 1, mode="clean")
    with pytest.raises(UsageError, match="begin a session without --clean"):
        run_capture(session, Place("127.0.0.1", 0, False), (UdpAddress("127.0.0.1"),))
