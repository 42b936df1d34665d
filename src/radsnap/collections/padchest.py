"""PadChest: 160,868 chest x-rays of 67,625 patients of San Juan Hospital, Alicante; 174 findings in words.

Licence: PADCHEST Dataset Research Use Agreement (research, no redistribution). Get it:
https://bimcv.cipf.es/bimcv-projects/padchest Labels are lists of words read from reports; a finding of which
a report says nothing is taken for absent, unless the report's words say nothing about findings at all
(`unchanged`, `exclude`, `suboptimal study`). The files are 16-bit PNG. Source: Bustos et al. 2020,
arXiv:1901.07441.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radsnap.collections.source import Collection, from_words, look_up, table

WORDS = {
    "normal": "No Finding",
    "cardiomegaly": "Cardiomegaly",
    "mediastinal enlargement": "Enlarged Cardiomediastinum",
    "pleural effusion": "Pleural Effusion",
    "loculated pleural effusion": "Pleural Effusion",
    "atelectasis": "Atelectasis",
    "laminar atelectasis": "Atelectasis",
    "lobar atelectasis": "Atelectasis",
    "segmental atelectasis": "Atelectasis",
    "total atelectasis": "Atelectasis",
    "atelectasis basal": "Atelectasis",
    "consolidation": "Consolidation",
    "pneumonia": "Pneumonia",
    "atypical pneumonia": "Pneumonia",
    "pneumothorax": "Pneumothorax",
    "hydropneumothorax": "Pneumothorax",
    "pulmonary edema": "Edema",
    "emphysema": "Emphysema",
    "pulmonary fibrosis": "Fibrosis",
    "infiltrates": "Infiltration",
    "mass": "Mass",
    "pulmonary mass": "Mass",
    "nodule": "Nodule",
    "multiple nodules": "Nodule",
    "pleural thickening": "Pleural Thickening",
    "apical pleural thickening": "Pleural Thickening",
    "hiatal hernia": "Hernia",
    "fracture": "Fracture",
    "rib fracture": "Fracture",
    "clavicle fracture": "Fracture",
    "humeral fracture": "Fracture",
    "vertebral fracture": "Fracture",
    "endotracheal tube": "Support Devices",
    "nsg tube": "Support Devices",
    "chest drain tube": "Support Devices",
    "tracheostomy tube": "Support Devices",
    "central venous catheter": "Support Devices",
    "pacemaker": "Support Devices",
    "dual chamber device": "Support Devices",
    "single chamber device": "Support Devices",
}
SILENT = frozenset({"unchanged", "exclude", "suboptimal study", "nan", ""})
BODY = {"PA": "chest_frontal", "AP": "chest_frontal", "AP_horizontal": "chest_frontal", "L": "chest_lateral"}
TABLE = "*chest_x_ray_images_labels*.csv|*chest_x_ray_images_labels*.csv.gz"


def read(folder: Path) -> pd.DataFrame:
    """Read the table of labels; images lie in ImageDir, or all in one folder."""
    labels = table(folder, TABLE, ["ImageID", "ImageDir", "StudyID", "PatientID", "Projection", "Labels"])
    # the words come as a Python list, with stray spaces: "['pleural effusion', ' cardiomegaly']"
    words = labels["Labels"].str.lower().str.findall(r"'([^']*)'").map(lambda all_: [w.strip() for w in all_])
    findings = from_words(words, WORDS)
    findings[words.map(lambda all_: SILENT.issuperset(all_))] = float("nan")
    flat = not any((folder / name).is_dir() for name in labels["ImageDir"].unique())
    stem = labels["ImageID"].str.replace(r"\.[^.]*$", "", regex=True)
    patient = "padchest-" + labels["PatientID"].where(labels["PatientID"] != "", stem)
    rows = pd.DataFrame(
        {
            "image_id": "padchest/" + stem,
            "study_id": "padchest/" + labels["StudyID"].where(labels["StudyID"] != "", stem),
            "patient_id": patient,
            "path": labels["ImageID"] if flat else labels["ImageDir"] + "/" + labels["ImageID"],
            "view": labels["Projection"],
            "body": look_up(labels["Projection"], BODY),
            "labels": words.map("|".join),
            "label_method": labels.get("MethodLabel", pd.Series("", labels.index)),
        }
    )
    return rows.join(findings)


PADCHEST = Collection(
    name="padchest",
    title="PadChest",
    licence="PADCHEST Dataset Research Use Agreement",
    address="https://bimcv.cipf.es/bimcv-projects/padchest",
    expects=(TABLE,),
    read=read,
)
