"""Train the network that finds the lungs and the heart: masks in, weights with a card out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import save_file
from torch import nn

from radsnap.errors import ManifestError
from radsnap.jobs.progress import Progress, Report, of_training, silent
from radsnap.jobs.training.rows import training_data
from radsnap.jobs.training.settings import overridden
from radsnap.jobs.training.ship import write_pair
from radsnap.learn.augment import Augmentation
from radsnap.learn.loop import Judge, fit
from radsnap.learn.optimiser import Schedule
from radsnap.learn.ranks import Ranks, joined
from radsnap.learn.segmentation import EMPTY, MaskDraws, MaskRow, Masks, dice_of, mask_objective, read_masks
from radsnap.learn.start import start_from
from radsnap.models.card import Card, Head, InputSpec, Training, sha256_of
from radsnap.models.networks_unet import SEGMENTERS, Chosen, ViTSegmenter
from radsnap.reading.lungs import HEAD
from radsnap.seeds import stream
from radsnap.tables import Manifest, combine, paths, read_manifest, sources

CLASSES = ("lungs", "heart")
# Kinds of picture that show no part of the lungs, so that an empty mask is the truth.
LUNGLESS = ("none", "dental", "elbow_forearm", "foot_ankle", "hand_wrist", "hip_pelvis", "knee_leg")
# Columns with a mask's file, or several with "|" between.
_COLUMNS = {"lungs": "mask", "heart": "heart_mask"}
_MARGIN = 1.15
# Enough to choose an epoch by, and cheap.
_JUDGED_PER_GROUP = 45
_NOTHING = "nothing to see"

# AdamW: within a thousand steps RAdam hardly gets out of its own warm-up.
SCHEDULE = Schedule(
    epochs=5,
    draws_per_epoch=1920,
    batch_size=16,
    optimiser="adamw",
    learning_rate=2e-3,
    weight_decay=1e-2,
)
# what x-rays and good photos show
_USUAL = Augmentation(
    rotation_deg=15.0,
    smallest_area=0.65,
    aspect=1.25,
    invert=0.05,
    soften=0.3,
    blot=0.2,
    implant=0.05,
    tone=0.7,
)
# and what bad photos do, for a first training
_STRONG = {
    "rotation_deg": 25.0, "smallest_area": 0.5, "aspect": 1.4, "invert": 0.1, "soften": 0.4, "blot": 0.3,
    "implant": 0.1, "tone": 0.8,
}  # fmt: skip
PLANS = {"usual": _USUAL, "strong": replace(_USUAL, **_STRONG)}  # type: ignore[arg-type]
_FRAMED = {"usual": 0.15, "strong": 0.25}


class TrainLungsConfig(BaseModel):
    """What `radsnap train lungs` is told.

    synthetic and empty: the shares of the draws that phantoms, and pictures without lungs, get; the real sources
    share the rest by the fourth root of their numbers of masks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: tuple[Path, ...] = Field(min_length=1)
    output: Path
    name: str = "lungs"
    network: Literal["unet", "vit-tiny-16"] = "unet"
    start: Path | None = None
    size_px: int = Field(default=192, ge=32, le=1024, multiple_of=16)
    synthetic: float = Field(default=0.1, ge=0, lt=1)
    empty: float = Field(default=0.08, ge=0, lt=1)
    most_masks: int | None = Field(default=None, ge=1)
    epochs: int | None = Field(default=None, ge=1)
    draws_per_epoch: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=2)
    learning_rate: float | None = Field(default=None, gt=0)
    augment: Literal["usual", "strong"] = "usual"
    photo_share: float = Field(default=0.3, ge=0, le=1)
    workers: int = Field(default=1, ge=0)
    seed: int = 0
    licence: str = "research use; the licences of the training data apply"
    command: str = ""


def train_lungs(config: TrainLungsConfig, report: Report = silent) -> Card | None:
    """Train on a manifest's human masks (column `mask`, `heart_mask`) and write ONNX weights with their cards.

    Started again after an interruption it goes on where it was. Raises ManifestError, TrainingError or
    WeightsError. Under torchrun all processes train; the first writes, the others give None.
    """
    with joined() as ranks:
        return _train(config, report if ranks.leads else silent, ranks)


def _train(config: TrainLungsConfig, report: Report, ranks: Ranks) -> Card | None:
    manifests = tuple(read_manifest(path) for path in config.data)
    # before the work: manifests that cannot stand under one another are refused
    used = combine(*(_with_masks(manifest.where(split="train")) for manifest in manifests))
    spec = InputSpec(size_px=config.size_px)
    training = _read(config, manifests, "train", report)
    validation = _read(config, manifests, "val", report)
    network, origin = _network(config)
    schedule = overridden(SCHEDULE, config)
    half = config.photo_share / 2
    plan = replace(PLANS[config.augment], photo=(("screen-lite", half), ("film-lite", half)))
    best = fit(
        network,
        mask_objective(CLASSES),
        MaskDraws.of(training, plan, spec, schedule.seed, _FRAMED[config.augment]),
        judge_of(validation, spec),
        schedule,
        config.output,
        lambda step: report(of_training(step)),
        f"{config.network} from {origin}; {spec}; {plan}; masks {_fingerprint(training, validation)}",
        ranks,
    )
    if not ranks.leads:
        return None
    network.load_state_dict(best)
    network.to("cpu").eval()
    save_file(
        {name: value.contiguous() for name, value in best.items()}, config.output / "network.safetensors"
    )
    history = Training(
        command=config.command,
        data=training_data(used),
        licence=config.licence,
        images=len(training),
        epochs=schedule.epochs,
        started_from=origin,
        seed=config.seed,
    )
    return _export(config, spec, network, history, training)


def mask_rows(manifest: Manifest) -> list[MaskRow]:
    """List the rows of a manifest that have a mask, and those of kinds that show no lungs."""
    frame = manifest.frame
    named = sources(manifest)
    rows = []
    for place, image in enumerate(paths(manifest)):
        masks = {
            name: tuple(manifest.root / part for part in frame[column].iloc[place].split("|"))
            for name, column in _COLUMNS.items()
            if column in frame.columns and frame[column].iloc[place]
        }
        if masks:
            synthetic = frame["origin"].iloc[place] == "synthetic"
            rows.append(MaskRow(image, masks, "phantoms" if synthetic else str(named.iloc[place])))
        elif frame["body"].iloc[place] in LUNGLESS:
            rows.append(MaskRow(image, dict.fromkeys(CLASSES, EMPTY), _NOTHING))
    return rows


def shares(rows: list[MaskRow], synthetic: float, empty: float) -> dict[str, float]:
    """Give each group its share of the draws: real sources share what phantoms and empty pictures leave.

    They do so by the fourth root of their numbers: a source of sixteen times the masks is drawn twice as often, so
    that its masks are seen more and the small source's are not seen too many times.
    """
    counts = Counter(row.group for row in rows)
    real = {name: count**0.25 for name, count in counts.items() if name not in ("phantoms", _NOTHING)}
    special = {"phantoms": synthetic if real else 1.0, _NOTHING: empty}
    given = {name: special[name] for name in counts if name in special}
    rest = 1.0 - sum(given.values())
    return given | {name: rest * root / sum(real.values()) for name, root in real.items()}


def _read(config: TrainLungsConfig, manifests: tuple[Manifest, ...], split: str, report: Report) -> Masks:
    rows = [row for manifest in manifests for row in mask_rows(manifest.where(split=split))]
    if config.most_masks is not None and split == "train":
        rows = _fewer(rows, config.most_masks, config.seed)
    if split == "val":
        rows = _spread([row for row in rows if row.group != _NOTHING])
    if not any(row.masks.get("lungs") for row in rows):
        raise ManifestError(
            f"no row of split '{split}' has a lung mask; fill the column 'mask' with paths below the manifest's "
            "root, or make the splits with 'radsnap data split'"
        )
    side_px = round(config.size_px * (_MARGIN if split == "train" else 1.0))
    return read_masks(
        rows,
        CLASSES,
        side_px,
        shares(rows, config.synthetic, config.empty),
        lambda done, total: report(Progress(done, total, f"reading {split} masks")),
    )


def trusted(training: Masks) -> tuple[str, ...]:
    """Name the classes to export: where there are real sources, those that one of them has masks of.

    A heart learnt on drawings alone helps the lungs along, but its width on real x-rays is not to be relied on: its
    share of the chest tells cardiomegaly from no finding with an AUROC of 0.67 (192 adults), which is too little.
    """
    real = ~np.isin(np.array(training.groups), ("phantoms", _NOTHING))
    known = training.known[real] if real.any() else training.known
    return tuple(name for channel, name in enumerate(training.classes) if known[:, channel].any())


def _fewer(rows: list[MaskRow], most: int, seed: int) -> list[MaskRow]:
    """Keep at most so many rows with masks of each group, the same whatever the order of other groups."""
    kept = []
    for group in sorted({row.group for row in rows}):
        inside = [row for row in rows if row.group == group]
        order = stream(seed, "fewer masks", group).permutation(len(inside))
        kept += [inside[place] for place in order[:most]]
    return kept


def _spread(rows: list[MaskRow]) -> list[MaskRow]:
    kept = []
    for group in sorted({row.group for row in rows}):
        inside = [row for row in rows if row.group == group]
        step = max(1, -(-len(inside) // _JUDGED_PER_GROUP))
        kept += inside[::step]
    return kept


def _network(config: TrainLungsConfig) -> tuple[nn.Module, str]:
    torch.manual_seed(int(stream(config.seed, "weights").integers(2**63)))
    network = SEGMENTERS[config.network](len(CLASSES), config.size_px)
    origin = "random weights"
    if config.start is not None:
        if isinstance(network, ViTSegmenter):
            start_from(network.encoder, config.start)
        else:
            start_from(network, config.start, head=True)
        origin = f"{config.start.name} (sha256 {sha256_of(config.start)[:12]})"
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, origin


@dataclass(frozen=True)
class _Looks:
    """How pictures are judged: the name of a look, and the recipe that makes it."""

    name: str
    recipe: str | None


_LOOKS = (_Looks("digital", None), _Looks("screen", "screen-lite"), _Looks("film", "film-lite"))


def judge_of(validation: Masks, spec: InputSpec) -> Judge:
    """Judge by Dice: the mean over sources and looks for the lungs; the hearts of phantoms count a tenth."""

    def judge(network: nn.Module) -> dict[str, float]:
        figures: dict[str, float] = {}
        lungs: list[float] = []
        hearts: list[float] = []
        for look in _LOOKS:
            dice = dice_of(network, validation, spec, look.recipe)
            for name, value in by_group(dice, validation).items():
                figures[f"{look.name} {name}"] = value
                (lungs if name.startswith("lungs") else hearts).append(value)
        figures["figure"] = float(np.mean(lungs) + (0.1 * np.mean(hearts) if hearts else 0.0))
        return figures

    return judge


def by_group(dice: NDArray[np.float32], rows: Masks) -> Mapping[str, float]:
    """Mean Dice by class and group, of those that have any: 'lungs phantoms' → value."""
    groups = np.array(rows.groups)
    values = {}
    for channel, name in enumerate(rows.classes):
        for group in sorted(set(rows.groups)):
            inside = dice[groups == group, channel]
            if np.isfinite(inside).any():
                values[f"{name} {group}"] = float(np.nanmean(inside))
    return values


def _fingerprint(*parts: Masks) -> str:
    seen = hashlib.sha256()
    for part in parts:
        seen.update(part.pictures.tobytes())
        seen.update(part.masks.tobytes())
    return seen.hexdigest()


def _with_masks(manifest: Manifest) -> Manifest:
    column = manifest.frame.get("mask")
    return manifest.rows(np.zeros(len(manifest), dtype=bool) if column is None else (column != "").to_numpy())


def _export(
    config: TrainLungsConfig,
    spec: InputSpec,
    network: nn.Module,
    history: Training,
    training: Masks,
) -> Card:
    classes = trusted(training)
    chosen = network if classes == CLASSES else Chosen(network, [CLASSES.index(name) for name in classes])
    about = {
        "task": "lungs",
        "network": config.network,
        "input": spec,
        "heads": (Head(name=HEAD, classes=classes, activation="sigmoid"),),
        "training": history,
        "caveats": _CAVEATS,
    }
    # not int8: measured with 16 bits, and a U-net's layers that read joined values stay in float anyway
    return write_pair(chosen, config.output, config.name, None, about)


_CAVEATS = (
    "Masks are the lungs as a person draws them through heart and diaphragm's dome: an opaque lung counts as lung.",
    "Not a medical device: do not use for diagnosis or treatment.",
)
