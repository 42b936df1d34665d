"""CheXphoto: photos of CheXpert's x-rays on screens and films, and synthetic ones.

Licence: Stanford University Dataset Research Use Agreement (research, no redistribution). Get it:
https://stanfordmlgroup.github.io/competitions/chexphoto Layout:
{train,valid}/{natural,synthetic}/{nokia,iphone,oneplus,film,digital,photographic}/patient.../study.../view...
(or synthetic/{recipe} and synthetic/{recipe}-copy{n}, as `radsnap photograph` makes them)
with train.csv and valid.csv in CheXpert's columns. `source_image_id` is the x-ray's image_id in `chexpert`;
study and patient are CheXpert's own, so photo and x-ray pair by study. Source: Phillips et al. 2020,
arXiv:2007.06199.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from radsnap.collections.chexpert import rows_of
from radsnap.collections.source import Collection, table
from radsnap.errors import ManifestError, UsageError
from radsnap.photo import camera_sees

TABLES = {
    "train": "train.csv|train/train.csv",
    "val": "valid.csv|valid/valid.csv",
    "test": "test.csv|test/test.csv",
}
SUBSET = r"(?P<split>train|valid|test)/(?P<origin>natural|synthetic)/(?P<device>[^/]+)/"
# The published folders whose photos are not of a screen; ours are named after recipes of `radsnap photograph`.
PUBLISHED = {"digital": "digital", "film": "film"}


def read(folder: Path) -> pd.DataFrame:
    """Read every table that is there."""
    parts = []
    for split, globs in TABLES.items():
        if any(any(folder.glob(pattern)) for pattern in globs.split("|")):
            parts.append(_rows(table(folder, globs, ["Path"]), split))
    return pd.concat(parts, ignore_index=True)


def _rows(labels: pd.DataFrame, split: str) -> pd.DataFrame:
    subset = labels["Path"].str.extract(SUBSET)
    if subset["device"].isna().any():
        row = int(subset["device"].isna().to_numpy().argmax())
        raise ManifestError(
            f"the {split} table: row {row + 1}, column 'Path' has '{labels['Path'].iloc[row]}'; expected "
            "train|valid/natural|synthetic/DEVICE/patientNNNNN/studyN/viewN_frontal|lateral.jpg"
        )
    digital = labels.assign(Path=labels["Path"].str.replace(f"^.*?{SUBSET}", r"\g<split>/", regex=True))
    rows = rows_of(digital, f"the {split} table")
    home = subset["origin"] + "/" + subset["device"] + "/"
    place = subset["split"] + "/" + home
    return rows.assign(
        source_image_id=rows["image_id"],
        image_id=place + rows["image_id"].str.partition("/")[2],
        path=place + rows["path"].str.partition("/")[2],
        domain=subset["device"].map(_domain),
        origin=subset["origin"].map({"natural": "real", "synthetic": "synthetic"}),
        device=subset["device"],
        split=split,
    )


def _domain(device: str) -> str:
    """Say what the camera saw: a phone's name stands for a screen, and so does a recipe that is unknown here."""
    try:
        return PUBLISHED.get(device) or camera_sees(re.sub(r"-copy\d+$", "", device))
    except UsageError:
        return "screen"


CHEXPHOTO = Collection(
    name="chexphoto",
    title="CheXphoto",
    licence="Stanford University Dataset Research Use Agreement",
    address="https://stanfordmlgroup.github.io/competitions/chexphoto",
    expects=("|".join(TABLES.values()),),
    read=read,
)
