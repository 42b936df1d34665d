"""Make a collection of phantoms, with splits, for a first training, a tutorial or a test."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from radsnap.phantom import CHESTS_ONLY, MIXED, write_collection
from radsnap.tables import Manifest, split_by_patient, write_manifest

_MIXES = {"chests": CHESTS_ONLY, "mixed": MIXED}


class PhantomConfig(BaseModel):
    """What `radsnap phantom` is told. `mixed` adds lateral views, limbs and pictures that are no x-rays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: Path
    n: int = Field(ge=1)
    seed: int = 0
    size_px: int = Field(default=512, ge=32, le=2048)
    mix: Literal["chests", "mixed"] = "chests"


def phantom(config: PhantomConfig) -> Manifest:
    """Draw phantoms into a folder, with `manifest.csv` split 70, 10, 20 into train, val and test."""
    made = write_collection(
        config.output, config.n, config.seed, config.size_px, _MIXES[config.mix], suffix=".jpg"
    )
    split = split_by_patient(made, {"train": 0.7, "val": 0.1, "test": 0.2}, seed=config.seed)
    write_manifest(split, config.output / "manifest.csv")
    return split
