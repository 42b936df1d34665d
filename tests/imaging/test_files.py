"""The doors for raster files: what is read, what is refused, and in which words."""

from __future__ import annotations

import io
import os
import struct
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pictures import encoded, huge_png, png_chunk, ramp16, scene
from PIL import Image

from radsnap.errors import ImageTooLarge, UnreadableImage, UnsupportedImage, UsageError
from radsnap.imaging import (
    Bounds,
    Photo,
    Radiograph,
    encode_jpeg,
    grey_level,
    luminance,
    read_image,
    read_radiograph,
    to_photo,
    write_image,
)


def photo(data: Any, **options: Any) -> Any:
    image = read_image(data, **options)
    assert isinstance(image, Photo)
    return image.pixels


# --- what is read ---


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
    ],
)
def test_lossless_formats_give_the_very_pixels(format: str, options: dict[str, Any]) -> None:
    assert (photo(encoded(scene(), format, **options)) == scene()).all()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "optimize": True}])
def test_jpeg_gives_the_pixels_that_pil_gives(options: dict[str, Any]) -> None:
    data = encoded(scene(), "JPEG", quality=90, **options)
    assert (photo(data) == np.asarray(Image.open(io.BytesIO(data)))).all()


def test_grey_jpeg_is_a_grey_photo_and_a_radiograph_by_its_door() -> None:
    data = encoded(scene()[..., 0], "JPEG", quality=95)
    pixels = photo(data)
    assert (pixels == pixels[..., :1]).all()
    radiograph = read_radiograph(data)
    np.testing.assert_allclose(radiograph.pixels, pixels[..., 0] / 255, atol=1e-6)


def test_cmyk_jpeg_has_its_colours_and_not_their_negative() -> None:
    data = encoded(Image.fromarray(scene()).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(photo(data).astype(int) - scene()).mean() < 4


def test_heic_is_read() -> None:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(scene())).save(buffer, quality=95)
    assert np.abs(photo(buffer.getvalue()).astype(int) - scene()).mean() < 4


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_scale_full_range_and_are_not_stretched(format: str) -> None:
    dim = ramp16() // 4
    data = encoded(dim, format)
    assert np.abs(photo(data)[..., 0] - dim / 257).max() <= 0.5
    np.testing.assert_allclose(read_radiograph(data).pixels, dim / 65535, atol=1e-6)


def test_a_deep_tiff_where_white_is_zero_is_turned_around() -> None:
    data = bytearray(encoded(ramp16(), "TIFF"))
    (start,) = struct.unpack("<I", data[4:8])
    for entry in range(start + 2, start + 2 + 12 * int(data[start]), 12):
        if struct.unpack("<H", data[entry : entry + 2])[0] == 262:
            data[entry + 8 : entry + 10] = struct.pack("<H", 0)
    np.testing.assert_allclose(read_radiograph(bytes(data)).pixels, 1 - ramp16() / 65535, atol=1e-6)


def test_palette_one_bit_and_transparency_are_read() -> None:
    palette = Image.fromarray(scene()).quantize(64)
    assert (photo(encoded(palette, "PNG")) == np.asarray(palette.convert("RGB"))).all()
    dots = Image.fromarray(scene()).convert("1")
    assert (photo(encoded(dots, "PNG"))[..., 0] == np.asarray(dots) * 255).all()
    assert (photo(encoded(dots, "TIFF", compression="group4"))[..., 0] == np.asarray(dots) * 255).all()
    clear = np.dstack([scene(), np.full(scene().shape[:2], 255, np.uint8)])
    clear[:40, :, 3] = 0
    clear[40:50, :, 3] = 128
    pixels = photo(encoded(clear, "PNG"))
    assert (pixels[:40] == 0).all(), "what is transparent lies on black"
    assert (pixels[50:] == scene()[50:]).all()
    assert np.abs(pixels[40:50] - scene()[40:50] * (128 / 255)).max() <= 0.5


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured_in_every_format(format: str, orientation: int) -> None:
    corner = np.zeros((32, 48, 3), np.uint8)
    corner[:16, :24] = (250, 0, 0)
    corner[:16, 24:] = (0, 250, 0)
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if format == "WEBP" else {"quality": 95} if format == "JPEG" else {}
    # What the pixels on the sensor are, so that turning them by the orientation gives `corner`.
    sensor = Image.fromarray(corner)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # PIL's Transpose, inverse of what EXIF asks for
    if orientation > 1:
        sensor = sensor.transpose(Image.Transpose(undo[orientation]))
    image = read_image(encoded(sensor, format, exif=exif, **options))
    assert np.abs(image.pixels.astype(int) - corner).mean() < 6
    assert image.provenance.size_px == (48, 32)


def test_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    file = tmp_path / "really-a-png.jpg"
    file.write_bytes(encoded(scene(), "PNG"))
    assert read_image(file).provenance.format == "PNG"


def test_picture_within_a_picture_and_trailing_bytes_do_not_matter() -> None:
    data = encoded(scene(), "JPEG")
    assert (photo(data + b"MOTION PHOTO" + data[: len(data) // 2]) == photo(data)).all()


# --- reduced decoding ---


@pytest.mark.parametrize(
    ("at_least_px", "expected"),
    [(None, (960, 1280)), (961, (960, 1280)), (300, (480, 640)), (120, (120, 160))],
)
def test_big_jpegs_are_decoded_small_where_that_suffices(at_least_px: int | None, expected: Any) -> None:
    data = encoded(scene(960, 1280), "JPEG")
    image = read_image(data, at_least_px=at_least_px)
    assert image.pixels.shape[:2] == expected
    assert image.provenance.size_px == (1280, 960)
    small = np.asarray(Image.fromarray(scene(960, 1280)).resize(expected[::-1], Image.Resampling.BOX))
    assert np.abs(image.pixels.astype(int) - small).mean() < 2
    assert read_radiograph(data, at_least_px=at_least_px).pixels.shape == expected


# --- what is refused ---

TRUNCATED = {
    "JPEG": "a truncated JPEG",
    "PNG": "a truncated PNG",
    "TIFF": "a broken TIFF",
    "WEBP": "a broken WebP",
    "GIF": "a broken GIF",
}


@pytest.mark.parametrize("format", TRUNCATED)
def test_truncated_files_are_refused_and_never_half_decoded(format: str) -> None:
    data = encoded(scene(), format)
    with pytest.raises(UnreadableImage, match=rf"^scan: {TRUNCATED[format]}.*get (it|the file) again"):
        read_image(data[: len(data) * 2 // 3], name="scan")


def test_a_progressive_jpeg_cut_between_its_scans_is_refused() -> None:
    data = encoded(scene(), "JPEG", progressive=True)
    last_scan = data.rfind(b"\xff\xda")
    with pytest.raises(UnreadableImage, match="a truncated JPEG"):
        read_image(data[:last_scan])


def damaged(data: bytes) -> bytes:
    """A JPEG whose second half is missing, though its end mark is there."""
    return data[: len(data) // 2] + b"\xff\xd9"


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 95, "subsampling": 0}])
@pytest.mark.parametrize("at_least_px", [None, 100])
def test_a_damaged_jpeg_is_read_and_says_so(options: dict[str, Any], at_least_px: int | None) -> None:
    whole = encoded(scene(480, 640), "JPEG", **options)
    image = read_image(damaged(whole), at_least_px=at_least_px)
    assert image.provenance.damage is not None
    assert image.provenance.damage.startswith("Corrupt JPEG data")
    sound = read_image(whole, at_least_px=at_least_px)
    assert sound.provenance.damage is None
    assert image.pixels.shape == sound.pixels.shape
    if not options.get("progressive"):
        top = sound.pixels.shape[0] // 4
        assert (image.pixels[:top] == sound.pixels[:top]).all(), "what came before the damage is right"


def test_marks_that_cost_no_pixel_are_no_damage() -> None:
    data = encoded(scene(), "JPEG")
    odd = (
        data[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x07" + data[2:]
    )  # transform 7 does not exist
    assert read_image(odd).provenance.damage is None


def test_sampling_that_the_fast_decoder_does_not_know_is_read_all_the_same() -> None:
    data = bytearray(encoded(scene(480, 640), "JPEG", subsampling=0))
    frame = data.index(b"\xff\xc0")
    grey_first = bytes(data[frame + 10 : frame + 19])
    assert grey_first[1] == 0x11
    data[frame + 14] = 0x31  # the first chroma three times as wide as the second: legal, and unheard of
    image = read_image(bytes(data), at_least_px=100)
    assert image.pixels.shape == (480, 640, 3), "PIL took it, at its full size"


def test_broken_checksum_of_a_png_is_refused() -> None:
    data = bytearray(encoded(scene(), "PNG"))
    data[-30] ^= 1
    with pytest.raises(UnreadableImage, match=r"the checksum \(CRC\) of its IDAT chunk is wrong"):
        read_image(bytes(data))


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"", UnreadableImage, "the file is empty; get it again from its source"),
        (b"Dear patient,\nyour x-ray", UnreadableImage, "this is text, not an image; give a JPEG, PNG"),
        (os.urandom(0) + bytes(range(7, 207)), UnreadableImage, "this is no image that radsnap knows"),
        (b"%PDF-1.7 ...", UnsupportedImage, "this is a PDF document; save the picture as JPEG"),
        (b"\0\0\0\x20ftypavif" + bytes(30), UnsupportedImage, "this is an AVIF picture"),
        (b"\0\0\0\x20ftypmp42" + bytes(30), UnsupportedImage, "this is a film"),
        (b"\xff\xd8\xff\xd9", UnreadableImage, "a JPEG without a picture in it"),
        (b"\xff\xd8\xff", UnreadableImage, "a truncated JPEG"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(data: bytes, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        read_image(data, name="upload")
    assert str(caught.value).startswith(f"upload: {message}")
    assert "\n" not in str(caught.value)


def test_paths_that_hold_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"gone\.jpg: no such file; check the path"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(UnreadableImage, match="this is a folder, not an image; name the files in it"):
        read_image(tmp_path)
    with pytest.raises(UnreadableImage, match="not a path"):
        read_image("a\0b.jpg")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    with pytest.raises(UnreadableImage, match=r"empty\.jpg: the file is empty"):
        read_image(empty)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_does_not_hang_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UnreadableImage, match="not a regular file"):
        read_image(tmp_path / "pipe.jpg")


def test_more_than_one_frame_is_refused_unless_the_bounds_allow_it() -> None:
    frames = [Image.fromarray(np.roll(scene(), by, axis=1)) for by in (0, 20, 40)]
    for format in ("GIF", "WEBP", "PNG", "TIFF"):
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
        with pytest.raises(ImageTooLarge, match="more than one frame"):
            read_image(data)
        assert photo(data, bounds=Bounds(frames=3)).shape == scene().shape


def test_samples_that_do_not_say_what_white_is_are_refused() -> None:
    with pytest.raises(UnsupportedImage, match="does not say which value is white"):
        read_image(encoded(np.ones((4, 4), np.float32), "TIFF"))


def test_twelve_bit_jpeg_is_refused_by_name() -> None:
    data = bytearray(encoded(scene(), "JPEG"))
    data[data.find(b"\xff\xc0") + 4] = 12
    with pytest.raises(UnsupportedImage, match="a JPEG of a rare kind"):
        read_image(bytes(data))


# --- bounds, before decoding ---


def test_a_png_of_50000_by_50000_px_is_refused_before_decoding(tmp_path: Path) -> None:
    file = tmp_path / "bomb.png"
    file.write_bytes(huge_png(50_000, 50_000))
    started = time.perf_counter()
    with pytest.raises(ImageTooLarge, match="50,000 × 50,000 px are over the bound of 120,000,000 pixels"):
        read_image(file)
    assert time.perf_counter() - started < 0.2


def _claims(format: str) -> bytes:
    """A small file whose header is changed to claim 16,000 × 16,000 px."""
    data = bytearray(encoded(scene(), format))
    if format == "JPEG":
        at = data.find(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", 16_000, 16_000)
    elif format == "WEBP":
        at = data.find(b"\x9d\x01\x2a") + 3
        data[at : at + 4] = struct.pack("<HH", 16_000, 16_000)
    elif format == "GIF":
        data[6:10] = struct.pack("<HH", 16_000, 16_000)
    elif format == "BMP":
        data[18:26] = struct.pack("<ii", 16_000, 16_000)
    else:
        (start,) = struct.unpack("<I", data[4:8])
        for entry in range(start + 2, start + 2 + 12 * int(data[start]), 12):
            if struct.unpack("<H", data[entry : entry + 2])[0] in (256, 257):
                data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, 16_000)
    return bytes(data)


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_is_bounded_by_what_its_header_claims(format: str) -> None:
    with pytest.raises(ImageTooLarge, match="16,000 × 16,000 px are over the bound"):
        read_image(_claims(format))


def test_bytes_are_bounded_before_the_file_is_read(tmp_path: Path) -> None:
    sparse = tmp_path / "sparse.jpg"
    with sparse.open("wb") as file:
        file.truncate(5_000_000_000)
    with pytest.raises(ImageTooLarge, match="5,000,000,000 bytes are over the bound of 300,000,000"):
        read_image(sparse)
    with pytest.raises(ImageTooLarge, match="over the bound of 10;"):
        read_image(encoded(scene(), "PNG"), Bounds(bytes=10))


def test_compressed_comments_and_profiles_of_a_png_are_never_inflated() -> None:
    import zlib

    data = encoded(scene(), "PNG")
    bomb = png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(50_000_000)))
    assert (photo(data[:33] + bomb + data[33:]) == scene()).all()


def test_threads_decode_side_by_side_without_leaking_filters() -> None:
    import warnings

    before = list(warnings.filters)
    data = encoded(scene(), "TIFF")
    results: list[bool] = []

    def work() -> None:
        results.extend(bool((photo(data) == scene()).all()) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 80
    assert list(warnings.filters) == before


# --- writing ---


@settings(max_examples=30, deadline=None)
@given(
    pixels=arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))),
    suffix=st.sampled_from([".png", ".tif", ".bmp", ".TIFF"]),
)
def test_colour_goes_out_and_comes_back(tmp_path_factory: Any, pixels: Any, suffix: str) -> None:
    file = write_image(tmp_path_factory.getbasetemp() / f"trip{suffix}", pixels)
    assert (photo(file) == pixels).all()


@settings(max_examples=30, deadline=None)
@given(
    pixels=arrays(np.uint16, st.tuples(st.integers(1, 20), st.integers(1, 20))),
    suffix=st.sampled_from([".png", ".tif"]),
)
def test_sixteen_bits_go_out_and_come_back(tmp_path_factory: Any, pixels: Any, suffix: str) -> None:
    file = write_image(tmp_path_factory.getbasetemp() / f"deep{suffix}", pixels)
    assert (np.rint(read_radiograph(file).pixels * 65535) == pixels).all()


def test_radiographs_and_photos_are_written_as_they_are(tmp_path: Path) -> None:
    radiograph = Radiograph((ramp16() / 65535).astype(np.float32))
    deep = read_radiograph(write_image(tmp_path / "r.png", radiograph))
    assert np.abs(deep.pixels - radiograph.pixels).max() < 1e-5
    flat = read_radiograph(write_image(tmp_path / "r.jpg", radiograph))
    assert np.abs(flat.pixels - radiograph.pixels).mean() < 0.01
    shown = to_photo(radiograph)
    assert (photo(write_image(tmp_path / "p.png", shown)) == shown.pixels).all()


def test_jpeg_quality_and_subsampling_are_what_was_asked_for() -> None:
    for subsampling, expected in {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}.items():
        data = encode_jpeg(scene(), 95, subsampling)  # type: ignore[arg-type]
        file: Any = Image.open(io.BytesIO(data))
        from PIL import JpegImagePlugin

        assert JpegImagePlugin.get_sampling(file) == expected
        reference: Any = Image.open(io.BytesIO(encoded(scene(), "JPEG", quality=95)))
        assert file.quantization == reference.quantization
    assert np.abs(photo(encode_jpeg(scene(), 95)).astype(int) - scene()).mean() < 2, "red stays red"


def test_a_failed_write_leaves_neither_half_a_file_nor_a_temporary_one(
    tmp_path: Path, monkeypatch: Any
) -> None:
    target = write_image(tmp_path / "new" / "picture.png", scene())
    before = target.read_bytes()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_image(target, scene() // 2)
    assert target.read_bytes() == before
    assert [file.name for file in target.parent.iterdir()] == ["picture.png"]


@pytest.mark.parametrize(
    ("name", "pixels", "message"),
    [
        ("a.xyz", scene(), "no picture format has the suffix '.xyz'"),
        ("a.jpg", ramp16(), "16-bit pixels go into .png or .tif"),
        ("a.png", scene().astype(np.float32), "holds uint8 or uint16"),
        ("a.png", np.zeros((0, 3), np.uint8), "holds uint8 or uint16"),
        ("a.webp", np.zeros((20_000, 1), np.uint8), "do not go into .webp"),
    ],
)
def test_what_a_format_cannot_hold_is_wrong_usage(
    tmp_path: Path, name: str, pixels: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        write_image(tmp_path / name, pixels)
    assert list(tmp_path.iterdir()) == []


def test_jpeg_refuses_a_quality_out_of_range() -> None:
    with pytest.raises(UsageError, match="a quality of 1 to 100"):
        encode_jpeg(scene(), 0)
    with pytest.raises(UsageError, match="JPEG holds uint8, got uint16"):
        encode_jpeg(ramp16())


# --- grey ---


def test_luminance_is_rec_601_within_half_a_level() -> None:
    grey = luminance(Photo(scene()))
    assert grey.dtype == np.float32
    assert np.abs(grey * 255 - scene() @ np.array([0.299, 0.587, 0.114])).max() <= 0.51


def test_grey_level_is_the_pixels_of_a_radiograph_and_the_luma_of_a_photo() -> None:
    radiograph = Radiograph((ramp16() / 65535).astype(np.float32))
    assert grey_level(radiograph) is radiograph.pixels
    assert np.abs(grey_level(to_photo(radiograph)) - radiograph.pixels).max() <= 0.5 / 255 + 1e-6
