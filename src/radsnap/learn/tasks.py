"""What each stage learns: heads, targets from a manifest, and which rows to draw how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radsnap.errors import ManifestError, UsageError
from radsnap.findings import CHESTXRAY_14
from radsnap.models.card import Head, InputSpec
from radsnap.tables import NO_XRAY, Manifest, Uncertain, is_xray, labels, sources

Targets = NDArray[np.float32]

KINDS = (
    "chest_frontal",
    "chest_lateral",
    "hand_wrist",
    "elbow_forearm",
    "shoulder_humerus",
    "foot_ankle",
    "knee_leg",
    "hip_pelvis",
    "spine",
    "dental",
    "other",
)
DOMAINS = ("digital", "screen", "film")
FINDINGS = (*CHESTXRAY_14, "Lung Opacity")


@dataclass(frozen=True)
class Task:
    """A stage's training.

    targets: manifest → (N, outputs) float32, 1 or 0, a softmax head as one-hot, NaN where unknown.
    groups: manifest → a name a row; rows are drawn so that groups of n rows get a share of n ** balance.
    sides: manifest → a name a row; each side gets the same number of draws, whatever its size.
    The head `domain_head` is filled in by what the augmentation did to the picture. pixels: as in `InputSpec`.
    """

    name: str
    heads: tuple[Head, ...]
    targets: Callable[[Manifest], Targets]
    groups: Callable[[Manifest], pd.Series]
    sides: Callable[[Manifest], pd.Series]
    size_px: int
    balance: float = 0.5
    domain_head: str | None = None
    pixels: Literal["grey", "rgb"] = "grey"

    @property
    def outputs(self) -> int:
        """How many numbers the network gives."""
        return sum(len(head.classes) for head in self.heads)

    def input(self, size_px: int | None = None) -> InputSpec:
        """What the network is given, at the task's size or another."""
        return InputSpec(
            size_px=size_px or self.size_px, channels=3 if self.pixels == "rgb" else 1, pixels=self.pixels
        )


def gate() -> Task:
    """X-ray or not, and what the camera saw: `digital`, `screen` or `film`. It sees colours, which x-rays have not."""
    heads = (
        Head(name="xray", classes=("xray",), activation="sigmoid"),
        Head(name="domain", classes=DOMAINS, activation="softmax"),
    )

    def targets(manifest: Manifest) -> Targets:
        xray = is_xray(manifest)
        domain = one_hot(manifest.frame["domain"], DOMAINS)
        domain[xray != 1] = np.nan  # nobody photographs a receipt on a light box
        return np.concatenate([xray[:, None], domain], axis=1)

    def groups(manifest: Manifest) -> pd.Series:
        named = sources(manifest) + "/" + manifest.frame["body"]
        # skin and ultrasound may both be "medical": few pictures of one origin have a share of their own
        return named + "/" + manifest.frame["source"] if "source" in manifest.frame.columns else named

    def sides(manifest: Manifest) -> pd.Series:
        return pd.Series(is_xray(manifest), index=manifest.frame.index)

    return Task(
        "gate", heads, targets, groups, sides, size_px=160, balance=0.25, domain_head="domain", pixels="rgb"
    )


def kind(column: str = "body", classes: tuple[str, ...] = KINDS) -> Task:
    """Which x-ray: radsnap's kinds from the column `body`, or another column's classes (the paper's fourteen, say)."""
    heads = (Head(name="kind", classes=classes, activation="softmax"),)

    def targets(manifest: Manifest) -> Targets:
        return one_hot(_column(manifest, column), classes)

    def groups(manifest: Manifest) -> pd.Series:
        return sources(manifest) + "/" + _column(manifest, column)

    return Task("kind", heads, targets, groups, _one_side, size_px=160, balance=0.25)


def classes_in(manifest: Manifest, column: str) -> tuple[str, ...]:
    """List the classes that a column holds, but for blanks and `none`. Raises UsageError for fewer than two."""
    classes = tuple(sorted(set(_column(manifest, column)) - {"", NO_XRAY}))
    if len(classes) < 2:
        raise UsageError(f"column '{column}' holds {len(classes)} classes; a training needs two or more")
    return classes


def findings(
    names: tuple[str, ...] | None = None, uncertain: Uncertain = "ignore", size_px: int = 224
) -> Task:
    """Which findings: one sigmoid each; blank is unknown and takes no part in the loss.

    By default radsnap's fifteen, of which a manifest may lack some; a column named by the caller must be there.
    """
    classes = FINDINGS if names is None else names
    heads = (Head(name="findings", classes=classes, activation="sigmoid"),)

    def targets(manifest: Manifest) -> Targets:
        absent: Literal["refuse", "unknown"] = "unknown" if names is None else "refuse"
        return labels(manifest, classes, uncertain=uncertain, absent=absent)

    def groups(manifest: Manifest) -> pd.Series:
        rarest = pd.Series(_rarest_positive(targets(manifest)), index=manifest.frame.index)
        return sources(manifest) + "/" + rarest.astype(str)

    return Task("findings", heads, targets, groups, sources, size_px=size_px)


def _one_side(manifest: Manifest) -> pd.Series:
    return pd.Series("", index=manifest.frame.index)


def one_hot(column: pd.Series, classes: tuple[str, ...]) -> Targets:
    """Encode a column of names: (N, classes), 1 and 0; a row of NaN where the name is blank or another."""
    codes = pd.Index(classes).get_indexer(pd.Index(column))
    result = np.full((len(column), len(classes)), np.nan, dtype=np.float32)
    known = codes >= 0
    result[known] = np.eye(len(classes), dtype=np.float32)[codes[known]]
    return result


def draw_weights(groups: pd.Series, sides: pd.Series, balance: float) -> NDArray[np.float64]:
    """Give each row its chance to be drawn; they add up to 1.

    Sides get equal shares. Inside a side a group of n rows gets a share in proportion to n ** balance: 1 draws
    rows evenly, 0 draws groups evenly.
    """
    sizes = groups.map(groups.value_counts()).to_numpy(dtype=np.float64)
    weights = pd.Series(sizes ** (balance - 1.0), index=groups.index)
    weights /= weights.groupby(sides).transform("sum") * sides.nunique()
    return weights.to_numpy(dtype=np.float64)


def _rarest_positive(targets: Targets) -> NDArray[np.int64]:
    """Which positive output of each row is the rarest; -1 for rows without a positive, -2 if all unknown."""
    positive = targets == 1
    count = positive.sum(axis=0)
    order = np.argsort(count)
    rarest = np.full(len(targets), -1)
    for output in order[::-1]:
        rarest[positive[:, output]] = output
    rarest[np.isnan(targets).all(axis=1)] = -2
    return rarest


def _column(manifest: Manifest, name: str) -> pd.Series:
    if name not in manifest.frame.columns:
        raise ManifestError(f"this training needs the column '{name}', which the manifest does not have")
    return manifest.frame[name]
