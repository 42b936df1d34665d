"""The rows that the networks of `radsnap flatten` learn from: by split, and by what a picture shows."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from radsnap.errors import ManifestError
from radsnap.tables import Manifest, read_manifest


def rows_by_kind(data: Path) -> Manifest:
    """Read a manifest with a column `kind`. Raises ManifestError without one."""
    manifest = read_manifest(data)
    if "kind" not in manifest.frame.columns:
        raise ManifestError(
            f"{data}: this training needs a column 'kind', by which it tells chests, other x-rays and what is no x-ray "
            "apart; 'radsnap data import gathered' writes one"
        )
    return manifest


def drawing(manifest: Manifest, split: str, **settings: float) -> str:
    """Put in words what photos of a split depend on: its rows and the settings."""
    rows = manifest.where(split=split).frame[["path", "kind"]]
    seen = hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest()
    return json.dumps({**settings, "split": split, "rows": seen}, sort_keys=True)
