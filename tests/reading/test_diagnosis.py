"""The JSON of a diagnosis is a contract that programs read."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import pytest

from radsnap.reading.diagnosis import Diagnosis, Finding, Gate, Kind, Remark

KEYS = ["schema", "path", "ok", "error", "domain", "corners_px", "lungs", "gate", "kind"]
READ = Diagnosis(
    "a.jpg",
    domain="film",
    gate=Gate(0.91234567, True, 0.5),
    kind=Kind("chest_frontal", {"chest_frontal": 0.9, "other": 0.1}),
    findings={
        "Edema": Finding(0.2, None, "unlikely", "below"),
        "Mass": Finding(0.9, 0.4, "likely", "above"),
        "Nodule": Finding(0.95, 0.5, "likely", "above"),
    },
    quality=(Remark("dark", "Very dark.", 0.05, 0.1),),
    ms={"gate": 1.26, "total": 2.0},
)


def test_json_of_a_whole_reading_has_exactly_these_keys() -> None:
    result = READ.to_json()
    assert list(result) == [*KEYS, "findings", "quality", "model", "ms"]
    assert result["schema"] == 1
    assert result["gate"] == {"xray": 0.912346, "passed": True}
    assert result["kind"] == {"label": "chest_frontal", "scores": {"chest_frontal": 0.9, "other": 0.1}}
    assert result["findings"]["Mass"] == {
        "score": 0.9,
        "probability": 0.4,
        "word": "likely",
        "reason": "above",
    }
    assert result["findings"]["Edema"]["probability"] is None
    assert result["quality"] == [{"name": "dark", "sentence": "Very dark.", "value": 0.05, "threshold": 0.1}]
    assert result["ms"] == {"gate": 1.3, "total": 2.0}
    assert json.loads(json.dumps(result)) == result


def test_a_stopped_chain_says_why_in_place_of_findings() -> None:
    result = Diagnosis("a.jpg", gate=Gate(0.1, False, 0.5), reason="not an x-ray").to_json()
    assert list(result) == [*KEYS, "reason", "quality", "model", "ms"]
    assert (result["ok"], result["reason"], result["kind"]) == (True, "not an x-ray", None)


def test_a_failed_file_says_what_failed() -> None:
    result = Diagnosis.failed("a.jpg", "a.jpg: the file is empty").to_json()
    assert (result["ok"], result["error"], result["gate"]) == (False, "a.jpg: the file is empty", None)
    assert "findings" not in result


def test_findings_of_a_word_come_by_score() -> None:
    assert READ.said("likely") == ["Nodule", "Mass"]
    assert READ.said("likely", "unlikely") == ["Nodule", "Mass", "Edema"]
    assert Diagnosis("a.jpg").said("likely") == []


def test_a_diagnosis_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        READ.domain = "screen"  # type: ignore[misc]
