"""Gathered images: a folder of images from many sources beside one manifest.csv.

Licence: each row names its own. Address: made by hand; the columns are file, kind, body, split, labels
(|-separated), patient_id, view, official_split, rsna_class, boxes_xywh (Name:x,y,w,h;...), mask, width,
height, source, licence, remark, nih_image.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from radsnap.collections.source import Collection, look_up
from radsnap.errors import ManifestError
from radsnap.findings import CHESTXRAY_14, canonical
from radsnap.tables.storage import read_text

BODY = {
    "chest": "chest_frontal",
    "chest_lateral": "chest_lateral",
    "hand": "hand_wrist",
    "wrist": "hand_wrist",
    "wrist_paediatric": "hand_wrist",
    "finger": "hand_wrist",
    "elbow": "elbow_forearm",
    "forearm": "elbow_forearm",
    "shoulder": "shoulder_humerus",
    "humerus": "shoulder_humerus",
    "foot": "foot_ankle",
    "ankle": "foot_ankle",
    "knee": "knee_leg",
    "lower_leg": "knee_leg",
    "leg": "knee_leg",
    "femur": "knee_leg",
    "hip": "hip_pelvis",
    "pelvis_hip": "hip_pelvis",
    "spine": "spine",
    "cervical_spine": "spine",
    "dental": "dental",
}
# the two NIH kinds share patients, so they share a name space
PATIENTS = {"cxr_nih": "nih", "cxr_nih_normal": "nih", "cxr_paediatric": "kermany", "cxr_covid": "covid"}
# what the remark of a photo says of the thing photographed; screen or light box is not told apart
PHOTO_DOMAIN = {"tinted_film_or_scan_possible_photo": "film"}
OPACITY = {"Lung Opacity": 1.0, "Normal": 0.0, "No Lung Opacity / Not Normal": 0.0}
# a lone pneumonia of a child is what its folder says, and opacity is how it shows
CHILD = {"normal": 0.0, "pneumonia_bacteria": 1.0, "pneumonia_virus": 1.0}
KEPT = (
    "kind",
    "source",
    "licence",
    "labels",
    "official_split",
    "rsna_class",
    "boxes_xywh",
    "mask",
    "remark",
    "width",
    "height",
    "nih_image",
)


def read(folder: Path) -> pd.DataFrame:
    """Read manifest.csv to the manifest's columns. Findings that a source does not label stay blank."""
    table = read_text(folder / "manifest.csv", ManifestError)
    for column in ("file", "kind", "body", "split", "labels", "patient_id", "view", "remark", *KEPT):
        if column not in table.columns:
            raise ManifestError(f"{folder / 'manifest.csv'}: column '{column}' is missing")
    xray = ~table["kind"].str.startswith("nonxray")
    photo = table["kind"].str.startswith("photo")
    image = table["file"].str.replace(r"\.[^./]*$", "", regex=True)
    space = look_up(table["kind"], PATIENTS, table["kind"])
    patient = (space + "-" + table["patient_id"]).where(table["patient_id"] != "", image)
    rows = pd.DataFrame(
        {
            "image_id": image,
            "study_id": image,
            "patient_id": patient,
            "path": table["file"],
            "view": table["view"],
            "body": look_up(table["body"], BODY, "other").where(xray, "none"),
            "domain": pd.Series("digital", table.index)
            .where(xray & ~photo, "")
            .where(~photo, look_up(table["remark"], PHOTO_DOMAIN)),
            "origin": "real",
            "split": table["split"],
            "body_part": table["body"],
            "xray": np.where(xray, "1", "0"),
        }
    )
    return rows.join(_findings(table)).join(table[list(KEPT)])


def _findings(table: pd.DataFrame) -> pd.DataFrame:
    nih = table["kind"] == "cxr_nih"
    child = table["kind"] == "cxr_paediatric"
    findings = pd.DataFrame(
        np.nan, table.index, ["No Finding", "Lung Opacity", *CHESTXRAY_14], dtype=np.float32
    )
    findings.loc[nih, ["No Finding", *CHESTXRAY_14]] = 0.0
    said = table.loc[nih, "labels"].str.split("|").explode()
    for name in said.unique():
        findings.loc[said.index[said == name].unique(), canonical(name)] = 1.0
    findings.loc[nih, "Lung Opacity"] = table.loc[nih, "rsna_class"].map(OPACITY).astype("float32")
    for name in ("Pneumonia", "Lung Opacity"):
        findings.loc[child, name] = table.loc[child, "labels"].map(CHILD).astype("float32")
    return findings


GATHERED = Collection(
    name="gathered",
    title="images gathered from many sources",
    licence="each row names its own",
    address="whoever gathered them",
    expects=("manifest.csv",),
    read=read,
)
