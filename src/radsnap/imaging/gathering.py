"""Which files a user means: files, folders, globs and DICOM series become one sorted list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from radsnap.errors import UsageError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".heic", ".heif", ".bmp", ".gif"}
    | {".dcm", ".dicom", ".dic", ".ima"}
)


def find_images(paths: Iterable[str | os.PathLike[str]], *, recursive: bool = True) -> list[Path]:
    """List the image files that paths mean: each once, in the order of the paths, sorted within a path.

    A file is taken as it is, whatever its name, and so is a path that does not exist: reading it says so,
    and the rest of a batch goes on. A folder gives its images (by suffix, or by DICOM's mark for files
    without one), hidden files left out; a glob gives what it matches. Raises UsageError for a folder or a
    glob without images, and for no path at all.
    """
    found: dict[Path, None] = {}
    given = [Path(path) for path in paths]
    if not given:
        raise UsageError("no image named; give files, folders or patterns such as 'x-rays/*.jpg'")
    for path in given:
        found.update(dict.fromkeys(_expand(path, recursive)))
    return list(found)


def _expand(path: Path, recursive: bool) -> list[Path]:
    if path.is_dir():
        images = _folder(path, recursive)
        if not images:
            raise UsageError(f"{path}: the folder holds no images; name another, or the files themselves")
        return images
    if path.exists() or not any(mark in str(path) for mark in "*?["):
        return [path]
    matches = sorted((match for match in _glob(path) if not match.name.startswith(".")), key=_natural)
    images = [
        image for match in matches for image in (_folder(match, recursive) if match.is_dir() else [match])
    ]
    if not images:
        raise UsageError(f"{path}: the pattern matches no images; check it (and quote it for the shell)")
    return images


def _glob(pattern: Path) -> Iterator[Path]:
    root = Path(pattern.anchor) if pattern.anchor else Path()
    try:
        return root.glob(str(pattern.relative_to(pattern.anchor)))
    except (ValueError, NotImplementedError) as error:
        raise UsageError(f"{pattern}: not a pattern ({error}); use * for names and ** for folders") from error


def _folder(folder: Path, recursive: bool) -> list[Path]:
    images = []
    for parent, folders, names in os.walk(folder):  # links to folders are not followed: they may go round
        folders[:] = [name for name in folders if not name.startswith(".")] if recursive else []
        files = (Path(parent, name) for name in names if not name.startswith("."))
        images += [file for file in files if file.suffix.lower() in SUFFIXES or _is_bare_dicom(file)]
    return sorted(images, key=_natural)


def _is_bare_dicom(file: Path) -> bool:
    """Tell whether a file without a known suffix is DICOM; series come as IM0001 or as UIDs, with dots."""
    if file.name.upper() == "DICOMDIR" or not file.is_file():
        return False
    try:
        with file.open("rb") as opened:
            return opened.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _natural(path: Path) -> tuple[tuple[bool, int, str], ...]:
    """Sort 2 before 10, the way series are numbered."""
    parts: list[tuple[bool, int, str]] = []
    digits = ""
    for letter in f"{path}\0":
        if letter.isascii() and letter.isdigit():
            digits += letter
            continue
        if digits:
            parts.append((False, int(digits[:18]), digits))
            digits = ""
        parts.append((True, 0, letter))
    return tuple(parts)
