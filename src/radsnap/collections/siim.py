"""SIIM-ACR Pneumothorax Segmentation 2019: 12,047 frontal DICOM images, masks of pneumothorax as run lengths.

Licence: the competition's rules (non-commercial research and education). Get it:
https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation An image may have several rows (one a mask); "-1"
means none. Images without a row are unknown, the test images too. `mask_rle` keeps the relative run lengths
of 1024 × 1024 px, column by column, "|" between masks.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radsnap.collections.source import Collection, files_by_name, look_up, table

TABLE = "train-rle.csv|stage_2_train.csv"


def read(folder: Path) -> pd.DataFrame:
    """Join run lengths and files; a row whose file is absent keeps the path where it should be."""
    # the published header has a space: "ImageId, EncodedPixels"
    masks = table(folder, TABLE, ["ImageId", "EncodedPixels"])
    encoded = masks["EncodedPixels"].str.strip()
    rle = (
        encoded.where(encoded != "-1", "")
        .groupby(masks["ImageId"], sort=False)
        .agg(lambda all_: "|".join(filter(None, all_)))
    )
    train = files_by_name(folder, "dicom-images-train/*/*/*.dcm|dicom-images-train/*.dcm")
    test = files_by_name(folder, "dicom-images-test/*/*/*.dcm|dicom-images-test/*.dcm")
    named = [*rle.index, *(name.removesuffix(".dcm") for name in {**train, **test})]
    image = pd.Series(list(dict.fromkeys(named)))
    file = image + ".dcm"
    return pd.DataFrame(
        {
            "image_id": "siim/" + image,
            "study_id": "siim/" + image,
            "patient_id": "siim-" + image,
            "path": look_up(file, {**train, **test}, "dicom-images-train/" + file),
            "body": "chest_frontal",
            "split": file.isin(test).map({True: "test", False: "train"}),
            "Pneumothorax": image.map(rle.ne("").astype(float)),
            "mask_rle": look_up(image, {str(name): text for name, text in rle.items()}),
        }
    )


SIIM = Collection(
    name="siim",
    title="the SIIM-ACR Pneumothorax Challenge",
    licence="the competition's rules (non-commercial)",
    address="https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation",
    expects=(TABLE, "dicom-images-train"),
    read=read,
)
