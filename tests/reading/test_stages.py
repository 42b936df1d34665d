"""From logits to words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from radsnap.models.card import Card, Head, InputSpec, Platt, Threshold, Training
from radsnap.models.scores import head_scores, sigmoid
from radsnap.reading.diagnosis import Gate
from radsnap.reading.stages import agreed, both_saw, calibrated, findings_head, put_in_words

CARD = Card(
    name="two-heads",
    task="test",
    input=InputSpec(size_px=32),
    heads=(
        Head(name="xray", classes=("xray",), activation="sigmoid"),
        Head(name="domain", classes=("digital", "screen", "film"), activation="softmax"),
    ),
    file="none.onnx",
    sha256="0" * 64,
    training=Training(command="none", data=(), licence="none", images=0, epochs=0),
)
LOGITS = np.array([1.5, -2.0, 0.5, 3.0], dtype=np.float32)
POINT = Threshold(score=0.6, possible=0.3, rule="Youden on validation", n=10)


def test_scores_agree_with_scipy() -> None:
    assert head_scores(CARD, LOGITS, CARD.head("xray")) == {"xray": pytest.approx(special.expit(1.5))}
    domain = head_scores(CARD, LOGITS, CARD.head("domain"))
    assert list(domain) == ["digital", "screen", "film"]
    assert list(domain.values()) == pytest.approx(special.softmax(LOGITS[1:].astype(float)))


@pytest.mark.parametrize("logit", [-1000.0, -40.0, 0.0, 40.0, 1000.0])
def test_sigmoid_never_overflows(logit: float) -> None:
    assert sigmoid(np.array(logit)) == pytest.approx(special.expit(logit), abs=1e-15)


def test_softmax_never_overflows() -> None:
    scores = head_scores(CARD, np.array([0, 1e4, -1e4, 1e4], dtype=np.float32), CARD.head("domain"))
    assert list(scores.values()) == pytest.approx([0.5, 0.0, 0.5])


def test_probability_follows_platts_curve() -> None:
    assert calibrated(2.0, Platt(slope=0.5, intercept=-1.5)) == pytest.approx(1 / (1 + math.exp(0.5)))
    assert calibrated(2.0, None) is None


@pytest.mark.parametrize(
    ("score", "word"), [(0.6, "likely"), (0.599, "possible"), (0.3, "possible"), (0.299, "unlikely")]
)
def test_an_operating_point_belongs_to_the_higher_word(score: float, word: str) -> None:
    assert put_in_words(score, POINT, "film")[0] == word


def test_without_operating_point_nothing_is_called_unlikely() -> None:
    assert put_in_words(0.99, None, "film") == (
        "not assessed",
        "the model has no operating point for film pictures",
    )


def test_a_reader_is_asked_for_its_findings_or_its_only_head() -> None:
    only = CARD.model_copy(update={"heads": CARD.heads[:1]})
    assert findings_head(only).name == "xray"
    named = CARD.model_copy(
        update={"heads": (*CARD.heads, Head(name="findings", classes=("Mass",), activation="sigmoid"))}
    )
    assert findings_head(named).classes == ("Mass",)


def test_what_the_camera_saw_is_said_by_both_and_what_one_rules_out_stays_out() -> None:
    gate, look = {"digital": 0.64, "screen": 0.2, "film": 0.16}, {"digital": 0.0, "screen": 0.2, "film": 0.8}
    joined = both_saw(gate, look)
    assert joined["digital"] == 0
    assert joined["film"] / joined["screen"] == pytest.approx((0.16 * 0.8 / 0.2 / 0.2) ** 0.5)
    assert sum(joined.values()) == pytest.approx(1)
    assert (both_saw({}, look), both_saw(gate, {})) == (look, gate)
    assert both_saw({"digital": 1.0}, look) == look


@pytest.mark.parametrize(
    ("whole", "straightened", "joined"), [(0.2, 0.8, 0.5), (0.9, 0.9, 0.9), (0.0, 1.0, 0.5)]
)
def test_what_the_gate_says_twice_is_joined_by_the_mean_of_the_logits(
    whole: float, straightened: float, joined: float
) -> None:
    one, two = (Gate(score, score >= 0.6, 0.6) for score in (whole, straightened))
    gate = agreed(one, two)
    assert gate.xray == pytest.approx(joined)
    assert (gate.passed, gate.threshold) == (joined >= 0.6, 0.6)
