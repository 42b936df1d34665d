"""A case as a page to print."""

from __future__ import annotations

import importlib.util
import logging
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from fpdf import FPDF, FontFace
from PIL import Image

from radsnap.reading.diagnosis import WORDS
from radsnap.reading.report import NOTICE, kind_name
from radsnap.web.exports.exported import Exported
from radsnap.web.exports.overlays import with_heat

_INK, _DIM, _LINE = (24, 28, 33), (96, 104, 112), (205, 210, 215)
_PICTURE_MM = 82.0
# what a font lacks is drawn as a box; that is no news for a log
logging.getLogger("fpdf").setLevel(logging.ERROR)


def to_pdf(given: Exported) -> bytes:
    """Make a PDF (A4): the picture with the foremost finding's heat, the reading, the verdict, the notice."""
    page = _Page(given.case.id)
    page.add_page()
    page.add_title(given)
    page.add_picture(given)
    page.add_findings(given)
    page.add_remarks(given)
    page.add_networks(given)
    return bytes(page.output())


class _Page(FPDF):
    """One A4 page, more where a note is long."""

    def __init__(self, case_id: str) -> None:
        super().__init__(format="A4")
        fonts = _fonts()
        self.add_font("sans", fname=fonts / "DejaVuSans.ttf")
        self.add_font("sans", "B", fname=fonts / "DejaVuSans-Bold.ttf")
        self.set_margins(18, 16)
        self.c_margin = 0  # text begins where the picture does
        self.set_auto_page_break(True, 24)
        self.set_title(f"radsnap, case {case_id[:8]}")
        self.set_creator("radsnap")
        self.set_lang("en")

    def footer(self) -> None:
        """Say on every page what this is not."""
        self.set_y(-16)
        self._type(7.5, _DIM)
        self.cell(0, 4, NOTICE, align="C")

    def add_title(self, given: Exported) -> None:
        case = given.case
        self._type(15, _INK, "B")
        self.cell(0, 8, _headline(given), new_x="LMARGIN", new_y="NEXT")
        self._type(8.5, _DIM)
        at = datetime.fromtimestamp(case.created_us / 1e6, UTC).strftime("%d %B %Y, %H:%M UTC")
        kind = kind_name(case.kind) if case.kind else "not read further"
        seen = f", photo of a {case.domain}" if case.domain in ("screen", "film") else ""
        self.cell(0, 5, f"{kind}{seen} · {at} · case {case.id[:8]}", new_x="LMARGIN", new_y="NEXT")
        self.ln(4)

    def add_picture(self, given: Exported) -> None:
        pixels, name = with_heat(given)
        data = BytesIO()
        Image.fromarray(pixels).save(data, "JPEG", quality=88)
        height, width = pixels.shape[:2]
        scale = _PICTURE_MM / max(height, width)
        self.image(data, w=width * scale, h=height * scale, alt_text="The picture that was read")
        self.ln(2)
        self._type(7.5, _DIM)
        told = (
            f"Heat: where the network looked most for {name}. It is not an outline of disease."
            if name
            else "No finding is likely or possible, or the network gives no heat map."
        )
        self.multi_cell(0, 4, told, new_x="LMARGIN", new_y="NEXT")
        self.ln(3)

    def add_findings(self, given: Exported) -> None:
        diagnosis = given.case.diagnosis
        named: dict[str, Any] = dict(diagnosis.get("findings") or {})
        self._type(9, _INK)
        if not named:
            self.multi_cell(0, 5, str(diagnosis.get("reason") or ""), new_x="LMARGIN", new_y="NEXT")
            return
        order = sorted(named, key=lambda name: (WORDS.index(named[name]["word"]), -named[name]["score"]))
        self.set_draw_color(*_LINE)
        heading = FontFace(emphasis="BOLD", color=_DIM)
        with self.table(
            col_widths=(46, 26, 18, 24), text_align=("LEFT", "LEFT", "RIGHT", "RIGHT"), headings_style=heading,
            borders_layout="HORIZONTAL_LINES", line_height=5.2, align="LEFT", width=120,
        ) as table:  # fmt: skip
            table.row(("Finding", "Word", "Score", "Probability"))
            for name in order:
                finding = named[name]
                probability = finding["probability"]
                shown = "–" if probability is None else f"{probability:.0%}"
                table.row((name, finding["word"], f"{finding['score']:.2f}", shown))

    def add_remarks(self, given: Exported) -> None:
        case = given.case
        lines = [remark["sentence"] for remark in case.diagnosis["quality"]]
        if lines:
            self._block("The picture", " ".join(lines))
        if case.verdict or case.note:
            said = {"agree": "The reader agrees.", "disagree": "The reader disagrees."}
            self._block("The reader's verdict", f"{said.get(case.verdict or '', '')} {case.note}".strip())

    def add_networks(self, given: Exported) -> None:
        model = given.case.diagnosis["model"]
        used = [f"{one['name']} {one['sha256'][:10]}" for one in model.values() if isinstance(one, dict)]
        self._block("Read by", f"radsnap {model.get('radsnap', '')}: {', '.join(used)}")

    def _block(self, title: str, text: str) -> None:
        self.ln(3)
        self._type(9, _INK, "B")
        self.cell(0, 5, title, new_x="LMARGIN", new_y="NEXT")
        self._type(9, _INK)
        self.multi_cell(0, 4.6, text, new_x="LMARGIN", new_y="NEXT")

    def _type(self, points: float, colour: tuple[int, int, int], style: str = "") -> None:
        self.set_font("sans", style, points)
        self.set_text_color(*colour)


def _headline(given: Exported) -> str:
    case = given.case
    if not case.xray:
        return "Does not look like an x-ray"
    if case.diagnosis.get("findings") is None:
        return "Not assessed"
    for word in ("likely", "possible"):
        if named := case.said(word):
            more = f" and {len(named) - 2} more" if len(named) > 2 else ""
            return f"{word.capitalize()}: {', '.join(named[:2])}{more}"
    return "Nothing likely"


def _fonts() -> Path:
    """Find DejaVu, which comes with matplotlib: a PDF's own fonts know Western letters only."""
    found = importlib.util.find_spec("matplotlib")
    assert found is not None, "matplotlib is a part of radsnap's core"
    assert found.origin is not None
    return Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
