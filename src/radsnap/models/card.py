"""The card that travels with weights: what they read, what they say, on what they were trained and measured."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from radsnap.errors import WeightsError

Positive = Annotated[float, Field(gt=0)]
Triple = tuple[float, float, float]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InputSpec(_Part):
    """What a network is given: (N, channels, size_px, size_px) float32 from pixels in [0, 1], bone bright.

    `image` normalisation subtracts each image's own mean and divides by its own deviation; `fixed` uses
    `mean` and `deviation`, in units of [0, 1] pixels, one for all channels or one each. Three channels of `grey`
    are the same grey three times, for networks that began with colour photos; of `rgb` a photo's own colours
    (an x-ray from a detector has none, and gives its grey three times).
    """

    size_px: int = Field(ge=16, le=2048)
    fit: Literal["stretch", "crop"] = "stretch"
    normalisation: Literal["image", "fixed"] = "image"
    channels: Literal[1, 3] = 1
    pixels: Literal["grey", "rgb"] = "grey"
    mean: float | Triple = 0.5
    deviation: Positive | tuple[Positive, Positive, Positive] = 0.25

    @model_validator(mode="after")
    def _a_number_a_channel(self) -> InputSpec:
        triples = [isinstance(value, tuple) for value in (self.mean, self.deviation)]
        if any(triples) and (self.channels != 3 or self.normalisation != "fixed"):
            raise ValueError("a mean or deviation a channel goes with three channels and fixed normalisation")
        if self.pixels == "rgb" and self.channels != 3:
            raise ValueError("pixels 'rgb' go with three channels")
        return self


class Head(_Part):
    """A group of outputs that belong together: `sigmoid` for independent classes, `softmax` for one of many."""

    name: str
    classes: tuple[str, ...] = Field(min_length=1)
    activation: Literal["sigmoid", "softmax"]


class Threshold(_Part):
    """An operating point: call a class positive from `score` on; `possible` is the lower bar for a mention.

    `n` is the number of images that it was chosen on, None where its publisher does not say.
    """

    score: float
    possible: float
    rule: str
    n: int | None


class Platt(_Part):
    """A calibration: probability = 1 / (1 + exp(-(slope · logit + intercept)))."""

    slope: float
    intercept: float


class Isotonic(_Part):
    """A calibration by steps: rising through knots (logit, probability), linear between them and flat outside."""

    knots: tuple[tuple[float, float], ...] = Field(min_length=1)


class Domain(_Part):
    """What is set per domain (`digital`, `screen`, `film` or `any`), by class."""

    operating_points: dict[str, Threshold] = {}
    calibration: dict[str, Platt | Isotonic] = {}


class Figure(_Part):
    """One measured figure with its interval, or the reason why it is undefined."""

    measure: str
    subject: str
    data: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    reason: str | None = None


class Training(_Part):
    """How the weights came about, so that a person can do it again; None where others do not say."""

    command: str
    data: tuple[str, ...]
    licence: str
    images: int | None
    epochs: int | None
    started_from: str = "random weights"
    seed: int = 0


class Card(_Part):
    """Everything a reader of weights must know. Stored as JSON beside the weights, which it names by sha256."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    task: str
    network: str = "densenet121"
    input: InputSpec
    heads: tuple[Head, ...] = Field(min_length=1)
    heat_maps: bool = False
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    precision: Literal["float32", "float16", "int8"] = "float32"
    training: Training
    domains: dict[str, Domain] = {}
    figures: tuple[Figure, ...] = ()
    caveats: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _heads_are_distinct(self) -> Card:
        names = [head.name for head in self.heads]
        if len(set(names)) != len(names):
            raise ValueError(f"two heads have the same name: {names}")
        return self

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for an image."""
        return sum(len(head.classes) for head in self.heads)

    def head(self, name: str) -> Head:
        """Find a head by name. Raises WeightsError with the names there are."""
        for head in self.heads:
            if head.name == name:
                return head
        raise WeightsError(
            f"model {self.name} has no head '{name}', it has {', '.join(h.name for h in self.heads)}; "
            "choose a model that was trained for this stage"
        )

    def span(self, name: str) -> slice:
        """Say which of the network's outputs belong to a head."""
        start = 0
        for head in self.heads:
            if head.name == name:
                return slice(start, start + len(head.classes))
            start += len(head.classes)
        self.head(name)
        raise AssertionError("unreachable")

    def domain(self, name: str) -> Domain:
        """Give what is set for a domain; what is set for `any` serves the domains that have nothing."""
        return self.domains.get(name) or self.domains.get("any") or Domain()


def sha256_of(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_card(path: Path) -> Card:
    """Read a card. Raises WeightsError when the file is missing or not a card."""
    try:
        return Card.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise WeightsError(
            f"no model card at {path}; weights are only used with the card beside them"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise WeightsError(
            f"{path} is not a model card: {where}: {first['msg']}; write it again with 'radsnap models export'"
        ) from error


def write_card(card: Card, path: Path) -> None:
    """Write a card as indented JSON."""
    path.write_text(card.model_dump_json(indent=1) + "\n")
