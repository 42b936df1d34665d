"""What decoders write beneath our messages is kept, and what others write is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from radsnap.imaging import read_image
from radsnap.imaging.overheard import loss, overheard


def test_a_decoders_words_are_caught_and_others_words_come_through(capfd: pytest.CaptureFixture[str]) -> None:
    with overheard() as lines:
        os.write(2, b"libpng error: Not enough image data\nworker 3 is done\n")
        os.write(2, b"Corrupt JPEG data: premature end of data segment\n")
    assert lines == [
        "libpng error: Not enough image data",
        "Corrupt JPEG data: premature end of data segment",
    ]
    assert capfd.readouterr().err == "worker 3 is done\n"
    os.write(2, b"libpng error: afterwards\n")
    assert capfd.readouterr().err == "libpng error: afterwards\n"


def test_the_stream_comes_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="broken"), overheard():
        raise ValueError("broken")
    os.write(2, b"here\n")
    assert capfd.readouterr().err == "here\n"


def test_only_lost_pixels_count_as_loss() -> None:
    assert (
        loss(["Unsupported marker type 0x49", "Premature end of JPEG file"]) == "Premature end of JPEG file"
    )
    assert loss(["Unknown Adobe color transform code 7"]) is None


@pytest.mark.shared
def test_a_damaged_lossless_dicom_says_so_and_nothing_else_does(
    shared_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray((shared_data / "dicom" / "RG3_JPLL.dcm").read_bytes())
    assert read_image(bytes(data)).provenance.damage is None
    middle = len(data) // 2
    data[middle : middle + 20] = b"\x12\x34" * 10
    assert "Corrupt JPEG data" in str(read_image(bytes(data)).provenance.damage)
    assert capfd.readouterr() == ("", "")
