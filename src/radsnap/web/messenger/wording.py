"""What is sent back: a few lines that a phone shows whole, and the picture with the heat of its foremost finding."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from radsnap.errors import ImageError
from radsnap.imaging import Photo, encode_jpeg, read_image
from radsnap.reading.heatmaps import overlay, upsample
from radsnap.reading.likeness import likeness
from radsnap.reading.report import NOTICE, kind_name, preview
from radsnap.web.errors import api_error
from radsnap.web.reading import unpack_heat
from radsnap.web.storage.new import NewCase

_SENT_PX = 1280
_OPACITY = 0.5
_DOMAINS = {"digital": "digital file", "screen": "photo of a screen", "film": "photo of a film"}
_UNSAID = ("not assessed", "unlikely")

HELP = f"""Send a photo of a chest x-ray: fill the frame with the film or the screen, without flash, and leave names out of \
the picture. Sent as a document it keeps its quality. The answer says what a network sees, and where.

{NOTICE}"""
LATER = "The picture could not be read now. Please send it again in a few minutes."


def answer(new: NewCase, thumbnail: bytes) -> str:
    """Put a reading into words: is it an x-ray, which, what is seen, what spoils the photo, and the notice."""
    told = new.diagnosis
    parts = [*_seen(told, thumbnail), _photo(told), NOTICE]
    return "\n\n".join(part for part in parts if part)


def refusal(error: ImageError) -> str:
    """Say what is wrong with a file, and what to do."""
    known = api_error(error)
    return f"This file cannot be read. {_sentence(known.message)} {_sentence(known.what_to_do)}"


def picture(new: NewCase) -> tuple[bytes, str] | None:
    """Lay the heat of the foremost finding over the picture: a JPEG and the finding; None where nothing stands out."""
    files = {file.role: file.path for file in new.files}
    if "heat" not in files:
        return None
    heat = unpack_heat(files["heat"].read_bytes())
    name = next(
        (
            name
            for name in (*_said(new.diagnosis, "likely"), *_said(new.diagnosis, "possible"))
            if name in heat
        ),
        None,
    )
    if name is None:
        return None
    decoded = cv2.imdecode(np.frombuffer(files["picture"].read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert decoded is not None, "a worker left it"
    small = preview(Photo(np.asarray(decoded, np.uint8)), _SENT_PX)
    warm = upsample(heat[name].astype(np.float32) / np.float32(255), *small.shape[:2])
    return encode_jpeg(overlay(small, warm, _OPACITY), 85), name


def thumbnail_of(new: NewCase) -> bytes:
    """Read the thumbnail that a worker left."""
    path: Path = next(file.path for file in new.files if file.role == "thumbnail")
    return path.read_bytes()


def _seen(told: Mapping[str, Any], thumbnail: bytes) -> list[str]:
    gate, kind, findings = told["gate"], told["kind"], told.get("findings")
    if gate and not gate["passed"]:
        return ["This does not look like an x-ray.", likeness(read_image(thumbnail))]
    what = kind_name(kind["label"]) if kind else "X-ray"
    domain = _DOMAINS.get(told["domain"] or "")
    title = f"X-ray: {what[:1].lower()}{what[1:]}{f' ({domain})' if domain else ''}."
    if findings is None:
        return [title, "Findings are read on frontal chest x-rays only."]
    lines = [
        f"{word.capitalize()}: {', '.join(_figure(name, findings[name]) for name in named)}."
        for word in ("likely", "possible")
        if (named := _said(told, word))
    ]
    counts = {word: len(_said(told, word)) for word in _UNSAID}
    if not lines and counts["unlikely"]:
        lines.append("Nothing stands out. That does not mean that nothing is there.")
    if counts["not assessed"]:
        lines.append(f"Not assessed on such a picture: {counts['not assessed']} of {len(findings)} findings.")
    return [title, "\n".join(lines)]


def _figure(name: str, finding: Mapping[str, Any]) -> str:
    probability = finding["probability"]
    return name if probability is None else f"{name} ({probability:.0%})"


def _photo(told: Mapping[str, Any]) -> str:
    if not told["quality"]:
        return ""
    remarks = " ".join(remark["sentence"] for remark in told["quality"])
    return f"A better photo would be read better. {remarks} Sent as a document, it keeps its quality."


def _said(told: Mapping[str, Any], word: str) -> list[str]:
    findings = told.get("findings") or {}
    named = [name for name, finding in findings.items() if finding["word"] == word]
    return sorted(named, key=lambda name: -float(findings[name]["score"]))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."
