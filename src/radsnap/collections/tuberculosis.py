"""Two tuberculosis sets of the National Library of Medicine: Montgomery (138 x-rays) and Shenzhen (662).

Licence: free for research; cite Jaeger et al. 2014, Quantitative Imaging in Medicine and Surgery 4(6). Get
them: https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets; lung masks of Shenzhen (566):
https://www.kaggle.com/datasets/yoctoman/shcxr-lung-mask (Stirenko et al. 2018, arXiv:1803.01199). A name ends
in _1 for tuberculosis and _0 for normal: kept in `tuberculosis`; normal is No Finding 1. Montgomery's masks
are two files, left and right lung: `mask` names both with "|" between, and the lungs are their union.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radsnap.collections.source import Collection

MASKS = {
    "montgomery": ("ManualMask/leftMask/{}.png", "ManualMask/rightMask/{}.png"),
    "shenzhen": ("mask/{}_mask.png", "masks/{}_mask.png", "mask/mask/{}_mask.png"),
}


def read(folder: Path) -> pd.DataFrame:
    """List the x-rays with their masks and the text of the clinical reading."""
    files = sorted(path for path in folder.glob("CXR_png/*CUCXR_*_[01].png"))
    files += sorted(path for path in folder.glob("CXR_png/CHNCXR_*_[01].png"))
    stem = pd.Series([path.stem for path in files], dtype=str)
    name = stem.str[:3].map({"MCU": "montgomery", "CHN": "shenzhen"})
    tuberculosis = stem.str[-1]
    return pd.DataFrame(
        {
            "image_id": name + "/" + stem,
            "study_id": name + "/" + stem,
            "patient_id": name + "-" + stem,
            "path": "CXR_png/" + stem + ".png",
            "view": "PA",
            "body": "chest_frontal",
            "No Finding": (tuberculosis == "0").astype(float),
            "tuberculosis": tuberculosis,
            "mask": [_masks(folder, one, MASKS[of]) for one, of in zip(stem, name, strict=True)],
            "reading": [_reading(folder, one) for one in stem],
        }
    )


def _masks(folder: Path, stem: str, places: tuple[str, ...]) -> str:
    return "|".join(place.format(stem) for place in places if (folder / place.format(stem)).is_file())


def _reading(folder: Path, stem: str) -> str:
    """Give the clinical reading in one line: sex, age, and what was seen."""
    path = folder / "ClinicalReadings" / f"{stem}.txt"
    return " ".join(path.read_text(encoding="utf-8", errors="replace").split()) if path.is_file() else ""


MONTGOMERY = Collection(
    name="montgomery",
    title="the Montgomery County tuberculosis set",
    licence="free for research; cite Jaeger et al. 2014",
    address="https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets",
    expects=("CXR_png/MCUCXR_*.png", "ManualMask/leftMask", "ManualMask/rightMask"),
    read=read,
)
SHENZHEN = Collection(
    name="shenzhen",
    title="the Shenzhen tuberculosis set",
    licence="free for research; cite Jaeger et al. 2014",
    address="https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets",
    expects=("CXR_png/CHNCXR_*.png",),
    read=read,
)
