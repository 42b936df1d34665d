"""Train the two networks that find an x-ray: x-rays and other pictures in, simulated photos between, ONNX with a card out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from radsnap.errors import TrainingError
from radsnap.jobs.progress import Progress, Report, silent
from radsnap.jobs.scale import Lost, Scale, spread
from radsnap.jobs.training.kinds import drawing, rows_by_kind
from radsnap.learn.corner_bank import Bank, draw_bank, joined, read_bank, stock_of
from radsnap.learn.corner_scenes import VIEWS, Stock
from radsnap.learn.corners import INPUT_PX, SIDES, Corners, Exported, corner_figures, train_corners
from radsnap.learn.export import to_half, write_onnx
from radsnap.learn.strips import ExportedStrips, Strips, strip_figures, train_strips
from radsnap.learn.tasks import DOMAINS
from radsnap.models.card import Card, Figure, Head, InputSpec, Training, sha256_of, write_card
from radsnap.models.networks_state import read_state
from radsnap.tables import Manifest

# Photos are drawn and kept so many to a file: an interrupted run goes on, and several processes share the work.
_PART = 1000
_COMMON_KINDS = ("xray_other", "cxr_lateral")


class TrainCornersConfig(BaseModel):
    """What the training of the corner network is told.

    minutes and closer_minutes: of the processor, for either look. start: the folder of an earlier run to go on from. jobs: processes that draw (None: as many as there
    are CPUs).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path
    output: Path
    photos: int = Field(default=48_000, ge=64)
    judged_on: int = Field(default=1200, ge=16)
    paediatric: int = Field(default=1200, ge=0)
    phantoms: int = Field(default=240, ge=0)
    minutes: float = Field(default=90.0, gt=0)
    closer_minutes: float = Field(default=60.0, gt=0)
    start: Path | None = None
    seed: int = 10
    jobs: int | None = Field(default=None, ge=1)


def train_corner_network(config: TrainCornersConfig, report: Report = silent) -> Card:
    """Draw the photos (once), fit the first look and the closer one, judge on validation, write both as ONNX with their cards.

    Photos of a run are kept in its folder and used again by the same settings; the fit itself starts anew. Raises
    ManifestError, UsageError, or TrainingError where a process that draws dies.
    """
    starts = {name: _start(config, name) for name in ("corners", "borders")}
    manifest = rows_by_kind(config.data)
    training = _bank(config, manifest, "train", config.photos, config.seed, report)
    judged = _bank(config, manifest, "val", config.judged_on, config.seed + 1, report)

    def tell(step: int, share: float, loss: float) -> None:
        report(Progress(round(1000 * share), 1000, f"step {step} loss {loss:.3f}"))

    network = train_corners(training, config.minutes, config.seed, tell=tell, start=starts["corners"])
    torch.save(network.state_dict(), config.output / "corners.pt")
    figures = corner_figures(network, judged)
    card = ship_corners(config, network, figures, len(training))
    second = train_strips(training, config.closer_minutes, config.seed, tell=tell, start=starts["borders"])
    torch.save(second.state_dict(), config.output / "borders.pt")
    ship_borders(config, second, strip_figures(second, judged), len(training))
    return card


def _start(config: TrainCornersConfig, name: str) -> dict[str, Tensor] | None:
    """Read the weights to go on from. Raises WeightsError."""
    return None if config.start is None else read_state(config.start / f"{name}.pt")[0]


def _bank(
    config: TrainCornersConfig, manifest: Manifest, split: str, count: int, seed: int, report: Report
) -> Bank:
    """Draw what is not drawn yet of a split's photos, in parts and by several processes, and read all of them."""
    phantoms = config.phantoms if split == "train" else config.phantoms // 6
    settings = drawing(manifest, split, seed=seed, paediatric=config.paediatric, phantoms=phantoms)
    parts = [
        _Part(config.output / f"{split}-{first // _PART:03d}.npz", first, min(first + _PART, count))
        for first in range(0, count, _PART)
    ]
    missing = [part for part in parts if not part.path.is_file()]
    done = len(parts) - len(missing)
    draw = _Draw(config, split, phantoms, seed, settings)
    jobs = max(min(config.jobs or os.cpu_count() or 1, len(missing)), 1)
    for part, lost in spread(draw, missing, Scale(jobs)):
        if isinstance(lost, Lost):
            raise TrainingError(
                f"{part.path}: {lost.reason}; started again, the training draws what is missing"
            )
        done += 1
        report(Progress(done, len(parts), f"photos to {split} on, a thousand a step"))
    return joined([read_bank(part.path, f"{settings} {part.first} {part.last}") for part in parts])


@dataclass(frozen=True)
class _Part:
    """The photos from number `first` to before `last`, and their file."""

    path: Path
    first: int
    last: int


@dataclass(frozen=True)
class _Draw:
    """What a process is told to draw the parts of a split; it reads the x-rays once."""

    config: TrainCornersConfig
    split: str
    phantoms: int
    seed: int
    settings: str

    def __call__(self, part: _Part) -> None:
        bank = draw_bank(_stock(self), range(part.first, part.last), self.seed)
        bank.save(part.path, f"{self.settings} {part.first} {part.last}")


@lru_cache(maxsize=1)
def _stock(draw: _Draw) -> Stock:
    manifest = rows_by_kind(draw.config.data)
    return stock_of(_rows(manifest.frame, draw.config), manifest.root, draw.phantoms, draw.seed, draw.split)


def _rows(table: pd.DataFrame, config: TrainCornersConfig) -> pd.DataFrame:
    """Thin out the children, who would be half of all, and let rare kinds count twice. Real photos are left out."""
    table = table[~table["kind"].str.startswith("photo_")]
    children = table[(table["kind"] == "cxr_paediatric") & (table["split"] == "train")]
    spare = max(len(children) - config.paediatric, 0)
    table = table.drop(children.sample(spare, random_state=0).index)
    rare = table["kind"].isin(_COMMON_KINDS) & (table["split"] == "train")
    return pd.concat([table, table[rare]])


def ship_corners(
    config: TrainCornersConfig, network: Corners, figures: tuple[Figure, ...], images: int
) -> Card:
    """Write the first look as ONNX in half precision with its card."""
    whole, file = config.output / "corners-float32.onnx", config.output / "corners.onnx"
    write_onnx(Exported(network), INPUT_PX, whole, ["logits", "heat_maps"], channels=3)
    to_half(whole, file)
    heads = (
        Head(name="view", classes=VIEWS, activation="softmax"),
        Head(name="sides", classes=SIDES, activation="sigmoid"),
        Head(name="domain", classes=DOMAINS, activation="softmax"),
    )
    caveat = (
        "Reads colour photos stretched to a square. heat_maps are five: the x-ray's mask, then its top, "
        "right, bottom and left side, in [0, 1]."
    )
    return _shipped(config, file, "corners", heads, figures, images, caveat)


def ship_borders(
    config: TrainCornersConfig, network: Strips, figures: tuple[Figure, ...], images: int
) -> Card:
    """Write the closer looks as ONNX in half precision with their card."""
    whole, file = config.output / "borders-float32.onnx", config.output / "borders.onnx"
    write_onnx(ExportedStrips(network), INPUT_PX, whole, ["logits", "heat_maps"], channels=3)
    to_half(whole, file)
    heads = (Head(name="sides", classes=SIDES, activation="sigmoid"),)
    caveat = (
        "Reads four strips of 256 × 64 px along the sides of a roughly known quadrilateral, one below the other, each "
        "with its outside up. heat_maps are four, of 64 rows and 32 columns: for each column the probabilities of where it "
        "meets the border."
    )
    return _shipped(config, file, "strips", heads, figures, images, caveat)


def _shipped(
    config: TrainCornersConfig,
    file: Path,
    network: str,
    heads: tuple[Head, ...],
    figures: tuple[Figure, ...],
    images: int,
    caveat: str,
) -> Card:
    """Write the card of weights beside them; the file's name is the task's."""
    card = Card(
        name=file.stem,
        task=file.stem,
        network=network,
        input=InputSpec(
            size_px=INPUT_PX, channels=3, pixels="rgb", normalisation="fixed", mean=0.5, deviation=0.25
        ),
        heads=heads,
        heat_maps=True,
        file=file.name,
        sha256=sha256_of(file),
        precision="float16",
        training=Training(
            command=f"radsnap train corners --data {config.data} -o {config.output}"
            + (f" --from {config.start} --seed {config.seed}" if config.start else ""),
            data=(
                "simulated photos (radsnap screen and film, levels 1 to 4) of the x-rays and phantoms of the split train",
            ),
            licence="for research: several sources of the x-rays are non-commercial",
            images=images,
            epochs=None,
            started_from="" if config.start is None else "an earlier run of the same training",
            seed=config.seed,
        ),
        figures=figures,
        caveats=(caveat,),
    )
    write_card(card, file.with_suffix(".card.json"))
    return card
