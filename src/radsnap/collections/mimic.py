"""MIMIC-CXR-JPG 2.0: 377,110 chest x-rays of 65,379 patients of Beth Israel Deaconess, CheXpert's labeller.

Licence: PhysioNet Credentialed Health Data License 1.5.0 (training and agreement needed). Get it:
https://physionet.org/content/mimic-cxr-jpg Labels: 1, 0, -1, blank, by study; -chexpert and -negbio have the
same columns, -chexpert is read. Source: Johnson et al. 2019, arXiv:1901.07042.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radsnap.collections.source import Collection, finding_columns, look_up, table

SPLIT = {"train": "train", "validate": "val", "test": "test"}
BODY = {
    **dict.fromkeys(("AP", "PA", "AP AXIAL", "AP LLD", "AP RLD", "PA LLD", "PA RLD"), "chest_frontal"),
    **dict.fromkeys(("LATERAL", "LL"), "chest_lateral"),
}
KEYS = ["subject_id", "study_id"]


def read(folder: Path) -> pd.DataFrame:
    """Join metadata, split and labels. A study without labels stays unknown; an unlisted view has no body."""
    metadata = table(folder, "mimic-cxr-2*-metadata.csv*", ["dicom_id", *KEYS, "ViewPosition"])
    splits = table(folder, "mimic-cxr-2*-split.csv*", ["dicom_id", "split"])
    labels = table(folder, "mimic-cxr-2*-chexpert.csv*", KEYS)
    patient, study = metadata["subject_id"], metadata["study_id"]
    home = "files/p" + patient.str[:2] + "/p" + patient + "/s" + study + "/"
    placed = dict(zip(splits["dicom_id"], splits["split"], strict=True))
    findings = finding_columns(labels).set_index(pd.MultiIndex.from_frame(labels[KEYS]))
    matched = findings.reindex(pd.MultiIndex.from_frame(metadata[KEYS]), fill_value="")
    rows = pd.DataFrame(
        {
            "image_id": "mimic/" + metadata["dicom_id"],
            "study_id": "mimic/s" + study,
            "patient_id": "mimic-p" + patient,
            "path": home + metadata["dicom_id"] + ".jpg",
            "view": metadata["ViewPosition"],
            "body": look_up(metadata["ViewPosition"], BODY),
            "split": look_up(look_up(metadata["dicom_id"], placed), SPLIT),
        }
    )
    return rows.join(matched.set_axis(rows.index))


MIMIC = Collection(
    name="mimic",
    title="MIMIC-CXR-JPG",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    address="https://physionet.org/content/mimic-cxr-jpg",
    expects=("mimic-cxr-2*-metadata.csv*", "mimic-cxr-2*-split.csv*", "mimic-cxr-2*-chexpert.csv*"),
    read=read,
)
