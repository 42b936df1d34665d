"""MURA: 40,561 x-rays of the upper limb, 14,863 studies of seven body parts, each normal or abnormal.

Licence: Stanford University School of Medicine MURA Dataset Research Use Agreement (non-commercial). Get it:
https://stanfordmlgroup.github.io/competitions/mura Tables have no header: train_image_paths.csv and
valid_image_paths.csv list MURA-v1.1/train/XR_SHOULDER/patient00001/ study1_positive/image1.png. Positive is
abnormal: kept in `abnormal` (1, 0), since it is no finding of the chest. Source: Rajpurkar et al. 2018,
arXiv:1712.06957.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radsnap.collections.source import Collection, look_up, table
from radsnap.errors import ManifestError

PATH = (
    r"(?P<split>train|valid)/XR_(?P<part>[A-Z]+)/(?P<patient>patient\d+)/"
    r"(?P<study>study\d+)_(?P<sign>positive|negative)/(?P<image>[^/]+)\.png$"
)
BODY = {
    "ELBOW": "elbow_forearm",
    "FOREARM": "elbow_forearm",
    "FINGER": "hand_wrist",
    "HAND": "hand_wrist",
    "WRIST": "hand_wrist",
    "HUMERUS": "shoulder_humerus",
    "SHOULDER": "shoulder_humerus",
}
SPLIT = {"train": "train", "valid": "val"}


def read(folder: Path) -> pd.DataFrame:
    """Read the lists of images; body part, patient, study and class are in the path."""
    lists = [
        table(folder, f"{name}_image_paths.csv", [], ("Path",))
        for name in SPLIT
        if (folder / f"{name}_image_paths.csv").is_file()
    ]
    listed = pd.concat(lists, ignore_index=True)["Path"]
    parts = listed.str.extract(PATH)
    if parts["split"].isna().any():
        row = int(parts["split"].isna().to_numpy().argmax())
        raise ManifestError(
            f"{folder}: '{listed.iloc[row]}' in the lists of images; expected "
            "MURA-v1.1/train|valid/XR_PART/patientNNNNN/studyN_positive|negative/imageN.png"
        )
    study = "mura/" + parts["part"] + "/" + parts["patient"] + "/" + parts["study"]
    return pd.DataFrame(
        {
            "image_id": study + "/" + parts["image"],
            "study_id": study,
            "patient_id": "mura-" + parts["patient"],
            "path": listed.str.extract(f"({PATH})")[0],
            "body": look_up(parts["part"], BODY, "other"),
            "split": parts["split"].map(SPLIT),
            "body_part": parts["part"].str.lower(),
            "abnormal": parts["sign"].map({"positive": "1", "negative": "0"}),
        }
    )


MURA = Collection(
    name="mura",
    title="MURA",
    licence="Stanford MURA Dataset Research Use Agreement (non-commercial)",
    address="https://stanfordmlgroup.github.io/competitions/mura",
    expects=("train_image_paths.csv|valid_image_paths.csv",),
    read=read,
)
