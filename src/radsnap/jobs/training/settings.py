"""What `radsnap train` is told, and what each stage does where it is told nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from radsnap.errors import UsageError
from radsnap.learn.augment import Augmentation
from radsnap.learn.operating import Rule
from radsnap.learn.optimiser import Schedule
from radsnap.models.averaging import Average
from radsnap.photo import parse_chain

Stage = Literal["gate", "kind", "findings"]
_PHOTO_SHARE = 0.5


class TrainConfig(BaseModel):
    """What `radsnap train` is told. None: the stage's own, measured on the default data.

    source: keeps the rows of one source, where labels must not be mixed with another's.
    photo_augment: recipes or chains with their chances, 'RECIPE@P'; photo_share: the chance of screen-lite and
    film-lite together. choose_by: what chooses the epoch on validation, digital pictures alone, or they and photos of
    them. average: test-time averaging when the network is judged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Stage
    data: tuple[Path, ...] = Field(min_length=1)
    output: Path
    source: str | None = None
    name: str | None = None
    network: str = "densenet121"
    start: Path | None = None
    probe: bool = False
    freeze: int = Field(default=0, ge=0)
    labels: tuple[str, ...] | None = None
    column: str | None = None
    uncertain: Literal["ones", "zeros", "ignore"] = "ignore"
    class_weights: Literal["none", "balanced"] = "none"
    size_px: int | None = Field(default=None, ge=32, le=1024)
    epochs: int | None = Field(default=None, ge=1)
    draws_per_epoch: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=2)
    learning_rate: float | None = Field(default=None, gt=0)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    optimiser: Literal["radam", "adamw"] = "radam"
    patience: int | None = Field(default=None, ge=1)
    choose_by: Literal["all", "digital"] = "all"
    average: Average = "none"
    mixup: float = Field(default=0.0, ge=0, le=10)
    photo_share: float | None = Field(default=None, ge=0, le=1)
    photo_augment: tuple[str, ...] = ()
    consistency: float = Field(default=0.0, ge=0)
    guide: float = Field(default=0.0, ge=0)
    augment: Literal["usual", "strong"] = "usual"
    operating: Rule = "youden"
    accumulate: int = Field(default=1, ge=1)
    precision: Literal["bf16", "float32"] = "bf16"
    compiled: bool = False
    workers: int = Field(default=1, ge=0)
    seed: int = 0
    skip_unreadable: bool = False
    caveats: tuple[str, ...] = ()
    licence: str = "research use; the licences of the training data apply"
    command: str = ""


# Measured on the default data; --epochs, --draws and --learning-rate override.
_SCHEDULES: dict[Stage, Schedule] = {
    "gate": Schedule(epochs=8, draws_per_epoch=2400, learning_rate=5e-4),
    "kind": Schedule(epochs=12, draws_per_epoch=2400, learning_rate=1e-3),
    "findings": Schedule(
        epochs=24, draws_per_epoch=1920, batch_size=24, learning_rate=4e-4, weight_decay=3e-2
    ),
}
_PLANS: dict[Stage, Augmentation] = {
    "gate": Augmentation(invert=0.1, smallest_area=0.5, implant=0.3, tint=0.35, fade=0.25),
    "kind": Augmentation(invert=0.1, rotation_deg=20.0, smallest_area=0.5, implant=0.15),
    "findings": Augmentation(
        smallest_area=0.7, aspect=1.15, rotation_deg=8.0, blot=0.15, soften=0.3, tone=0.7
    ),
}
# For data whose files betray the label: aspect ratio, sharpness, tone and what lies at the border tell nothing.
STRONG = Augmentation(smallest_area=0.5, aspect=1.6, rotation_deg=12.0, blot=0.4, soften=0.6, tone=0.9)


def schedule_of(config: TrainConfig) -> Schedule:
    """Give the stage's schedule with what the config overrides."""
    return overridden(_SCHEDULES[config.stage], config)


# What of a schedule a config may set, under the same name.
_SET = (
    "epochs", "draws_per_epoch", "batch_size", "learning_rate", "optimiser", "layer_decay", "patience", "accumulate",
    "precision", "compiled", "workers", "seed",
)  # fmt: skip


def overridden(usual: Schedule, config: BaseModel) -> Schedule:
    """Give a schedule with what a config sets of it; None keeps the usual."""
    told = {name: getattr(config, name, None) for name in _SET}
    return replace(usual, **{name: value for name, value in told.items() if value is not None})


def plan_of(config: TrainConfig) -> Augmentation:
    """Give the stage's augmentation with the photos that the config asks for. Raises UsageError."""
    plan = STRONG if config.augment == "strong" else _PLANS[config.stage]
    return replace(plan, photo=_photos(config), pairs=config.consistency > 0)


def _photos(config: TrainConfig) -> tuple[tuple[str, float], ...]:
    if config.photo_augment and config.photo_share is not None:
        raise UsageError("--photo-share and --photo-augment say the same thing; give one of them")
    if config.photo_augment:
        return tuple(_recipe(text) for text in config.photo_augment)
    half = (_PHOTO_SHARE if config.photo_share is None else config.photo_share) / 2
    return (("screen-lite", half), ("film-lite", half)) if half else ()


def _recipe(text: str) -> tuple[str, float]:
    """Read 'RECIPE@P': the chance is what follows the last @, since a chain's effects may have levels (blur@2@0.5)."""
    name, _, chance = text.rpartition("@")
    try:
        share = float(chance)
    except ValueError:
        share = -1.0
    if not name or not 0 <= share <= 1:
        raise UsageError(
            f"'{text}' is no recipe with a chance from 0 to 1; write RECIPE@P, such as screen-lite@0.25"
        )
    parse_chain(name, 1)
    return name, share


def refuse_contradictions(config: TrainConfig) -> None:
    """Raise UsageError for settings that do not go together."""
    if config.labels and config.stage != "findings":
        raise UsageError("--labels names findings; it goes with 'radsnap train findings'")
    if config.column and config.stage != "kind":
        raise UsageError("--column names the classes' column; it goes with 'radsnap train kind'")
    if config.probe and config.start is None:
        raise UsageError(
            "--probe trains the last layer of a network that is there already; name it with --from"
        )
    if config.freeze and config.start is None:
        raise UsageError("--freeze keeps blocks of a network that is there already; name it with --from")
    if config.probe and config.freeze:
        raise UsageError("--probe keeps all blocks as they are; --freeze has nothing to add")
    if config.probe and config.layer_decay != 1:
        raise UsageError("--probe trains the last layer alone; --layer-decay has nothing to decay")
    if config.probe and config.guide:
        raise UsageError("--probe leaves the maps as they are; --guide cannot move them")
    together = [
        option
        for option, given in (
            ("--guide", config.guide),
            ("--mixup", config.mixup),
            ("--consistency", config.consistency),
        )
        if given
    ]
    if len(together) > 1:
        raise UsageError(f"{' and '.join(together)} do not go together; give one of them")
    if config.consistency and not any(share for _, share in _photos(config)):
        raise UsageError(
            "--consistency compares an x-ray with its photo; ask for photos with --photo-augment"
        )
