"""Learning masks: rows, draws, objective, and `radsnap train lungs` on a few phantoms."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from radsnap.errors import ManifestError, TrainingError  # noqa: E402
from radsnap.imaging import grey_level, read_image  # noqa: E402
from radsnap.jobs.evaluate_lungs import dice_of_rows  # noqa: E402
from radsnap.jobs.phantom import write_collection  # noqa: E402
from radsnap.jobs.train_lungs import (  # noqa: E402
    CLASSES,
    PLANS,
    TrainLungsConfig,
    mask_rows,
    shares,
    train_lungs,
    trusted,
)
from radsnap.learn import checkpoint  # noqa: E402
from radsnap.learn.segmentation import (  # noqa: E402
    EMPTY,
    FixedMasks,
    MaskDraws,
    MaskRow,
    dice_of,
    frame,
    mask_objective,
    read_masks,
)
from radsnap.models.card import InputSpec, read_card  # noqa: E402
from radsnap.models.networks_unet import SEGMENTERS, UNet  # noqa: E402
from radsnap.models.runtime import load  # noqa: E402
from radsnap.tables import build_manifest, read_manifest, write_manifest  # noqa: E402

SPEC = InputSpec(size_px=64)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> Path:
    """Twelve chests of 64 px with masks of lungs and heart, and two hands: 10 train, 4 val."""
    folder = tmp_path_factory.mktemp("phantoms")
    chests = write_collection(folder, 12, seed=3, size_px=64)
    table = chests.frame
    hands = table.iloc[:2].assign(
        image_id=["hand_0", "hand_1"], study_id=["hand_0", "hand_1"], patient_id=["hand_0", "hand_1"],
        body="hand_wrist", mask="", heart_mask="",
    )  # fmt: skip
    import pandas as pd

    frame = pd.concat([table, hands], ignore_index=True)
    frame["split"] = ["train"] * 8 + ["val"] * 4 + ["train"] * 2
    write_manifest(build_manifest(frame, folder), folder / "split.csv")
    return folder / "split.csv"


@pytest.fixture(scope="module")
def rows(phantoms):
    listed = mask_rows(read_manifest(phantoms).where(split="train"))
    return read_masks(listed, CLASSES, 72, {"phantoms": 0.8, "nothing to see": 0.2})


def config(phantoms, output, **more):
    usual = {"size_px": 64, "epochs": 1, "draws_per_epoch": 16, "batch_size": 4, "workers": 0}
    return TrainLungsConfig(**{"data": (phantoms,), "output": output, **usual, **more})


def test_rows_have_the_masks_that_the_manifest_names(phantoms, rows):
    assert rows.known.all()
    assert rows.masks[:8].max(axis=(2, 3)).min() == 255
    assert rows.masks[8:].max() == 0, "hands show neither lungs nor heart"
    assert rows.groups[8:] == ("nothing to see",) * 2
    assert rows.weights[8:].sum() == pytest.approx(0.2)


def test_a_source_of_sixteen_times_the_masks_is_drawn_twice_as_often():
    def row(group):
        return MaskRow(Path("x"), {}, group)

    listed = [row("few")] + [row("many")] * 16 + [row("phantoms")] + [row("nothing to see")]
    assert shares(listed, 0.2, 0.1) == pytest.approx(
        {"few": 0.7 / 3, "many": 1.4 / 3, "phantoms": 0.2, "nothing to see": 0.1}
    )
    assert shares([row("phantoms")], 0.2, 0.1) == {"phantoms": 1.0}
    with pytest.raises(TrainingError, match=r"no share of the draws is set for \['few'\]"):
        read_masks([row("few")], (), 8, {})


def test_a_class_that_no_real_source_shows_is_not_exported(rows):
    from dataclasses import replace

    assert trusted(rows) == CLASSES, "phantoms alone: all that they have"
    known = rows.known.copy()
    known[0, 1] = False
    mixed = replace(rows, known=known, groups=("hospital", *rows.groups[1:]))
    assert trusted(mixed) == ("lungs",)
    known = known.copy()
    known[0, 1] = True
    assert trusted(replace(mixed, known=known)) == CLASSES


def test_a_mask_moves_with_its_picture(rows):
    """Draw the mask into the picture: however both are varied, the bright part stays the mask."""
    from dataclasses import replace

    plan = replace(PLANS["strong"], blot=0, soften=0, tone=0, invert=0, implant=0, photo=())
    drawn = replace(rows, pictures=rows.masks[:, 0].copy())
    draws = MaskDraws(drawn, plan, SPEC, seed=0, epoch=0, count=40, framed=0.0)
    for place in range(40):
        example = draws[place]
        lungs = example["target"][0] > 0.5
        if lungs.any():
            bright = example["image"][0] > 0.5 * (example["image"].max() + example["image"].min())
            assert float((bright == lungs).float().mean()) > 0.985


def test_draws_depend_on_seed_epoch_and_place_alone(rows):
    def draws(epoch, skip=0):
        return MaskDraws(rows, PLANS["strong"], SPEC, seed=5, epoch=epoch, count=12, skip=skip)

    for name in ("image", "target"):
        assert torch.equal(draws(1)[7][name], draws(1, skip=4)[3][name])
    assert not torch.equal(draws(1)[7]["image"], draws(2)[7]["image"])


def test_a_frame_shrinks_picture_and_mask_alike():
    picture, masks = np.full((60, 60), 200, np.uint8), np.full((1, 60, 60), 255, np.uint8)
    for seed in range(20):
        small, moved = frame(picture, masks, np.random.default_rng(seed))
        share = (moved[0] > 127).mean()
        assert 0.15 < share < 0.95
        assert (small[moved[0] == 255] == 200).all()


def test_unknown_classes_take_no_part_in_the_loss(rows):
    objective = mask_objective(CLASSES)
    logits = torch.randn(2, 2, 8, 8, requires_grad=True)
    target = (torch.rand(2, 2, 8, 8) > 0.5).float()
    target[1, 1] = torch.nan

    def same(_images):
        return logits

    loss = objective(same, {"image": torch.zeros(2, 1, 8, 8), "target": target})
    loss.value.backward()
    assert logits.grad[1, 1].abs().max() == 0
    assert logits.grad[0, 1].abs().max() > 0
    assert set(loss.parts) == {"lungs", "heart"}


def test_the_loss_is_nil_at_the_truth_and_highest_at_its_opposite():
    objective = mask_objective(("lungs",))
    target = torch.zeros(1, 1, 8, 8)
    target[..., :4] = 1
    batch = {"image": torch.zeros(1, 1, 8, 8), "target": target}
    right = objective(lambda _: (2 * target - 1) * 30, batch).value
    wrong = objective(lambda _: (1 - 2 * target) * 30, batch).value
    assert float(right) == pytest.approx(0, abs=1e-4)
    assert float(wrong) == pytest.approx(31, abs=0.01)  # 30 of entropy, 1 of Dice


def test_an_empty_picture_is_learnt_by_entropy_alone():
    batch = {"image": torch.zeros(1, 1, 8, 8), "target": torch.zeros(1, 1, 8, 8)}
    loss = mask_objective(("lungs",))(lambda _: torch.zeros(1, 1, 8, 8), batch)
    assert float(loss.value) == pytest.approx(np.log(2))


def test_eight_masks_are_learnt_by_heart(rows):
    torch.manual_seed(0)
    network = UNet(2, widths=(8, 16, 32))
    fixed = FixedMasks(rows, SPEC)
    batch = {name: torch.stack([fixed[place][name] for place in range(8)]) for name in ("image", "target")}
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    before = np.nanmean(dice_of(network, rows, SPEC)[:, 0])
    for _ in range(60):
        optimiser.zero_grad()
        mask_objective(CLASSES)(network.train(), batch).value.backward()
        optimiser.step()
    dice = dice_of(network, rows, SPEC)
    assert np.nanmean(dice[:, 0]) > max(0.9, before)
    assert np.nanmean(dice[:, 1]) > 0.7
    assert np.isnan(dice[8:]).all(), "no Dice where there is nothing to find"


@pytest.fixture(scope="module")
def trained(phantoms, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    command = [
        *(sys.executable, "-m", "radsnap", "train", "lungs", "--data", str(phantoms), "-o", str(folder)),
        *("--size", "64", "--epochs", "1", "--draws", "8", "--batch-size", "4", "--workers", "0"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "lungs: lungs, heart" in done.stdout
    assert "validation" in done.stderr
    return folder


def test_a_training_leaves_weights_that_segment_and_evaluate_use(trained, phantoms, tmp_path):
    card = read_card(trained / "lungs.card.json")
    assert card.head("masks").classes == CLASSES
    assert card.precision == "float16"
    assert card.training.images == 10
    network = load(trained / "lungs.card.json")
    assert network.run(np.zeros((3, 1, 64, 64), np.float32))["logits"].shape == (3, 2, 64, 64)
    said = dice_of_rows(network, read_manifest(phantoms).where(split="val"), lambda _: None)
    assert len(said.dice) == 4
    assert ((said.dice >= 0) & (said.dice <= 1)).all()


def test_two_processes_train_one_network_and_the_first_writes_it(phantoms, tmp_path):
    command = [
        *(
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
            "-m",
            "radsnap",
        ),
        *("train", "lungs", "--data", str(phantoms), "-o", str(tmp_path / "run"), "--size", "64"),
        *("--epochs", "1", "--draws", "8", "--batch-size", "4", "--workers", "0"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("lungs: lungs, heart") == 1
    assert read_card(tmp_path / "run" / "lungs.card.json").training.images == 10
    assert checkpoint.restore(tmp_path / "run" / "last.ckpt")["place"] == [1, 0, 2], "two steps of both"


def test_the_runtime_says_what_torch_says(trained):
    from safetensors.torch import load_file

    network = SEGMENTERS["unet"](2, 64)
    network.load_state_dict(load_file(trained / "network.safetensors"))
    images = np.random.default_rng(0).normal(size=(2, 1, 64, 64)).astype(np.float32)
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(images)).numpy()
    said = load(trained / "lungs-float32.card.json").run(images)["logits"]
    np.testing.assert_allclose(said, logits, atol=1e-4)


def test_a_transformer_takes_pretrained_weights_for_its_encoder_alone(phantoms, tmp_path):
    from safetensors.torch import save_file

    from radsnap.models.networks_vit import vit

    torch.manual_seed(7)
    encoder = vit("tiny", 16, outputs=1, size_px=32)
    save_file(encoder.state_dict(), tmp_path / "encoder.safetensors")
    network = SEGMENTERS["vit-tiny-16"](2, 64)
    from radsnap.learn.start import start_from

    start_from(network.encoder, tmp_path / "encoder.safetensors")
    assert torch.equal(network.encoder.blocks[3].mlp.fc1.weight, encoder.blocks[3].mlp.fc1.weight)
    assert network.eval()(torch.zeros(2, 1, 64, 64)).shape == (2, 2, 64, 64)


def test_no_masks_and_strange_options_are_refused_in_words(phantoms, tmp_path):
    manifest = read_manifest(phantoms)
    blank = manifest.frame.assign(mask="", heart_mask="")
    write_manifest(build_manifest(blank, manifest.root), tmp_path / "blank.csv")
    with pytest.raises(ManifestError, match="no row of split 'train' has a lung mask"):
        train_lungs(config(tmp_path / "blank.csv", tmp_path / "run"))
    command = [
        sys.executable,
        "-m",
        "radsnap",
        "train",
        "lungs",
        "--data",
        str(phantoms),
        "-o",
        "x",
        "--probe",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "--probe does not go with 'radsnap train lungs'" in done.stderr


def test_tables_with_the_same_images_are_refused_before_anything_is_read(phantoms, tmp_path):
    read = []
    asked = config(phantoms, tmp_path / "run", data=(phantoms, phantoms))
    with pytest.raises(ManifestError, match="column 'image_id'"):
        train_lungs(asked, read.append)
    assert read == []


def test_files_that_are_gone_are_named(tmp_path):
    row = MaskRow(tmp_path / "gone.png", {"lungs": EMPTY}, "here")
    with pytest.raises(TrainingError, match=r"1 pictures or masks cannot be read: .*gone\.png"):
        read_masks([row], ("lungs",), 8, {"here": 1.0})


@pytest.mark.shared
def test_the_shipped_network_finds_the_lungs_of_real_x_rays(shared_data):
    """A few rows of validation, not of the test part: a guard against a broken file, not a measurement."""
    import csv

    network = load("lungs")
    with (shared_data / "manifest.csv").open() as file:
        masked = [row for row in csv.DictReader(file) if row["mask"] and row["split"] == "val"]
    for kind, least in (("cxr_covid", 0.88), ("cxr_paediatric", 0.9)):
        values = []
        for row in [row for row in masked if row["kind"] == kind][:12]:
            values.append(_dice(network, shared_data / row["file"], shared_data / row["mask"]))
        assert np.mean(values) > least, kind


def _dice(network, image, mask):
    from radsnap.models.preprocess import to_input
    from radsnap.reading.lungs import read_lungs

    truth = grey_level(read_image(mask)) > 0.5
    grey = grey_level(read_image(image))
    said = read_lungs(network, to_input(grey, network.card.input)).mask(*truth.shape)
    return 2 * (said & truth).sum() / (said.sum() + truth.sum())
