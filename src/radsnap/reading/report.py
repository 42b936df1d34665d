"""The report: one HTML file that needs nothing else, for a desk's screen and a phone."""

from __future__ import annotations

import base64
import hashlib
import shutil
import tempfile
import uuid
from collections import Counter
from datetime import datetime
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from radsnap import __version__
from radsnap.errors import UsageError
from radsnap.imaging import Photo, Radiograph, encode_jpeg
from radsnap.models.card import Card, Figure
from radsnap.reading.diagnosis import WORDS, Diagnosis, Finding
from radsnap.reading.heatmaps import ByteArray, FloatArray, colour

NOTICE = "Research software, not a medical device. Nothing here replaces a radiologist's reading."

_HERE = Path(__file__).parent
# A browser stretches a heat map smoothly; this many pixels are enough for a grid of 8 × 8.
_HEAT_PX = 96
_KIND_NAMES = {"chest_frontal": "Frontal chest", "chest_lateral": "Lateral chest"}


def preview(image: Radiograph | Photo, longest_px: int = 1024) -> ByteArray:
    """Make the picture to show: RGB uint8 (H, W, 3), not longer than `longest_px`."""
    pixels = image.pixels
    height, width = pixels.shape[:2]
    scale = longest_px / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    if isinstance(image, Radiograph):
        return np.repeat(np.rint(pixels * 255).astype(np.uint8)[..., None], 3, axis=2)
    return np.asarray(pixels, dtype=np.uint8)


class ReportWriter:
    """Writes a report picture by picture, in the memory of one; under its name stands a whole file or none.

    Use as a context manager: the file appears when the block ends without an exception.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        if not self._path.absolute().parent.is_dir():
            raise UsageError(f"no folder {self._path.parent} for the report; make it first")
        if self._path.is_dir():
            raise UsageError(f"{path} is a folder; give the report a file name, such as {path}/report.html")
        self._body = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._index: list[str] = []
        self._counts: Counter[str] = Counter()
        self._cards: dict[str, Card] = {}

    def add(self, diagnosis: Diagnosis, case: str) -> None:
        """Add what `render_case` made of a diagnosis."""
        number = len(self._index) + 1
        self._body.write(f'<article class="case" id="case-{number}">\n{case}</article>\n')
        name, (css, says) = escape(_name(diagnosis)), _verdict(diagnosis)
        self._index.append(
            f'<li><a href="#case-{number}"><span class="name">{name}</span>'
            f'<span class="says {css}"><span class="word">{escape(says)}</span></span></a></li>'
        )
        self._counts.update(_counted(diagnosis))
        self._cards.update({card.sha256: card for card in diagnosis.cards.values()})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._body:
            if kind is None:
                self._finish()

    def _finish(self) -> None:
        partial = self._path.with_name(f".{uuid.uuid4().hex}.part")
        try:
            with partial.open("w", encoding="utf-8", errors="replace") as file:
                file.write(_head(self._counts, self._index))
                self._body.seek(0)
                shutil.copyfileobj(self._body, file)
                file.write(_foot(list(self._cards.values())))
            partial.replace(self._path)
        finally:
            partial.unlink(missing_ok=True)


def render_case(diagnosis: Diagnosis, picture: ByteArray | None) -> str:
    """Render one picture's part of the report. picture: RGB uint8 (H, W, 3), None when unreadable.

    Everything that comes from outside (paths, messages, names in cards) is escaped.
    """
    name, folder = escape(_name(diagnosis)), escape(str(Path(diagnosis.path or "").parent))
    header = f"<header><h2>{name}</h2>{f'<p>{folder}</p>' if diagnosis.path else ''}</header>\n"
    if not diagnosis.ok or picture is None:
        return f'{header}<p class="reason fault">{escape(diagnosis.error or "no picture")}</p>\n'
    order = _ordered(diagnosis)
    maps = {} if diagnosis.heat_maps is None else dict(diagnosis.heat_maps.maps)
    heats = {finding: _heat_uri(diagnosis, finding, picture) for finding in order if finding in maps}
    shown = next(iter(heats), None)
    parts = [_chain(diagnosis)]
    if diagnosis.reason:
        parts.append(f'<p class="reason">{escape(diagnosis.reason)}</p>')
    if order:
        parts.append(_findings(diagnosis, order, heats, shown))
    parts += [_quality(diagnosis), _details(diagnosis)]
    return (
        f'{header}<div class="split">\n<div class="view">{_film(picture, heats, shown)}{_no_heat(diagnosis)}</div>\n'
        f'<div class="read">{"".join(parts)}</div>\n</div>\n'
    )


def _film(picture: ByteArray, heats: dict[str, str], shown: str | None) -> str:
    height, width = picture.shape[:2]
    source = _data_uri("image/jpeg", encode_jpeg(picture, quality=85))
    heat = f'<img class="heat" src="{heats[shown]}" alt="">' if shown else ""
    slider = (
        '<label class="slide">Heat map <input type="range" min="0" max="100" value="60"></label>'
        if shown
        else ""
    )
    hint = (
        f'<p class="hint">Shown: <b>{escape(shown)}</b>. Bright is where the network looked most for it, '
        "each map against its own maximum. It is not an outline of disease.</p>"
        if shown
        else ""
    )
    return (
        f'<div class="stage"><div class="film"><img class="picture" src="{source}" width="{width}" height="{height}" '
        f'alt="The picture that was read">{heat}</div></div>\n'
        f'<div class="tools">{slider}<label><input type="checkbox"> Invert</label></div>{hint}'
    )


def _no_heat(diagnosis: Diagnosis) -> str:
    reason = diagnosis.heat_maps.reason if diagnosis.heat_maps else None
    return f'<p class="hint">No heat map: {escape(reason)}.</p>' if reason else ""


def _chain(diagnosis: Diagnosis) -> str:
    gate, kind, findings = diagnosis.gate, diagnosis.kind, diagnosis.findings
    steps = []
    if gate is not None:
        answer, css = ("Yes", "yes") if gate.passed else ("No", "stop")
        steps.append((css, "Is it an x-ray?", answer, f"{gate.xray:.3f}, bar {gate.threshold:.2f}"))
    if kind is None:
        steps.append(("idle", "Which?", "Not asked", ""))
    else:
        css = "stop" if findings is None else "yes"
        domain = f", {diagnosis.domain}" if diagnosis.domain else ""
        steps.append((css, "Which?", kind_name(kind.label), f"{kind.scores[kind.label]:.3f}{domain}"))
    if findings is None:
        steps.append(("idle", "What is seen?", "Not asked", ""))
    else:
        css, says = _verdict(diagnosis)
        steps.append(("found" if css == "likely" else css, "What is seen?", says, f"{len(findings)} asked"))
    items = "".join(
        f'<li class="{css}"><span class="ask">{ask}</span><span class="answer">{escape(answer)}</span>'
        f'<span class="figure">{escape(figure)}</span></li>'
        for css, ask, answer, figure in steps
    )
    return f'<ol class="chain">{items}</ol>\n'


def _findings(diagnosis: Diagnosis, order: list[str], heats: dict[str, str], shown: str | None) -> str:
    group = f"heat-{uuid.uuid4().hex[:12]}"
    rows = []
    for name in order:
        finding = (diagnosis.findings or {})[name]
        radio, tag = "", "div"
        if name in heats:
            checked = " checked" if name == shown else ""
            radio = f'<input type="radio" name="{group}" value="{escape(name)}" data-heat="{heats[name]}"{checked}>'
            tag = "label"
        css = "unassessed" if finding.word == "not assessed" else finding.word
        probability = "" if finding.probability is None else f"{finding.probability:.0%}"
        rows.append(
            f'<{tag} class="row {css}" title="{escape(finding.reason)}">{radio}<span class="what">{escape(name)}</span>'
            f'{_bar(finding)}<span class="score">{finding.score:.2f}</span><span class="prob">{probability}</span>'
            f'<span class="word">{finding.word}</span></{tag}>'
        )
    key = _key(diagnosis)
    return f'<fieldset class="block"><legend>Findings</legend>{"".join(rows)}<p class="key">{key}</p></fieldset>\n'


def _key(diagnosis: Diagnosis) -> str:
    findings = (diagnosis.findings or {}).values()
    parts = ["Bar and number: the network's score."]
    if any(finding.operating_point for finding in findings):
        parts.append("Marks: from the first on possible, from the second on likely.")
    if any(finding.probability is not None for finding in findings):
        parts.append("Percent: calibrated probability.")
    if any(finding.word == "not assessed" for finding in findings):
        reason = next(finding.reason for finding in findings if finding.word == "not assessed")
        parts.append(f"Not assessed: {escape(reason)}.")
    return " ".join(parts)


def _bar(finding: Finding) -> str:
    point, marks = finding.operating_point, ""
    if point is not None:
        marks = "".join(
            f'<line class="mark{css}" x1="{100 * at:.1f}" x2="{100 * at:.1f}" y1="0" y2="10"/>'
            for css, at in ((" low", point.possible), ("", point.score))
        )
    return (
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="rail" y="3" width="100" height="4"/>'
        f'<rect class="fill" y="3" width="{100 * finding.score:.1f}" height="4"/>{marks}</svg>'
    )


def _quality(diagnosis: Diagnosis) -> str:
    if diagnosis.kind is None:
        return ""
    remarks = "".join(f"<li>{escape(remark.sentence)}</li>" for remark in diagnosis.quality)
    body = f'<ul class="remarks">{remarks}</ul>' if remarks else '<p class="fine">Nothing to remark.</p>'
    return f'<section class="block"><h3>Picture quality</h3>{body}</section>\n'


def _details(diagnosis: Diagnosis) -> str:
    times = ", ".join(f"{stage} {duration:.0f}" for stage, duration in diagnosis.ms.items())
    models = ", ".join(f"{card.name} {card.sha256[:10]}" for card in diagnosis.cards.values())
    scores = sorted((diagnosis.kind.scores if diagnosis.kind else {}).items(), key=lambda item: -item[1])
    kinds = ", ".join(f"{kind_name(name)} {score:.3f}" for name, score in scores[:4])
    rows = {"File": diagnosis.path or "", "Kinds": kinds, "Models": models, "Milliseconds": times}
    items = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows.items() if value)
    return f'<details class="more"><summary>How this was read</summary><dl>{items}</dl></details>\n'


def _head(counts: Counter[str], index: list[str]) -> str:
    style, script = _asset("report.css"), _asset("report.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    numbers = "".join(f"<li><b>{counts[name]}</b>{name}</li>" for name in _COUNTED if counts[name])
    opened = " open" if len(index) <= 12 else ""
    listed = (
        f'<ul class="counts">{numbers}</ul>\n<details class="index"{opened}><summary>All pictures</summary><ol>{"".join(index)}</ol></details>\n'
        if len(index) > 1
        else ""
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<title>radsnap: reading</title>\n'
        f'<style>{style}</style>\n</head>\n<body>\n<main class="page">\n'
        f'<div class="top"><h1>radsnap</h1><p class="dim">reading of {now}</p></div>\n'
        f'<p class="notice">{NOTICE}</p>\n{listed}'
    )


def _foot(cards: list[Card]) -> str:
    models = "".join(_model(card) for card in cards)
    section = (
        f'<section class="models"><h2>The models and their limits</h2>{models}</section>\n' if models else ""
    )
    return (
        f'{section}<footer class="foot"><p>radsnap {__version__}. {NOTICE}</p></footer>\n</main>\n'
        f"<script>{_asset('report.js')}</script>\n</body>\n</html>\n"
    )


def _model(card: Card) -> str:
    caveats = "".join(f"<li>{escape(caveat)}</li>" for caveat in card.caveats)
    figures = "".join(f"<li>{escape(_figure(figure))}</li>" for figure in card.figures)
    measured = f"<details><summary>Measured figures</summary><ul>{figures}</ul></details>" if figures else ""
    about = (
        f"{card.network}, {card.input.size_px} px, {card.precision}. Trained on {', '.join(card.training.data)}. "
        f"Licence: {card.training.licence}."
    )
    return (
        f'<section><h3>{escape(card.name)} <span class="dim">{card.sha256[:12]}</span></h3>'
        f'<p class="dim">{escape(about)}</p><ul>{caveats}</ul>{measured}</section>'
    )


def _figure(figure: Figure) -> str:
    what = f"{figure.measure}, {figure.subject}, {figure.data}"
    if figure.value is None:
        return f"{what}: undefined, {figure.reason}"
    interval = "" if figure.low is None or figure.high is None else f" [{figure.low:.3f}, {figure.high:.3f}]"
    return f"{what}: {figure.value:.3f}{interval}, n = {figure.n}"


_COUNTED = (
    "pictures",
    "unreadable",
    "not an x-ray",
    "not assessed",
    "read",
    "with likely findings",
)


def _counted(diagnosis: Diagnosis) -> list[str]:
    if not diagnosis.ok:
        return ["pictures", "unreadable"]
    if diagnosis.findings is None:
        return ["pictures", "not an x-ray" if diagnosis.kind is None else "not assessed"]
    return ["pictures", "read"] + (["with likely findings"] if diagnosis.said("likely") else [])


def _verdict(diagnosis: Diagnosis) -> tuple[str, str]:
    """A CSS class and a few words: what came out."""
    if not diagnosis.ok:
        return "likely", "unreadable"
    if diagnosis.findings is None:
        return "possible", "not an x-ray" if diagnosis.kind is None else "not assessed"
    for word in ("likely", "possible"):
        if named := diagnosis.said(word):
            return word, f"{named[0]} {word}" if len(named) == 1 else f"{len(named)} {word}"
    if diagnosis.said("unlikely"):
        return "yes", "Nothing likely"
    return "unassessed", "Scores only"


def _ordered(diagnosis: Diagnosis) -> list[str]:
    findings = diagnosis.findings or {}
    return sorted(findings, key=lambda name: (WORDS.index(findings[name].word), -findings[name].score))


def kind_name(label: str) -> str:
    """Name a kind of x-ray for people."""
    return _KIND_NAMES.get(label) or label.replace("_", ", ").capitalize()


def _heat_uri(diagnosis: Diagnosis, name: str, picture: ByteArray) -> str:
    assert diagnosis.heat_maps is not None
    height, width = picture.shape[:2]
    scale = _HEAT_PX / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return _png_uri(diagnosis.heat_maps.on(name, *size))


def _png_uri(heat: FloatArray) -> str:
    done, data = cv2.imencode(".png", cv2.cvtColor(colour(heat), cv2.COLOR_RGBA2BGRA))
    if not done:
        raise RuntimeError("OpenCV cannot encode a small PNG")
    return _data_uri("image/png", data.tobytes())


def _data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def _name(diagnosis: Diagnosis) -> str:
    return Path(diagnosis.path).name if diagnosis.path else "picture"


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
