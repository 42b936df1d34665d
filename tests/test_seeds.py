"""A named stream gives the same draws whatever happens around it."""

from __future__ import annotations

import numpy as np
import pytest

from radsnap.seeds import stream


def test_the_same_names_give_the_same_draws_in_any_order() -> None:
    first = {name: stream(7, name, "moire").random(5) for name in ("a", "b", "c")}
    again = {name: stream(7, name, "moire").random(5) for name in ("c", "a", "b")}
    for name, draws in first.items():
        np.testing.assert_array_equal(draws, again[name])


# python -c "from radsnap.seeds import stream; print(stream(7, 'image', 'glare').integers(0, 2**31, 3).tolist())"
GOLDEN = [789925919, 1568654807, 919699071]


def test_draws_are_those_of_every_release() -> None:
    assert stream(7, "image", "glare").integers(0, 2**31, 3).tolist() == GOLDEN


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0, "a"), (1, "a")),
        ((0, "a"), (0, "b")),
        ((0, "ab", "c"), (0, "a", "bc")),
        ((0, 1), (0, "1")),
        ((0, "a"), (0, "a", "")),
    ],
)
def test_different_names_give_different_draws(one: tuple[int, str], other: tuple[int, str]) -> None:
    assert (stream(*one).random(8) != stream(*other).random(8)).all()


def test_streams_of_neighbouring_names_are_independent() -> None:
    draws = np.stack([stream(0, f"image{k}").standard_normal(200) for k in range(100)])
    apart = np.corrcoef(draws)[np.triu_indices(100, 1)]
    assert abs(apart.mean()) < 0.005
    assert apart.std() == pytest.approx(200**-0.5, rel=0.1)


def test_the_global_generator_is_left_alone() -> None:
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.get_state()[2]  # noqa: NPY002
    stream(0, "a").random(10)
    assert np.random.get_state()[2] == expected  # noqa: NPY002
