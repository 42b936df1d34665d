"""One static page that ranks the models of many benchmark reports."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from radsnap.errors import TableError, UsageError
from radsnap.jobs.benchmarking.inputs import DIGITAL
from radsnap.jobs.benchmarking.report import CAVEAT, html_table, page, write_bytes
from radsnap.jobs.benchmarking.sheets import Sheet
from radsnap.measure import MEAN

MAX_BYTES = 256 * 1024**2


class Line(BaseModel):
    """One figure of a report."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    subject: str
    role: str
    domain: str
    finding: str
    measure: str
    value: float | None
    low: float | None
    high: float | None


class Saved(BaseModel):
    """What a page needs of a report. Reports of one truth and findings are compared with each other."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_: int = Field(alias="schema", ge=1, le=1)
    truth_sha256: str
    studies: int
    findings: tuple[str, ...]
    domains: tuple[str, ...]
    rows: tuple[Line, ...]


def leaderboard(reports: tuple[Path, ...], output: Path) -> int:
    """Write index.html and leaderboard.json into a folder. Returns how many models they rank.

    reports: folders with report.json. Raises TableError for one that is no report.
    """
    if not reports:
        raise UsageError("a leaderboard needs at least one report")
    groups: dict[tuple[str, tuple[str, ...]], list[tuple[Path, Saved]]] = {}
    for folder in reports:
        saved = read_report(folder)
        groups.setdefault((saved.truth_sha256, saved.findings), []).append((folder, saved))
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file; a leaderboard is written into a folder")
    output.mkdir(parents=True, exist_ok=True)
    boards = [_board(members) for members in groups.values()]
    body = f'<h1>Leaderboard</h1><p class="note">{CAVEAT}</p>' + "".join(_section(board) for board in boards)
    write_bytes(output / "index.html", page("Leaderboard", body).encode())
    text = json.dumps({"schema": 1, "boards": boards}, ensure_ascii=False, indent=1)
    write_bytes(output / "leaderboard.json", text.encode())
    return sum(len(board["lines"]) for board in boards)


def read_report(folder: Path) -> Saved:
    """Read a report's figures. Raises TableError when it is absent, too large or something else."""
    path = folder if folder.suffix == ".json" else folder / "report.json"
    if not path.is_file():
        raise TableError(f"{path}: no such file; give folders written by 'radsnap benchmark'")
    if path.stat().st_size > MAX_BYTES:
        raise TableError(f"{path}: {path.stat().st_size} bytes; a report may have {MAX_BYTES}")
    try:
        return Saved.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise TableError(f"{path}: not a benchmark report ({place}: {first['msg']})") from error


def _board(members: list[tuple[Path, Saved]]) -> dict[str, Any]:
    first = members[0][1]
    domains = list(dict.fromkeys(domain for _, saved in members for domain in saved.domains))
    lines = [line for folder, saved in members for line in _lines(folder, saved)]
    main = DIGITAL if DIGITAL in domains else domains[0]
    last = next((domain for domain in domains if domain != main), main)

    def rank(line: dict[str, Any]) -> tuple[float, float]:
        """Rank by the domain that is hard first, then by the digital."""
        return tuple(-(line["AUROC"].get(domain, {}).get("value") or 0.0) for domain in (last, main))  # type: ignore[return-value]

    return {
        "truth_sha256": first.truth_sha256, "studies": first.studies, "findings": list(first.findings),
        "domains": domains, "ranked_by": last, "lines": sorted(lines, key=rank),
    }  # fmt: skip


def _lines(folder: Path, saved: Saved) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in saved.rows:
        if row.role != "model" or row.finding != MEAN or row.measure not in ("AUROC", "MCC"):
            continue
        line = found.setdefault(
            row.subject, {"model": row.subject, "report": folder.name, "AUROC": {}, "MCC": {}}
        )
        if row.value is not None:
            line[row.measure][row.domain] = {"value": row.value, "low": row.low, "high": row.high}
    return list(found.values())


def _section(board: dict[str, Any]) -> str:
    columns = [(name, domain) for name in ("AUROC", "MCC") for domain in board["domains"]]
    columns = [c for c in columns if any(c[1] in line[c[0]] for line in board["lines"])]
    header = ("rank and model", "report", *(f"{name}, {domain}" for name, domain in columns))
    lines = tuple(
        (
            f"{i}. {line['model']}",
            line["report"],
            *(_text(line[name].get(domain)) for name, domain in columns),
        )
        for i, line in enumerate(board["lines"], 1)
    )
    title = f"{board['studies']} studies: {', '.join(board['findings'])}"
    note = f"Mean over findings with 95 % intervals, ranked by AUROC on {board['ranked_by']}; truth {board['truth_sha256'][:12]}."
    return html_table(Sheet(title, html.unescape(note), header, lines))


def _text(found: dict[str, float | None] | None) -> str:
    if found is None or found["value"] is None:
        return "–"
    if found["low"] is None or found["high"] is None:
        return f"{found['value']:.3f}"
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
