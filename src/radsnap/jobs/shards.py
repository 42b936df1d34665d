"""Put a manifest's images into tar archives, as clusters read them: few large files instead of many small ones.

The archives are webdataset's: each example is `<key>.<suffix>` with its file's own bytes, `<key>.json` with its row,
and `<key>.mask<n>.<suffix>` for masks. The manifest beside them names files inside archives, so that every verb reads it, at any
place and in any order; webdataset's own readers stream the same archives.
"""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from radsnap.errors import ImageError, UsageError
from radsnap.extras import need
from radsnap.imaging import archive
from radsnap.imaging.bounds import Bounds, load_bytes
from radsnap.jobs.progress import Progress, Report, silent
from radsnap.seeds import stream
from radsnap.tables import Manifest, read_manifest, write_manifest


class ShardConfig(BaseModel):
    """What `radsnap data shard` is told. Rows are shuffled by the seed: readers that stream see them mixed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifest: Path
    output: Path
    images: int = Field(default=1000, ge=1, le=100_000)
    seed: int = 0
    skip_unreadable: bool = False


def shard_data(config: ShardConfig, report: Report = silent) -> Manifest:
    """Write `<split>-000000.tar`... and `manifest.csv` into the output folder; give that manifest.

    A shard stands whole or not at all; one that stands is not written again, so an interrupted run goes on.
    Raises UsageError for a folder with another manifest's shards, ImageError for a file that cannot be read.
    """
    need("webdataset", extra="train")
    manifest = read_manifest(config.manifest)
    config.output.mkdir(parents=True, exist_ok=True)
    _claim(config, manifest)
    frames, done = [], 0
    for split in sorted(set(manifest.frame["split"])):
        part = manifest.where(split=split)
        order = stream(config.seed, "shards", split).permutation(len(part))
        for number, start in enumerate(range(0, len(part), config.images)):
            name = f"{split or 'all'}-{number:06d}.tar"
            chosen = part.frame.iloc[order[start : start + config.images]]
            frames.append(_write(config, manifest.root, chosen, name))
            done += len(chosen)
            report(Progress(done, len(manifest), name))
    sharded = Manifest(pd.concat(frames, ignore_index=True), config.output).validate()
    write_manifest(sharded, config.output / "manifest.csv")
    return sharded


def _claim(config: ShardConfig, manifest: Manifest) -> None:
    """Refuse a folder whose shards are of other rows."""
    mark = config.output / "shards.json"
    said = json.dumps(
        {"images": config.images, "seed": config.seed, "rows": manifest.frame["image_id"].tolist()}
    )
    if mark.exists() and mark.read_text() != said:
        raise UsageError(
            f"{config.output} holds shards of another manifest, size or seed; give another folder with -o"
        )
    mark.write_text(said)


def _write(config: ShardConfig, root: Path, rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Write one shard unless it stands, and give its rows with their paths inside it."""
    inside = rows.copy()
    kept = []
    home = config.output / name
    writes = not home.exists()
    half = home.with_name(name + ".half")
    from webdataset import TarWriter

    writer = TarWriter(str(half), mtime=0.0, user="radsnap", group="radsnap") if writes else None
    try:
        for number, at in enumerate(rows.index):
            row, key = rows.loc[at], f"{number:08d}"
            names = [row["path"], *(mask for mask in row.get("mask", "").split("|") if mask)]
            parts = [_suffix(names[0]), *(f"mask{n}.{_suffix(mask)}" for n, mask in enumerate(names[1:]))]
            if writer is None:
                if not archive.holds(home / f"{key}.{parts[0]}"):  # left out as unreadable
                    continue
            else:
                try:
                    files = {part: _bytes(root / file) for part, file in zip(parts, names, strict=True)}
                except ImageError:
                    if config.skip_unreadable:
                        continue
                    raise
                writer.write({"__key__": key, "json": json.dumps(row.to_dict()).encode(), **files})
            kept.append(at)
            places = [f"{name}/{key}.{part}" for part in parts]
            inside.loc[at, "path"] = places[0]
            if len(places) > 1:
                inside.loc[at, "mask"] = "|".join(places[1:])
    finally:
        if writer is not None:
            writer.close()
    if writes:
        with half.open("rb") as file:
            os.fsync(file.fileno())
        half.replace(home)
    return inside.loc[kept]


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lstrip(".").lower() or "bin"


def _bytes(path: Path) -> bytes:
    return load_bytes(path, Bounds(), None)[0]
