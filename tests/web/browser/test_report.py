"""The report of `diagnose`, laid out by a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from radsnap.jobs.diagnose import DiagnoseConfig, diagnose_files


@pytest.mark.parametrize("width", [1000, 1400])
def test_no_finding_is_broken_within_a_word(
    chromium: Browser, samples: dict[str, Path], tmp_path: Path, width: int
) -> None:
    report = tmp_path / "report.html"
    assert (
        len(list(diagnose_files(DiagnoseConfig(paths=(str(samples["chest-on-a-screen"]),), report=report))))
        == 1
    )
    page = chromium.new_page(viewport={"width": width, "height": 900})
    page.goto(report.as_uri())
    heights = dict(
        page.locator(".row .what").evaluate_all(
            "cells => cells.map(cell => [cell.textContent.trim(), cell.getBoundingClientRect().height])"
        )
    )
    page.close()
    assert {"Consolidation", "Cardiomegaly", "Pneumothorax"} <= heights.keys()
    lines = heights["Mass"]
    assert all(height < 1.5 * lines for name, height in heights.items() if " " not in name)
