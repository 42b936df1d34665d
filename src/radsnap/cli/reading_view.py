"""How diagnoses look on a terminal and in a pipe."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from radsnap.jobs.progress import Progress, Report
from radsnap.reading.diagnosis import WORDS, Diagnosis, Finding
from radsnap.reading.report import NOTICE, kind_name

_STYLES = {"likely": "bold yellow", "possible": "yellow", "unlikely": "dim", "not assessed": "dim"}
# A bar that flashes up for a blink only disturbs.
_PATIENCE_S = 2.0
_BAR_CELLS = 20


def show(read: Callable[[Report], Iterator[Diagnosis]], as_json: bool | None) -> int:
    """Show diagnoses as they come: JSON lines, tables, or (None) tables on a terminal and lines in a pipe.

    Gives the number that failed.
    """
    failed = 0
    lines = not sys.stdout.isatty() if as_json is None else as_json
    # Lines of JSON on a terminal are for copying; a bar between them would break them up.
    bar = _LateBar(Console(stderr=lines), wanted=not (lines and sys.stdout.isatty()))
    view = _Table(bar.console)
    with bar:
        for diagnosis in read(bar.report):
            if lines:
                sys.stdout.write(json.dumps(diagnosis.to_json()) + "\n")
                sys.stdout.flush()
            elif diagnosis.ok:
                view.add(diagnosis, bar.total)
            if not diagnosis.ok:
                failed += 1
                bar.clear()
                sys.stderr.write(f"radsnap: {_printable(diagnosis.error or '')}\n")
    if not lines:
        bar.console.print(Text(NOTICE, style="dim"))
    return failed


class _LateBar:
    """A progress bar that appears when a job takes longer than a moment, and only on a terminal."""

    def __init__(self, console: Console, wanted: bool = True) -> None:
        self.console = console
        self.total = 0
        self._wanted = wanted and console.is_terminal
        self._started = time.monotonic()
        self._bar: Bar | None = None

    def report(self, progress: Progress) -> None:
        self.total = progress.total
        late = time.monotonic() - self._started > _PATIENCE_S and progress.done < progress.total
        if self._bar is None and late and self._wanted:
            columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Bar(*columns, console=self.console, transient=True)
            self._bar.add_task("reading", total=progress.total)
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=progress.done)

    def clear(self) -> None:
        """Take the bar away before something else is written; the next report brings it back."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __enter__(self) -> _LateBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()


class _Table:
    """Rows as they come, in columns of fixed width; a single picture gets a table of its findings."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._headed = False

    def add(self, diagnosis: Diagnosis, total: int) -> None:
        if total == 1:
            self._console.print(_single(diagnosis))
            return
        if not self._headed:
            self._row(*(Text(name, style="bold") for name in ("Picture", "X-ray", "Kind", "Findings")))
            self._headed = True
        gate, kind = diagnosis.gate, diagnosis.kind
        self._row(
            Text(_printable(Path(diagnosis.path or "").name)),
            Text(f"{gate.xray:.2f}" if gate else "", style="green" if gate and gate.passed else "yellow"),
            Text(kind_name(kind.label) if kind else ""),
            _summary(diagnosis),
        )

    def _row(self, *cells: Text) -> None:
        width = self._console.width
        name, kind = max(12, min(36, width // 4)), 18
        table = Table.grid(padding=(0, 2))
        table.add_column(width=name, no_wrap=True, overflow="ellipsis")
        table.add_column(width=5)
        table.add_column(width=kind, no_wrap=True, overflow="ellipsis")
        table.add_column(width=max(20, width - name - 5 - kind - 8))
        table.add_row(*cells)
        self._console.print(table)


def _summary(diagnosis: Diagnosis) -> Text:
    if diagnosis.findings is None:
        return Text(_printable(diagnosis.reason or ""), style="dim")
    text = Text()
    for name in diagnosis.said("likely", "possible"):
        finding = diagnosis.findings[name]
        text.append(", " if text else "")
        text.append(f"{_printable(name)} {finding.score:.2f}", style=_STYLES[finding.word])
    if text:
        return text
    if diagnosis.said("unlikely"):
        return Text("nothing likely", style="green")
    best = diagnosis.said("not assessed")[:3]
    scores = ", ".join(f"{_printable(name)} {diagnosis.findings[name].score:.2f}" for name in best)
    return Text(f"scores only: {scores}", style="dim")


def _single(diagnosis: Diagnosis) -> Table:
    """Everything about one picture, for a terminal."""
    page = Table.grid(padding=(0, 0))
    page.add_row(Text(_printable(diagnosis.path or ""), style="bold"))
    gate, kind = diagnosis.gate, diagnosis.kind
    if gate:
        answer = "an x-ray" if gate.passed else "not an x-ray"
        domain = f", {diagnosis.domain}" if diagnosis.domain else ""
        which = f" → {kind_name(kind.label)} {kind.scores[kind.label]:.2f}" if kind else ""
        page.add_row(Text(f"{answer} {gate.xray:.2f}{domain}{which}", style="green" if kind else "yellow"))
    if diagnosis.reason:
        page.add_row(Text(_printable(diagnosis.reason), style="yellow"))
    if diagnosis.findings:
        page.add_row(_findings(diagnosis.findings))
    for remark in diagnosis.quality:
        page.add_row(Text(f"! {remark.sentence}", style="yellow"))
    page.add_row(Text(f"{diagnosis.ms['total']:.0f} ms", style="dim"))
    return page


def _findings(findings: Mapping[str, Finding]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("Finding")
    table.add_column("Score", justify="right")
    table.add_column("", width=_BAR_CELLS)
    table.add_column("Probability", justify="right")
    table.add_column("Word")
    for name, finding in sorted(findings.items(), key=_rank):
        style = _STYLES[finding.word]
        chance = "" if finding.probability is None else f"{finding.probability:.0%}"
        cells = (_printable(name), f"{finding.score:.2f}", _cells(finding), chance, finding.word)
        table.add_row(*(Text(cell, style=style) for cell in cells))
    return table


def _rank(item: tuple[str, Finding]) -> tuple[int, float]:
    return WORDS.index(item[1].word), -item[1].score


def _cells(finding: Finding) -> str:
    """A bar of the score; | marks the operating point."""
    bar = ["━" if cell < finding.score * _BAR_CELLS else " " for cell in range(_BAR_CELLS)]
    if finding.operating_point is not None:
        bar[min(_BAR_CELLS - 1, int(finding.operating_point.score * _BAR_CELLS))] = "|"
    return "".join(bar)


def _printable(text: str) -> str:
    """Show control characters of names from outside as escapes, so that they cannot drive the terminal."""
    return "".join(
        letter
        if letter.isprintable()
        else letter.encode("unicode_escape", "backslashreplace").decode("ascii")
        for letter in text
    )
