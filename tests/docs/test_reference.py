"""The pages of docs/ leave nothing out that they promise to list."""

from __future__ import annotations

from pathlib import Path

import pytest

from radsnap.collections import COLLECTIONS
from radsnap.jobs.models import KINDS
from radsnap.models.card import Card
from radsnap.reading.diagnosis import WORDS, Diagnosis
from radsnap.tables.manifest import COLUMNS, PHOTO_COLUMNS
from radsnap.tables.predictions import KEYS

DOCS = Path(__file__).parents[2] / "docs"
NAMED = {
    "data.md": [*COLUMNS, *PHOTO_COLUMNS, *COLLECTIONS, "ones", "zeros", "ignore"],
    "diagnose.md": [*Diagnosis(None, reason="stopped").to_json(), "findings", *WORDS],
    "models.md": [*KINDS, "radsnap", *(name for name in Card.model_fields if name != "schema_version")],
}


@pytest.mark.parametrize("page", NAMED)
def test_a_page_names_everything_of_its_lists(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert [name for name in NAMED[page] if f"`{name}`" not in text] == []


def test_the_data_page_names_the_keys_of_predictions() -> None:
    text = (DOCS / "data.md").read_text(encoding="utf-8").lower()
    assert [key for key in KEYS if f"`{key}`" not in text] == []
