"""Pre-train a transformer on x-rays without labels: manifest in, weights to start from out."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from radsnap.errors import ManifestError, UsageError
from radsnap.jobs.progress import Progress, Report, of_training, silent
from radsnap.jobs.training.rows import training_data
from radsnap.learn.augment import Augmentation
from radsnap.learn.contrast import Taught, contrasting
from radsnap.learn.data import Batch, Rows
from radsnap.learn.loop import Epochs, Judge, fit
from radsnap.learn.masking import Corruption, Source
from radsnap.learn.objectives import Objective
from radsnap.learn.optimiser import Schedule
from radsnap.learn.pictures import Pictures, refuse_faults
from radsnap.learn.ranks import Ranks, joined
from radsnap.learn.reconstruction import (
    Autoencoder,
    Counted,
    Restored,
    Restorer,
    View,
    dropped,
    grouped,
    judge_restoring,
    restoring,
)
from radsnap.learn.start import start_from
from radsnap.learn.unlabelled import Unlabelled, held_out
from radsnap.models.card import InputSpec, sha256_of
from radsnap.models.networks import NETWORKS
from radsnap.models.networks_vit import ViT
from radsnap.seeds import stream
from radsnap.tables import Manifest, combine, read_manifest

SHIPPED = Path(__file__).parent / "pretraining"
# Pictures are kept a little larger than the network's input, for the crops.
_MARGIN = 1.25
_JUDGED = 512
_SHOWN = 8


Method = Literal["gmml", "sit", "mae"]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkTable(_Table):
    """Which transformer, by its name in `NETWORKS`."""

    name: str = "vit-tiny-16"
    size_px: int = Field(default=128, ge=16, le=1024)
    channels: Literal[1, 3] = 1
    drop_path: float = Field(default=0.0, ge=0, lt=1)


class CorruptionTable(_Table):
    """What `Corruption` is told; `dropped` is the share of patches that a masked auto-encoder leaves out."""

    share: tuple[float, float] = (0.5, 0.75)
    sources: tuple[Source, ...] = ("noise", "zeros", "copy")
    alien: float = 0.5
    alien_share: tuple[float, float] = (0.3, 0.3)
    largest: float = 0.3
    align_px: int | None = Field(default=None, ge=1)
    dropped: float = Field(default=0.75, gt=0, lt=1)


class ScheduleTable(_Table):
    """How long and how fast."""

    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    last_weight_decay: float | None = Field(default=None, ge=0)
    warmup_share: float = Field(default=0.05, ge=0, lt=1)
    average: float = Field(default=0.99, ge=0, lt=1)
    clip: float = Field(default=3.0, gt=0)
    accumulate: int = Field(default=1, ge=1)
    compiled: bool = False


class ContrastTable(_Table):
    """What SiT's teacher is told: the contrast's weight beside the restoring, and the teacher's first momentum."""

    weight: float = Field(default=1.0, ge=0)
    temperature: float = Field(default=0.2, gt=0)
    dimensions: int = Field(default=256, ge=2)
    momentum: float = Field(default=0.996, ge=0, lt=1)


class AugmentationTable(_Table):
    """How pictures are varied before they are corrupted."""

    rotation_deg: float = 6.0
    smallest_area: float = Field(default=0.5, gt=0, le=1)
    aspect: float = Field(default=1.2, ge=1)
    flip: float = Field(default=0.5, ge=0, le=1)
    tone: float = Field(default=0.5, ge=0, le=1)


class Plan(_Table):
    """A pre-training's settings, as its file has them.

    method: `gmml`; `sit`, the same with a contrastive teacher; or `mae` with dropped tokens as the cheap peer.
    """

    method: Method = "gmml"
    counted: Counted = "corrupted"
    network: NetworkTable = NetworkTable()
    corruption: CorruptionTable = CorruptionTable()
    contrast: ContrastTable = ContrastTable()
    schedule: ScheduleTable = ScheduleTable()
    augmentation: AugmentationTable = AugmentationTable()


class PretrainConfig(BaseModel):
    """What `radsnap pretrain` is told. config: `small`, `paper` or a file like them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: tuple[Path, ...] = Field(min_length=1)
    output: Path
    config: str = "small"
    method: Method | None = None
    as_published: bool = False
    start: Path | None = None
    epochs: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=2)
    learning_rate: float | None = Field(default=None, gt=0)
    draws_per_epoch: int | None = Field(default=None, ge=2)
    workers: int = Field(default=0, ge=0)
    figure_every: int = Field(default=2, ge=1)
    seed: int = 0
    skip_unreadable: bool = False
    command: str = ""


def read_plan(name: str) -> Plan:
    """Read a plan: one that ships by its name, else a TOML file. Raises UsageError naming the wrong key and the nearest known."""
    shipped = sorted(path.stem for path in SHIPPED.glob("*.toml"))
    path = SHIPPED / f"{name}.toml" if name in shipped else Path(name)
    try:
        return Plan.model_validate(tomllib.loads(path.read_text()))
    except FileNotFoundError as error:
        raise UsageError(f"no plan '{name}'; give a TOML file, or one of {', '.join(shipped)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}") from error
    except ValidationError as error:
        raise UsageError(f"{path}: {_told(error)}") from error


def _told(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return f"{where}: {first['msg']}, got {first['input']!r}"
    *tables, key = (str(part) for part in first["loc"])
    table: Any = Plan
    for part in tables:
        table = table.model_fields[part].annotation
    known = list(table.model_fields)
    near = difflib.get_close_matches(key, known, 1, 0.4)
    return f"unknown key '{where}'; " + (
        f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
    )


def pretrain(config: PretrainConfig, report: Report = silent) -> Path:
    """Pre-train and write `network.safetensors`, with what it is in `network.json`; gives the file of weights.

    Goes over the chest x-rays of split `train`, judges by those of split `val`. Started again after an interruption it
    goes on where it was. Raises UsageError, ManifestError, TrainingError or WeightsError.
    """
    plan = _overridden(config)
    manifest = combine(*(read_manifest(path) for path in config.data))
    spec = InputSpec(size_px=plan.network.size_px, channels=plan.network.channels)
    with joined() as ranks:
        training, validation = (_rows(manifest, split, spec, config, report) for split in ("train", "val"))
        schedule = _schedule(plan, config, training)
        network, view, origin = _network(plan, config)
        pairs = plan.method == "sit"
        watched = _Watched(Unlabelled.of(training, _augmentation(plan), config.seed, pairs))
        best = fit(
            network,
            _objective(plan, config, view, network, ranks),
            watched,
            _judge(view, held_out(validation, schedule.batch_size, _JUDGED), watched, config),
            schedule,
            config.output,
            lambda step: report(of_training(step)),
            f"{plan.model_dump_json()}; from {origin}; {config.as_published}; rows {_seen(training, validation)}",
            ranks,
        )
        if ranks.leads:
            _write(config, plan, best, network, manifest, origin, training)
    return config.output / "network.safetensors"


def _overridden(config: PretrainConfig) -> Plan:
    plan = read_plan(config.config)
    given = {"epochs": config.epochs, "batch_size": config.batch_size, "learning_rate": config.learning_rate}
    schedule = plan.schedule.model_copy(
        update={name: value for name, value in given.items() if value is not None}
    )
    return plan.model_copy(update={"schedule": schedule, "method": config.method or plan.method})


def chests(manifest: Manifest) -> Manifest:
    """Keep the rows that are chest x-rays, and those of which the manifest does not say."""
    body = manifest.frame["body"]
    return manifest.rows(((body == "") | body.str.startswith("chest")).to_numpy(dtype=bool))


def _rows(manifest: Manifest, split: str, spec: InputSpec, config: PretrainConfig, report: Report) -> Rows:
    part = chests(manifest.where(split=split))
    if not len(part):
        raise ManifestError(
            f"no chest x-ray of split '{split}' in the manifest; make the splits with 'radsnap data split'"
        )
    pictures = Pictures(part, round(spec.size_px * (_MARGIN if split == "train" else 1.0)))
    faults = pictures.check(lambda done, total: report(Progress(done, total, f"reading {split} images")))
    if not config.skip_unreadable:
        refuse_faults(faults)
    weights = np.ones(len(part))
    weights[pictures.unreadable] = 0.0
    skipped = (lambda fault: report(Progress(0, 0, f"left out: {fault}"))) if config.skip_unreadable else None
    targets = np.zeros((len(part), 0), np.float32)
    return Rows(pictures, targets, weights, spec, skipped=skipped)


def _schedule(plan: Plan, config: PretrainConfig, training: Rows) -> Schedule:
    table = plan.schedule
    readable = int((training.weights > 0).sum())
    draws = config.draws_per_epoch or readable
    if min(draws, readable) < table.batch_size:
        raise UsageError(
            f"{min(draws, readable)} images are fewer than a batch of {table.batch_size}; "
            "give more images, or a smaller --batch-size"
        )
    return Schedule(
        draws_per_epoch=draws,
        workers=config.workers,
        seed=config.seed,
        optimiser="adamw",
        **table.model_dump(),
    )


def _augmentation(plan: Plan) -> Augmentation:
    return replace(Augmentation(soften=0.0, blot=0.0, photo=()), **plan.augmentation.model_dump())


def _network(plan: Plan, config: PretrainConfig) -> tuple[nn.Module, View, str]:
    torch.manual_seed(int(stream(config.seed, "weights").integers(2**63)))
    encoder = encoder_of(plan.network)
    origin = "random weights"
    if config.start is not None:
        start_from(encoder, config.start)
        origin = f"{config.start.name} (sha256 {sha256_of(config.start)[:12]})"
    channels = plan.network.channels
    if plan.method == "mae":
        network: nn.Module = Autoencoder(encoder, channels)
        view = dropped(plan.corruption.dropped, encoder.patch_px, config.seed)
    else:
        network = Restorer(encoder, channels)
        if plan.method == "sit":
            told = plan.contrast
            network = Taught(encoder, channels, dimensions=told.dimensions, momentum=told.momentum)
        view = grouped(_corruption(plan, config), encoder.patch_px, config.seed)
    return network.to("cuda" if torch.cuda.is_available() else "cpu"), view, origin


def _corruption(plan: Plan, config: PretrainConfig) -> Corruption:
    told = plan.corruption.model_dump(exclude={"dropped"})
    return Corruption(**told, as_published=config.as_published)


def _objective(plan: Plan, config: PretrainConfig, view: View, network: nn.Module, ranks: Ranks) -> Objective:
    if not isinstance(network, Taught):
        return restoring(view, plan.counted)
    told, patch_px = plan.contrast, network.encoder.patch_px
    return contrasting(
        _corruption(plan, config), patch_px, config.seed, plan.counted, told.weight, told.temperature, ranks
    )


def encoder_of(table: NetworkTable) -> ViT:
    """Build the transformer. Raises UsageError for a name that is none of a transformer."""
    names = [name for name in NETWORKS if name.startswith("vit-")]
    if table.name not in names:
        raise UsageError(f"no transformer '{table.name}' is known; known are {', '.join(names)}")
    encoder = NETWORKS[table.name](1, table.size_px, table.channels)
    assert isinstance(encoder, ViT)
    encoder.set_drop_path(table.drop_path)
    return encoder


@dataclass
class _Watched:
    """Epochs that remember which one was asked for last, for the judge to name its figures by."""

    epochs: Epochs
    epoch: int = 0

    def __call__(self, epoch: int, count: int, skip: int) -> Any:
        self.epoch = epoch
        return self.epochs(epoch, count, skip)


def _judge(view: View, batches: list[Batch], watched: _Watched, config: PretrainConfig) -> Judge:
    def judge(network: nn.Module) -> dict[str, float]:
        figures = judge_restoring(network, view, batches)
        if watched.epoch % config.figure_every == 0:
            _show(network, view, batches[0], config.output, watched.epoch)
        return figures

    return judge


@torch.no_grad()
def _show(network: nn.Module, view: View, batch: Batch, folder: Path, epoch: int) -> None:
    """Draw originals, corrupted and restored pictures as rows of one figure, for the folder and TensorBoard."""
    device = next(network.parameters()).device
    seen = view(network, {name: value[:_SHOWN].to(device) for name, value in batch.items()})
    figure = figure_of(seen)
    path = folder / "figures" / f"epoch-{epoch + 1:04d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), figure):
        raise UsageError(f"{path} could not be written; see whether the disk is full")
    with SummaryWriter(str(folder / "tensorboard"), filename_suffix=".figures") as writer:
        writer.add_image("restored", figure[None], epoch + 1)


def figure_of(seen: Restored) -> np.ndarray:
    """Lay out pictures in columns, from above: original, corrupted, restored, and restored where it was corrupted.

    Gives uint8 (H, W); grey is scaled by each original's range.
    """
    kept = torch.where(seen.mask, seen.restored.float(), seen.original)
    strips = []
    low = seen.original.amin(dim=(1, 2, 3), keepdim=True)
    high = seen.original.amax(dim=(1, 2, 3), keepdim=True)
    for pictures in (seen.original, seen.corrupted, seen.restored.float(), kept):
        grey = ((pictures - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)[:, 0]
        padded = nn.functional.pad(grey, (1, 1, 1, 1), value=1.0)
        strips.append(torch.cat(list(padded), dim=1))
    return np.asarray((torch.cat(strips) * 255).round().byte().cpu().numpy())


def _write(
    config: PretrainConfig, plan: Plan, best: dict[str, Tensor], network: nn.Module, manifest: Manifest,
    origin: str, training: Rows,
) -> None:  # fmt: skip
    prefix = "encoder."
    state = {
        name.removeprefix(prefix): value.contiguous()
        for name, value in best.items()
        if name.startswith(prefix) and not name.startswith("encoder.head.")
    }
    weights = config.output / "network.safetensors"
    save_file(state, weights)
    history = torch.load(config.output / "last.ckpt", map_location="cpu", weights_only=True)["history"]
    about = {
        "what": "a backbone to start from with 'radsnap train findings --from'; it says nothing by itself",
        "network": plan.network.name,
        "input": InputSpec(size_px=plan.network.size_px, channels=plan.network.channels).model_dump(
            mode="json"
        ),
        "file": weights.name,
        "sha256": sha256_of(weights),
        "plan": plan.model_dump(mode="json"),
        "as_published": config.as_published,
        "training": {
            "command": config.command,
            "data": training_data(chests(manifest.where(split="train"))),
            "images": int((training.weights > 0).sum()),
            "licence": "research use; the licences of the training data apply",
            "started_from": origin,
            "seed": config.seed,
        },
        "validation": max(history, key=lambda figures: figures["figure"]),
        "epochs": len(history),
        "caveats": ["Not a medical device: do not use for diagnosis or treatment."],
    }
    (config.output / "network.json").write_text(json.dumps(about, indent=1) + "\n")


def _seen(training: Rows, validation: Rows) -> str:
    seen = hashlib.sha256()
    for rows in (training, validation):
        seen.update("\n".join(str(file) for file in rows.pictures.files).encode())
    return seen.hexdigest()
