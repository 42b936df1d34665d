"""Public data sets → manifest: each is frozen data and at most one function that reads its tables."""

from __future__ import annotations

import difflib
from pathlib import Path

from radsnap.collections.chexpert import CHEXPERT
from radsnap.collections.chexphoto import CHEXPHOTO
from radsnap.collections.covidx import COVIDX
from radsnap.collections.folder import FOLDER
from radsnap.collections.gathered import GATHERED
from radsnap.collections.jsrt import JSRT
from radsnap.collections.kermany import KERMANY
from radsnap.collections.mimic import MIMIC
from radsnap.collections.mura import MURA
from radsnap.collections.nih import NIH
from radsnap.collections.padchest import PADCHEST
from radsnap.collections.rsna import RSNA
from radsnap.collections.siim import SIIM
from radsnap.collections.source import Collection, import_with
from radsnap.collections.tuberculosis import MONTGOMERY, SHENZHEN
from radsnap.collections.vindr import VINDR
from radsnap.errors import UsageError
from radsnap.tables import Manifest

COLLECTIONS: dict[str, Collection] = {
    one.name: one
    for one in (
        CHEXPERT,
        CHEXPHOTO,
        NIH,
        MIMIC,
        PADCHEST,
        VINDR,
        RSNA,
        SIIM,
        COVIDX,
        KERMANY,
        MONTGOMERY,
        SHENZHEN,
        JSRT,
        MURA,
        GATHERED,
        FOLDER,
    )
}


def import_collection(name: str, folder: str | Path) -> Manifest:
    """Read a folder that holds a public data set into a manifest.

    Raises UsageError for an unknown name; ManifestError when the folder is not laid out as the original is.
    """
    if name not in COLLECTIONS:
        near = difflib.get_close_matches(name.lower(), COLLECTIONS, 1)
        hint = f"; did you mean '{near[0]}'?" if near else ";"
        raise UsageError(f"no collection is called '{name}'{hint} known are: {', '.join(COLLECTIONS)}")
    return import_with(COLLECTIONS[name], Path(folder))


__all__ = ["COLLECTIONS", "Collection", "import_collection"]
