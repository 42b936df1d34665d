"""Reading many pictures: in order, as they come, in the memory of a few."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

import radsnap
from radsnap.errors import UnreadableImage, UsageError, WeightsError
from radsnap.imaging import Photo
from radsnap.jobs import diagnose as job
from radsnap.jobs.diagnose import DiagnoseConfig, diagnose_files
from radsnap.jobs.progress import Progress


@pytest.fixture(scope="module")
def models(tiny_chain: Path) -> dict[str, str]:
    names = {"gate": "gate", "kind": "kind", "model": "findings"}
    return {option: str(tiny_chain / f"{name}.card.json") for option, name in names.items()}


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chest") / "chest.png"
    cv2.imwrite(str(path), np.full((240, 320), 128, np.uint8))
    return path


def without_times(diagnosis: radsnap.reading.diagnosis.Diagnosis) -> dict:
    return {key: value for key, value in diagnosis.to_json().items() if key not in ("ms", "path")}


def test_the_public_function_gives_what_the_command_gives(chest: Path, models: dict[str, str]) -> None:
    (expected,) = diagnose_files(DiagnoseConfig(paths=(str(chest),), **models))
    photo = Photo(np.full((240, 320, 3), 128, np.uint8))
    for given in (chest, str(chest), chest.read_bytes(), photo):
        result = radsnap.diagnose(given, **models)
        assert without_times(result) == without_times(expected)
        assert result.path == (str(chest) if isinstance(given, str | Path) else None)
    assert radsnap.diagnose(chest, heat_maps=True, **models).heat_maps is not None


def test_the_public_function_raises_for_what_cannot_be_read(tmp_path: Path, models: dict[str, str]) -> None:
    with pytest.raises(UnreadableImage, match="no such file"):
        radsnap.diagnose(tmp_path / "absent.jpg", **models)
    with pytest.raises(UnreadableImage, match="the file is empty"):
        radsnap.diagnose(b"", **models)


def test_a_missing_model_is_told_before_the_first_picture(chest: Path, models: dict[str, str]) -> None:
    with pytest.raises(WeightsError, match="no model 'nothing'"):
        next(diagnose_files(DiagnoseConfig(paths=(str(chest),), **{**models, "model": "nothing"})))


def test_progress_is_reported_for_every_picture(chest: Path, models: dict[str, str], tmp_path: Path) -> None:
    seen: list[Progress] = []
    config = DiagnoseConfig(paths=(str(chest), str(tmp_path / "absent.jpg")), **models)
    assert [diagnosis.ok for diagnosis in diagnose_files(config, seen.append)] == [True, False]
    assert seen == [Progress(1, 2), Progress(2, 2)]


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="modle"):
        DiagnoseConfig.model_validate({"paths": ("a.jpg",), "modle": "x"})


def test_a_heat_map_folder_that_is_a_file_is_wrong_usage(chest: Path, models: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="cannot be made a folder"):
        list(diagnose_files(DiagnoseConfig(paths=(str(chest),), heat_maps=chest, **models)))


def test_results_come_in_order_whichever_is_done_first() -> None:
    def slow_first(item: int) -> int:
        time.sleep(0.02 if item % 3 == 0 else 0)
        return item

    assert list(job._ahead(slow_first, range(20), workers=3)) == list(range(20))


def test_no_more_than_a_few_pictures_are_at_work_ahead_of_the_consumer() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            drawn.append(item)
            yield item

    results = job._ahead(lambda item: item, items(), workers=2)
    for _ in range(10):
        next(results)
        time.sleep(0.001)
        assert len(drawn) <= 10 + 3
    results.close()
    assert len(drawn) <= 13


def test_several_pictures_are_at_work_at_a_time() -> None:
    meeting = threading.Barrier(2, timeout=10)
    assert list(job._ahead(lambda _: meeting.wait() >= 0, range(2), workers=2)) == [True, True]


def test_a_fault_of_ours_is_not_swallowed() -> None:
    def broken(item: int) -> int:
        raise ZeroDivisionError(item)

    with pytest.raises(ZeroDivisionError):
        list(job._ahead(broken, range(5), workers=2))


@pytest.mark.parametrize(
    ("name", "slug"),
    [("../../etc/passwd", "etc_passwd"), ("a b\n<c>", "a_b_c"), ("...", "picture"), ("x" * 300, "x" * 80)],
)
def test_names_of_written_files_cannot_leave_their_folder(name: str, slug: str) -> None:
    assert job._slug(name) == slug
