"""The experiments' code: cells that are kept, differences and their intervals, tables from what is there."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytestmark = pytest.mark.train

from radsnap.jobs.phantom import write_collection  # noqa: E402
from radsnap.measure import auroc, mcc, paired_difference  # noqa: E402
from radsnap.tables import build_manifest, read_manifest, write_manifest  # noqa: E402

FOLDER = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module", autouse=True)
def on_path():
    """As when a script of the folder runs: its neighbours can be imported."""
    before = list(sys.path)
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path[:] = before


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_shipped_network_is_made_by_the_script_of_the_default_weights():
    import radsnap.models

    said = (FOLDER / "default-weights.sh").read_text()
    loop = said.partition("for stage in ")[2].partition(";")[0].split()
    copied = {*loop, *re.findall(r"corners-2/(\w+)\.onnx", said)}
    trained = set(re.findall(r'radsnap train .*?-o "\$runs/([\w-]+)"', said.replace("\\\n", "")))
    shipped = Path(radsnap.models.__file__).parent / "weights"
    assert copied == {path.name.removesuffix(".card.json") for path in shipped.glob("*.card.json")}
    assert trained >= copied - {"borders"}  # the second of the two that 'train corners' makes


def test_what_was_cut_from_one_file_is_in_one_split(tmp_path):
    made = script("other-pictures")
    pieces = [
        made.Made(np.full((20, 30, 3), i % 256, np.uint8), f"file {i // 5}", "scene") for i in range(200)
    ]
    rows = []
    made.kept_rows(rows, tmp_path, "package", "scene of package (Debian)", "GPL-2+", iter(pieces))
    manifest = build_manifest(pd.DataFrame(rows), tmp_path)  # nested as a manifest asks
    assert set(manifest.frame["body"]) == {"none"}
    assert set(manifest.frame["split"]) == {"train", "val"}
    assert manifest.frame.groupby("patient_id")["split"].nunique().max() == 1
    assert all((tmp_path / path).is_file() for path in manifest.frame["path"])


@pytest.mark.parametrize("name", ["skin", "ultrasound"])
def test_a_drawn_picture_follows_its_stream(name):
    made = script("other-pictures")
    first, again, other = (getattr(made, name)(made.stream(0, name, i)) for i in (1, 1, 2))
    assert first.dtype == np.uint8
    assert first.shape[2] == 3
    assert first.std() > 3
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


def test_slices_are_read_from_what_packages_hold(tmp_path):
    made = script("other-pictures")
    volume = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    header = bytearray(352)
    header[40:48] = np.array([3, 2, 3, 4], "<i2").tobytes()
    header[70:72] = np.array([4], "<i2").tobytes()
    header[108:112] = np.array([352], "<f4").tobytes()
    (tmp_path / "t1.nii.gz").write_bytes(gzip.compress(bytes(header) + volume.tobytes(order="F")))
    values, is_ct = made.read_volume(tmp_path / "t1.nii.gz")
    assert not is_ct
    np.testing.assert_array_equal(values, volume)


def test_photos_for_the_gate_keep_split_kind_and_what_the_camera_saw(tmp_path, monkeypatch):
    write_collection(tmp_path / "xrays", 24, seed=3, size_px=96)
    manifest = read_manifest(tmp_path / "xrays" / "manifest.csv")
    frame = manifest.frame.assign(kind="cxr_nih", split="train")
    frame.loc[frame.index[:6], ["kind", "body", "domain"]] = ["nonxray_photo", "none", ""]
    write_manifest(build_manifest(frame, manifest.root), tmp_path / "xrays" / "all.csv")
    made = script("gate-photos")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "argv", ["gate-photos", str(tmp_path / "xrays" / "all.csv"), "--count", "32", "-o", str(tmp_path)])  # fmt: skip
    made.main()
    photos = read_manifest(tmp_path / "train" / "manifest.csv").frame
    assert set(photos["domain"]) == {"screen", "film"}
    assert set(photos["level"]) == {"1", "2", "3", "4"}
    assert set(photos["kind"]) == {"simulated_cxr_nih", "simulated_nonxray_photo"}
    assert ((photos["body"] == "none") == (photos["kind"] == "simulated_nonxray_photo")).all()
    assert set(photos["patient_id"]) <= set(frame["patient_id"])
    assert set(photos["split"]) == {"train"}

    listed = tmp_path / "train" / "manifest.csv"
    monkeypatch.setattr(sys, "argv", ["straightened", str(listed), "-o", str(tmp_path / "straight"), "--jobs", "1"])  # fmt: skip
    script("straightened").main()
    straight = read_manifest(tmp_path / "straight" / "manifest.csv")
    assert 4 <= len(straight) <= len(photos)
    for _, row in straight.frame.iterrows():
        (photo,) = photos[photos["image_id"] + "/straightened" == row["image_id"]].to_dict("records")
        assert (row["body"], row["patient_id"], row["split"]) == (photo["body"], photo["patient_id"], "train")
        assert row["kind"] == photo["kind"].replace("simulated_", "straightened_")
        assert row["domain"] == ""
        with Image.open(straight.root / row["path"]) as picture:
            assert picture.mode == "L"


@pytest.mark.parametrize(
    ("more", "bodies", "kind"), [([], 2, "implant"), (["--replaced", "2"], 1, "replaced")]
)
def test_metal_is_drawn_into_xrays_of_its_bodies_and_of_its_split(tmp_path, monkeypatch, more, bodies, kind):
    (tmp_path / "xrays").mkdir()
    rows = []
    for body, split in (
        ("knee_leg", "train"),
        ("spine", "train"),
        ("chest_frontal", "train"),
        ("knee_leg", "test"),
    ):
        name = f"{body}-{split}.png"
        Image.fromarray(np.full((360, 240), 90, np.uint8)).save(tmp_path / "xrays" / name)
        rows.append({"image_id": name, "path": name, "patient_id": name, "study_id": name, "body": body, "split": split,
                     "collection": "made", "source": "made", "licence": "CC0", "view": ""})  # fmt: skip
    write_manifest(
        build_manifest(pd.DataFrame(rows), tmp_path / "xrays"), tmp_path / "xrays" / "manifest.csv"
    )
    listed = str(tmp_path / "xrays" / "manifest.csv")
    monkeypatch.setattr(
        sys, "argv", ["implants", listed, "--count", "2", *more, "-o", str(tmp_path / "metal")]
    )
    script("implants").main()
    metal = read_manifest(tmp_path / "metal" / "manifest.csv")
    assert len(metal) == 2 * bodies
    assert set(metal.frame["split"]) == {"train"}
    assert set(metal.frame["kind"]) == {f"{kind}_made"}
    for path in metal.frame["path"]:
        drawn = np.asarray(Image.open(metal.root / path), np.float32)
        assert max(drawn.shape) <= 512
        if kind == "replaced":
            assert drawn.max() > 0.84 * 255
            assert drawn.std() > 3
        else:
            assert np.median(drawn) == pytest.approx(90, abs=3)
            assert drawn.max() > 100


def test_a_difference_of_two_networks_is_the_paired_difference_over_patients():
    import labbook

    rng = np.random.default_rng(0)
    truth, patients = np.repeat([0.0, 1.0], 40), np.repeat(np.arange(40), 2)
    first, second = truth + rng.normal(0, 0.7, 80), truth + rng.normal(0, 1.5, 80)
    own = labbook.contrast(auroc, truth, patients, [(1.0, first), (-1.0, second)])
    other = paired_difference(auroc, truth, first, second, clusters=patients)
    assert (own.value, own.low, own.high) == pytest.approx((other.value, other.low, other.high))


def test_the_mean_over_seeds_is_the_mean_of_their_figures():
    import labbook

    rng = np.random.default_rng(1)
    truth = np.repeat([0.0, 1.0], 30)
    runs = [truth + rng.normal(0, 1, 60) for _ in range(3)]
    found = labbook.contrast(auroc, truth, np.arange(60), labbook.seeds_mean(runs))
    assert found.value == pytest.approx(np.mean([auroc(truth, run) for run in runs]))
    assert found.low < found.value < found.high
    none = labbook.contrast(auroc, truth, np.arange(60), labbook.seeds_mean(runs, runs))
    assert (none.value, none.low, none.high) == pytest.approx((0, 0, 0), abs=1e-9)


def test_a_mean_counts_patients_together():
    import labbook

    values = np.repeat([0.0, 1.0], 20)
    alone = labbook.mean_of(values, np.arange(40))
    twins = labbook.mean_of(values, np.repeat(np.arange(4), 10))
    assert alone.value == twins.value == 0.5
    assert twins.high - twins.low > alone.high - alone.low


def test_a_grid_is_shown_where_all_its_seeds_are_done(tmp_path):
    import labbook

    plan = {"runs": str(tmp_path), "seeds": [0, 1], "starts": {"a": "", "b": ""}}
    listed = list(labbook.cells(plan, [50, 0]))
    assert [cell.file.name for cell in listed[:3]] == ["a-50-0.json", "b-50-0.json", "a-50-1.json"]
    assert [cell.start for cell in labbook.cells(plan, [50], only="b")] == ["b", "b"]
    for cell in listed:
        if (cell.start, cell.number, cell.seed) != ("b", 0, 1):
            cell.folder.mkdir()
            (cell.folder / "last.ckpt").touch()
            cell.keep({"test": np.array([0.25, cell.seed])})
    assert not list(tmp_path.rglob("last.ckpt"))
    assert not list(tmp_path.rglob("*.half"))
    done = labbook.finished(plan, [50, 0])
    assert set(done) == {("a", 50), ("b", 50), ("a", 0)}
    assert done["a", 50] == [{"test": [0.25, 0.0]}, {"test": [0.25, 1.0]}]


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> dict:
    """Cells of two steps on 24 phantoms of 64 px: two starts, one seed."""
    folder = tmp_path_factory.mktemp("grid")
    frame = write_collection(folder, 24, seed=4, size_px=64).frame.copy()
    frame["split"] = ["train", "train", "val", "test"] * 6
    frame["Ill"] = (np.arange(24) // 4) % 2
    write_manifest(build_manifest(frame, folder), folder / "manifest.csv")
    return {
        "title": "Tiny", "data": str(folder / "manifest.csv"), "source": "phantom", "label": "Ill", "labels": [0],
        "seeds": [0], "runs": str(folder / "runs"), "results": str(folder / "results" / "tiny"),
        "primary": {"labels": 0, "first": "b", "second": "a"}, "starts": {"a": "", "b": ""},
        "network": {"name": "vit-tiny-16", "size_px": 32}, "draws_per_epoch": {"few": 4, "all": 8},
        "schedule": {"epochs": 1, "batch_size": 4}, "augmentation": {},
    }  # fmt: skip


def test_a_grid_of_findings_runs_once_and_writes_its_page(plan):
    grid = script("few-labels")
    data = grid.Data(plan)
    import labbook

    for cell in labbook.cells(plan, plan["labels"]):
        grid.run_cell(plan, data, cell)
        said = json.loads(cell.file.read_text())
        assert (len(said["val"]), len(said["test"])) == (6, 6)
    grid.write_results(plan, data)
    page = Path(plan["results"]).with_suffix(".md").read_text()
    # both starts are the same random weights: nothing is gained
    assert "Primary comparison: AUROC with all labels, b minus a, mean of 1 seeds: **+0.000**" in page
    table = pd.read_csv(Path(plan["results"]).with_suffix(".csv"))
    assert set(table["start"]) == {"a", "b", "shortcut"}
    assert (table["number"] == 12).all()
    assert Path(plan["results"]).with_suffix(".png").stat().st_size > 1000


def test_so_many_people_are_chosen_in_the_classes_proportion(plan):
    data = script("few-labels").Data(plan)
    chosen = data.chosen(6, seed=3)
    assert len(set(data.patients("train")[chosen])) == 6
    assert data.truth["train"][chosen].mean() == 0.5
    assert (chosen == data.chosen(6, seed=3)).all()


def found_of(compare, **said: tuple[np.ndarray, np.ndarray]):
    """Networks by what they say of 200 digital rows and of photos of them; decided at 0.5."""
    truth = np.tile([0.0, 1.0], 100)
    manifest = None
    tests = {
        name: compare.Test(name, "a", name != "digital", manifest, truth, np.arange(200))
        for name in ("digital", "photo")
    }
    logits = {
        (name, where): scores
        for name, both in said.items()
        for where, scores in zip(tests, both, strict=True)
    }
    called = {key: (scores >= 0.5).astype(float) for key, scores in logits.items()}
    networks = {name: {"source": "a"} for name in said}
    return compare.Found({"networks": networks}, tests, logits, called)


def wrong(share: float) -> np.ndarray:
    """Scores of the alternating truth, of which the first share is turned round."""
    scores = np.tile([0.0, 1.0], 100)
    turned = round(share * 200)
    scores[:turned] = 1 - scores[:turned]
    return scores


def test_a_network_wins_back_half_where_its_interval_says_so():
    compare = script("compare-networks")
    found = found_of(
        compare,
        off=(wrong(0.0), wrong(0.4)),
        good=(wrong(0.0), wrong(0.02)),
        middling=(wrong(0.0), wrong(0.2)),
    )
    said = "\n".join(compare.won_back(found, "off"))
    assert "MCC that `off` loses on photo photos: +0.8" in said
    assert "`good` wins back +0.760" in said
    assert "95% of the loss" in said
    good, middling = (line for line in said.split("\n") if "wins back" in line)
    assert good.endswith("**wins back at least half**")
    assert middling.endswith("**half is not shown**")


def test_nothing_is_claimed_where_nothing_is_lost():
    compare = script("compare-networks")
    found = found_of(compare, off=(wrong(0.1), wrong(0.1)), good=(wrong(0.0), wrong(0.0)))
    said = "\n".join(compare.won_back(found, "off"))
    assert "no share, as the loss includes 0" in said
    assert said.endswith("**no claim**")


def test_a_network_is_compared_with_its_twin_trained_on_the_other_source():
    compare = script("compare-networks")
    found = found_of(compare, here=(wrong(0.05), wrong(0.1)), there=(wrong(0.3), wrong(0.4)))
    found.plan["networks"]["there"]["source"] = "b"
    assert compare.twin_at(found, "there", "a") == "here"
    assert compare.twin_at(found, "here", "b") == "there"
    lost = found.weigh(mcc, "digital", (1.0, "there", "digital"), (-1.0, "here", "digital"))
    assert lost.value == pytest.approx(-0.5)


def test_covid_halves_share_no_source(tmp_path):
    covid = script("covid")
    rows = [
        ("cxr_covid", "", "", "train"), ("cxr_covid", "", "CC BY 4.0", "train"), ("cxr_nih", "1", "x", "test"),
        ("cxr_nih", "0", "x", "test"), ("cxr_paediatric", "1", "x", "val"),
    ]  # fmt: skip
    frame = write_collection(tmp_path, 5, seed=5, size_px=64).frame.copy()
    for column, values in zip(
        ("kind", "Pneumonia", "licence", "split"), zip(*rows, strict=True), strict=True
    ):
        frame[column] = values
    frame["Pneumonia"] = pd.to_numeric(frame["Pneumonia"])
    write_manifest(build_manifest(frame, tmp_path), tmp_path / "manifest.csv")
    manifest = read_manifest(tmp_path / "manifest.csv")
    one = covid.half(manifest, "one", {"pneumonia": "cxr_nih", "licensed": False})
    two = covid.half(manifest, "two", {"pneumonia": "cxr_paediatric", "licensed": True})
    assert one["COVID-19"].tolist() == [1.0, 0.0]
    assert two["COVID-19"].tolist() == [1.0, 0.0]
    assert set(one["image_id"]) & set(two["image_id"]) == set()
    assert set(one["kind"]) == {"one"}
