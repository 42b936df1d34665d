"""The photograph job: the same bytes always, nothing lost, nothing half, nothing left behind."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from radsnap.cli.app import app
from radsnap.collections import import_collection
from radsnap.errors import ManifestError, UsageError
from radsnap.imaging import read_radiograph, write_image
from radsnap.jobs import photograph_record
from radsnap.jobs.photograph import PhotographConfig, photograph_files
from radsnap.jobs.photograph_again import photograph_again
from radsnap.jobs.photograph_record import Journal
from radsnap.jobs.progress import Progress
from radsnap.jobs.stores import LocalStore, locked, open_store
from radsnap.photo import EFFECTS, photograph
from radsnap.tables import read_manifest

RECIPE = "chexphoto-photographic"
LABELS = ("", "1.0", "-1.0", "0.0")
COUNT = 8

Rows = list[dict[str, str]]


@pytest.fixture(scope="session")
def chexpert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV in CheXpert's columns and its images, of four patients."""
    home = tmp_path_factory.mktemp("collection")
    rng = np.random.default_rng(5)
    rows = []
    for number in range(COUNT):
        name = f"CheXpert-v1.0/train/patient{number // 2:05d}/study{number % 2 + 1}/view1_frontal.jpg"
        write_image(home / name, rng.integers(0, 256, (40, 52), np.uint8))
        rows.append({"Path": name, "Sex": "Female", "Age": "50", "Frontal/Lateral": "Frontal", "AP/PA": "AP",
                     "Pneumonia": LABELS[number % 4]})  # fmt: skip
    write_rows(home / "CheXpert-v1.0/train.csv", rows)
    return home / "CheXpert-v1.0/train.csv"


@pytest.fixture(scope="session")
def whole(chexpert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photos of the whole list, made by one process."""
    output = tmp_path_factory.mktemp("photos") / "whole"
    run(chexpert, output)
    return output


def run(source: Path | str, output: Path | str, report: object = None, **options: object) -> object:
    given = {"source": str(source), "output": str(output), "recipe": RECIPE, "seed": 7, "jobs": 1, **options}
    config = PhotographConfig.model_validate(given)
    return photograph_files(config, report) if report else photograph_files(config)  # type: ignore[arg-type]


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write_rows(path: Path, rows: Rows) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def read_rows(path: Path) -> Rows:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_photos_lie_as_in_chexphoto_with_its_csv_and_a_manifest(chexpert: Path, whole: Path) -> None:
    given, listed = read_rows(chexpert), read_rows(whole / "train.csv")
    place = f"train/synthetic/{RECIPE}/patient00000/study1/view1_frontal.jpg"
    assert (whole / place).is_file()
    assert listed[0]["Path"] == f"whole/{place}"
    assert list(listed[0])[:6] == ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding"]
    assert [row["Pneumonia"] for row in listed] == [row["Pneumonia"] for row in given]
    manifest = read_manifest(whole / "manifest.csv")
    assert manifest.frame["source_image_id"].tolist() == [
        row["Path"].removeprefix("CheXpert-v1.0/").removesuffix(".jpg") for row in given
    ]
    assert set(manifest.frame["origin"]) == {"synthetic"}
    assert set(manifest.frame["domain"]) == {"screen"}
    assert all((manifest.root / path).is_file() for path in manifest.frame["path"])
    assert np.nan_to_num(manifest.frame["Pneumonia"], nan=9).tolist() == [9, 1, -1, 0] * 2


def test_the_reader_of_chexphoto_reads_what_was_made(whole: Path) -> None:
    ours = read_manifest(whole / "manifest.csv").frame
    theirs = import_collection("chexphoto", whole).frame
    columns = ["image_id", "study_id", "patient_id", "path", "source_image_id", "split", "origin"]
    assert theirs[columns].equals(ours[columns])


def test_same_bytes_for_two_processes(chexpert: Path, whole: Path, tmp_path: Path) -> None:
    run(chexpert, tmp_path / "whole", jobs=2)
    assert hashes(tmp_path / "whole") == hashes(whole)


def test_a_shuffled_half_of_the_list_gives_the_same_photos(
    chexpert: Path, whole: Path, tmp_path: Path
) -> None:
    half = [read_rows(chexpert)[row] for row in (6, 1, 3, 4)]
    run(write_rows(tmp_path / "half.csv", half), tmp_path / "out", root=str(chexpert.parents[1]))
    made = {name: text for name, text in hashes(tmp_path / "out").items() if name.endswith(".jpg")}
    assert len(made) == 4
    assert made.items() <= hashes(whole).items()


def test_no_two_photos_share_their_draws(whole: Path) -> None:
    recipes = [json.loads(text)["steps"] for text in read_manifest(whole / "manifest.csv").frame["recipe"]]
    draws = [
        step["params"]["mean_px"][0] for steps in recipes for step in steps if step["effect"] == "glare_matte"
    ]
    assert len(set(draws)) == COUNT


def test_the_job_draws_what_the_python_function_draws(chexpert: Path, whole: Path) -> None:
    row = read_manifest(whole / "manifest.csv").frame.iloc[3]
    xray = read_radiograph(chexpert.parent / (row["source_image_id"] + ".jpg"))
    made = photograph(xray, RECIPE, 7, row["source_image_id"])
    assert made.recipe.to_json() == row["recipe"]
    assert json.loads(row["corners_px"]) == pytest.approx(made.corners_px, abs=1e-3)
    assert json.loads(row["homography"]) == pytest.approx(made.homography)


class _Stop(Exception):
    pass


def _stop_after(count: int) -> object:
    def report(progress: Progress) -> None:
        if progress.done == count:
            raise _Stop

    return report


@pytest.mark.parametrize("journalled", [True, False])
def test_an_interrupted_run_goes_on_and_makes_nothing_twice(
    chexpert: Path, whole: Path, tmp_path: Path, journalled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photograph_record, "_FLUSH_S", 0.0 if journalled else 999.0)
    output = tmp_path / "whole"
    with pytest.raises(_Stop):
        run(chexpert, output, _stop_after(3))
    assert (
        list(output.glob(".radsnap/journal-*/*"))
        if journalled
        else not list(output.glob(".radsnap/journal-*/*"))
    )
    times = {path: path.stat().st_mtime_ns for path in output.rglob("*.jpg")}
    assert len(times) == 3
    (output / ".radsnap/unfinished").mkdir(exist_ok=True)
    (output / ".radsnap/unfinished/0123").write_bytes(b"half a photo")
    outcome = run(chexpert, output)
    assert (outcome.made, outcome.kept) == (COUNT - 3, 3)  # type: ignore[attr-defined]
    assert all(path.stat().st_mtime_ns == when for path, when in times.items())
    assert hashes(output) == hashes(whole)  # among them no file of the killed run's


def test_a_killed_run_goes_on(chexpert: Path, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "whole"
    command = ["photograph", str(chexpert), str(output), "--recipe", RECIPE, "--seed", "7", "--jobs", "2"]
    process = subprocess.Popen([sys.executable, "-m", "radsnap", *command], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not list(output.rglob("*.jpg")) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(output.rglob("*.jpg"))
    end = time.monotonic() + 60
    while time.monotonic() < end:  # the lock goes with the process; its workers follow it
        try:
            run(chexpert, output)
            break
        except UsageError:
            time.sleep(0.1)
    assert hashes(output) == hashes(whole)


def test_a_photo_that_was_deleted_is_made_again_and_no_other(
    chexpert: Path, whole: Path, tmp_path: Path
) -> None:
    output = tmp_path / "whole"
    run(chexpert, output)
    victim = output / read_manifest(output / "manifest.csv").frame["path"].iloc[2]
    victim.unlink()
    outcome = run(chexpert, output)
    assert (outcome.made, outcome.kept) == (1, COUNT - 1)  # type: ignore[attr-defined]
    assert hashes(output) == hashes(whole)


def test_an_unreadable_image_is_reported_and_the_others_are_made(chexpert: Path, tmp_path: Path) -> None:
    rows = read_rows(chexpert)[:4]
    for row in rows:
        target = tmp_path / row["Path"]
        target.parent.mkdir(parents=True)
        target.write_bytes((chexpert.parents[1] / row["Path"]).read_bytes())
    (tmp_path / rows[0]["Path"]).write_bytes((tmp_path / rows[0]["Path"]).read_bytes()[:700])
    (tmp_path / rows[2]["Path"]).unlink()
    table = write_rows(tmp_path / "train.csv", rows)
    command = ["photograph", str(table), str(tmp_path / "out"), "--recipe", RECIPE, "--jobs", "1"]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 1
    failures = read_rows(tmp_path / "out/failures.csv")
    assert [row["file"] for row in failures] == [rows[0]["Path"], rows[2]["Path"]]
    assert "truncated JPEG" in failures[0]["reason"]
    assert "no such file" in failures[1]["reason"]
    assert (
        len(read_rows(tmp_path / "out/train.csv")) == len(read_manifest(tmp_path / "out/manifest.csv")) == 2
    )
    for row in (rows[0], rows[2]):
        (tmp_path / row["Path"]).write_bytes((chexpert.parents[1] / row["Path"]).read_bytes())
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 0
    assert "2 photos made, 2 were there" in said.output
    assert not (tmp_path / "out/failures.csv").exists()


def test_other_settings_in_the_same_folder_are_refused(chexpert: Path, whole: Path) -> None:
    before = hashes(whole)
    with pytest.raises(UsageError) as error:
        run(chexpert, whole, level=2)
    assert str(error.value) == (
        f"{whole} holds photos of an earlier run with level 1, this one asks for 2; "
        "give another folder, or the same settings to go on"
    )
    assert hashes(whole) == before


def test_chosen_devices_are_in_every_photo_and_in_the_settings(chexpert: Path, tmp_path: Path) -> None:
    chosen = {"phone": "budget", "place": "ward", "monitor": "laptop"}
    run(chexpert, tmp_path / "out", recipe="screen", patients=1, **chosen)
    assert json.loads((tmp_path / "out/photograph.json").read_text()).items() >= chosen.items()
    for text in read_manifest(tmp_path / "out/manifest.csv").frame["recipe"]:
        screen = json.loads(text)["steps"][0]["params"]
        assert (screen["phone"], screen["place"], screen["monitor"]["kind"]) == tuple(chosen.values())
    with pytest.raises(UsageError, match="an earlier run with phone 'budget', this one asks for None"):
        run(chexpert, tmp_path / "out", recipe="screen", patients=1)


def test_a_folder_that_holds_other_things_is_refused_and_left_alone(chexpert: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(
        UsageError, match=r"is not empty \(thesis.txt\) and no earlier run made it; give a new"
    ):
        run(chexpert, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_two_runs_at_once_in_one_folder_are_refused(chexpert: Path, tmp_path: Path) -> None:
    with locked(LocalStore(tmp_path)), pytest.raises(UsageError, match="another run is at work in"):
        run(chexpert, tmp_path)


@pytest.mark.parametrize(
    "path", ["../secret.jpg", "/etc/passwd", "a/../../secret.jpg", "C:\\x.jpg", "a\\..\\b.jpg"]
)
def test_a_path_that_leads_out_of_the_root_is_refused(chexpert: Path, tmp_path: Path, path: str) -> None:
    rows = read_rows(chexpert)[:2]
    rows[1]["Path"] = path
    with pytest.raises(ManifestError, match="row 2, column 'path'"):
        run(write_rows(tmp_path / "list.csv", rows), tmp_path / "out", root=str(chexpert.parents[1]))
    assert not (tmp_path / "out").exists()


def test_a_path_cannot_become_absolute_when_its_first_folder_is_left_out(
    chexpert: Path, tmp_path: Path
) -> None:
    rows = read_rows(chexpert)[:2]
    rows[0]["Path"] = rows[0]["Path"].replace("CheXpert-v1.0", "Small", 1)
    rows[1]["Path"] = "Small//etc/passwd"
    with pytest.raises(ManifestError, match="row 2, column 'path' has '/etc/passwd', an absolute path"):
        run(write_rows(tmp_path / "list.csv", rows), tmp_path / "out", root=str(chexpert.parent))


def test_the_data_set_may_lie_in_a_folder_of_another_name(
    chexpert: Path, whole: Path, tmp_path: Path
) -> None:
    rows = [
        {**row, "Path": row["Path"].replace("CheXpert-v1.0", "CheXpert-v1.0-small")}
        for row in read_rows(chexpert)
    ]
    run(write_rows(tmp_path / "train.csv", rows), tmp_path / "whole", root=str(chexpert.parent))
    assert hashes(tmp_path / "whole") == hashes(whole)


def test_images_that_are_nowhere_are_refused_before_anything_is_made(chexpert: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"no image such as 'CheXpert-v1.0/train/.*; name their folder with --root"
    ):
        run(write_rows(tmp_path / "list.csv", read_rows(chexpert)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_patients_are_sampled_whole_and_more_include_fewer(chexpert: Path, tmp_path: Path) -> None:
    drawn = {}
    for count in (1, 2):
        run(chexpert, tmp_path / str(count), patients=count, recipe="identity")
        drawn[count] = set(read_manifest(tmp_path / str(count) / "manifest.csv").frame["patient_id"])
        assert len(read_rows(tmp_path / str(count) / "train.csv")) == 2 * count  # two studies each
    assert len(drawn[2]) == 2
    assert drawn[1] < drawn[2]
    with pytest.raises(UsageError, match="--patients 9: the list has 4 patients; ask for fewer"):
        run(chexpert, tmp_path / "many", patients=9)


def test_copies_differ_and_the_first_is_the_one_without_copies(
    chexpert: Path, whole: Path, tmp_path: Path
) -> None:
    run(chexpert, tmp_path / "out", copies=2)
    made = hashes(tmp_path / "out")
    photos = {name: text for name, text in hashes(whole).items() if name.endswith(".jpg")}
    assert photos.items() <= made.items()
    again = {name.replace(RECIPE, f"{RECIPE}-copy2"): text for name, text in photos.items()}
    assert not again.items() & made.items()
    assert again.keys() <= made.keys()
    assert len(read_manifest(tmp_path / "out/manifest.csv")) == 2 * COUNT


def test_a_second_list_in_the_folder_leaves_the_first_ones_rows(chexpert: Path, tmp_path: Path) -> None:
    rows = read_rows(chexpert)
    for name, part in (("train", rows[:5]), ("more", rows[4:])):
        run(write_rows(tmp_path / f"{name}.csv", part), tmp_path / "out", root=str(chexpert.parents[1]))
    assert len(read_rows(tmp_path / "out/train.csv")) == 5
    assert len(read_rows(tmp_path / "out/more.csv")) == 4
    assert len(read_manifest(tmp_path / "out/manifest.csv")) == COUNT


def test_the_csv_is_named_after_its_list_and_another_list_of_the_name_is_refused(tmp_path: Path) -> None:
    for name, count in (("one/xrays", 3), ("more", 2), ("other/xrays", 1)):
        for number in range(count):
            write_image(tmp_path / name / f"{name[0]}{number}.png", np.zeros((20, 20), np.uint8))
    out = tmp_path / "out"
    run(tmp_path / "one/xrays", out, recipe="identity")
    run(tmp_path / "more", out, recipe="identity")
    assert [len(read_rows(out / name)) for name in ("xrays.csv", "more.csv")] == [3, 2]
    before = hashes(out)
    with pytest.raises(
        UsageError, match=r"out/xrays\.csv lists photos of another list of this name \(out/all/"
    ):
        run(tmp_path / "other/xrays", out, recipe="identity")
    assert hashes(out) == before
    run(tmp_path / "one/xrays", out, recipe="identity")
    run(out / "manifest.csv", tmp_path / "again", recipe="identity")
    assert len(read_rows(tmp_path / "again/manifest-photos.csv")) == 5


def test_a_manifest_and_a_folder_keep_their_own_ids(whole: Path, tmp_path: Path) -> None:
    run(whole / "manifest.csv", tmp_path / "twice", recipe="identity")
    assert (tmp_path / "twice/train/synthetic/identity/patient00000/study1/view1_frontal.jpg").is_file()
    pixels = np.zeros((20, 20), np.uint8)
    for name in ("a.png", "b/a.png", "b/c.jpg"):
        write_image(tmp_path / "plain" / name, pixels)
    run(tmp_path / "plain", tmp_path / "out", recipe="identity")
    made = sorted(name for name in hashes(tmp_path / "out") if name.endswith(".jpg"))
    assert made == [f"all/synthetic/identity/{name}" for name in ("a.png.jpg", "b/a.png.jpg", "b/c.jpg")]
    with pytest.raises(UsageError, match="put the photos outside of it"):
        run(tmp_path / "plain", tmp_path / "plain/photos")


def test_object_storage_takes_the_place_of_folders(chexpert: Path, whole: Path) -> None:
    pytest.importorskip("fsspec")
    home = open_store("memory://bucket")
    home.write("data/train.csv", chexpert.read_bytes())
    for row in read_rows(chexpert):
        home.write(f"data/{row['Path']}", (chexpert.parents[1] / row["Path"]).read_bytes())
    with pytest.raises(_Stop):
        run("memory://bucket/data/train.csv", "memory://bucket/whole", _stop_after(3))
    outcome = run("memory://bucket/data/train.csv", "memory://bucket/whole")
    assert (outcome.made, outcome.kept) == (COUNT - 3, 3)  # type: ignore[attr-defined]
    made = open_store("memory://bucket/whole")
    found = {name: hashlib.sha256(made.read(name) or b"").hexdigest() for name in made.files()}
    assert found == hashes(whole)
    with pytest.raises(UsageError, match=r"memory:// lives in one process; photograph it with --jobs 1"):
        run("memory://bucket/data/train.csv", "memory://bucket/x", jobs=2)
    home.remove("")


def test_a_photo_is_replayed_bit_for_bit(chexpert: Path, tmp_path: Path) -> None:
    output = tmp_path / "whole"
    run(chexpert, output, quality=80)
    rows = read_manifest(output / "manifest.csv").frame
    photo = output / rows["path"].iloc[1]
    before = photo.read_bytes()
    assert photograph_again(str(chexpert), str(output), "2").same is True
    photo.unlink()
    assert photograph_again(str(chexpert), str(output), rows["image_id"].iloc[1]).same is None
    assert photo.read_bytes() == before
    photo.write_bytes(b"changed")
    command = ["photograph", str(chexpert), str(output), "--replay", "2"]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 1
    assert "OTHER bytes" in said.output
    assert photo.read_bytes() == b"changed"
    with pytest.raises(UsageError, match="has no row '99'; give a number from 1, or an image_id"):
        photograph_again(str(chexpert), str(output), "99")


DOCS = Path(__file__).parents[2] / "docs/photograph.md"


@pytest.fixture
def own_effect(tmp_path: Path) -> Iterator[Path]:
    before = dict(EFFECTS)
    path = tmp_path / "vignette.py"
    code = re.search(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    path.write_text(code[1], encoding="utf-8")
    yield path
    EFFECTS.clear()
    EFFECTS.update(before)


def test_an_effect_of_the_users_own_works_in_every_process(
    chexpert: Path, own_effect: Path, tmp_path: Path
) -> None:
    options = {"recipe": "vignette+blur", "effects": (own_effect,), "level": 4}
    run(chexpert, tmp_path / "1/out", **options)
    run(chexpert, tmp_path / "2/out", jobs=2, **options)
    assert hashes(tmp_path / "1/out") == hashes(tmp_path / "2/out")
    photo = read_radiograph(next((tmp_path / "1").rglob("*.jpg"))).pixels
    assert photo[:4, :4].mean() < 0.6 * photo[15:25, 20:30].mean()


def test_progress_tells_rate_time_left_and_ends_at_the_total(chexpert: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    run(chexpert, tmp_path / "out", seen.append, recipe="identity")
    assert (seen[-1].done, seen[-1].total) == (COUNT, COUNT)
    assert "images/s, 0:00 left" in seen[-1].note


def test_the_journal_keeps_few_records_in_memory_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photograph_record, "BLOCK", 10)
    journal = Journal(LocalStore(tmp_path), "x", 200)
    most = 0
    for position in np.random.default_rng(1).permutation(200).tolist():
        journal.add(position, {"recipe": str(position)})
        most = max(most, sum(map(len, journal.open.values())))
    journal.flush()
    assert most <= 40
    found = [(position, record["recipe"]) for block in journal.blocks() for position, record in block]
    assert found == [(position, str(position)) for position in range(200)]


def test_the_list_explains_every_effect_and_recipe() -> None:
    from radsnap.photo import RECIPES

    said = CliRunner().invoke(app, ["photograph", "--list"]).output
    assert all(name in said for name in (*EFFECTS, *RECIPES, "mid-range", "reading-room", "medical-3mp"))


def test_the_preview_shows_the_first_xray(
    chexpert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from radsnap.jobs import photograph_preview

    monkeypatch.setattr(photograph_preview, "EFFECTS", {"identity": EFFECTS["identity"]})
    monkeypatch.setattr(photograph_preview, "RECIPES", {"chexphoto-digital": ()})
    said = CliRunner().invoke(app, ["photograph", str(chexpert), str(tmp_path), "--preview"])
    assert said.exit_code == 0, said.output
    sheet = read_radiograph(tmp_path / "preview.png").pixels
    left, right = (tuple(part.shape) for part in np.hsplit(sheet, 2))
    assert left == right == (30 + 154, 190 + 4 * 154)
    outcome = run(chexpert, tmp_path, recipe="identity")  # the preview does not make the folder a strange one
    assert outcome.made == COUNT  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "photograph takes SRC and DST"),
        (["a", "b"], "photograph needs --recipe; 'radsnap photograph --list' explains"),
        (
            ["a", "b", "--recipe", "identity", "--level", "9"],
            "level: Input should be less than or equal to 4, got 9",
        ),
        (["a", "b", "--recipe", "moir"], "no recipe or effect is called 'moir'; did you mean 'moire'?"),
        (["nowhere", "b", "--recipe", "identity"], "nowhere: no such folder"),
        (["a", "b", "--recipe", "screen", "--preview"], "leave out --preview to take photos"),
        (["a", "b", "--phone", "budget", "--preview"], "leave out --preview to take photos"),
        (
            ["a", "b", "--recipe", "blur", "--phone", "budget"],
            "a phone is chosen for a recipe with screen or film",
        ),
    ],
)
def test_wrong_usage_is_told_in_words(arguments: list[str], message: str) -> None:
    said = CliRunner().invoke(app, ["photograph", *arguments])
    assert isinstance(said.exception, UsageError)
    assert message in str(said.exception)
