"""JSRT: 247 digitised chest films (2048 × 2048 px, 12 bit), 154 with one lung nodule, 93 without.

Licence: free for research on registration. Get it: http://db.jsrt.or.jp/eng.php; masks of lungs, heart and
clavicles (SCR): https://www.isi.uu.nl/Research/Databases/SCR. JPCLN... has a nodule, JPCNN... has none;
nothing else is labelled. The originals are raw .IMG files (16 bit, big-endian, no header), which radsnap does
not decode: convert them to PNG first, bone bright; both are listed, PNG before IMG. Source: Shiraishi et al.
2000, AJR 174(1).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radsnap.collections.source import Collection, files_by_name, look_up

FILES = "**/JPC[LN]N*.png|**/JPC[LN]N*.tif|**/JPC[LN]N*.jpg|**/JPC[LN]N*.IMG"


def read(folder: Path) -> pd.DataFrame:
    """List the films; the mask folders of SCR, where they are there, go to `mask`."""
    found: dict[str, str] = {}
    lungs: dict[str, list[str]] = {}
    for name, path in files_by_name(folder, FILES).items():
        if "mask" not in path.lower():
            found.setdefault(name.split(".")[0], path)
    for side in ("left lung", "right lung"):
        for name, path in files_by_name(folder, f"**/{side}/JPC[LN]N*.*").items():
            lungs.setdefault(name.split(".")[0], []).append(path)
    stem = pd.Series(sorted(found), dtype=str)
    return pd.DataFrame(
        {
            "image_id": "jsrt/" + stem,
            "study_id": "jsrt/" + stem,
            "patient_id": "jsrt-" + stem,
            "path": stem.map(found),
            "view": "PA",
            "body": "chest_frontal",
            "Nodule": stem.str.startswith("JPCLN").astype(float),
            "mask": look_up(stem, {name: "|".join(both) for name, both in lungs.items()}),
        }
    )


JSRT = Collection(
    name="jsrt",
    title="the JSRT database",
    licence="free for research on registration",
    address="http://db.jsrt.or.jp/eng.php",
    expects=(FILES,),
    read=read,
)
