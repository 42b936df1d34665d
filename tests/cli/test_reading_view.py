"""What a terminal shows of diagnoses."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from radsnap.cli.reading_view import _LateBar, _printable
from radsnap.jobs.progress import Progress


def on_a_terminal(arguments: list[str]) -> tuple[int, str]:
    """Run the command with its output on a pseudo-terminal of 100 columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "100", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "radsnap", "diagnose", *arguments],
        stdout=theirs, stderr=subprocess.STDOUT, env={**environment, "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed: Linux says EIO
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return process.wait(timeout=60), shown.decode()


def plain(shown: str) -> str:
    """Take away style, and the progress bar's motions on a machine so slow that it appears."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "\n")


@pytest.fixture
def models(tiny_chain: Path) -> list[str]:
    cards = [str(tiny_chain / f"{name}.card.json") for name in ("gate", "kind", "findings")]
    return ["--gate", cards[0], "--kind", cards[1], "--model", cards[2]]


def test_one_picture_gets_a_table_of_its_findings(tmp_path: Path, models: list[str]) -> None:
    path = tmp_path / "chest.png"
    cv2.imwrite(str(path), np.full((240, 320), 128, np.uint8))
    code, shown = on_a_terminal([str(path), *models])
    assert code == 0
    shown = plain(shown)
    assert "an x-ray 1.00, screen → Frontal chest 1.00" in shown
    for name, word in (("Pneumonia", "likely"), ("Edema", "possible"), ("Hernia", "not assessed")):
        (line,) = [line for line in shown.splitlines() if line.startswith(name)]
        assert line.rstrip().endswith(word)
    assert "Research software, not a medical device." in shown


def test_several_pictures_get_a_row_each_and_names_cannot_drive_the_terminal(
    tmp_path: Path, models: list[str]
) -> None:
    for name, level in (("chest.png", 128), ("dark\x1b[31m\nx.png", 10), ("[red]lateral.png", 178)):
        cv2.imwrite(str(tmp_path / "new.png"), np.full((240, 320), level, np.uint8))
        (tmp_path / "new.png").rename(tmp_path / name)
    code, shown = on_a_terminal([str(tmp_path), str(tmp_path / "absent.png"), *models])
    assert code == 1
    assert "\x1b[31m" not in shown
    shown = plain(shown)
    rows = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    assert "Pneumonia 0.73, Edema 0.27" in rows["chest.png"]
    assert "not an x-ray" in rows["dark\\x1b[31m\\nx.png"]
    assert "lateral view" in rows["[red]lateral.png"]
    assert f"radsnap: {tmp_path / 'absent.png'}: no such file; check the path" in shown


def test_control_characters_and_broken_names_become_escapes() -> None:
    assert _printable("ü\x1b[2J\x00\udcff‮.jpg") == "ü\\x1b[2J\\x00\\udcff\\u202e.jpg"


def test_the_progress_bar_keeps_still_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    with _LateBar(console) as bar:
        bar.report(Progress(1, 100))
        assert bar._bar is None
        monkeypatch.setattr("radsnap.cli.reading_view._PATIENCE_S", 0.0)
        bar.report(Progress(2, 100))
        assert bar._bar is not None
        bar.clear()
        assert bar._bar is None
        bar.report(Progress(100, 100))
        assert bar._bar is None
