"""bfloat16 is used where the processor computes with it, and where it is wanted."""

from __future__ import annotations

import pytest
import torch

from radsnap.learn import precision


@pytest.mark.parametrize(("able", "wanted"), [(True, True), (True, False), (False, True)])
def test_bfloat16_where_it_is_computed_and_wanted(
    able: bool, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: able)
    with precision.mixed("cpu", wanted):
        made = torch.ones(2, 2) @ torch.ones(2, 2)
    assert made.dtype == (torch.bfloat16 if able and wanted else torch.float32)


def test_an_accelerator_is_taken_at_its_word() -> None:
    assert precision.computes_bfloat16("cuda")
