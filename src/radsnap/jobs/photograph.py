"""Photograph: a collection of x-rays in, its photos out, with what was done to each."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from radsnap.errors import UsageError
from radsnap.jobs.photograph_record import Journal, refuse_other_list, write_failures, write_tables
from radsnap.jobs.photograph_source import XrayList, list_xrays
from radsnap.jobs.photograph_work import Failure, Made, Order, Photographer, with_effects
from radsnap.jobs.progress import Progress, Report, silent
from radsnap.jobs.scale import Engine, Lost, Scale, spread
from radsnap.jobs.stores import (
    WORKPLACE,
    LocalStore,
    Store,
    is_remote,
    locked,
    one_process_only,
    open_store,
)
from radsnap.photo import Presets, parse_chain
from radsnap.photo.devices import check_presets

SETTINGS = "photograph.json"


class PhotographConfig(BaseModel):
    """What `radsnap photograph` is told. Source, output and root are paths or addresses of object storage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    output: str
    recipe: str
    level: int = Field(default=1, ge=1, le=4)
    seed: int = 0
    copies: int = Field(default=1, ge=1, le=1000)
    patients: int | None = Field(default=None, ge=1)
    jobs: int | None = Field(default=None, ge=1, le=1024)
    engine: Engine = "local"
    address: str | None = None
    root: str | None = None
    reference_width_px: int | None = Field(default=None, ge=1)
    quality: int = Field(default=95, ge=1, le=100)
    effects: tuple[Path, ...] = ()
    phone: str | None = None
    place: str | None = None
    monitor: str | None = None

    @property
    def presets(self) -> Presets:
        """The names that screen and film do not draw."""
        return Presets(self.phone, self.place, self.monitor)

    def settings(self) -> dict[str, Any]:
        """Give what decides the bytes of a photo, whatever the list; one folder holds photos of one kind."""
        hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in self.effects]
        return {
            "recipe": self.recipe,
            "level": self.level,
            "seed": self.seed,
            "copies": self.copies,
            "reference_width_px": self.reference_width_px,
            "quality": self.quality,
            "effects": hashes,
            "phone": self.phone,
            "place": self.place,
            "monitor": self.monitor,
        }


@dataclass(frozen=True)
class Outcome:
    """What a run did. made: photos made now; kept: those of an earlier run; tables: the files that list them."""

    made: int
    kept: int
    failures: tuple[Failure, ...]
    tables: tuple[str, ...]


def photograph_files(config: PhotographConfig, report: Report = silent) -> Outcome:
    """Photograph a list of x-rays; started again after an interruption it goes on where it was.

    The bytes of a photo depend on the settings and the x-ray's id alone. An x-ray that cannot be read is a
    failure, and the others are made. Raises UsageError, ManifestError, or RadsnapError when the disk is full.
    """
    with_effects(tuple(str(path.absolute()) for path in config.effects))
    check_presets(config.presets, (part.effect for part, _ in parse_chain(config.recipe, config.level)))
    xrays = list_xrays(config.source, config.root)
    if config.patients is not None:
        xrays = xrays.only_patients(config.patients, config.seed)
    photos = open_store(config.output)
    jobs = _jobs(config)
    _refuse_folder(config, xrays, photos)
    earlier = _check_folder(config, photos)
    targets = [
        target_of(config.recipe, *place, copy) for place in xrays.places for copy in range(config.copies)
    ]
    refuse_other_list(xrays, targets, photos)
    with locked(photos):
        if not earlier:
            photos.write(SETTINGS, (json.dumps(config.settings(), indent=1) + "\n").encode())
        photos.remove(f"{WORKPLACE}/unfinished")
        journal = Journal(photos, f"{xrays.digest()}x{config.copies}", len(targets))
        kept = journal.recover(targets) if earlier else 0
        work = Photographer(
            xrays.store,
            photos,
            config.recipe,
            config.level,
            config.seed,
            config.reference_width_px,
            config.quality,
            tuple(str(path.absolute()) for path in config.effects),
            earlier,
            config.presets,
        )
        orders = _orders(xrays, targets, config.copies, journal)
        made, recalled, failures = _make(
            work, orders, Scale(jobs, config.engine, config.address), journal, report
        )
        journal.flush()
        names = write_tables(xrays, targets, journal, photos, config.recipe, config.seed, config.copies)
        write_failures(failures, photos)
        photos.remove(WORKPLACE)
    return Outcome(made, kept + recalled, tuple(failures), names)


def _make(
    work: Photographer, orders: Iterator[Order], scale: Scale, journal: Journal, report: Report
) -> tuple[int, int, list[Failure]]:
    """Make what is missing. Returns how many are new, how many were there, and the failures in order."""
    failures: list[tuple[int, Failure]] = []
    made = recalled = 0
    pace = _Pace(len(journal) - journal.count, len(journal), report)
    for order, result in spread(work, orders, scale):
        if isinstance(result, Made):
            _see_that_it_is_there(work, order, scale)
            journal.add(order.position, result.record)
            made, recalled = made + result.new, recalled + (not result.new)
        else:
            lost = isinstance(result, Lost)
            failure = Failure(order.source, order.image_id, result.reason) if lost else result
            failures.append((order.position, failure))  # type: ignore[arg-type]
        pace.step(len(failures))
    return made, recalled, [failure for _, failure in sorted(failures, key=lambda one: one[0])]


class _Pace:
    """Tell the rate and the time left. Photos of an earlier run count as done, but not for the rate."""

    def __init__(self, left: int, total: int, report: Report) -> None:
        self.left, self.total, self.report = left, total, report
        self.started, self.done = time.monotonic(), 0

    def step(self, failed: int) -> None:
        self.done += 1
        rate = self.done / max(time.monotonic() - self.started, 1e-3)
        left_s = (self.left - self.done) / rate
        note = f"{rate:.1f} images/s, {int(left_s // 60)}:{int(left_s % 60):02d} left"
        note += f", {failed} failed" * bool(failed)
        self.report(Progress(self.total - self.left + self.done, self.total, note))


def _orders(xrays: XrayList, targets: list[str], copies: int, journal: Journal) -> Iterator[Order]:
    ids, paths = xrays.rows["image_id"].tolist(), xrays.rows["path"].tolist()
    for position, target in enumerate(targets):
        if not journal.has(position):
            row, copy = divmod(position, copies)
            yield Order(position, ids[row], paths[row], target, copy)


def _see_that_it_is_there(work: Photographer, order: Order, scale: Scale) -> None:
    """A node of a cluster that writes to a disk of its own would lose the photos."""
    if scale.engine == "ray" and isinstance(work.photos, LocalStore) and not work.photos.exists(order.target):
        raise UsageError(
            f"a worker wrote {order.target}, but it is not in {work.photos.label} here; on a cluster the "
            "folders must lie on a file system that all machines share, or in object storage"
        )


def _jobs(config: PhotographConfig) -> int | None:
    shared = [config.source, config.output, *([config.root] if config.root else [])]
    alone = any(one_process_only(address) for address in shared)
    if alone and (config.engine != "local" or (config.jobs or 1) > 1):
        raise UsageError("memory:// lives in one process; photograph it with --jobs 1 and --engine local")
    return 1 if alone else config.jobs


def _refuse_folder(config: PhotographConfig, xrays: XrayList, photos: Store) -> None:
    """Keep photos out of the folder that is read: they would be photographed in the next run."""
    inside = (
        isinstance(photos, LocalStore)
        and isinstance(xrays.store, LocalStore)
        and not config.source.lower().endswith((".csv", ".csv.gz", ".parquet"))
        and photos.root.resolve().is_relative_to(xrays.store.root.resolve())
    )
    same = is_remote(config.output) and f"{config.output}/".startswith(f"{config.source.rstrip('/')}/")
    if inside or same:
        raise UsageError(f"{config.output} lies in {config.source}; put the photos outside of it")


def _check_folder(config: PhotographConfig, photos: Store) -> bool:
    """Tell whether an earlier run of these settings was here. Raises UsageError for other ones, or strange files."""
    settings = config.settings()
    data = photos.read(SETTINGS)
    if data is None:
        foreign = [name for name in photos.files() if not name.startswith(".") and name != "preview.png"]
        if foreign:
            raise UsageError(
                f"{config.output} is not empty ({foreign[0]}) and no earlier run made it; give a new folder"
            )
        return False
    try:
        earlier = dict(json.loads(data))
    except (ValueError, TypeError) as error:
        raise UsageError(f"{photos.label}/{SETTINGS} is broken; give a new folder") from error
    for name, value in settings.items():
        if earlier.get(name) != value:
            raise UsageError(
                f"{config.output} holds photos of an earlier run with {name} {earlier.get(name)!r}, this one asks "
                f"for {value!r}; give another folder, or the same settings to go on"
            )
    return True


def target_of(recipe: str, split: str, place: str, copy: int) -> str:
    """Give a photo's place in CheXphoto's layout; further copies get a folder of their own."""
    folder = recipe.replace(" ", "") + (f"-copy{copy + 1}" if copy else "")
    return f"{split}/synthetic/{folder}/{place}"
