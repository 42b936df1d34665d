"""Train the two networks that find an x-ray: x-rays and other pictures in, simulated photos between, ONNX with a card out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict, Field

from radsnap.jobs.progress import Progress, Report, silent
from radsnap.jobs.training.kinds import drawing, rows_by_kind
from radsnap.learn.borders import ExportedBorders, border_figures, border_inputs, train_borders
from radsnap.learn.corner_bank import Bank, draw_bank, read_bank, stock_of
from radsnap.learn.corner_scenes import VIEWS
from radsnap.learn.corners import INPUT_PX, SIDES, Corners, Exported, corner_figures, train_corners
from radsnap.learn.export import quantise, to_half, write_onnx
from radsnap.models.card import Card, Figure, Head, InputSpec, Training, sha256_of, write_card
from radsnap.tables import Manifest

_COMMON_KINDS = ("xray_other", "cxr_lateral")


class TrainCornersConfig(BaseModel):
    """What the training of the corner network is told. minutes and closer_minutes: of the processor, for either look."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path
    output: Path
    photos: int = Field(default=48_000, ge=64)
    judged_on: int = Field(default=1200, ge=16)
    paediatric: int = Field(default=1200, ge=0)
    phantoms: int = Field(default=240, ge=0)
    minutes: float = Field(default=90.0, gt=0)
    closer_minutes: float = Field(default=46.0, gt=0)
    seed: int = 10


def train_corner_network(config: TrainCornersConfig, report: Report = silent) -> Card:
    """Draw the photos (once), fit the first look and the closer one, judge on validation, write both as ONNX with their cards.

    Photos of a run are kept in its folder and used again by the same settings; the fit itself starts anew. Raises
    ManifestError or UsageError.
    """
    manifest = rows_by_kind(config.data)
    training = _bank(config, manifest, "train", config.photos, config.seed, report)
    judged = _bank(config, manifest, "val", config.judged_on, config.seed + 1, report)

    def tell(step: int, share: float, loss: float) -> None:
        report(Progress(round(1000 * share), 1000, f"step {step} loss {loss:.3f}"))

    network = train_corners(training, config.minutes, config.seed, tell=tell)
    torch.save(network.state_dict(), config.output / "corners.pt")
    figures = corner_figures(network, judged)
    card = ship_corners(config, network, figures, len(training))
    second = train_borders([training], config.closer_minutes, config.seed, network.state_dict(), tell=tell)
    torch.save(second.state_dict(), config.output / "borders.pt")
    ship_borders(config, second, border_figures(second, judged), training, len(training))
    return card


def _bank(
    config: TrainCornersConfig, manifest: Manifest, split: str, count: int, seed: int, report: Report
) -> Bank:
    path = config.output / f"{split}.npz"
    phantoms = config.phantoms if split == "train" else config.phantoms // 6
    settings = drawing(
        manifest, split, photos=count, seed=seed, paediatric=config.paediatric, phantoms=phantoms
    )
    if not path.is_file():
        rows = _rows(manifest.frame, config)
        stock = stock_of(rows, manifest.root, phantoms, seed, split)
        bank = draw_bank(
            stock, count, seed, lambda done: report(Progress(done, count, f"photos to {split} on"))
        )
        bank.save(path, settings)
    return read_bank(path, settings)


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
    )
    caveat = (
        "Reads colour photos stretched to a square. heat_maps are five: the x-ray's mask, then its top, "
        "right, bottom and left side, in [0, 1]."
    )
    return _shipped(config, file, "float16", heads, figures, images, caveat)


def ship_borders(
    config: TrainCornersConfig, network: Corners, figures: tuple[Figure, ...], bank: Bank, images: int
) -> Card:
    """Write the closer look as ONNX in int8 with its card."""
    whole, file = config.output / "borders-float32.onnx", config.output / "borders.onnx"
    write_onnx(ExportedBorders(network), INPUT_PX, whole, ["logits", "heat_maps"], channels=3)
    quantise(whole, border_inputs(bank, 200, config.seed), file)
    heads = (Head(name="sides", classes=SIDES, activation="sigmoid"),)
    caveat = (
        "Reads a roughly known quadrilateral with a fifth around it, laid square. heat_maps are four: for "
        "each column where it meets the top side, for each row the right, and so on; each sums to one."
    )
    return _shipped(config, file, "int8", heads, figures, images, caveat)


def _shipped(
    config: TrainCornersConfig,
    file: Path,
    precision: Literal["float16", "int8"],
    heads: tuple[Head, ...],
    figures: tuple[Figure, ...],
    images: int,
    caveat: str,
) -> Card:
    """Write the card of weights beside them; the file's name is the task's."""
    card = Card(
        name=file.stem,
        task=file.stem,
        network="corners",
        input=InputSpec(
            size_px=INPUT_PX, channels=3, pixels="rgb", normalisation="fixed", mean=0.5, deviation=0.25
        ),
        heads=heads,
        heat_maps=True,
        file=file.name,
        sha256=sha256_of(file),
        precision=precision,
        training=Training(
            command=f"radsnap train corners --data {config.data} -o {config.output}",
            data=(
                "simulated photos (radsnap screen and film, levels 1 to 4) of the x-rays and phantoms of the split train",
            ),
            licence="for research: several sources of the x-rays are non-commercial",
            images=images,
            epochs=None,
            seed=config.seed,
        ),
        figures=figures,
        caveats=(caveat,),
    )
    write_card(card, file.with_suffix(".card.json"))
    return card
