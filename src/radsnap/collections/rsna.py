"""RSNA Pneumonia Detection Challenge 2018: 26,684 images of ChestX-ray14, read by radiologists, boxes.

Licence: the competition's rules (research and education; the images are NIH's, attribute the NIH Clinical
Center). Get it: https://www.kaggle.com/c/rsna-pneumonia-detection-challenge `Target` 1 is an opacity that
speaks for pneumonia: Lung Opacity and Pneumonia are 1; both are 0 for `Normal` and `No Lung Opacity / Not
Normal`. The images overlap with `nih`: don't train on one and test on the other. Source: Shih et al. 2019,
Radiology: Artificial Intelligence 1(1).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radsnap.collections.source import Collection, boxes, look_up, table


def read(folder: Path) -> pd.DataFrame:
    """Join labels (one row a box) and classes (one row a box too) to one row an image."""
    labels = table(folder, "stage_2_train_labels.csv", ["patientId", "x", "y", "width", "height", "Target"])
    classes = table(folder, "stage_2_detailed_class_info.csv", ["patientId", "class"])
    marked = labels[labels["x"] != ""]
    opacity = pd.Series("Lung Opacity", marked.index)
    marks = boxes(marked["patientId"], opacity, marked[["x", "y", "width", "height"]])
    target = labels.drop_duplicates("patientId").set_index("patientId")["Target"]
    image = pd.Series(target.index)
    said = look_up(image, dict(zip(classes["patientId"], classes["class"], strict=True)))
    return pd.DataFrame(
        {
            "image_id": "rsna/" + image,
            "study_id": "rsna/" + image,
            "patient_id": "rsna-" + image,
            "path": "stage_2_train_images/" + image + ".dcm",
            "body": "chest_frontal",
            "Lung Opacity": image.map(target),
            "Pneumonia": image.map(target),
            "No Finding": (said == "Normal").astype(float).where(said != ""),
            "rsna_class": said,
            "boxes_xywh": look_up(image, marks),
        }
    )


RSNA = Collection(
    name="rsna",
    title="the RSNA Pneumonia Detection Challenge",
    licence="the competition's rules; images of the NIH Clinical Center",
    address="https://www.kaggle.com/c/rsna-pneumonia-detection-challenge",
    expects=("stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"),
    read=read,
)
