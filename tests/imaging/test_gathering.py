"""Which files a user means."""

from __future__ import annotations

from pathlib import Path

import pytest

from radsnap.errors import UsageError
from radsnap.imaging import find_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b10.jpg",
        "b2.jpg",
        "sub/a.PNG",
        "notes.txt",
        ".hidden.jpg",
        ".cache/x.jpg",
        "series/DICOMDIR",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for name in ("IM10", "IM9", "1.2.840.7"):
        (tmp_path / "series" / name).write_bytes(bytes(128) + b"DICM")
    (tmp_path / "empty").mkdir()
    return tmp_path


def names(found: list[Path], root: Path) -> list[str]:
    return [file.relative_to(root).as_posix() for file in found]


def test_a_folder_gives_its_images_sorted_as_people_number_them(folder: Path) -> None:
    expected = ["b2.jpg", "b10.jpg", "series/1.2.840.7", "series/IM9", "series/IM10", "sub/a.PNG"]
    assert names(find_images([folder]), folder) == expected
    assert names(find_images([folder], recursive=False), folder) == ["b2.jpg", "b10.jpg"]


def test_files_and_patterns_come_in_the_order_given_and_once(folder: Path) -> None:
    found = find_images([folder / "notes.txt", str(folder / "*.jpg"), folder / "b2.jpg", folder / "series"])
    expected = [
        "notes.txt",
        ".hidden.jpg",
        "b2.jpg",
        "b10.jpg",
        "series/1.2.840.7",
        "series/IM9",
        "series/IM10",
    ]
    assert names(found, folder) == [name for name in expected if name != ".hidden.jpg"]


def test_a_path_that_does_not_exist_is_left_for_the_reader_to_report(folder: Path) -> None:
    assert find_images([folder / "gone.jpg"]) == [folder / "gone.jpg"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(folder: Path) -> None:
    odd = folder / "scan[1].jpg"
    odd.write_bytes(b"x")
    assert find_images([odd]) == [odd]


def test_links_that_go_round_end(folder: Path) -> None:
    (folder / "sub" / "round").symlink_to(folder)
    assert len(find_images([folder])) == 6


def test_nothing_found_is_wrong_usage_in_words(folder: Path) -> None:
    with pytest.raises(UsageError, match="empty: the folder holds no images; name another"):
        find_images([folder / "empty"])
    with pytest.raises(UsageError, match="the pattern matches no images"):
        find_images([folder / "*.heic"])
    with pytest.raises(UsageError, match="no image named; give files, folders or patterns"):
        find_images([])
