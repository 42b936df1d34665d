"""`radsnap predict` and `radsnap models` as a user types them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from radsnap.cli.app import main


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RADSNAP_MODELS", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rows = []
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((40, 40), 50 + 50 * number, dtype=np.uint8))
        rows.append(
            {"image_id": f"i{number}", "study_id": f"s{number}", "patient_id": "p", "path": f"{number}.png"}
        )
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path / "manifest.csv"


def radsnap(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Run the command line in this process; gives the exit code."""
    monkeypatch.setattr(sys, "argv", ["radsnap", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_predict_writes_scores_and_says_how_fast(
    monkeypatch: pytest.MonkeyPatch, tiny_chain: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = manifest.with_name("p.csv")
    assert radsnap(monkeypatch, "predict", tiny_chain / "findings.card.json", manifest, "-o", out) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}: 3 rows\n"
    assert "3 images in " in said.err
    assert said.err.rstrip().endswith("images/s")
    assert len(pd.read_csv(out)) == 3


def test_a_failed_image_makes_the_exit_code_1_and_is_listed(
    monkeypatch: pytest.MonkeyPatch, tiny_chain: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (manifest.parent / "1.png").write_bytes(b"")
    out = manifest.with_name("p.csv")
    assert radsnap(monkeypatch, "predict", tiny_chain / "findings.card.json", manifest, "-o", out) == 1
    assert f"radsnap: 1 images failed, see {manifest.with_name('p_failures.csv')}" in capsys.readouterr().err
    assert pd.read_csv(out)["image_id"].tolist() == ["i0", "i2"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("--views", "median"), ("--by", "patient"), ("--batch-size", "0")],
)
def test_wrong_options_are_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, manifest: Path, capsys: pytest.CaptureFixture[str],
    option: str, value: str,
) -> None:  # fmt: skip
    assert radsnap(monkeypatch, "predict", "findings", manifest, option, value) == 2
    assert capsys.readouterr().err.startswith(f"radsnap: {option}: ")


def test_a_command_is_asked_in_the_competitions_protocol(
    monkeypatch: pytest.MonkeyPatch, manifest: Path
) -> None:
    script = manifest.with_name("model.py")
    script.write_text(
        "import csv, sys\n"
        "rows = [row['Path'] for row in csv.DictReader(open(sys.argv[1]))]\n"
        "open(sys.argv[2], 'w').write('Path,Edema\\n' + ''.join(f'{one},{n}\\n' for n, one in enumerate(rows)))\n"
    )
    out = manifest.with_name("p.csv")
    arguments = ("predict", "--command", f"{sys.executable} {script}", manifest, "-o", out, "--by", "study")
    assert radsnap(monkeypatch, *arguments) == 0
    assert pd.read_csv(out)["Edema"].tolist() == [0, 1, 2]


def test_models_are_listed_shown_exported_and_imported(
    monkeypatch: pytest.MonkeyPatch, tiny_chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = tiny_chain / "knee.card.json"
    assert radsnap(monkeypatch, "models", "export", card, "-o", tmp_path / "out") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "knee" / "knee.card.json")
    taken = ("models", "import", tmp_path / "out" / "knee", "--as", "radsnap", "--name", "mine")
    assert radsnap(monkeypatch, *taken) == 0
    assert radsnap(monkeypatch, *taken) == 2
    assert "is there already" in capsys.readouterr().err
    assert radsnap(monkeypatch, "models", "list") == 0
    listed = capsys.readouterr().out
    assert any(line.split() == ["mine", "knee", "1", "float32", "yours"] for line in listed.splitlines())
    assert any(
        line.rstrip().endswith("radsnap models get torchxrayvision-all") for line in listed.splitlines()
    )
    assert "radsnap models get chexnet (unverified)" in listed
    assert radsnap(monkeypatch, "models", "card", "mine") == 0
    shown = capsys.readouterr().out
    assert "findings (sigmoid): Fracture" in shown
    assert "any: Fracture from 0.700, possible from 0.500 (Youden on validation)" in shown
    assert "! knee <only> reads brightness." in shown


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "grey; mean"),
        ({"channels": 3}, "grey, three times; mean"),
        ({"channels": 3, "pixels": "rgb"}, "in colour; mean"),
    ],
)
def test_a_card_tells_the_colours_that_its_network_reads(
    spec: dict[str, object],
    said: str,
    tiny_chain: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    card, path = json.loads((tiny_chain / "knee.card.json").read_text()), tmp_path / "knee.card.json"
    path.write_text(json.dumps(card | {"input": card["input"] | spec}))
    assert radsnap(monkeypatch, "models", "card", path) == 0
    assert said in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("option", [("--average", "flip"), ("--scale", "logit"), ("--flatten",)])
def test_a_command_takes_no_option_that_it_would_not_obey(
    option: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    manifest: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = manifest.with_name("p.csv")
    assert radsnap(monkeypatch, "predict", "--command", "true", manifest, "-o", out, *option) == 2
    told = f"radsnap: {option[0]} needs a model that radsnap runs; a command reads its files and answers by itself\n"
    assert capsys.readouterr().err == told


def test_an_unknown_kind_or_checksum_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert radsnap(monkeypatch, "models", "import", tmp_path / "m.pt", "--as", "magic") == 2
    assert capsys.readouterr().err.startswith("radsnap: --as: Input should be 'torchxrayvision'")
    assert (
        radsnap(monkeypatch, "models", "get", "https://example.org/m.pt", "--as", "vit", "--sha256", "abc")
        == 2
    )
    assert "--sha256 takes 64 hexadecimal digits, got 'abc'" in capsys.readouterr().err
