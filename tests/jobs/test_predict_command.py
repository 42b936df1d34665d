from __future__ import annotations

import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from radsnap.errors import PredictionsError, UsageError
from radsnap.jobs.predict_command import ask_command
from radsnap.tables import Manifest, Predictions, build_manifest

FOLDER = "CheXpert-v1.0/test"
READ = "import csv, sys\npaths = [row['Path'] for row in csv.DictReader(open(sys.argv[1]))]\n"
STUDIES = READ + "studies = list(dict.fromkeys(path.rsplit('/', 1)[0] for path in paths))\n"
GOOD = STUDIES + (
    "with open(sys.argv[2], 'w') as out:\n"
    "    print('Study,Edema,Atelectasis', file=out)\n"
    "    for n, study in enumerate(reversed(studies)): print(f'{study},{n},-{n}.5', file=out)\n"
)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Four images of three studies, in CheXpert's folders."""
    places = ["patient1/study1/view1_frontal", "patient1/study1/view2_lateral", "patient2/study1/view1_frontal",
              "patient2/study2/view1_frontal"]  # fmt: skip
    rows = [
        {"image_id": place, "study_id": place.rsplit("/", 1)[0], "patient_id": place.split("/")[0],
         "path": f"{FOLDER}/{place}.jpg"}
        for place in places
    ]  # fmt: skip
    return build_manifest(pd.DataFrame(rows), tmp_path)


def ask(tmp_path: Path, manifest: Manifest, code: str, **changes: object) -> Predictions:
    script = tmp_path / "model.py"
    script.write_text(code)
    options: dict[str, object] = {"by": "study", "views": "max", "timeout_s": 20.0} | changes
    return ask_command(f"{sys.executable} {script}", manifest, **options)  # type: ignore[arg-type]


def out(*lines: str) -> str:
    """A command that writes these lines whatever it is asked."""
    return f"import sys\nopen(sys.argv[2], 'w').write({chr(10).join(lines) + chr(10)!r})\n"


def test_rows_in_any_order_come_back_in_the_manifests(tmp_path: Path, manifest: Manifest) -> None:
    said = ask(tmp_path, manifest, GOOD)
    assert said.key == "study"
    assert said.frame.index.tolist() == ["patient1/study1", "patient2/study1", "patient2/study2"]
    assert said.frame["Edema"].tolist() == [2, 1, 0]
    assert said.name == "model"


def test_rows_named_by_path_are_images_and_are_combined(tmp_path: Path, manifest: Manifest) -> None:
    code = READ + (
        "open(sys.argv[2], 'w').write('Path,Edema\\n' + ''.join(f'{p},{n}\\n' for n, p in enumerate(paths)))\n"
    )
    assert ask(tmp_path, manifest, code).frame["Edema"].tolist() == [1, 2, 3]
    assert ask(tmp_path, manifest, code, views="mean").frame["Edema"].tolist() == [0.5, 2, 3]
    assert len(ask(tmp_path, manifest, code, by="image")) == 4


def test_short_names_of_studies_are_understood(tmp_path: Path, manifest: Manifest) -> None:
    lines = ("Study,Edema", "patient1/study1,1", f"{FOLDER}/patient2/study1,2", "patient2/study2,3")
    assert ask(tmp_path, manifest, out(*lines)).frame["Edema"].tolist() == [1, 2, 3]


def test_in_csv_has_one_column_of_paths_that_exist_from_anywhere(tmp_path: Path, manifest: Manifest) -> None:
    code = f"import shutil, sys\nshutil.copy(sys.argv[1], {str(tmp_path / 'seen.csv')!r})\n" + GOOD
    ask(tmp_path, manifest, code)
    seen = pd.read_csv(tmp_path / "seen.csv")
    assert seen.columns.tolist() == ["Path"]
    assert seen["Path"].tolist() == [str(tmp_path / path) for path in manifest.frame["path"]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("Study,Edema", "patient1/study1,1", "patient2/study1,2"),
         r"OUT\.csv has 2 of 3 studies; missing are patient2/study2"),
        (("Study,Edema", "patient1/study1,1", "patient2/study1,2", "patient2/study2,3", "patient1/study1,9"),
         r"OUT\.csv: row 4, column 'Study': 'patient1/study1' stands in row 1 already"),
        (("Study,Edema", "patient1/study1,1", "patient2/study1,2", "patient2/study2,3", f"{FOLDER}/patient1/study1,9"),
         r"OUT\.csv: row 4, column 'Study': .*stands in row 1 already"),
        (("Study,Edema", "patient1/study1,1", "patient9/study1,2", "patient2/study2,3"),
         r"OUT\.csv: row 2, column 'Study': 'patient9/study1' was not asked for"),
        (("Study,Edema", "patient1/study1,1", "patient2/study1,nan", "patient2/study2,3"),
         r"OUT\.csv: row 2, column 'Edema' has 'nan'; write a finite number"),
        (("Study,Edema", "patient1/study1,1", "patient2/study1,", "patient2/study2,3"),
         r"OUT\.csv: row 2, column 'Edema' is blank"),
        (("Study,Edema", "patient1/study1,high", "patient2/study1,2", "patient2/study2,3"),
         r"OUT\.csv: row 1, column 'Edema' has 'high'"),
        (("Study,Edema,Atelectasis", "patient1/study1,1,1", "patient2/study1,2,2", "patient2/stu"),
         r"OUT\.csv: not a comma-separated table"),
        (("rubbish", "more rubbish"), r"OUT\.csv: no column names the rows"),
        (("Study,Colour", "patient1/study1,1"), r"OUT\.csv: no column is a finding"),
        ((), r"OUT\.csv"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_refused_by_row_and_column(
    tmp_path: Path, manifest: Manifest, lines: tuple[str, ...], message: str
) -> None:
    with pytest.raises(PredictionsError, match=message) as caught:
        ask(tmp_path, manifest, out(*lines))
    assert "model.py" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_crash_says_its_exit_code_and_last_words(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(
        PredictionsError, match=r"failed with exit code 1; it said last: ValueError: no such weights"
    ):
        ask(tmp_path, manifest, "raise ValueError('no such weights')\n")
    with pytest.raises(PredictionsError, match="failed with signal SIGSEGV"):
        ask(tmp_path, manifest, "import os\nos.kill(os.getpid(), 11)\n")


def test_one_that_writes_nothing_or_binary_rubbish_is_refused(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(PredictionsError, match=r"ended well but wrote no OUT\.csv"):
        ask(tmp_path, manifest, "print('done')\n")
    with pytest.raises(PredictionsError, match=r"OUT\.csv"):
        ask(tmp_path, manifest, "import sys\nopen(sys.argv[2], 'wb').write(bytes(range(256)) * 9)\n")


def test_one_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path, manifest: Manifest) -> None:
    child = tmp_path / "child"
    code = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(child)!r}, 'w').write(str(p.pid))\ntime.sleep(60)\n"
    )
    start = time.monotonic()
    with pytest.raises(
        PredictionsError, match="had not answered after 4 s and was ended; give it more by --timeout"
    ):
        ask(tmp_path, manifest, code, timeout_s=4.0)
    assert time.monotonic() - start < 20
    deadline = time.monotonic() + 10  # the signal was sent; a busy machine takes its time to deliver it
    while alive(int(child.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(int(child.read_text()))


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def test_a_command_that_cannot_start_is_wrong_usage(tmp_path: Path, manifest: Manifest) -> None:
    for command, message in (
        ("./none-such", "cannot be started"),
        ("", "the command is empty"),
        ("'a", "into words"),
    ):
        with pytest.raises(UsageError, match=message):
            ask_command(command, manifest, by="study", views="max", timeout_s=5)


def test_no_shell_reads_the_command(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(PredictionsError):
        ask_command(f"echo hello > {tmp_path / 'made'}", manifest, by="study", views="max", timeout_s=5)
    assert not (tmp_path / "made").exists()
    assert list(tmp_path.iterdir()) == []


def test_studies_cannot_answer_for_images(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(PredictionsError, match="answers one row a study; ask with --by study"):
        ask(tmp_path, manifest, GOOD, by="image")
