"""Train the network that says which way up a chest is: x-rays and simulated photos of them in, ONNX with a card out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from radsnap.jobs.progress import Progress, Report, silent
from radsnap.jobs.training.kinds import drawing, rows_by_kind
from radsnap.learn.corner_bank import read_colour, read_grey
from radsnap.learn.corner_scenes import Stock, drawn_from
from radsnap.learn.export import to_half, write_onnx
from radsnap.learn.kept import keep, kept
from radsnap.learn.upright import (
    SPEC,
    WAYS,
    Upright,
    photographed,
    picture_of,
    train_upright,
    upright_figures,
)
from radsnap.models.card import Card, Head, Training, sha256_of, write_card
from radsnap.seeds import stream
from radsnap.tables import Manifest

Pictures = NDArray[np.uint8]
_CHESTS = ("cxr_nih", "cxr_nih_normal", "cxr_covid")


class TrainUprightConfig(BaseModel):
    """What the training of the upright network is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path
    output: Path
    photos: int = Field(default=6000, ge=16)
    paediatric: int = Field(default=1500, ge=0)
    minutes: float = Field(default=10.0, gt=0)
    seed: int = 2


def train_upright_network(config: TrainUprightConfig, report: Report = silent) -> Card:
    """Draw photos of chests (once), fit, judge on validation, write `upright.onnx` and its card.

    Photos of a run are kept in its folder and used again by the same settings; the fit itself starts anew. Raises
    ManifestError or UsageError.
    """
    rows = rows_by_kind(config.data)
    training = _pictures(config, rows, "train", config.photos, config.paediatric, config.seed)
    judged = _pictures(config, rows, "val", config.photos // 8, config.paediatric // 6, config.seed - 1)

    def tell(step: int, share: float, loss: float) -> None:
        report(Progress(round(1000 * share), 1000, f"step {step} loss {loss:.3f}"))

    chests = np.concatenate([training["digital"], training["photo"]])
    network = train_upright(chests, training["other"], config.minutes, config.seed, tell)
    return ship(config, network, judged, len(chests))


def ship(config: TrainUprightConfig, network: Upright, judged: dict[str, Pictures], images: int) -> Card:
    """Write the network as ONNX with its card."""
    whole, file = config.output / "upright-float32.onnx", config.output / "upright.onnx"
    write_onnx(network, SPEC.size_px, whole, ["logits"])
    to_half(whole, file)
    card = Card(
        name="upright",
        task="upright",
        network="upright",
        input=SPEC,
        heads=(Head(name="lies", classes=WAYS, activation="softmax"),),
        file=file.name,
        sha256=sha256_of(file),
        precision="float16",
        training=Training(
            command=f"radsnap train upright --data {config.data} -o {config.output}",
            data=("frontal chests of the split train, and simulated photos of them (levels 1 to 4)",),
            licence="for research: several sources of the x-rays are non-commercial",
            images=images,
            epochs=None,
            seed=config.seed,
        ),
        figures=tuple(upright_figures(network, name, judged[name]) for name in ("digital", "photo")),
        caveats=("For frontal chests. A heart on the right (dextrocardia) looks mirrored to it.",),
    )
    write_card(card, config.output / "upright.card.json")
    return card


def _pictures(
    config: TrainUprightConfig, manifest: Manifest, split: str, photos: int, children: int, seed: int
) -> dict[str, Pictures]:
    path = config.output / f"up_{split}.npz"
    settings = drawing(manifest, split, photos=photos, paediatric=children, seed=seed)
    pictures = kept(path, settings)
    if pictures is None:
        pictures = _drawn(manifest, split, photos, children, seed)
        keep(path, pictures, settings)
    return pictures


def _drawn(manifest: Manifest, split: str, photos: int, children: int, seed: int) -> dict[str, Pictures]:
    rows = manifest.frame[manifest.frame["split"] == split]
    young = rows[rows["kind"] == "cxr_paediatric"]
    young = young.sample(min(children, len(young)), random_state=0)
    chests = pd.concat([rows[rows["kind"].isin(_CHESTS)], young])
    images = [read_grey(manifest.root / path) for path in chests["path"]]
    ground = [
        read_colour(manifest.root / path) for path in rows.loc[rows["kind"] == "nonxray_photo", "path"][:60]
    ]
    around = drawn_from(ground, f"picture of other things (nonxray_photo) of split '{split}'")
    chest = f"frontal chest ({', '.join(_CHESTS)}, cxr_paediatric) of split '{split}'"
    stock = Stock(drawn_from(images, chest), around, around)
    order = np.random.default_rng(seed)
    taken = [
        photographed(stream(seed, "up", i), stock, images[int(order.integers(len(images)))], i)
        for i in range(photos)
    ]
    others = rows.loc[rows["kind"].isin(("xray_other", "cxr_lateral")), "path"]
    return {
        "digital": np.stack([picture_of(image) for image in images]),
        "photo": np.stack(taken),
        "other": np.array([picture_of(read_grey(manifest.root / path)) for path in others], np.uint8),
    }
