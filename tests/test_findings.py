"""One vocabulary: every data set's name of a finding leads to one name of ours."""

from __future__ import annotations

import pytest

from radsnap.errors import UsageError
from radsnap.findings import CHESTXRAY_14, CHEXPERT_14, COMPETITION_5, FINDINGS, canonical, known


def test_the_lists_have_their_published_lengths_and_no_doubles() -> None:
    assert len(set(CHEXPERT_14)) == len(set(CHESTXRAY_14)) == 14
    assert len(set(COMPETITION_5)) == 5
    assert len(set(FINDINGS)) == len(FINDINGS)
    assert set(FINDINGS) == {*CHEXPERT_14, *CHESTXRAY_14}


def test_the_competitions_five_are_in_both_lists() -> None:
    assert set(COMPETITION_5) <= set(CHEXPERT_14)
    assert set(COMPETITION_5) <= set(CHESTXRAY_14)


@pytest.mark.parametrize("name", FINDINGS)
def test_every_finding_is_its_own_name_in_any_writing(name: str) -> None:
    writings = (
        name,
        name.lower(),
        name.upper(),
        name.replace(" ", "_"),
        name.replace(" ", "-"),
        f"  {name} ",
    )
    assert {canonical(writing) for writing in writings} == {name}


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("Effusion", "Pleural Effusion"),
        ("Pleural_Thickening", "Pleural Thickening"),
        ("Airspace Opacity", "Lung Opacity"),
        ("Enlarged Cardiomediastinum", "Enlarged Cardiomediastinum"),
        ("Oedema", "Edema"),
        ("No Findings", "No Finding"),
        ("Hiatal Hernia", "Hernia"),
    ],
)
def test_published_names_lead_to_ours(published: str, ours: str) -> None:
    assert canonical(published) == ours


@pytest.mark.parametrize("name", ["", "Study", "age", "Edemas", "Pneumo"])
def test_other_words_are_no_findings(name: str) -> None:
    assert known(name) is None
    with pytest.raises(
        UsageError, match=f"'{name}' is not a finding that radsnap knows; known are: No Finding, "
    ):
        canonical(name)
