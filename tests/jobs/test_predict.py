from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from radsnap.errors import ManifestError, PredictionsError, WeightsError
from radsnap.jobs.predict import PredictConfig, predict, score_manifest
from radsnap.jobs.predict_journal import Batch, Journal
from radsnap.jobs.progress import Progress
from radsnap.models.runtime import load
from radsnap.tables import build_manifest, read_predictions, write_manifest

LEVELS = (20, 60, 100, 140, 180, 220, 250)


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """A manifest of seven flat images of four studies; study s3 has one image."""
    rows = []
    for number, level in enumerate(LEVELS):
        path = f"images/i{number}.png"
        (tmp_path / "images").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / path), np.full((48, 40), level, dtype=np.uint8))
        study = f"s{number // 2}"
        rows.append({"image_id": f"i{number}", "study_id": study, "patient_id": study, "path": path})
    frame = pd.DataFrame(rows).assign(domain=["digital", "", "film", "screen", "digital", "", ""])
    write_manifest(build_manifest(frame, tmp_path), tmp_path / "manifest.csv")
    return tmp_path / "manifest.csv"


def config(chain: Path, manifest: Path, **changes: object) -> PredictConfig:
    values = {
        "model": str(chain / "findings.card.json"), "manifest": manifest, "output": manifest.parent / "p.csv",
        "batch_size": 2,
    }  # fmt: skip
    return PredictConfig.model_validate(values | changes)


def expected(level: int) -> float:
    """What the tiny network's `Pneumonia` is for a flat image."""
    return float(1 / (1 + np.exp(-(8 * level / 255 - 3))))


def test_scores_are_written_by_image_in_the_manifests_order(tiny_chain: Path, collection: Path) -> None:
    seen: list[Progress] = []
    outcome = predict(config(tiny_chain, collection), seen.append)
    table = pd.read_csv(collection.parent / "p.csv")
    assert table.columns.tolist() == ["image_id", "Pneumonia", "Edema", "Hernia"]
    assert table["image_id"].tolist() == [f"i{n}" for n in range(7)]
    np.testing.assert_allclose(table["Pneumonia"], [expected(level) for level in LEVELS], atol=1e-5)
    assert (outcome.rows, outcome.images, outcome.failures) == (7, 7, None)
    assert [one.done for one in seen] == [0, 2, 4, 6, 7]
    assert seen[-1].note.endswith("images/s")


@pytest.mark.parametrize(("views", "combine"), [("max", max), ("mean", lambda pair: sum(pair) / len(pair))])
def test_views_of_a_study_are_combined_by_the_stated_rule(
    tiny_chain: Path, collection: Path, views: str, combine: object
) -> None:
    predict(config(tiny_chain, collection, by="study", views=views))
    said = read_predictions(collection.parent / "p.csv")
    assert said.key == "study"
    assert said.frame.index.tolist() == ["s0", "s1", "s2", "s3"]
    pairs = [LEVELS[0:2], LEVELS[2:4], LEVELS[4:6], LEVELS[6:]]
    wanted = [combine([expected(level) for level in pair]) for pair in pairs]  # type: ignore[operator]
    np.testing.assert_allclose(said.frame["Pneumonia"], wanted, atol=1e-5)


def test_logits_are_written_when_asked_for(tiny_chain: Path, collection: Path) -> None:
    predict(config(tiny_chain, collection, scale="logit"))
    said = read_predictions(collection.parent / "p.csv")
    np.testing.assert_allclose(said.frame["Pneumonia"], [8 * level / 255 - 3 for level in LEVELS], atol=1e-4)


def test_a_model_of_two_heads_gives_a_column_a_class(tiny_chain: Path, collection: Path) -> None:
    predict(config(tiny_chain, collection, model=str(tiny_chain / "gate.card.json")))
    table = pd.read_csv(collection.parent / "p.csv")
    assert table.columns.tolist() == ["image_id", "xray", "digital", "screen", "film"]
    np.testing.assert_allclose(table[["digital", "screen", "film"]].sum(axis=1), 1)


def test_the_batch_size_does_not_change_the_scores(tiny_chain: Path, collection: Path) -> None:
    from radsnap.tables import read_manifest

    network, manifest = load(tiny_chain / "findings.card.json"), read_manifest(collection)
    one, all_ = (score_manifest(network, manifest, batch_size=size) for size in (1, 64))
    np.testing.assert_allclose(one.logits, all_.logits, atol=1e-5)
    assert one.logits.dtype == np.float32
    assert one.image_ids == all_.image_ids


def test_bad_images_go_into_a_list_and_the_rest_goes_on(tiny_chain: Path, collection: Path) -> None:
    images = collection.parent / "images"
    (images / "i1.png").write_bytes(b"")
    (images / "i4.png").unlink()
    outcome = predict(config(tiny_chain, collection))
    assert list(outcome.faults) == ["i1", "i4"]
    assert outcome.failures is not None
    failures = pd.read_csv(outcome.failures)
    assert failures["path"].tolist() == ["images/i1.png", "images/i4.png"]
    assert "the file is empty" in failures["error"][0]
    assert "no such file" in failures["error"][1]
    assert read_predictions(collection.parent / "p.csv").frame.index.tolist() == [
        "i0",
        "i2",
        "i3",
        "i5",
        "i6",
    ]
    shutil.copy(images / "i0.png", images / "i1.png")
    shutil.copy(images / "i0.png", images / "i4.png")
    assert predict(config(tiny_chain, collection)).failures is None
    assert not (collection.parent / "p_failures.csv").exists()


def test_a_manifest_of_unreadable_images_writes_nothing(tiny_chain: Path, collection: Path) -> None:
    for image in (collection.parent / "images").iterdir():
        image.write_bytes(b"")
    with pytest.raises(PredictionsError, match=r"none of 7 images could be read; the first: .*i0\.png"):
        predict(config(tiny_chain, collection))
    assert not (collection.parent / "p.csv").exists()


def test_an_empty_manifest_and_an_unknown_model_are_refused(tiny_chain: Path, collection: Path) -> None:
    with pytest.raises(WeightsError, match="no model 'nothing'"):
        predict(config(tiny_chain, collection, model="nothing"))
    empty = collection.with_name("empty.csv")
    empty.write_text("image_id,study_id,patient_id,path\n")
    with pytest.raises(ManifestError, match="no rows; give a manifest of at least one image"):
        predict(config(tiny_chain, empty))


def test_what_is_done_is_not_done_again(tiny_chain: Path, collection: Path) -> None:
    """Interrupted after two batches, the rest is run, and the file is the same to the byte."""
    whole = predict(config(tiny_chain, collection))
    first = (collection.parent / "p.csv").read_bytes()

    class Stop(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.done >= 4:
            raise Stop

    with pytest.raises(Stop):
        predict(config(tiny_chain, collection, output=collection.parent / "q.csv"), stop)
    partial = collection.parent / "q.partial"
    assert len(partial.read_text().splitlines()) == 3
    with partial.open("ab") as file:
        file.write(b'{"batch": 2, "rows": [["i4", 0.')  # a line that a killed process cut off
    seen: list[Progress] = []
    outcome = predict(config(tiny_chain, collection, output=collection.parent / "q.csv"), seen.append)
    assert (outcome.resumed, outcome.images, whole.images) == (4, 3, 7)
    assert seen[0].done == 4
    assert (collection.parent / "q.csv").read_bytes() == first
    assert not partial.exists()


def test_partial_results_of_another_model_or_of_other_images_are_not_taken(
    tiny_chain: Path, collection: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(config(tiny_chain, collection), stop)
    outcome = predict(config(tiny_chain, collection, model=str(tiny_chain / "knee.card.json")))
    assert outcome.resumed == 0
    assert pd.read_csv(collection.parent / "p.csv").columns.tolist() == ["image_id", "Fracture"]


def test_a_journal_keeps_numbers_bit_for_bit(tmp_path: Path) -> None:
    logits = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32) * 1e-7
    with Journal(tmp_path / "j", "key") as journal:
        journal.add(5, Batch(("a", "b", "c"), logits, {"d": "broken"}))
    with Journal(tmp_path / "j", "key") as again:
        np.testing.assert_array_equal(again.done[5].logits, logits)
        assert again.done[5].faults == {"d": "broken"}
    with Journal(tmp_path / "j", "other") as other:
        assert not other.done


def test_killed_and_started_again_it_writes_the_same_file(tiny_chain: Path, collection: Path) -> None:
    """SIGKILL in the middle of a run, by a pipe for an image that nobody writes to in time."""
    frame = pd.concat([pd.read_csv(collection, dtype=str).assign(n=n) for n in range(40)])
    frame["image_id"] = [f"i{n}" for n in range(len(frame))]
    many = collection.with_name("many.csv")
    frame.drop(columns="n").to_csv(many, index=False)
    code = (
        "import sys, time, json\n"
        "from radsnap.jobs.predict import PredictConfig, predict\n"
        "def slow(progress):\n"
        "    print(progress.done, flush=True)\n"
        "    time.sleep(0.02)\n"
        "predict(PredictConfig.model_validate(json.loads(sys.argv[1])), slow)\n"
    )
    options = {
        "model": str(tiny_chain / "findings.card.json"), "manifest": str(many),
        "output": str(many.with_name("killed.csv")), "batch_size": 2,
    }  # fmt: skip
    source = str(Path(__file__).parents[2] / "src")
    process = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(options)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": source},
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 20:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (many.with_name("killed.csv")).exists()
    outcome = predict(config(tiny_chain, many, output=many.with_name("killed.csv")))
    assert 20 <= outcome.resumed < 280
    predict(config(tiny_chain, many, output=many.with_name("whole.csv")))
    assert many.with_name("killed.csv").read_bytes() == many.with_name("whole.csv").read_bytes()


def test_decoding_goes_ahead_but_memory_does_not_grow(tiny_chain: Path, collection: Path) -> None:
    """While the network is busy with a batch, at most two batches and a few wait decoded."""
    from radsnap.jobs import predict as job
    from radsnap.tables import read_manifest

    network, manifest = load(tiny_chain / "findings.card.json"), read_manifest(collection)
    read: list[Path] = []
    real = job._input

    def counted(file: Path, *rest: object) -> object:
        read.append(file)
        return real(file, *rest)  # type: ignore[arg-type]

    job._input = counted  # type: ignore[assignment]
    try:
        inputs = job._decoded(
            [(file, "") for file in [manifest.root / name for name in manifest.frame["path"]]],
            network.card.input, 1, ahead=2,
        )  # fmt: skip
        next(inputs)
        time.sleep(0.2)
        assert len(read) <= 3
        inputs.close()  # type: ignore[attr-defined]
    finally:
        job._input = real
