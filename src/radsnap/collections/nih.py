"""NIH ChestX-ray14: 112,120 frontal chest x-rays of 30,805 patients, 14 text-mined findings, 984 boxes.

Licence: no restriction on use; attribute the NIH Clinical Center. Get it:
https://nihcc.app.box.com/v/ChestXray-NIHCC (images_001 to images_012, Data_Entry_2017, the two lists,
BBox_List). `split` is `test` for test_list.txt and `train` for train_val_list.txt (cut a val from it:
'radsnap data split --keep test'). Source: Wang et al. 2017, arXiv:1705.02315.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radsnap.collections.source import Collection, boxes, files_by_name, from_words, look_up, table
from radsnap.findings import CHESTXRAY_14, canonical

LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
# one class of the boxes is spelt otherwise than the same class of the labels
BOX_NAMES = {"Infiltrate": "Infiltration"}
WORDS = {
    **{name.replace(" ", "_"): name for name in CHESTXRAY_14},
    "Effusion": "Pleural Effusion",
    "No Finding": "No Finding",
}


def read(folder: Path) -> pd.DataFrame:
    """Read Data_Entry_2017*.csv with lists and boxes where they are there."""
    entries = table(
        folder, "Data_Entry_2017*.csv", ["Image Index", "Finding Labels", "Patient ID", "View Position"]
    )
    image = entries["Image Index"]
    files = files_by_name(folder, "images_*/images/*.png|images*/*.png|*.png")
    stem = image.str.removesuffix(".png")
    lists = {
        name: split
        for file, split in LISTS.items()
        if (folder / file).is_file()
        for name in (folder / file).read_text(encoding="utf-8").split()
    }
    rows = pd.DataFrame(
        {
            "image_id": "nih/" + stem,
            "study_id": "nih/" + stem,
            "patient_id": "nih-" + entries["Patient ID"],
            "path": look_up(image, files, "images/" + image),
            "view": entries["View Position"],
            "body": "chest_frontal",
            "split": look_up(image, lists),
            "boxes_xywh": look_up(image, _boxes(folder)),
        }
    )
    return rows.join(from_words(entries["Finding Labels"].str.split("|"), WORDS))


def _boxes(folder: Path) -> dict[str, str]:
    if not any(folder.glob("BBox_List_2017*.csv")):
        return {}
    # the header reads "Bbox [x,y,w,h],,,": the four numbers' names have to be given
    names = ("image", "finding", "x", "y", "w", "h", "a", "b", "c")
    rows = table(folder, "BBox_List_2017*.csv", [], names).iloc[1:]
    finding = rows["finding"].replace(BOX_NAMES).map(canonical)
    return boxes(rows["image"], finding, rows[["x", "y", "w", "h"]])


NIH = Collection(
    name="nih",
    title="NIH ChestX-ray14",
    licence="no restriction; attribute the NIH Clinical Center",
    address="https://nihcc.app.box.com/v/ChestXray-NIHCC",
    expects=("Data_Entry_2017*.csv",),
    read=read,
)
