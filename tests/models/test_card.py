from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from radsnap.errors import WeightsError
from radsnap.models.card import (
    Card,
    Domain,
    Head,
    InputSpec,
    Threshold,
    Training,
    read_card,
    sha256_of,
    write_card,
)


def card(**changes: object) -> Card:
    values: dict[str, object] = {
        "name": "tiny",
        "task": "findings",
        "input": InputSpec(size_px=32),
        "heads": (
            Head(name="gate", classes=("xray",), activation="sigmoid"),
            Head(name="kind", classes=("a", "b", "c"), activation="softmax"),
        ),
        "file": "tiny.onnx",
        "sha256": "0" * 64,
        "training": Training(command="", data=("phantom",), licence="none", images=1, epochs=1),
    }
    return Card.model_validate(values | changes)


def test_a_card_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    three = InputSpec(
        size_px=32, normalisation="fixed", channels=3, mean=(0.1, 0.2, 0.3), deviation=(0.4, 0.5, 0.6)
    )
    point = Threshold(score=0.5, possible=0.25, rule="youden", n=None)
    first = card(input=three, domains={"film": Domain(operating_points={"xray": point})})
    write_card(first, tmp_path / "a.card.json")
    assert read_card(tmp_path / "a.card.json") == first


def test_spans_follow_the_order_of_heads() -> None:
    assert card().span("gate") == slice(0, 1)
    assert card().span("kind") == slice(1, 4)
    assert card().outputs == 4


def test_an_unknown_head_is_refused_with_the_heads_there_are() -> None:
    with pytest.raises(
        WeightsError, match="model tiny has no head 'findings', it has gate, kind; choose a model"
    ):
        card().head("findings")


def test_a_domain_falls_back_to_any_and_then_to_nothing() -> None:
    point = Threshold(score=0.5, possible=0.5, rule="youden", n=9)
    film = Domain(operating_points={"xray": point})
    assert card(domains={"film": film}).domain("film") == film
    assert card(domains={"any": film}).domain("screen") == film
    assert card(domains={"film": film}).domain("screen") == Domain()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"name": "../up"}, "name"),
        ({"file": "../weights.onnx"}, "file"),
        ({"sha256": "12"}, "sha256"),
        ({"heads": ()}, "heads"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_card_that_lies_is_refused(changes: dict[str, object], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        card(**changes)


def test_a_mean_a_channel_needs_three_fixed_channels() -> None:
    with pytest.raises(ValidationError, match="goes with three channels and fixed normalisation"):
        InputSpec(size_px=32, normalisation="fixed", mean=(0.1, 0.2, 0.3))
    with pytest.raises(ValidationError, match="goes with three channels and fixed normalisation"):
        InputSpec(size_px=32, channels=3, deviation=(0.1, 0.2, 0.3))


def test_two_heads_of_one_name_are_refused() -> None:
    head = Head(name="kind", classes=("a",), activation="sigmoid")
    with pytest.raises(ValidationError, match="two heads have the same name"):
        card(heads=(head, head))


def test_a_missing_or_broken_card_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"no model card at .*x\.card\.json; weights are only used with the card"
    ):
        read_card(tmp_path / "x.card.json")
    (tmp_path / "y.card.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"is not a model card: name: Field required; write it again"):
        read_card(tmp_path / "y.card.json")
    (tmp_path / "z.card.json").write_text("PK\x03\x04")
    with pytest.raises(WeightsError, match="is not a model card: the file"):
        read_card(tmp_path / "z.card.json")


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc").startswith(
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
