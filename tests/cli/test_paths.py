"""A path that cannot be read or written costs one line and exit code 2, whatever the command."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from radsnap.cli.app import main
from radsnap.imaging import write_image

WORDS = "cannot be read or written ({}); check the path, or give another"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: x-rays of two patients, their manifest, and a file that is no folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        write_image(tmp_path / "xrays" / f"{name}.png", np.zeros((20, 20), np.uint8))
    rows = "".join(f"{n},{n},{n},xrays/{n}.png,chest_frontal,digital,test\n" for n in ("a", "b"))
    Path("manifest.csv").write_text(f"image_id,study_id,patient_id,path,body,domain,split\n{rows}")
    Path("truth.csv").write_text("Study,Edema\na,1\nb,0\n")
    Path("scores.csv").write_text("Study,Edema\na,0.7\nb,0.1\n")
    Path("file").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "path", "reason"),
    [
        ("photograph xrays file --recipe identity", "{desk}/file/.radsnap", "Not a directory"),
        ("photograph xrays file/in --recipe identity", "{desk}/file/in/.radsnap", "Not a directory"),
        ("phantom file -n 1 --size 64", "file/images", "Not a directory"),
        ("demo -o file", "file/photos", "Not a directory"),
        ("data split manifest.csv -o file/out.csv", "file", "File exists"),
        ("data show manifest.csv --sheet file/sheet.png", "file", "File exists"),
        ("data shard manifest.csv -o file", "file", "File exists"),
        ("evaluate gate manifest.csv -o file", "file", "File exists"),
        (
            "benchmark --truth truth.csv --digital scores.csv --thresholds nosuch.csv -o out",
            "nosuch.csv",
            "No such file or directory",
        ),
    ],
)
def test_a_path_that_does_not_serve_is_told_in_one_line(
    command: str,
    path: str,
    reason: str,
    desk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["radsnap", *command.split()])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    told = f"radsnap: {path.format(desk=desk)}: {WORDS.format(reason)}\n"
    assert capsys.readouterr().err == told
