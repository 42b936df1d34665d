"""What the pages show of cases: their JSON as lines for a person. No pixels, no requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from radsnap.models.card import Card, Domain, Threshold
from radsnap.reading.diagnosis import WORDS, Word
from radsnap.reading.report import kind_name

Json = Mapping[str, Any]

# What can be taken along: name, what it is.
_EXPORTS = {
    "pdf": ("PDF", "a page to print"),
    "dcm": ("DICOM image", "picture and heat map"),
    "sr.dcm": ("DICOM report", "structured"),
    "json": ("JSON", "for programs"),
    "csv": ("CSV", "for a table"),
}
_GROUPS: Mapping[Word, tuple[str, str]] = {
    "likely": ("likely", "Likely"),
    "possible": ("possible", "Possible"),
    "unlikely": ("unlikely", "Unlikely"),
    "not assessed": ("unassessed", "Not assessed, score only"),
}
_DOMAINS = {"digital": "digital file", "screen": "photo of a screen", "film": "photo of a film"}


@dataclass(frozen=True)
class Step:
    """One link of the chain."""

    css: str
    ask: str
    answer: str
    figure: str


@dataclass(frozen=True)
class Row:
    """One finding. `place` is where its score lies on the bar and `zones` are the bar's parts, from and to, all in
    percent; `heat` is an address or empty, `inside` says how much of that heat lies in the lungs."""

    name: str
    css: str
    word: str
    why: str
    probability: str
    probability_is: str
    place: str
    zones: tuple[tuple[str, float, float], ...]
    heat: str
    inside: str


@dataclass(frozen=True)
class Group:
    """The findings that carry one word."""

    css: str
    title: str
    rows: tuple[Row, ...]
    folded: bool


@dataclass(frozen=True)
class Brief:
    """A case in a list: what came out, of what, when."""

    id: str
    title: str
    css: str
    under: str
    at: str
    at_iso: str
    image: str
    thumbnail: str
    verdict: str


@dataclass(frozen=True)
class Full(Brief):
    """A case on its page. `exports` are name, what it is, address; `agrees` is the verdict as the API says it.

    `outline` are the corners of the x-ray in a photo, "x,y" as shares of its sides; empty without one.
    """

    width: int
    height: int
    chain: tuple[Step, ...]
    groups: tuple[Group, ...]
    shown: str
    heats: bool
    reason: str
    likeness: str
    remarks: tuple[str, ...]
    key: str
    agrees: str
    note: str
    facts: tuple[tuple[str, str], ...]
    caveats: tuple[str, ...]
    exports: tuple[tuple[str, str, str], ...]
    outline: str
    outline_sure: bool
    straightened: str


@dataclass(frozen=True)
class Side:
    """A finding's word on one side of a comparison."""

    css: str
    word: str
    figure: str


@dataclass(frozen=True)
class Line:
    """A finding on both sides of a comparison."""

    name: str
    sides: tuple[Side, ...]


def brief(case: Json, cards: Mapping[str, Card]) -> Brief:
    """Say in two lines what came out of a case. case: a CaseSummary's JSON; cards: those in use, by stage."""
    css, title = _headline(case, cards)
    at = datetime.fromisoformat(case["created_at"]).astimezone(UTC)
    parts = (kind_name(case["kind"]) if case["kind"] else "", _DOMAINS.get(case["domain"] or "", ""))
    return Brief(
        id=case["id"],
        title=title,
        css=css,
        under=" · ".join(part for part in parts if part),
        at=at.strftime("%-d %b %Y, %H:%M UTC"),
        at_iso=at.isoformat(),
        image=f"/api/v1/cases/{case['id']}/image.jpg",
        thumbnail=case["thumbnail_url"],
        verdict=_PAST.get(case["verdict"] or "", ""),
    )


def full(case: Json, cards: Mapping[str, Card], likeness: str = "") -> Full:
    """Lay out a case for its page. case: a CaseOut's JSON; likeness: what a picture that is no x-ray looks like."""
    read, heats = case["diagnosis"], case["heat_map_urls"]
    outline: Json = read.get("outline") or {}
    used = _cards_used(read, cards)
    summary = brief(case, cards)
    groups = _groups(read, used.get("findings"), heats)
    remarks = tuple(remark["sentence"] for remark in read["quality"])
    offered = case["export_urls"]
    exports = tuple((*told, offered[name]) for name, told in _EXPORTS.items() if name in offered)
    return Full(
        **vars(summary),
        width=case["width"],
        height=case["height"],
        chain=_chain(read, summary),
        groups=groups,
        shown=next((row.name for group in groups if not group.folded for row in group.rows if row.heat), ""),
        heats=bool(heats),
        reason=_unread(read["kind"]["label"]) if case["xray"] and read.get("findings") is None else "",
        likeness="" if case["xray"] else likeness,
        remarks=remarks,
        key=_key(groups),
        agrees=case["verdict"] or "",
        note=case["note"],
        facts=_facts(read),
        caveats=tuple(dict.fromkeys(caveat for card in used.values() for caveat in card.caveats)),
        exports=exports,
        outline=" ".join(f"{x:.4f},{y:.4f}" for x, y in outline.get("corners", ())),
        outline_sure=bool(outline.get("sure")),
        straightened=case["straightened_url"] or "",
    )


def compared(pair: Sequence[Json]) -> tuple[Line, ...]:
    """List the findings of two cases side by side, as the first orders them."""
    every = [dict(case["diagnosis"].get("findings") or {}) for case in pair]
    names = dict.fromkeys(name for findings in every for name in _ordered(findings))
    return tuple(Line(name, tuple(_side(findings.get(name)) for findings in every)) for name in names)


def sentence(text: str) -> str:
    """Make a clause a sentence."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


_PAST = {"agree": "agreed", "disagree": "disagreed"}


def _headline(case: Json, cards: Mapping[str, Card]) -> tuple[str, str]:
    if not case["xray"]:
        return "stop", "This does not look like an x-ray"
    reader = cards.get("findings" if case["kind"] == "chest_frontal" else case["kind"])
    if reader is None:
        return "stop", "Not assessed"
    for word in ("likely", "possible"):
        if named := case[word]:
            return word, f"{named[0] if len(named) == 1 else f'{len(named)} findings'} {word}"
    if reader.domain(case["domain"] or "any").operating_points:
        return "yes", "Nothing likely"
    return "unassessed", "Scores only"


def _unread(kind: str) -> str:
    if kind == "chest_lateral":
        return "This is a side view of the chest. Findings are read on frontal views only."
    return f"This looks like another x-ray ({kind_name(kind).lower()}). It is named, but no network here reads it."


def _chain(read: Json, summary: Brief) -> tuple[Step, ...]:
    gate, kind, findings = read["gate"], read["kind"], read.get("findings")
    steps = []
    if gate:
        css, answer = ("yes", "Yes") if gate["passed"] else ("stop", "No")
        steps.append(Step(css, "Is it an x-ray?", answer, f"score {gate['xray']:.2f}"))
    if kind:
        css, score = "yes" if findings is not None else "stop", kind["scores"][kind["label"]]
        steps.append(Step(css, "Which?", kind_name(kind["label"]), f"score {score:.2f}"))
    else:
        steps.append(Step("unasked", "Which?", "Not asked", ""))
    if findings is None:
        return (*steps, Step("unasked", "What is seen?", "Not asked", ""))
    return (*steps, Step(summary.css, "What is seen?", summary.title, f"{len(findings)} asked"))


def _groups(read: Json, card: Card | None, heats: Mapping[str, str]) -> tuple[Group, ...]:
    findings = read.get("findings") or {}
    settings = card.domain(read["domain"] or "any") if card else Domain()
    groups: list[Group] = []
    for word in WORDS:
        css, title = _GROUPS[word]
        named = [name for name in _ordered(findings) if findings[name]["word"] == word]
        rows = tuple(
            _row(name, findings[name], css, settings, heats.get(name, ""), _inside(read, name))
            for name in named
        )
        # What is not there comes last and folded, unless nothing else is.
        folded = word in ("unlikely", "not assessed") and bool(groups)
        if rows:
            groups.append(Group(css, f"{title} ({len(rows)})" if folded else title, rows, folded))
    return tuple(groups)


def _inside(read: Json, name: str) -> str:
    share = (((read.get("lungs") or {}).get("heat_inside") or {}).get(name) or {}).get("lungs")
    return "" if share is None else f"{_percent(share)} of its heat in the lungs"


def _row(name: str, finding: Json, css: str, settings: Domain, heat: str, inside: str) -> Row:
    point, score, probability = settings.operating_points.get(name), finding["score"], finding["probability"]
    shown, shown_is = f"{score:.2f}", "score"
    if probability is not None:
        shown, shown_is = _percent(probability), "probability"
    why = ""
    if point is not None:
        word, bar = ("possible", point.possible) if finding["word"] == "unlikely" else ("likely", point.score)
        why = f"score {score:.2f}, {word} from {bar:.2f}"
    place, zones = _bar(score, point)
    return Row(name, css, finding["word"], why, shown, shown_is, f"{place:.1f}", zones, heat, inside)


def _bar(score: float, point: Threshold | None) -> tuple[float, tuple[tuple[str, float, float], ...]]:
    """Place a score on a bar of three parts, so that the bars of all findings read alike: unlikely, possible, likely.

    Each part is stretched from its lower operating point to the next; without any, the bar is the score's own.
    """
    if point is None:
        return 100 * score, (("none", 0.0, 100.0),)
    # Where both points are one, no score is possible without being likely.
    edges = (0.0, 33.0, 67.0, 100.0) if point.possible < point.score else (0.0, 50.0, 50.0, 100.0)
    place = float(np.interp(score, (0.0, point.possible, point.score, 1.0), edges))
    parts = zip(("unlikely", "possible", "likely"), edges[:-1], edges[1:], strict=True)
    return place, tuple((css, start + 0.8, end - 0.8) for css, start, end in parts if end > start)


def _percent(probability: float) -> str:
    if 0 < probability < 0.01:
        return "< 1 %"
    if 0.99 < probability < 1:
        return "> 99 %"
    return f"{probability:.0%}".replace("%", " %")


def _key(groups: Iterable[Group]) -> str:
    rows, said = [row for group in groups for row in group.rows], []
    if any(len(row.zones) > 1 for row in rows):
        said.append(
            "A bar’s parts are unlikely, possible and likely, whatever the finding; the dot is where its score lies."
        )
    if any(row.probability_is == "probability" for row in rows):
        said.append(
            "Percentages are scores calibrated on validation pictures: a rare finding may be likely at 20 %."
        )
    if any(row.word == "not assessed" for row in rows):
        said.append("Not assessed: the model has no operating point for such pictures.")
    return " ".join(said)


def _facts(read: Json) -> tuple[tuple[str, str], ...]:
    times = dict(read["ms"])
    total = times.pop("total", None)
    each = ", ".join(f"{stage} {duration:.0f}" for stage, duration in times.items())
    scores = sorted((read["kind"] or {"scores": {}})["scores"].items(), key=lambda item: -item[1])
    networks = [one for one in read["model"].values() if isinstance(one, Mapping)]
    rows = {
        "Time": "" if total is None else f"{total:.0f} ms ({each})",
        "Kinds": ", ".join(f"{kind_name(name)} {score:.2f}" for name, score in scores[:3]),
        "Picture": _DOMAINS.get(read["domain"] or "", ""),
        "Lungs": _lungs(read.get("lungs") or {}),
        "Networks": ", ".join(f"{one['name']} {one['sha256'][:10]}" for one in networks),
        "radsnap": str(read["model"].get("radsnap", "")),
    }
    return tuple((name, value) for name, value in rows.items() if value)


def _lungs(lungs: Json) -> str:
    """Say how much of the picture the lungs fill, and whether all of them is there."""
    share, ratio, cut_off = (lungs.get(name) for name in ("share", "cardiothoracic_ratio", "cut_off"))
    said = (
        "" if share is None else f"{share:.0%} of the picture".replace("%", " %"),
        "" if not cut_off else f"cut off at the {' and '.join(cut_off)}",
        "" if ratio is None else f"cardiothoracic ratio {ratio:.2f}",
    )
    return ", ".join(part for part in said if part)


def _cards_used(read: Json, cards: Mapping[str, Card]) -> dict[str, Card]:
    """Give the cards of the networks that read this case, as far as they are still in use."""
    known = {card.sha256: card for card in cards.values()}
    named = {stage: one["sha256"] for stage, one in read["model"].items() if isinstance(one, Mapping)}
    return {stage: known[sha256] for stage, sha256 in named.items() if sha256 in known}


def _side(finding: Json | None) -> Side:
    if finding is None:
        return Side("unassessed", "–", "")
    probability = finding.get("probability")
    figure = f"{finding['score']:.2f}" if probability is None else _percent(probability)
    return Side(_GROUPS[finding["word"]][0], finding["word"], figure)


def _ordered(findings: Mapping[str, Any]) -> list[str]:
    return sorted(
        findings, key=lambda name: (WORDS.index(findings[name]["word"]), -_height(findings[name]), name)
    )


def _height(finding: Json) -> float:
    probability = finding.get("probability")
    return float(finding["score"] if probability is None else probability)
