"""Foreign models as commands, in the protocol of the CheXpert competition: `cmd IN.csv OUT.csv`."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from radsnap.errors import PredictionsError, UsageError
from radsnap.tables import Manifest, Predictions, by_study, read_predictions
from radsnap.tables.predictions import KEYS
from radsnap.tables.storage import read_text, write_table

Views = Literal["max", "mean"]
Key = Literal["image", "study"]
OUT = "OUT.csv"
_TAIL_BYTES = 2000
_SHOWN = 3


def ask_command(command: str, manifest: Manifest, *, by: Key, views: Views, timeout_s: float) -> Predictions:
    """Ask a command for its scores: IN.csv has one column `Path`, OUT.csv one row a study (or image).

    OUT.csv names its rows by `Study`, `Path`, `study_id` or `image_id`, in any order; a study is the folder
    of its images, as in the competition, or the manifest's study_id. The result has the manifest's order.
    Raises PredictionsError naming row and column, or saying how the command failed.
    """
    with tempfile.TemporaryDirectory(prefix="radsnap-") as folder:
        given, answer = Path(folder, "in.csv"), Path(folder, "out.csv")
        files = [str((manifest.root / path).absolute()) for path in manifest.frame["path"]]
        write_table(pd.DataFrame({"Path": files}), given)
        _run(command, given, answer, timeout_s)
        predictions = _checked(answer, manifest, files, by, command)
    if predictions.key == "image":
        return by_study(predictions, views, manifest) if by == "study" else predictions
    if by == "image":
        raise PredictionsError(
            f"'{command}' answers one row a study; ask with --by study, or let it name its rows by Path"
        )
    return predictions


def _run(command: str, given: Path, answer: Path, timeout_s: float) -> None:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"the command {command!r} cannot be split into words: {error}") from error
    if not words:
        raise UsageError("the command is empty; give one that takes IN.csv and OUT.csv")
    with (given.parent / "said").open("w+b") as said:
        try:
            process = subprocess.Popen(
                [*words, str(given), str(answer)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that what it starts can be ended with it
            )
        except OSError as error:
            raise UsageError(f"'{words[0]}' cannot be started: {error.strerror}") from error
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise PredictionsError(
                f"'{command}' had not answered after {timeout_s:g} s and was ended; give it more by --timeout"
            ) from error
        finally:
            _end(process)
        if code != 0:
            how = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
            raise PredictionsError(f"'{command}' failed with {how}{_last_words(said.fileno())}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command and all that it started, and wait for it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_words(said: int) -> str:
    size = os.fstat(said).st_size
    tail = os.pread(said, _TAIL_BYTES, max(0, size - _TAIL_BYTES)).decode("utf-8", "replace")
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    if not lines:
        return "; it said nothing"
    return "; it said last: " + "".join(letter if letter.isprintable() else "?" for letter in lines[-1][:300])


def _checked(answer: Path, manifest: Manifest, files: Sequence[str], by: Key, command: str) -> Predictions:
    """Read and check OUT.csv. Errors speak of it as `the command: OUT.csv`."""
    if not answer.is_file():
        raise PredictionsError(f"'{command}' ended well but wrote no OUT.csv; it is given IN.csv and OUT.csv")
    try:
        said = read_predictions(answer)
        column, given = _given_names(answer)
        key, ids = _identified(given, column, manifest, files, by)
        _refuse_doubles(ids, column)
        wanted = list(dict.fromkeys(manifest.frame[f"{key}_id"]))
        _refuse_gaps(ids, wanted, key)
    except PredictionsError as error:
        text = str(error).replace(str(answer), "OUT.csv")
        raise PredictionsError(f"'{command}': {text}") from error
    frame = said.frame.set_axis(pd.Index(ids, name=key), axis="index").loc[wanted]
    return Predictions(frame, key, Path(shlex.split(command)[-1]).stem)


def _given_names(answer: Path) -> tuple[str, list[str]]:
    table = read_text(answer, PredictionsError)
    columns = {str(name).lower(): str(name) for name in table.columns}
    column = next(columns[name] for name in KEYS if name in columns)
    return column, table[column].str.strip().tolist()


def _identified(
    given: Sequence[str], column: str, manifest: Manifest, files: Sequence[str], by: Key
) -> tuple[Key, list[str]]:
    """Say what the rows are, images or studies, and which. Raises PredictionsError for a row that is neither."""
    names = {"image": _image_names(manifest, files), "study": _study_names(manifest, files)}
    order: tuple[Key, Key] = ("image", "study") if by == "image" else ("study", "image")
    hits = {key: sum(one in names[key] for one in given) for key in order}
    key = max(order, key=lambda one: hits[one])
    for row, one in enumerate(given):
        if one not in names[key]:
            raise PredictionsError(
                f"{OUT}: row {row + 1}, column '{column}': '{one}' was not asked for; name the rows by the Path "
                "of IN.csv, or by the folder of a study's images"
            )
    return key, [names[key][one] for one in given]


def _image_names(manifest: Manifest, files: Sequence[str]) -> dict[str, str]:
    frame = manifest.frame
    ids = frame["image_id"].tolist()
    return {
        **dict(zip(frame["path"], ids, strict=True)),
        **dict(zip(files, ids, strict=True)),
        **dict(zip(ids, ids, strict=True)),
    }


def _study_names(manifest: Manifest, files: Sequence[str]) -> dict[str, str]:
    """Map the names of studies to their ids; a folder with images of several studies names none of them."""
    names: dict[str, str] = {}
    shared: set[str] = set()
    studies = manifest.frame["study_id"].tolist()
    for study, path, file in zip(studies, manifest.frame["path"], files, strict=True):
        for folder in (str(Path(path).parent), str(Path(file).parent)):
            if names.setdefault(folder, study) != study:
                shared.add(folder)
    return {name: study for name, study in names.items() if name not in shared} | dict(
        zip(studies, studies, strict=True)
    )


def _refuse_doubles(ids: Sequence[str], column: str) -> None:
    first: dict[str, int] = {}
    for row, one in enumerate(ids):
        if one in first:
            raise PredictionsError(
                f"{OUT}: row {row + 1}, column '{column}': '{one}' stands in row {first[one] + 1} already; "
                "answer once"
            )
        first[one] = row


def _refuse_gaps(ids: Sequence[str], wanted: Sequence[str], key: Key) -> None:
    there = set(ids)
    missing = [one for one in wanted if one not in there]
    if missing:
        plural = "images" if key == "image" else "studies"
        raise PredictionsError(
            f"{OUT} has {len(ids)} of {len(wanted)} {plural}; missing are "
            f"{', '.join(missing[:_SHOWN])}{', ...' if len(missing) > _SHOWN else ''}"
        )
