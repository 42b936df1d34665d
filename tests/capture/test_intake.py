"""Photos come in without their owner's marks, and with every pixel."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from studio import SOAK, xray

from radsnap.errors import ImageError
from radsnap.imaging import encode_jpeg, read_image
from radsnap.jobs.capturing.intake import clean_jpeg, hash_of, keep_photo, read_grey, read_rgb
from radsnap.seeds import stream

SECRETS = (b"Jane Doe", b"SN-12345", b"my ward", b"N\0E\0", b"GPSGPS", b"ftypmp42")


def photo(orientation: int = 6, **settings: object) -> bytes:
    """A JPEG with all that phones write: camera, owner, place, serial number, comment, XMP, a film behind it."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Pear", "Phone 9", orientation
    exif[0x013B], exif[0x8298] = "Jane Doe", "Jane Doe"
    exif.get_ifd(0x8769).update({0xA431: "SN-12345", 0x9286: b"ASCII\0\0\0my ward", 0xA405: 26, 0x8827: 64})
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 5.0, 1.0), 29: "GPSGPS"})
    buffer = io.BytesIO()
    picture = Image.fromarray(np.stack([xray(0)] * 3, axis=-1))
    picture.save(buffer, "JPEG", exif=exif, comment=b"Jane Doe", quality=90, **settings)
    data = buffer.getvalue()
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x>GPSGPS Jane Doe</x>"
    segment = b"\xff\xe1" + (len(xmp) + 2).to_bytes(2, "big") + xmp
    return data[:2] + segment + data[2:] + b"\0\0\0\x18ftypmp42 film of the ward with GPSGPS"


@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"optimize": True, "subsampling": 0}])
def test_owner_and_place_go_and_every_pixel_stays(settings: dict[str, object], tmp_path: Path) -> None:
    data = photo(**settings)
    assert all(secret in data for secret in SECRETS if secret != b"N\0E\0")
    taken = keep_photo(data, tmp_path, "photo")
    kept = (tmp_path / taken.file).read_bytes()
    assert not any(secret in kept for secret in SECRETS)
    assert np.array_equal(read_image(kept).pixels, read_image(data).pixels), "upright, bit for bit"
    assert dict(Image.open(io.BytesIO(kept)).getexif()) == {0x0112: 6}


def strewn(data: bytes) -> bytes:
    """Put stray bytes between a JPEG's segments, as some editors leave them; the decoder steps over them."""
    out, at = [data[:2]], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        out += [data[at:end], b"\0\x11stray\xff\0"]
        at = end
    return b"".join([*out, data[at:]])


@pytest.mark.parametrize("settings", [{}, {"progressive": True}])
def test_bytes_between_the_segments_cost_no_pixel(settings: dict[str, object], tmp_path: Path) -> None:
    data = strewn(photo(**settings))
    taken = keep_photo(data, tmp_path, "photo")
    kept = (tmp_path / taken.file).read_bytes()
    assert b"stray" not in kept
    assert not any(secret in kept for secret in SECRETS)
    assert np.array_equal(read_image(kept).pixels, read_image(data).pixels)


def test_a_file_that_cleaning_spoils_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = photo()
    for spoilt in (b"\xff\xd8\xff\xd9", clean_jpeg(encode_jpeg(xray(1), 90), "photo")):
        monkeypatch.setattr("radsnap.jobs.capturing.intake.clean_jpeg", lambda *_, spoilt=spoilt: spoilt)
        taken = keep_photo(data, tmp_path, "photo")
        kept = (tmp_path / taken.file).read_bytes()
        assert not any(secret in kept for secret in SECRETS)
        off = read_image(kept).pixels.astype(int) - read_image(data).pixels.astype(int)
        assert np.abs(off).max() < 8


def test_an_orientation_that_there_is_not_is_none(tmp_path: Path) -> None:
    taken = keep_photo(photo(orientation=300), tmp_path, "photo")
    kept = (tmp_path / taken.file).read_bytes()
    assert np.array_equal(read_image(kept).pixels, read_image(photo(orientation=1)).pixels)


def test_the_camera_is_remembered_and_nobody_else(tmp_path: Path) -> None:
    meta = keep_photo(photo(), tmp_path, "photo").meta
    assert (meta["make"], meta["model"], meta["focal_35mm"], meta["iso"]) == ("Pear", "Phone 9", 26, 64)
    assert "Jane" not in str(meta)
    assert "12345" not in str(meta)


def test_a_photo_is_known_by_the_bytes_that_came(tmp_path: Path) -> None:
    data = photo()
    taken = keep_photo(data, tmp_path, "photo")
    assert taken.hash == hash_of(data)
    assert keep_photo(data, tmp_path, "again").file == taken.file
    assert [path.name for path in tmp_path.iterdir()] == [taken.file]


def test_heic_and_png_come_in_too(tmp_path: Path) -> None:
    picture = Image.fromarray(np.stack([xray(0)] * 3, axis=-1))
    heic, png = io.BytesIO(), io.BytesIO()
    exif = Image.Exif()
    exif[0x013B], exif[0x0110] = "Jane Doe", "Phone 9"
    pillow_heif.from_pillow(picture).save(heic, exif=exif.tobytes(), quality=90)
    picture.save(png, "PNG", exif=exif)
    for data, suffix in ((heic.getvalue(), ".jpg"), (png.getvalue(), ".png")):
        taken = keep_photo(data, tmp_path, "photo")
        assert taken.file.endswith(suffix)
        assert b"Jane" not in (tmp_path / taken.file).read_bytes()
        off = read_rgb(tmp_path / taken.file).astype(int) - np.asarray(picture).astype(int)
        assert np.abs(off).mean() < 3
        assert read_grey(tmp_path / taken.file).shape == xray(0).shape


@pytest.mark.parametrize("data", [b"no photo", b"", b"\xff\xd8\xff\xe0", photo()[:3000]])
def test_what_is_no_photo_leaves_nothing_behind(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        keep_photo(data, tmp_path, "photo")
    assert list(tmp_path.iterdir()) == []


def test_broken_photos_end_as_a_photo_or_an_image_error(tmp_path: Path) -> None:
    whole = photo()
    for attempt in range(40 * SOAK):
        rng = stream(1, "broken", attempt)
        data = bytearray(whole)
        for _ in range(int(rng.integers(1, 12))):
            data[int(rng.integers(400))] = int(rng.integers(256))
        try:
            taken = keep_photo(bytes(data), tmp_path, "photo")
        except ImageError:
            continue
        assert all(isinstance(value, str | int | float) for value in taken.meta.values())


def test_a_photo_without_metadata_stays_as_it_is() -> None:
    data = encode_jpeg(xray(0), 90)
    assert clean_jpeg(data, "photo") == data
