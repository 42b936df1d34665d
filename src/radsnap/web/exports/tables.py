"""A case as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

from radsnap.web.storage.cases import Case

COLUMNS = (
    "case", "created_at", "xray", "kind", "domain", "finding", "score", "probability", "word", "verdict", "note",
)  # fmt: skip


def to_json(case: Case) -> bytes:
    """Give all that is known of a case, without its picture."""
    told = {
        "case": case.id,
        "created_at": _iso(case.created_us),
        "diagnosis": case.diagnosis,
        "verdict": case.verdict,
        "note": case.note,
        "verdict_at": None if case.verdict_us is None else _iso(case.verdict_us),
    }
    return json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def to_csv(case: Case) -> bytes:
    """Give a table with one row a finding; a case without findings has one row."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow(COLUMNS)
    known = [case.id, _iso(case.created_us), int(case.xray), case.kind or "", case.domain or ""]
    judged = [case.verdict or "", plain(case.note)]
    for name, finding in (case.diagnosis.get("findings") or {"": {}}).items():
        probability = finding.get("probability")
        figures = [finding.get("score", ""), "" if probability is None else probability]
        table.writerow([*known, plain(name), *figures, finding.get("word", ""), *judged])
    return text.getvalue().encode("utf-8-sig")  # the mark tells spreadsheets that this is UTF-8


def plain(text: str) -> str:
    """Keep a spreadsheet from taking a text for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _iso(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).isoformat(timespec="milliseconds")
