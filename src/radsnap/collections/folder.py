"""A plain folder of images: no labels, no patients; each image counts as its own patient.

Licence and address: the user's own. A DICOM file is digital; what camera or scanner made any other file is
unknown, so its domain stays blank. The name of the folder that an image lies in is kept in `folder`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radsnap.collections.source import IMAGE_SUFFIXES, Collection


def read(folder: Path) -> pd.DataFrame:
    """List images in all sub-folders, hidden ones left out, in the order of their names."""
    files = sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    )
    files = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    path = pd.Series([one.as_posix() for one in files], dtype=str)
    stem = path.str.replace(r"\.[^./]*$", "", regex=True)
    # a.png beside a.jpg: then the suffix has to tell them apart
    image = stem.where(~stem.duplicated(keep=False), path)
    dicom = path.str.lower().str.endswith((".dcm", ".dicom"))
    return pd.DataFrame(
        {
            "image_id": image,
            "study_id": image,
            "patient_id": image,
            "path": path,
            "domain": dicom.map({True: "digital", False: ""}),
            "folder": [one.parent.name for one in files],
        }
    )


FOLDER = Collection(
    name="folder",
    title="a folder of images",
    licence="the user's own",
    address="wherever the images are",
    expects=(),
    read=read,
)
