"""The vocabulary of findings: one name each, and the names that data sets give them."""

from __future__ import annotations

from radsnap.errors import UsageError

CHEXPERT_14 = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
CHESTXRAY_14 = (
    "Atelectasis",
    "Cardiomegaly",
    "Pleural Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural Thickening",
    "Hernia",
)
COMPETITION_5 = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
FINDINGS = tuple(dict.fromkeys((*CHEXPERT_14, *CHESTXRAY_14)))

_SPELLINGS = {
    "effusion": "Pleural Effusion",
    "pleural effusion": "Pleural Effusion",
    "pleural thickening": "Pleural Thickening",
    "lung opacity": "Lung Opacity",
    "airspace opacity": "Lung Opacity",
    "enlarged cardiomediastinum": "Enlarged Cardiomediastinum",
    "oedema": "Edema",
    "no finding": "No Finding",
    "no findings": "No Finding",
    "lung lesion": "Lung Lesion",
    "support devices": "Support Devices",
    "hiatal hernia": "Hernia",
} | {name.lower(): name for name in FINDINGS}


def canonical(name: str) -> str:
    """Give a finding its name in radsnap's vocabulary.

    Case, underscores, hyphens and the data sets' spellings ("Effusion", "Pleural_Thickening") are
    understood. Raises UsageError for a name that is not a finding.
    """
    found = known(name)
    if found is None:
        raise UsageError(f"'{name}' is not a finding that radsnap knows; known are: {', '.join(FINDINGS)}")
    return found


def known(name: str) -> str | None:
    """Give a finding its name in radsnap's vocabulary, or None when it is not one."""
    return _SPELLINGS.get(" ".join(name.replace("_", " ").replace("-", " ").split()).lower())
