"""`radsnap diagnose` as a user types it, in a process of its own."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

LEVELS = {"dark": 0.1, "knee": 0.3, "chest": 0.5, "lateral": 0.7, "hand": 0.9}


def radsnap(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "radsnap", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd, env=environment)


def lines(done: subprocess.CompletedProcess[str]) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def models(tiny_chain: Path) -> list[str | Path]:
    cards = {name: tiny_chain / f"{name}.card.json" for name in ("gate", "kind", "findings")}
    return ["--gate", cards["gate"], "--kind", cards["kind"], "--model", cards["findings"]]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for name, level in LEVELS.items():
        cv2.imwrite(str(folder / f"{name}.png"), np.full((240, 320), round(255 * level), np.uint8))
    return folder


def dicom(path: Path, syntax: str = ExplicitVRLittleEndian, pixels: bytes | None = None) -> None:
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.Modality = "DX"
    dataset.Rows = dataset.Columns = 256
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    if pixels is not None:
        dataset.PixelData = pixels
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated and pixels is not None:
        dataset.PixelData = pydicom.encaps.encapsulate([pixels])
    dataset.save_as(path, enforce_file_format=True)


def huge_png(path: Path, side_px: int = 50_000) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 0, 0, 0, 0)
    rows = zlib.compressobj(9)
    body = b"".join(rows.compress(bytes(side_px + 1)) for _ in range(64)) + rows.flush()
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def test_each_picture_is_a_line_of_json_in_the_order_given(
    pictures: Path, models: list[str | Path], tiny_chain: Path
) -> None:
    files = [pictures / f"{name}.png" for name in ("lateral", "dark", "chest", "knee", "hand")]
    done = radsnap("diagnose", *files, *models, "--reader", f"knee_leg={tiny_chain / 'knee.card.json'}")
    assert (done.returncode, done.stderr) == (0, "")
    lateral, dark, chest, knee, hand = results = lines(done)
    assert [result["path"] for result in results] == [str(file) for file in files]
    assert (dark["ok"], dark["gate"]["passed"], dark["kind"]) == (True, False, None)
    assert dark["reason"].startswith("not an x-ray: ")
    assert lateral["reason"] == "not assessed: lateral view"
    assert hand["reason"] == "not assessed: no reader for hand_wrist; add one with --reader hand_wrist=MODEL"
    assert chest["kind"]["label"] == "chest_frontal"
    assert set(chest["findings"]) == {"Pneumonia", "Edema", "Hernia"}
    assert 0 < chest["findings"]["Pneumonia"]["score"] < 1
    assert set(knee["findings"]) == {"Fracture"}
    assert set(chest["model"]) == {"radsnap", "gate", "kind", "findings", "lungs"}


def test_bad_pictures_say_one_clear_line_each_and_the_rest_goes_on(
    tmp_path: Path, pictures: Path, models: list[str | Path]
) -> None:
    rng = np.random.default_rng(0)
    grain = rng.integers(90, 160, (300, 300), dtype=np.uint8)
    whole = cv2.imencode(".jpg", grain)[1].tobytes()
    bad = {name: tmp_path / name for name in (
        "empty.jpg", "truncated.jpg", "text.jpg", "huge.png", "animated.gif", "foreign.dcm", "blank.dcm",
        "no-images", "absent.jpg",
    )}  # fmt: skip
    bad["empty.jpg"].write_bytes(b"")
    bad["truncated.jpg"].write_bytes(whole[: len(whole) // 2])
    bad["text.jpg"].write_text("Dear doctor, the x-ray is attached.\n")
    huge_png(bad["huge.png"])
    frames = [Image.fromarray(grain), Image.fromarray(255 - grain)]
    frames[0].save(bad["animated.gif"], save_all=True, append_images=frames[1:])
    dicom(bad["foreign.dcm"], syntax="1.2.840.10008.1.2.4.100", pixels=bytes(64))  # MPEG2
    dicom(bad["blank.dcm"])
    bad["no-images"].mkdir()
    good = {name: tmp_path / name for name in ("deep.png", "palette.png", "cmyk.jpg", "plain.dcm")}
    cv2.imwrite(str(good["deep.png"]), np.full((256, 256), 32768, np.uint16))
    Image.fromarray(grain).convert("P").save(good["palette.png"])
    Image.fromarray(grain).convert("CMYK").save(good["cmyk.jpg"])
    dicom(good["plain.dcm"], pixels=rng.integers(1800, 2300, 256 * 256, dtype=np.uint16).tobytes())

    files = [*bad.values(), *good.values(), pictures / "chest.png"]
    done = radsnap("diagnose", *files, *models, "--jobs", "3")
    assert done.returncode == 1
    results = {result["path"]: result for result in lines(done)}
    assert list(results) == [str(file) for file in files]
    assert [name for name, file in good.items() if not results[str(file)]["ok"]] == []
    errors = done.stderr.splitlines()
    assert len(errors) == len(bad)
    says = {
        "empty.jpg": "the file is empty",
        "truncated.jpg": "truncated",
        "text.jpg": "this is text, not an image",
        "huge.png": "50,000 × 50,000 px are over the bound",
        "animated.gif": "more than one frame",
        "foreign.dcm": "MPEG2",
        "blank.dcm": "pixel",
        "no-images": "the folder holds no images",
        "absent.jpg": "no such file",
    }
    for line, (name, file) in zip(errors, bad.items(), strict=True):
        assert line.startswith(f"radsnap: {file}: "), line
        assert says[name] in line, line
        result = results[str(file)]
        assert (result["ok"], f"radsnap: {result['error']}") == (False, line)
        assert "findings" not in result


def test_a_model_that_is_not_its_cards_is_refused_in_one_line(
    tmp_path: Path, pictures: Path, models: list[str | Path], tiny_chain: Path
) -> None:
    for name in ("findings.card.json", "findings.onnx"):
        (tmp_path / name).write_bytes((tiny_chain / name).read_bytes())
    with (tmp_path / "findings.onnx").open("ab") as file:
        file.write(b"\0")
    done = radsnap("diagnose", pictures / "chest.png", *models[:-1], tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"radsnap: {tmp_path / 'findings.onnx'} is not what its card describes: sha256 ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Missing argument"),
        (["a.jpg", "--reader", "knee_leg"], "--reader takes KIND=MODEL"),
        (["a.jpg", "--jobs", "0"], "jobs"),
        (["a.jpg", "--repot", "x.html"], "--report"),
        (["a.jpg", "--report", "absent/x.html"], "no folder absent for the report; make it first"),
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], says: str, tmp_path: Path) -> None:
    done = radsnap("diagnose", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_for_an_unknown_kind_is_wrong_usage(
    pictures: Path, models: list[str | Path], tiny_chain: Path
) -> None:
    done = radsnap(
        "diagnose", pictures / "chest.png", *models, "--reader", f"nose={tiny_chain / 'knee.card.json'}"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("radsnap: a reader for 'nose' would never be asked")


def test_folders_and_patterns_report_and_heat_maps_without_torch(
    tmp_path: Path, pictures: Path, models: list[str | Path]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nfor name in ('torch', 'monai', 'onnx', 'fastapi'): sys.modules[name] = None\n"
    )
    command = [sys.executable, "-m", "radsnap", "diagnose", str(pictures), str(pictures / "ch*.png")]
    extra = ["--report", "out.html", "--heat-maps", "heat/maps"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [*command, *map(str, models), *extra],
        capture_output=True, text=True, timeout=120, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    names = [Path(result["path"]).stem for result in lines(done)]
    assert names == sorted(LEVELS)  # chest once, though it is named twice
    html = (tmp_path / "out.html").read_text()
    assert [f'id="case-{number}"' in html for number in (1, 5, 6)] == [True, True, False]
    (folder,) = (tmp_path / "heat" / "maps").iterdir()
    assert folder.name.startswith("chest-")
    assert sorted(file.name for file in folder.iterdir()) == ["Edema.jpg", "Hernia.jpg", "Pneumonia.jpg"]
    shown = cv2.imread(str(folder / "Edema.jpg"))
    assert shown.shape == (240, 320, 3)
    assert shown[..., 2].mean() > shown[..., 0].mean() + 20  # heat is red over grey
