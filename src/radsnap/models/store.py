"""The user's models: a folder with one folder a model, each with weights and their card."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from radsnap.errors import UsageError, WeightsError
from radsnap.models.card import Card, read_card, sha256_of, write_card

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def folder() -> Path:
    """Say where the user's models lie: RADSNAP_MODELS, else radsnap/models in the XDG data folder."""
    given = os.environ.get("RADSNAP_MODELS")
    if given:
        return Path(given)
    data = os.environ.get("XDG_DATA_HOME")
    # the specification orders that a relative path be ignored
    home = Path(data) if data and Path(data).is_absolute() else Path.home() / ".local" / "share"
    return home / "radsnap" / "models"


def is_name(text: str) -> bool:
    """Tell a model's name from a path: lower-case letters, digits, and . _ - after the first."""
    return _NAME.fullmatch(text) is not None


def card_of(name: str) -> Path:
    """Say where the card of a model of the store lies, or would lie."""
    return folder() / name / f"{name}.card.json"


def names() -> list[str]:
    """Name the models of the store."""
    cards = folder().glob("*/*.card.json")
    return sorted(card.parent.name for card in cards if card.name == f"{card.parent.name}.card.json")


def add(card: Card, weights: Path, into: Path | None = None, *, replace: bool = False) -> Path:
    """Put weights and card into a folder of the model's name, in the store or in `into`; gives the card's path.

    The folder appears whole or not at all. Raises UsageError when the name is taken and `replace` is not
    asked for, WeightsError when the card is not that of the weights.
    """
    root = folder() if into is None else into
    target = root / card.name
    if target.exists() and not replace:
        raise UsageError(f"{target} is there already; give another --name, or --replace it")
    if sha256_of(weights) != card.sha256:
        raise WeightsError(f"{weights} is not what the card {card.name} describes; export the model again")
    try:
        root.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=".half-", dir=root))
    except OSError as error:
        raise UsageError(f"{root} cannot be written to ({error.strerror}); name another folder") from error
    try:
        half.chmod(0o755)
        shutil.copyfile(weights, half / card.file)
        write_card(card, half / f"{card.name}.card.json")
        if target.exists():
            target.rename(half / ".old")
        half.rename(target)
        shutil.rmtree(target / ".old", ignore_errors=True)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise
    return target / f"{card.name}.card.json"


def cards() -> list[Card]:
    """Read the cards of all models of the store. Raises WeightsError for a broken one."""
    return [read_card(card_of(name)) for name in names()]
