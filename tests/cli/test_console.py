"""Wrong options are named as the user gave them."""

from __future__ import annotations

from pathlib import Path

import pytest

from radsnap.cli.app import app
from radsnap.cli.console import checked
from radsnap.errors import UsageError
from radsnap.jobs.phantom import PhantomConfig


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["phantom", "out", "-n", "0"], "-n: Input should be greater than or equal to 1, got 0"),
        (["phantom", "out", "--size", "3"], "--size: Input should be greater than or equal to 32, got 3"),
        (["evaluate", "gates", "m.csv"], "STAGE: Input should be 'gate', 'domain', 'kind'"),
        (["data", "check", "m.csv", "--workers", "-1"], "--workers: "),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_by_its_option(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        app(arguments, standalone_mode=False)
    assert str(caught.value).startswith(message)


@pytest.mark.train
@pytest.mark.parametrize(
    ("option", "value"), [("--draws", "0"), ("--size", "1"), ("--guide", "-1"), ("--optimiser", "adam")]
)
def test_an_option_of_another_name_than_its_field_is_found(option: str, value: str) -> None:
    pytest.importorskip("torch")
    with pytest.raises(UsageError, match=f"^{option}: "):
        app(["train", "gate", "--data", "m.csv", "-o", "run", option, value], standalone_mode=False)


def test_without_a_command_line_the_field_is_named() -> None:
    with pytest.raises(UsageError, match=r"^size_px: Input should be .*, got 3$"):
        checked(PhantomConfig, {"output": Path("out"), "n": 1, "size_px": 3})
