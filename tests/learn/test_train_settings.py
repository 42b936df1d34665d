"""What `radsnap train` is told, and what goes wrong before the first step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from safetensors.torch import save_file  # noqa: E402

from radsnap.errors import ManifestError, TrainingError, UsageError, WeightsError  # noqa: E402
from radsnap.jobs import train as job  # noqa: E402
from radsnap.jobs.train import TrainConfig, train  # noqa: E402
from radsnap.jobs.training.rows import SKIPPED  # noqa: E402
from radsnap.jobs.training.settings import plan_of, refuse_contradictions, schedule_of  # noqa: E402
from radsnap.jobs.training.ship import centre  # noqa: E402
from radsnap.jobs.training.start import network_of  # noqa: E402
from radsnap.learn import tasks  # noqa: E402
from radsnap.learn.data import Rows  # noqa: E402
from radsnap.learn.operating import domain_settings  # noqa: E402
from radsnap.learn.pictures import Pictures  # noqa: E402
from radsnap.models.card import Head, InputSpec, read_card  # noqa: E402
from radsnap.models.networks import NETWORKS, DenseNet  # noqa: E402
from radsnap.tables import Manifest, build_manifest, read_manifest, write_manifest  # noqa: E402

LABELS = ("Cardiomegaly", "Pleural Effusion")


def told(**more) -> TrainConfig:
    return TrainConfig(**{"stage": "findings", "data": (Path("m.csv"),), "output": Path("o"), **more})


def small(phantoms: Path, output: Path, **more) -> TrainConfig:
    """A training of two steps of a small transformer."""
    usual = {
        "data": (phantoms,), "output": output, "labels": LABELS, "network": "vit-tiny-16", "size_px": 32,
        "epochs": 1, "draws_per_epoch": 8, "batch_size": 4, "workers": 0, "photo_share": 0.0, "choose_by": "digital",
    }  # fmt: skip
    return told(**{**usual, **more})


@pytest.fixture
def unshipped(monkeypatch):
    """Leave out the export, which has tests of its own."""
    monkeypatch.setattr(job, "ship", lambda *parts: parts)


def test_photos_are_as_before_when_nothing_is_said():
    halves = (("screen-lite", 0.25), ("film-lite", 0.25))
    assert plan_of(told()).photo == halves
    assert plan_of(told(photo_share=0.5)).photo == halves
    assert plan_of(told(photo_share=0.0)).photo == ()


def test_recipes_and_chains_are_given_with_their_chance():
    plan = plan_of(told(photo_augment=("chexphoto-photographic@0.5", "blur@2+moire@3@0.25")))
    assert plan.photo == (("chexphoto-photographic", 0.5), ("blur@2+moire@3", 0.25))
    assert not plan.pairs
    assert plan_of(told(consistency=1.0)).pairs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"photo_augment": ("screen-lite",)}, "'screen-lite' is no recipe with a chance from 0 to 1"),
        ({"photo_augment": ("screen-lite@1.5",)}, "'screen-lite@1.5' is no recipe with a chance"),
        ({"photo_augment": ("screen-light@0.5",)}, "screen-light"),
        ({"photo_augment": ("screen-lite@0.7", "film-lite@0.7")}, "add up to more than 1"),
        ({"photo_augment": ("screen-lite@0.5",), "photo_share": 0.5}, "say the same thing"),
    ],
)
def test_photos_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        plan_of(told(**options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probe": True}, "name it with --from"),
        ({"probe": True, "start": Path("kind"), "layer_decay": 0.5}, "--layer-decay has nothing to decay"),
        ({"probe": True, "start": Path("kind"), "guide": 0.5}, "--guide cannot move them"),
        ({"freeze": 2}, "name it with --from"),
        ({"probe": True, "start": Path("kind"), "freeze": 2}, "--freeze has nothing to add"),
        ({"mixup": 0.2, "consistency": 1.0}, "--mixup and --consistency do not go together"),
        ({"guide": 0.2, "mixup": 1.0}, "--guide and --mixup do not go together"),
        ({"consistency": 1.0, "photo_share": 0.0}, "ask for photos with --photo-augment"),
        ({"stage": "kind", "labels": ("Edema",)}, "it goes with 'radsnap train findings'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        refuse_contradictions(told(**options))


@pytest.fixture(scope="module")
def finished(phantoms, tmp_path_factory) -> Path:
    """The folder of a training that is done."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "ship", lambda *parts: parts)
        train(small(phantoms, folder))
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {"layer_decay": 0.5},
        {"patience": 3},
        {"class_weights": "balanced"},
        {"mixup": 0.4},
        {"average": "flip"},
        {"augment": "strong"},
        {"photo_augment": ("blur@0.5",), "photo_share": None},
    ],
)
def test_a_run_with_another_setting_does_not_go_on(phantoms, finished, change):
    with pytest.raises(UsageError, match="holds a training with other settings"):
        train(small(phantoms, finished, **change))


def test_schedule_takes_what_it_is_told():
    schedule = schedule_of(told(layer_decay=0.7, patience=4, optimiser="adamw", epochs=3))
    assert (schedule.layer_decay, schedule.patience, schedule.optimiser, schedule.epochs) == (
        0.7,
        4,
        "adamw",
        3,
    )


def test_a_checkpoint_of_another_architecture_is_refused_and_says_so(phantoms, tmp_path):
    weights = tmp_path / "other.safetensors"
    save_file({name: value.contiguous() for name, value in DenseNet(2).state_dict().items()}, weights)
    with pytest.raises(WeightsError, match=r"covers 0\.0% of the network.*of another architecture or size"):
        train(small(phantoms, tmp_path, start=weights))
    (tmp_path / "old.pth").write_bytes(b"\x80\x04")
    with pytest.raises(WeightsError, match=r"old\.pth"):
        train(small(phantoms, tmp_path, start=tmp_path / "old.pth"))


def test_a_label_that_is_blank_everywhere_is_named(phantoms, tmp_path):
    with pytest.raises(
        ManifestError, match=r"column 'Edema' has no label in any row of split 'train'; fill it"
    ):
        train(small(changed(phantoms, tmp_path, Edema=np.nan), tmp_path, labels=("Cardiomegaly", "Edema")))


def test_rows_of_one_source_are_kept_and_another_is_refused(phantoms, tmp_path, unshipped):
    kinds = np.where(np.arange(24) < 4, "few", "many")
    table = changed(phantoms, tmp_path, kind=kinds)
    *_, history, _, training = train(small(table, tmp_path / "run", source="many"))
    assert history.images == len(training.pictures) == 12
    with pytest.raises(ManifestError, match="no row is of the source 'none'; the sources are few, many"):
        train(small(table, tmp_path, source="none"))


def test_labels_of_one_side_only_are_refused(phantoms, tmp_path):
    with pytest.raises(
        ManifestError, match="no label has both present and absent among the 16 rows of split 'tr"
    ):
        train(small(changed(phantoms, tmp_path, Edema=1), tmp_path, labels=("Edema",)))


def test_validation_whose_sources_hold_one_side_each_is_refused(phantoms, tmp_path):
    sick = np.arange(24) % 2
    table = changed(phantoms, tmp_path, **{"My own": sick, "kind": np.where(sick == 1, "cases", "normals")})
    with pytest.raises(
        ManifestError, match=r"no source of split 'val' \(cases, normals\) holds a label both"
    ):
        train(small(table, tmp_path / "run", labels=("My own",)))
    assert not (tmp_path / "run").exists()


def test_an_unreadable_image_with_boxes_guides_nothing(phantoms, tmp_path):
    from radsnap.jobs.training.rows import rows_of as rows_for

    manifest = read_manifest(phantoms)
    frame = manifest.frame.assign(boxes_xywh="Cardiomegaly:1,2,30,40;")
    first = frame.index[frame["split"] == "train"][0]
    frame.loc[first, "path"] = "images/gone.png"
    asked = told(output=tmp_path, labels=LABELS, guide=0.5, skip_unreadable=True)
    task = tasks.findings(LABELS)
    rows = rows_for(
        task, Manifest(frame, manifest.root), "train", InputSpec(size_px=32), asked, lambda step: None
    )
    assert sorted(rows.regions.masks) == list(range(1, 16))
    assert rows.regions.outputs[1].tolist() == [True, False]


def test_images_left_out_are_named_and_not_trained_on(phantoms, tmp_path, unshipped):
    manifest = read_manifest(phantoms)
    frame = manifest.frame.copy()
    first = frame.index[frame["split"] == "train"][0]
    frame.loc[first, "path"] = "images/gone.png"
    write_manifest(Manifest(frame, manifest.root), tmp_path / "gone.csv")
    with pytest.raises(TrainingError, match=r"1 images cannot be read: .*gone\.png"):
        train(small(tmp_path / "gone.csv", tmp_path / "run"))
    for _ in range(2):  # named once, also when the run goes on
        *_, history, _, training = train(small(tmp_path / "gone.csv", tmp_path / "run", skip_unreadable=True))
    assert history.images == 15
    assert training.weights[training.pictures.unreadable].tolist() == [0.0]
    assert training.weights.sum() == pytest.approx(1)
    assert np.isnan(training.targets[training.pictures.unreadable]).all()
    (line,) = (tmp_path / "run" / SKIPPED).read_text().splitlines()
    assert "gone.png" in line


def test_any_column_of_labels_can_be_learned_and_a_probe_leaves_the_rest(phantoms, tmp_path, unshipped):
    start = tmp_path / "start.safetensors"
    torch.manual_seed(5)
    given = NETWORKS["vit-tiny-16"](1, 32, 1)
    save_file({name: value.contiguous() for name, value in given.state_dict().items()}, start)
    table = changed(phantoms, tmp_path, **{"My own": np.arange(24) % 2})
    parts = train(small(table, tmp_path / "run", labels=("My own",), start=start, probe=True))
    network = next(part for part in parts if isinstance(part, torch.nn.Module))
    assert parts[1].heads[0].classes == ("My own",)
    for name, value in network.state_dict().items():
        assert torch.equal(value, given.state_dict()[name]) == (not name.startswith("head.")), name
    assert "of the network" in (tmp_path / "run" / "start.txt").read_text()


def test_classes_that_the_start_knows_keep_what_it_says_of_them(tmp_path, phantoms):
    shipped = read_card(Path(job.__file__).parents[1] / "models" / "weights" / "findings.card.json")
    rows = rows_of(phantoms)
    heads = (Head(name="findings", classes=("My own", "Pneumonia"), activation="sigmoid"),)
    config = told(start=Path("findings"), output=tmp_path)
    network, origin = network_of(config, heads, rows)
    whole, _ = network_of(config, shipped.heads, rows)
    place = shipped.heads[0].classes.index("Pneumonia")
    assert torch.equal(network.out.weight[1], whole.out.weight[place])
    assert torch.equal(network.out.bias[1], whole.out.bias[place])
    assert not any(torch.equal(network.out.weight[0], row) for row in whole.out.weight)
    assert origin.startswith("findings.onnx (sha256 ")


def test_the_midpoint_lies_half_way_between_the_classes_and_becomes_one_half():
    rng = np.random.default_rng(0)
    truth = np.repeat([0.0, 1.0], 300).astype(np.float32)[:, None]
    said = (rng.normal(size=(600, 1)) * 0.3 + np.where(truth == 1, 5.0, -1.0)).astype(np.float32)
    task = tasks.findings(("Edema",))
    heads = task.heads
    domains = domain_settings(heads, {"digital": (said, truth), "film": (said - 2, truth)}, "midpoint")
    assert logit(domains["digital"].operating_points["Edema"].score) == pytest.approx(2.0, abs=0.1)
    network = DenseNet(1)
    network.eval()
    images = torch.randn(3, 1, 32, 32)
    before = network(images).detach().numpy()
    moved = centre(network, task, domains)
    after = network(images).detach().numpy()
    assert moved["digital"].operating_points["Edema"].score == pytest.approx(0.5)
    for domain, settings in domains.items():
        old, new = settings.operating_points["Edema"], moved[domain].operating_points["Edema"]
        # decisions and calibrated probabilities stay what they were
        np.testing.assert_array_equal(expit(before) >= old.score, expit(after) >= new.score)
        np.testing.assert_allclose(
            settings.calibration["Edema"].slope * before + settings.calibration["Edema"].intercept,
            moved[domain].calibration["Edema"].slope * after + moved[domain].calibration["Edema"].intercept,
            rtol=1e-4,
            atol=1e-4,
        )


def changed(table: Path, folder: Path, **columns) -> Path:
    """Write a manifest with other columns."""
    manifest = read_manifest(table)
    write_manifest(build_manifest(manifest.frame.assign(**columns), manifest.root), folder / "changed.csv")
    return folder / "changed.csv"


def rows_of(table: Path) -> Rows:
    manifest = read_manifest(table).where(split="train")
    pictures = Pictures(manifest, 40)
    assert pictures.check(lambda done, total: None) == []
    task = tasks.findings(LABELS)
    chances = np.full(len(pictures), 1 / len(pictures))
    return Rows(pictures, task.targets(manifest), chances, InputSpec(size_px=32))
