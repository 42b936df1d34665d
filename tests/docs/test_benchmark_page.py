"""docs/benchmark.md names everything that the benchmark takes, writes and warns of."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from radsnap.cli.benchmark import benchmark
from radsnap.jobs.benchmark import COLUMNS
from radsnap.jobs.benchmarking import inputs, plan, thresholds, warnings

PAGE = (Path(__file__).parents[2] / "docs" / "benchmark.md").read_text(encoding="utf-8")


def test_every_option_is_named() -> None:
    options = ["--" + name.replace("_", "-") for name in inspect.signature(benchmark).parameters]
    assert [option for option in options if f"`{option}`" not in PAGE and f"`{option} " not in PAGE] == []


def test_every_column_and_measure_is_named() -> None:
    measures = [*plan.SCORED, *plan.DECIDED, *plan.RELATIVE.values(), plan.UNDER_ROC, plan.FLIPS_PER_PATIENT]
    measures += [plan.CORRUPTION, plan.RELATIVE_CORRUPTION, "flips", "AUROC (DeLong)", "Fleiss kappa"]
    measures += plan.WON_BACK.values()
    assert [name for name in (*COLUMNS, *measures) if f"`{name}`" not in PAGE] == []


def test_every_warning_of_the_page_is_one_of_the_code() -> None:
    code = " ".join(inspect.getsource(module) for module in (inputs, thresholds, warnings))
    spoken = re.sub(r'"\s*f?"', "", re.sub(r"\{[^{}]*\}", "#", code))
    table = PAGE.partition("## Warnings")[2]
    told = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(told) == 14
    plain = [re.sub(r"\d+|positives", "#", words) for words in told]
    assert [words for words in plain if words not in spoken] == []
