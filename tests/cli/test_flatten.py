"""`radsnap flatten` as a user types it, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from radsnap.imaging import write_image
from radsnap.phantom import sample_chest


def radsnap(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "radsnap", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one photo: an x-ray on a brownish desk with some grain."""
    grey = np.rint(sample_chest(7, 1, 384).radiograph.pixels * 200 + 10)
    pixels = np.full((600, 800, 3), (150, 120, 95), float)
    pixels += np.random.default_rng(1).normal(0, 6, (600, 800, 1))
    pixels[90 : 90 + grey.shape[0], 200 : 200 + grey.shape[1]] = grey[..., None]
    folder = tmp_path_factory.mktemp("photos")
    write_image(folder / "desk.png", pixels.clip(0, 255).astype(np.uint8))
    return folder


def test_a_photo_becomes_files_and_a_line(desk: Path, tmp_path: Path) -> None:
    done = radsnap("flatten", desk / "desk.png", "-o", tmp_path / "out", "--unsure")
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first.startswith(f"{desk / 'desk.png'}: straightened")
    assert last == f"{tmp_path / 'out' / 'flatten.jsonl'}: 1 of 1 straightened"
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"desk.png", "desk-overlay.jpg", "flatten.jsonl"}


def test_json_is_one_line_a_photo_and_a_broken_one_fails_alone(desk: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no picture")
    done = radsnap(
        "flatten", desk, broken, "-o", tmp_path / "out", "--json", "--no-overlay", "--format", "dicom"
    )
    assert done.returncode == 1
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["ok"] for one in told] == [True, False]
    assert told[0]["size_px"] == [800, 600]
    error = [line for line in done.stderr.splitlines() if line.startswith("radsnap: ")]
    assert len(error) == 1
    assert "broken.jpg: a truncated JPEG" in error[0]
    assert not list((tmp_path / "out").glob("*-overlay.jpg"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--format", "gif"), "format"),
        (("--longest", "10"), "longest"),
        (("--frobnicate",), "--frobnicate"),
    ],
)
def test_wrong_usage_is_named_and_writes_nothing(
    options: tuple[str, ...], said: str, desk: Path, tmp_path: Path
) -> None:
    done = radsnap("flatten", desk, "-o", tmp_path / "out", *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_without_pictures_is_a_failed_input(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = radsnap("flatten", tmp_path / "empty", "-o", tmp_path / "out")
    assert done.returncode == 1
    assert "empty" in done.stderr
