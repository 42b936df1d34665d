"""What fine-tuning adds to the loop: probes, layer-wise rates, class weights, mixup, consistency, early stopping."""

from __future__ import annotations

import copy
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from radsnap.errors import TrainingError, UsageError  # noqa: E402
from radsnap.learn import tasks  # noqa: E402
from radsnap.learn.augment import Augmentation, augment  # noqa: E402
from radsnap.learn.data import Draws, Fixed, Rows, batches  # noqa: E402
from radsnap.learn.judge import figure_of, said_of  # noqa: E402
from radsnap.learn.loop import fit  # noqa: E402
from radsnap.learn.objectives import (  # noqa: E402
    balanced_weights,
    consistent,
    heads_objective,
    mixed_up,
    probing,
    resting,
)
from radsnap.learn.optimiser import (  # noqa: E402
    Schedule,
    depths_of,
    freeze_backbone,
    frozen_layers,
    optimiser_of,
    set_rates,
)
from radsnap.learn.pictures import Pictures  # noqa: E402
from radsnap.models.card import Head, InputSpec  # noqa: E402
from radsnap.models.networks import NETWORKS  # noqa: E402
from radsnap.seeds import stream  # noqa: E402
from radsnap.tables import read_manifest  # noqa: E402

TASK = tasks.findings(("Cardiomegaly", "Pleural Effusion"))
SIGMOID = Head(name="findings", classes=("Edema", "Mass"), activation="sigmoid")
DOMAIN = Head(name="domain", classes=("digital", "screen", "film"), activation="softmax")
SCHEDULE = Schedule(
    epochs=6, draws_per_epoch=8, batch_size=4, learning_rate=1e-2, workers=0, save_every_s=1e9
)


def tiny(outputs: int = 2) -> torch.nn.Module:
    torch.manual_seed(0)
    features = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, stride=2), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Dropout(0.2)
    )
    pool = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    return torch.nn.Sequential(OrderedDict(features=features, pool=pool, out=torch.nn.Linear(4, outputs)))


def rows_of(path: Path, keep_bytes: int = 2**30, skipped=None) -> Rows:
    manifest = read_manifest(path).where(split="train")
    pictures = Pictures(manifest, 40, keep_bytes)
    assert pictures.check(lambda done, total: None) == []
    weights = tasks.draw_weights(TASK.groups(manifest), TASK.sides(manifest), 0.5)
    return Rows(pictures, TASK.targets(manifest), weights, InputSpec(size_px=32), skipped=skipped)


def fitted(
    path: Path, folder: Path, objective=None, network=None, judge=None, tell=lambda step: None, **more
):
    schedule = Schedule(**{**SCHEDULE.__dict__, **more})
    return fit(
        network or tiny(),
        objective or heads_objective(TASK.heads),
        Draws.of(rows_of(path), Augmentation(), schedule.seed),
        judge or (lambda network: {"figure": 0.0}),
        schedule,
        folder,
        tell,
    )


def test_a_probe_moves_the_last_layer_and_nothing_else(phantoms, tmp_path):
    network = tiny()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    freeze_backbone(network)
    after = fitted(phantoms, tmp_path, probing(heads_objective(TASK.heads)), network, epochs=1)
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved == {"out.weight", "out.bias"}  # norms keep their running statistics and counters too


def test_frozen_blocks_stay_as_they_are_with_their_norms_and_the_rest_learns(phantoms, tmp_path):
    network = NETWORKS["densenet121"](2, 32, 1)
    frozen = frozen_layers(network, 2)
    assert {name.split(".")[1] for name in frozen} == {"conv0", "norm0", "denseblock1", "transition1"}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in frozen)
    before = copy.deepcopy(network.state_dict())
    objective = resting(heads_objective(TASK.heads), frozen)
    best = fitted(phantoms, tmp_path, objective, network, epochs=1)
    blocks = ("features.conv0", "features.norm0", "features.denseblock1", "features.transition1")
    for name, value in best.items():
        if name.startswith(blocks):
            assert torch.equal(value, before[name]), name
    assert not torch.equal(best["features.denseblock3.denselayer1.layers.norm1.running_mean"],
                           before["features.denseblock3.denselayer1.layers.norm1.running_mean"])  # fmt: skip
    assert not torch.equal(best["out.weight"], before["out.weight"])
    with pytest.raises(UsageError, match="at most 7"):
        frozen_layers(network, 8)


def test_a_probe_reads_the_backbone_as_it_is_in_use(phantoms):
    network = tiny().train()
    images = torch.randn(4, 1, 32, 32)
    batch = {"image": images, "target": torch.ones(4, 2)}
    in_use = heads_objective(TASK.heads)(tiny().eval(), batch).value
    assert torch.equal(probing(heads_objective(TASK.heads))(network, batch).value, in_use)


@pytest.mark.parametrize("name", ["densenet121", "vit-tiny-16"])
def test_layers_learn_more_slowly_towards_the_input(name):
    network = NETWORKS[name](2, 32, 1)
    depths = depths_of(parameter for parameter, _ in network.named_parameters())
    blocks = 7 if name == "densenet121" else 12  # four dense blocks and three transitions; twelve blocks
    assert sorted(set(depths.values())) == list(range(blocks + 2))
    first, last = next(iter(depths)), list(depths)[-1]
    assert depths[first] == 0
    assert depths[last] == blocks + 1
    schedule = Schedule(learning_rate=1.0, layer_decay=0.5)
    scales = {
        id(parameter): group["scale"]
        for group in optimiser_of(network, schedule).param_groups
        for parameter in group["params"]
    }
    assert len(scales) == len(list(network.parameters()))
    for parameter_name, parameter in network.named_parameters():
        assert scales[id(parameter)] == 0.5 ** (blocks + 1 - depths[parameter_name])


def test_without_decay_all_layers_learn_alike_and_norms_are_not_decayed():
    groups = optimiser_of(tiny(), Schedule(weight_decay=0.1)).param_groups
    assert {group["scale"] for group in groups} == {1.0}
    for group in groups:
        assert group["weight_decay"] == (0.1 if group["params"][0].ndim > 1 else 0.0)


def test_weight_decay_rises_as_the_plan_says_but_for_norms():
    schedule = Schedule(weight_decay=0.04, last_weight_decay=0.4)
    optimiser = optimiser_of(tiny(), schedule)
    seen = []
    for step in (0, 50, 100):
        set_rates(optimiser, schedule, step, steps=100)
        seen.append({group["params"][0].ndim > 1: group["weight_decay"] for group in optimiser.param_groups})
    assert [one[True] for one in seen] == pytest.approx([0.04, 0.22, 0.4])
    assert [one[False] for one in seen] == [0.0, 0.0, 0.0]


def test_a_step_is_scaled_by_the_layers_rate(phantoms, tmp_path):
    start, network = tiny(), tiny()
    # so strong a decay leaves everything below the last layer where it is
    fitted(phantoms, tmp_path, network=network, epochs=1, layer_decay=1e-12)
    moved = {
        name
        for (name, now), before in zip(network.named_parameters(), start.parameters(), strict=True)
        if (now - before).abs().max() > 1e-9
    }
    assert moved == {"out.weight", "out.bias"}


def test_early_stopping_waits_for_its_patience_and_keeps_the_best(phantoms, tmp_path):
    figures = iter([0.6, 0.8, 0.7, 0.8, 0.9, 0.9])
    epochs = []
    judged = []

    def judge(network):
        judged.append({name: value.clone() for name, value in network.state_dict().items()})
        return {"figure": next(figures)}

    best = fitted(phantoms, tmp_path, judge=judge, tell=lambda step: epochs.append(step.epoch), patience=2)
    assert len(judged) == 4  # 0.8 in the second epoch, then two that are not better
    assert all(torch.equal(value, judged[1][name]) for name, value in best.items())


def test_a_training_that_stopped_early_stays_so_when_started_again(phantoms, tmp_path):
    fitted(phantoms, tmp_path, patience=1)
    steps = []
    fitted(phantoms, tmp_path, patience=1, tell=steps.append)
    assert steps == []


def test_a_figure_that_is_undefined_does_not_count_as_better(phantoms, tmp_path):
    judged = []

    def judge(network):
        judged.append(1)
        return {"figure": float("nan") if len(judged) > 1 else 0.5}

    fitted(phantoms, tmp_path, judge=judge, patience=2)
    assert len(judged) == 3


def test_balanced_weights_make_both_sides_count_alike_among_the_rows_drawn():
    rng = np.random.default_rng(0)
    targets = np.where(rng.random((200, 2)) < (0.9, 0.2), 1.0, 0.0).astype(np.float32)
    targets[:40, 1] = np.nan
    chances = rng.random(200)
    chances /= chances.sum()
    present, absent = balanced_weights((SIGMOID,), targets, chances)
    for column in range(2):
        sides = [chances[targets[:, column] == side].sum() for side in (1, 0)]
        assert present[column] * sides[0] == pytest.approx(absent[column] * sides[1], rel=1e-5)
        # and the loss keeps its size
        assert present[column] * sides[0] + absent[column] * sides[1] == pytest.approx(sum(sides), rel=1e-5)


def test_balanced_weights_are_bounded_and_leave_a_class_without_a_side_alone():
    targets = np.zeros((1000, 2), np.float32)
    targets[0, 0] = 1
    weights = balanced_weights((SIGMOID,), targets, np.full(1000, 1e-3))
    assert weights[0, 0] == 20
    assert weights[:, 1].tolist() == [1, 1]


def test_a_weighted_loss_is_the_weighted_mean_of_scikit_learn():
    from sklearn.metrics import log_loss

    rng = np.random.default_rng(1)
    logits = rng.normal(size=(8, 1)).astype(np.float32)
    truth = (rng.random((8, 1)) < 0.5).astype(np.float32)
    head = Head(name="findings", classes=("Edema",), activation="sigmoid")
    batch = {"image": torch.from_numpy(logits), "target": torch.from_numpy(truth)}
    said = heads_objective((head,), weights=np.array([[3.0], [0.5]], np.float32))(torch.nn.Identity(), batch)
    weights = np.where(truth == 1, 3.0, 0.5)[:, 0]
    score = 1 / (1 + np.exp(-logits[:, 0].astype(float)))
    each = [log_loss(truth[i : i + 1, 0], score[i : i + 1], labels=[0, 1]) for i in range(8)]
    assert float(said.value) == pytest.approx(float(np.mean(weights * each)), abs=1e-6)


def test_mixup_mixes_images_and_targets_in_the_same_share():
    kept = {}

    def plain(model, batch):
        kept.update(batch)
        return heads_objective((SIGMOID,))(model, batch)

    images = torch.arange(6.0).reshape(6, 1)
    target = torch.stack([images[:, 0] / 5, 1 - images[:, 0] / 5], dim=1)
    target[0, 1] = torch.nan
    torch.manual_seed(3)
    mixed_up(plain, 0.4)(torch.nn.Linear(1, 2), {"image": images, "target": target})
    known = ~torch.isnan(kept["target"][:, 0])
    # targets are linear in the images, so their mixture is too, by the same share and partner
    assert torch.allclose(kept["target"][known, 0], kept["image"][known, 0] / 5, atol=1e-6)
    assert (kept["image"] != images).any()
    # unknown where either is unknown
    assert 1 <= int(torch.isnan(kept["target"][:, 1]).sum()) <= 2
    assert torch.isnan(kept["target"][0, 1])


class Reads(torch.nn.Module):
    """A network whose logits are written in the image."""

    def forward(self, images):
        return images.flatten(1)[:, :5]


def test_consistency_is_jeffreys_divergence_of_photographed_pairs_without_the_domain():
    rng = np.random.default_rng(2)
    photo, xray = (torch.from_numpy(rng.normal(size=(3, 1, 1, 5)).astype(np.float32)) for _ in range(2))
    taken = torch.tensor([True, False, True])
    batch = {"image": photo, "before": xray, "photo": taken, "target": torch.full((3, 5), torch.nan)}
    said = consistent(heads_objective((SIGMOID, DOMAIN)), (SIGMOID, DOMAIN), 2.0, "domain")(Reads(), batch)

    def kl(p, q):
        return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))

    p, q = (1 / (1 + np.exp(-one.numpy()[taken.numpy(), 0, 0, :2].astype(float))) for one in (photo, xray))
    assert float(said.value) == pytest.approx(2.0 * np.mean((kl(p, q) + kl(q, p)) / 2), rel=1e-5)


def test_consistency_of_a_softmax_head_is_zero_where_photo_and_xray_say_the_same():
    kind = Head(name="kind", classes=("a", "b", "c"), activation="softmax")
    images = torch.randn(2, 1, 1, 3)
    batch = {
        "image": images,
        "before": images + 1.0,  # a softmax does not see a shift of all logits
        "photo": torch.ones(2, dtype=torch.bool),
        "target": torch.eye(3)[:2],
    }

    def first_three(module):
        return heads_objective((kind,))(module, batch).value

    said = consistent(heads_objective((kind,)), (kind,), 5.0, None)(Reads(), batch)
    assert float(said.value) == pytest.approx(float(first_three(Reads())), abs=1e-5)
    batch["before"] = images * -3
    assert float(consistent(heads_objective((kind,)), (kind,), 5.0, None)(Reads(), batch).value) > 0.1


def test_pairs_come_as_xray_and_photo_of_the_same_pose(phantoms):
    plan = Augmentation(photo=(("blur", 1.0),), pairs=True)
    still = Augmentation(photo=())
    grey = np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)
    pair = augment(grey, stream(0, "pair"), plan, 32)
    np.testing.assert_array_equal(pair.before, augment(grey, stream(0, "pair"), still, 32).picture)
    assert (pair.picture != pair.before).any()
    rows = rows_of(phantoms)
    for photo, taken in ((("screen-lite", 1.0),), True), ((), False):
        example = Draws(rows, Augmentation(photo=photo, pairs=True), seed=0, epoch=0, count=1)[0]
        assert bool(example["photo"]) == taken
        assert torch.equal(example["before"], example["image"]) != taken


def test_a_row_that_is_a_photo_already_is_not_photographed_again(phantoms):
    digital = rows_of(phantoms)
    film = replace(digital, photos=np.full(len(digital.targets), "film"))
    plan, still = (Augmentation(photo=photo) for photo in ((("screen-lite", 1.0),), ()))
    drawn, kept, left = (Draws(*how, seed=0, epoch=0, count=4) for how in ((digital, plan), (film, plan), (digital, still)))  # fmt: skip
    for place in range(4):
        assert torch.equal(kept[place]["image"], left[place]["image"])
        assert not torch.equal(kept[place]["image"], drawn[place]["image"])
    as_it_is, as_screen, as_film = Fixed(film)[0], Fixed(film, "screen-lite")[0], Fixed(film, "film-lite")[0]
    assert torch.equal(as_film["image"], as_it_is["image"])
    assert torch.isnan(as_screen["target"]).all()  # a film says nothing about screens
    torch.testing.assert_close(as_film["target"], as_it_is["target"], equal_nan=True)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_breaks_during_an_epoch_is_named_and_ends_the_training(phantoms, tmp_path, workers):
    table, broken = copied(phantoms, tmp_path)
    rows = rows_of(table, keep_bytes=0)  # too many for memory: decoded afresh each time
    broken.write_bytes(broken.read_bytes()[:200])
    draws = Draws(rows, Augmentation(), seed=0, epoch=0, count=64)
    with pytest.raises(
        TrainingError, match=rf"^[^\n]*{broken.name}[^\n]*leave such images out with --skip-unr"
    ):
        list(batches(draws, 4, workers, drop_last=True))


def test_an_image_that_breaks_during_an_epoch_is_left_out_where_asked_for(phantoms, tmp_path):
    table, broken = copied(phantoms, tmp_path)
    said = []
    rows = rows_of(table, keep_bytes=0, skipped=said.append)
    whole = Draws(rows, Augmentation(), seed=0, epoch=0, count=64)
    hit = [place for place in range(64) if rows.pictures.files[whole.order[place]] == broken]
    before = [whole[place] for place in range(64)]
    broken.write_bytes(b"no longer an image")
    after = [whole[place] for place in range(64)]
    assert hit
    assert said
    assert all(broken.name in fault for fault in said)
    for place in range(64):  # the others stay bit for bit what they were
        assert torch.equal(before[place]["image"], after[place]["image"]) == (place not in hit)
    seen = Fixed(rows)[int(whole.order[hit[0]])]
    assert torch.isnan(seen["target"]).all()  # and takes no part in validation


def test_a_folder_that_is_gone_ends_the_training_even_so(phantoms, tmp_path):
    table, broken = copied(phantoms, tmp_path)
    rows = rows_of(table, keep_bytes=0, skipped=lambda fault: None)
    for file in broken.parent.iterdir():
        file.unlink()
    with pytest.raises(TrainingError, match="10 images in a row cannot be read"):
        Draws(rows, Augmentation(), seed=0, epoch=0, count=4)[0]


def copied(table: Path, folder: Path) -> tuple[Path, Path]:
    """Copy a manifest and its images; also gives one training image's file."""
    import shutil

    shutil.copytree(table.parent, folder / "copy")
    copy = folder / "copy" / table.name
    manifest = read_manifest(copy).where(split="train")
    return copy, manifest.root / manifest.frame["path"].iloc[0]


def test_a_single_finding_is_judged_by_auroc_where_asked_for():
    head = (Head(name="findings", classes=("Edema",), activation="sigmoid"),)
    logits = np.array([[3.0], [4.0], [5.0], [6.0]], np.float32)  # in order, but all on one side of 0
    targets = np.array([[0], [0], [1], [1]], np.float32)
    origins = np.array(["x"] * 4)
    assert figure_of(head, logits, targets, origins, by_area=True) == 1.0
    assert figure_of(head, logits, targets, origins) == 0.5


def test_averaged_logits_do_not_depend_on_the_side(phantoms):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32 * 32, 2))
    rows = rows_of(phantoms)

    class Mirrored(Fixed):
        def __getitem__(self, row):
            example = super().__getitem__(row)
            return {**example, "image": example["image"].flip(-1)}

    both = [said_of(network, data(rows), average="flip")[0] for data in (Fixed, Mirrored)]
    np.testing.assert_allclose(*both, rtol=1e-2, atol=1e-2)  # bfloat16 adds in another order
    alone = [said_of(network, data(rows))[0] for data in (Fixed, Mirrored)]
    assert np.abs(alone[0] - alone[1]).max() > 0.1
