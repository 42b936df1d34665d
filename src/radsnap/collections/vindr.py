"""VinDr-CXR: 18,000 frontal chest x-rays of two hospitals in Hanoi, read by radiologists, with boxes.

Licence: PhysioNet Credentialed Health Data License 1.5.0. Get it: https://physionet.org/content/vindr-cxr
Training images have three readers: a finding is 1 where at least two say so, else 0. Test images have the
consensus of five. Patients are not published: each image counts as its own. Source: Nguyen et al. 2022,
arXiv:2012.15029.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radsnap.collections.source import Collection, boxes, look_up, table

NAMES = {
    "Atelectasis": "Atelectasis",
    "Cardiomegaly": "Cardiomegaly",
    "Clavicle fracture": "Fracture",
    "Consolidation": "Consolidation",
    "Edema": "Edema",
    "Emphysema": "Emphysema",
    "Infiltration": "Infiltration",
    "Lung Opacity": "Lung Opacity",
    "Lung tumor": "Lung Lesion",
    "No finding": "No Finding",
    "Nodule/Mass": "Lung Lesion",
    "Pleural effusion": "Pleural Effusion",
    "Pleural thickening": "Pleural Thickening",
    "Pneumonia": "Pneumonia",
    "Pneumothorax": "Pneumothorax",
    "Pulmonary fibrosis": "Fibrosis",
    "Rib fracture": "Fracture",
}
NOT_LABELS = ("image_id", "rad_id", "rad_ID")
MAJORITY = 0.5


def read(folder: Path) -> pd.DataFrame:
    """Read the image labels and boxes of train and test, where they are there."""
    parts = []
    for split in ("train", "test"):
        if (folder / "annotations" / f"image_labels_{split}.csv").is_file():
            parts.append(_rows(folder, split))
    return pd.concat(parts, ignore_index=True)


def _rows(folder: Path, split: str) -> pd.DataFrame:
    votes = table(folder, f"annotations/image_labels_{split}.csv", ["image_id"])
    said = votes[[column for column in votes.columns if column not in NOT_LABELS]].astype(float)
    findings = (said.groupby(votes["image_id"], sort=False).mean() > MAJORITY).astype(float)
    # several columns can mean one finding: any of them counts
    named = findings.T.groupby([NAMES.get(name, name) for name in findings.columns]).max().T
    image = pd.Series(named.index, name="image_id")
    marks = look_up(image, _boxes(folder, split))
    rows = pd.DataFrame(
        {
            "image_id": "vindr/" + image,
            "study_id": "vindr/" + image,
            "patient_id": "vindr-" + image,
            "path": split + "/" + image + ".dicom",
            "body": "chest_frontal",
            "split": split,
            "boxes_xywh": marks,
        }
    )
    return rows.join(named.reset_index(drop=True))


def _boxes(folder: Path, split: str) -> dict[str, str]:
    if not (folder / "annotations" / f"annotations_{split}.csv").is_file():
        return {}
    corners = ["x_min", "y_min", "x_max", "y_max"]
    marks = table(folder, f"annotations/annotations_{split}.csv", ["image_id", "class_name", *corners])
    marks = marks[marks["x_min"] != ""]
    spans = marks[corners].astype(float)
    name = marks["class_name"].map(lambda one: NAMES.get(one, one))
    spans["x_max"], spans["y_max"] = spans["x_max"] - spans["x_min"], spans["y_max"] - spans["y_min"]
    return boxes(marks["image_id"], name, spans.round(2))


VINDR = Collection(
    name="vindr",
    title="VinDr-CXR",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    address="https://physionet.org/content/vindr-cxr",
    expects=("annotations/image_labels_*.csv",),
    read=read,
)
