"""Write a benchmark as results.csv, JSON, Markdown, LaTeX, figures and one self-contained HTML page."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from radsnap.errors import UsageError
from radsnap.jobs.benchmarking.figures import figures_of
from radsnap.jobs.benchmarking.methods import methods_paragraph, versions
from radsnap.jobs.benchmarking.results import Benchmark, Row
from radsnap.jobs.benchmarking.sheets import Sheet, sheets_of
from radsnap.measure import Estimate, plots
from radsnap.tables.storage import write_table

CAVEAT = "Research software, not a medical device. Figures describe these files, not patients to come."


def write_report(result: Benchmark) -> None:
    """Write the whole report into the folder of the configuration; each file is whole or not there."""
    folder = result.config.output
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; a report is written into a folder")
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    methods, sheets = methods_paragraph(result), sheets_of(result)
    pictures: dict[str, tuple[str, str]] = {}
    for stem, (figure, caption) in figures_of(result).items():
        svg = plots.to_svg(figure)
        pictures[stem] = (svg, caption)
        write_bytes(folder / "figures" / f"{stem}.svg", svg.encode())
        write_bytes(folder / "figures" / f"{stem}.png", plots.to_png(figure))
    write_bytes(folder / "report.json", json_of(result, methods).encode())
    write_bytes(folder / "tables.md", markdown_of(result, methods, sheets).encode())
    write_bytes(folder / "tables.tex", "\n".join(latex_table(sheet) for sheet in sheets).encode())
    write_bytes(folder / "report.html", html_of(result, methods, sheets, pictures).encode())
    write_table(result.frame(), folder / "results.csv")  # last: where it is, all is


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, then put it in place."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(data)
    temporary.replace(path)


def json_of(result: Benchmark, methods: str) -> str:
    """Write everything for machines; undefined figures are null with their reason in method."""
    rows = [_json_row(row) for row in result.rows]
    body = {
        "schema": 1,
        "config": result.config.model_dump(mode="json"),
        "studies": len(result.inputs.ids),
        "findings": result.inputs.findings,
        "domains": result.inputs.arms,
        "models": result.inputs.models,
        "readers": list(result.inputs.readers),
        "methods": methods,
        "warnings": result.warnings,
        "inputs": {str(path): digest for path, digest in result.inputs.hashes.items()},
        "truth_sha256": result.inputs.hashes[str(result.config.truth)],
        "versions": versions(),
        "rows": rows,
    }
    return json.dumps(body, ensure_ascii=False, allow_nan=False, indent=1)


def _json_row(row: Row) -> dict[str, Any]:
    label = {name: value for name, value in asdict(row.label).items() if name != "kind"}
    numbers: dict[str, Any] = dict.fromkeys(("value", "low", "high", "p", "n"))
    if isinstance(row.result, Estimate):
        numbers = {name: _finite(getattr(row.result, name)) for name in numbers}
    return {**label, "finding": row.finding, **numbers, "p_holm": row.p_holm, "method": row.method()}


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def markdown_of(result: Benchmark, methods: str, sheets: Sequence[Sheet]) -> str:
    """Write the tables, methods and warnings as Markdown."""
    parts = ["# Benchmark", "", CAVEAT, ""]
    if result.warnings:
        parts += ["## Warnings", "", *(f"- {_md(text)}" for text in result.warnings), ""]
    for sheet in sheets:
        parts += [f"## {_md(sheet.title)}", "", _md(sheet.note), ""]
        parts += ["| " + " | ".join(map(_md, line)) + " |" for line in (sheet.header,)]
        parts += ["|" + " --- |" * len(sheet.header)]
        parts += ["| " + " | ".join(map(_md, line)) + " |" for line in sheet.lines] + [""]
    parts += ["## Methods", "", _md(methods), "", "## Inputs", ""]
    parts += [f"- `{path}` sha256 {digest}" for path, digest in result.inputs.hashes.items()]
    return "\n".join(parts) + "\n"


def _md(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "<": "$<$", ">": "$>$",
}  # fmt: skip


def latex_text(text: str) -> str:
    """Escape text for LaTeX."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def latex_table(sheet: Sheet) -> str:
    """Write a table for LaTeX with booktabs."""
    lines = [" & ".join(map(latex_text, line)) + r" \\" for line in sheet.lines]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{latex_text(sheet.title)}. {latex_text(sheet.note)}}}",
            rf"\begin{{tabular}}{{{'l' * len(sheet.header)}}}",
            r"\toprule",
            " & ".join(map(latex_text, sheet.header)) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;background:#fff;margin:0 auto;max-width:1180px;padding:1.5rem}
h1{font-size:1.6rem;margin:.2rem 0}h2{font-size:1.15rem;margin:2rem 0 .3rem}p,li{max-width:75ch}
.note{color:#555;font-size:.9rem;margin:.2rem 0 .6rem}.warn{background:#fff4e0;border-left:4px solid #d98300;padding:.5rem 1rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.82rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}td,tbody th{white-space:nowrap}
thead th{border-bottom:2px solid #222}tbody th{font-weight:600;position:sticky;left:0;background:#fff}figure{margin:1rem 0;overflow-x:auto}svg{max-width:100%;height:auto}
figcaption{color:#555;font-size:.9rem;position:sticky;left:0}code{font-size:.75rem;word-break:break-all}details summary{cursor:pointer}
@media(max-width:760px){body{padding:.8rem}svg{max-width:none}}
"""


def page(title: str, body: str) -> str:
    """Wrap a body into a page that loads nothing from anywhere."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}</style></head><body>{body}</body></html>\n"
    )


def html_of(
    result: Benchmark, methods: str, sheets: Sequence[Sheet], pictures: dict[str, tuple[str, str]]
) -> str:
    """Write the report as one page: warnings, figures, tables, methods, inputs."""
    inputs = result.inputs
    parts = [
        "<h1>Benchmark</h1>",
        f'<p class="note">{len(inputs.models)} models, {len(inputs.readers)} readers, {len(inputs.ids)} studies, '
        f"{len(inputs.findings)} findings, domains: {html.escape(', '.join(inputs.arms))}. {CAVEAT}</p>",
    ]
    if result.warnings:
        items = "".join(f"<li>{html.escape(text)}</li>" for text in result.warnings)
        parts.append(f'<div class="warn"><strong>Before you publish</strong><ul>{items}</ul></div>')
    for stem, (svg, caption) in pictures.items():
        drawing = svg[svg.index("<svg") :]
        text = html.escape(caption)
        parts.append(
            f'<figure id="{stem}" role="img" aria-label="{text}">{drawing}<figcaption>{text}</figcaption></figure>'
        )
    parts += [html_table(sheet) for sheet in sheets if not sheet.further]
    rest = "".join(html_table(sheet) for sheet in sheets if sheet.further)
    if rest:
        parts.append(f"<details><summary>Further tables</summary>{rest}</details>")
    parts.append(f"<h2>Methods</h2><p>{html.escape(methods)}</p>")
    hashes = "".join(
        f"<tr><td>{html.escape(path)}</td><td><code>{digest}</code></td></tr>"
        for path, digest in inputs.hashes.items()
    )
    parts.append(
        '<h2>Inputs</h2><div class="scroll"><table><thead><tr><th>file</th><th>sha256</th></tr></thead>'
        f"<tbody>{hashes}</tbody></table></div>"
    )
    return page("Benchmark", "".join(parts))


def html_table(sheet: Sheet) -> str:
    """Write a table for a page."""
    head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in sheet.header)
    lines = "".join(
        f'<tr><th scope="row">{html.escape(line[0])}</th>'
        + "".join(f"<td>{html.escape(text)}</td>" for text in line[1:])
        + "</tr>"
        for line in sheet.lines
    )
    return (
        f'<h2>{html.escape(sheet.title)}</h2><p class="note">{html.escape(sheet.note)}</p>'
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
    )
