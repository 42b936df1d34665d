"""Predict: a model and a manifest in, one row of scores an image or study out."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from radsnap.errors import ImageError, ManifestError, PredictionsError, UsageError
from radsnap.imaging import Photo, read_image, read_radiograph
from radsnap.jobs.predict_command import ask_command
from radsnap.jobs.predict_journal import Batch, Journal, Note
from radsnap.jobs.progress import Progress, Report, silent
from radsnap.models.averaging import Average, averaged
from radsnap.models.card import Card, InputSpec, read_card
from radsnap.models.preprocess import seen, to_input
from radsnap.models.runtime import load, locate
from radsnap.models.scores import head_scores
from radsnap.reading.flattening import flattened
from radsnap.reading.stages import Runner
from radsnap.tables import Manifest, Predictions, by_study, paths, read_manifest, write_predictions
from radsnap.tables.storage import write_table

FloatArray = NDArray[np.float32]

# As in `diagnose`, so that both say the same of a picture: a JPEG may come out reduced, down to this side.
_DECODE_AT_LEAST_PX = 640
# The domains whose x-ray is looked for in the picture, and the networks that look.
_PHOTOS = frozenset({"screen", "film"})
_FLATTENERS = ("corners", "borders", "upright")


class PredictConfig(BaseModel):
    """What `radsnap predict` is told. `model` is a card, a folder, a name, or with `command` a command line.

    average: test-time averaging of logits over views of each image. flatten: photos are straightened first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    manifest: Path
    output: Path
    by: Literal["image", "study"] = "image"
    views: Literal["max", "mean"] = "mean"
    scale: Literal["score", "logit"] = "score"
    average: Average = "none"
    flatten: bool = False
    batch_size: int = Field(default=8, ge=1, le=1024)
    threads: int = Field(default=2, ge=1, le=64)
    command: bool = False
    timeout_s: float = Field(default=3600.0, gt=0)


@dataclass(frozen=True, eq=False)
class Scores:
    """What a network says of a manifest's images, in its order.

    image_ids: the N that could be read; logits: float32 (N, outputs); faults: id → error of those that could not;
    notes: id → how a photo was read, where photos were to be straightened.
    """

    image_ids: tuple[str, ...]
    logits: FloatArray
    faults: Mapping[str, str]
    notes: Mapping[str, Note] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a prediction came to: rows written, images read now, seconds for them, and the list of failures."""

    rows: int
    images: int
    resumed: int
    seconds: float
    faults: Mapping[str, str]
    failures: Path | None


def score_manifest(
    network: Runner,
    manifest: Manifest,
    report: Report = silent,
    batch_size: int = 8,
    *,
    threads: int = 2,
    journal: Journal | None = None,
    average: Average = "none",
    flatten: bool = False,
) -> Scores:
    """Run a network over all images of a manifest: decoding threads go ahead of the inference.

    An image that cannot be read becomes a fault, and the rest goes on. Batches of a journal are not run
    again. Rows of the domain `digital` are read as radiographs, others as photos. flatten: photos of the domains
    `screen` and `film` are straightened first, as `diagnose` does it; without a quad, or already cropped, they are
    read as they are.
    """
    ids = manifest.frame["image_id"].tolist()
    files, domains = paths(manifest), manifest.frame["domain"].tolist()
    done = dict(journal.done) if journal is not None else {}
    starts = range(0, len(ids), batch_size)
    todo = [number for number in range(len(starts)) if number not in done]
    before = len(ids) - sum(min(batch_size, len(ids) - starts[number]) for number in todo)
    report(Progress(before, len(ids)))
    jobs = [(files[row], domains[row]) for number in todo for row in _rows(number, batch_size, len(ids))]
    clock, seen = time.perf_counter(), 0
    inputs = _decoded(jobs, network.card.input, threads, 2 * batch_size + threads, flatten)
    for number in todo:
        rows = _rows(number, batch_size, len(ids))
        done[number] = _run(network, [ids[row] for row in rows], [next(inputs) for _ in rows], average)
        if journal is not None:
            journal.add(number, done[number])
        seen += len(rows)
        rate = seen / (time.perf_counter() - clock)
        report(Progress(before + seen, len(ids), f"{rate:.1f} images/s"))
    return _joined([done[number] for number in range(len(starts))], network.card.outputs)


def predict(config: PredictConfig, report: Report = silent) -> Outcome:
    """Write a model's predictions on a manifest, with a list of the images that failed beside them.

    Started again after an interruption it goes on where it was, and writes the same file. Raises
    WeightsError, ManifestError, PredictionsError or UsageError.
    """
    manifest = read_manifest(config.manifest)
    if not len(manifest):
        raise ManifestError(f"{config.manifest}: no rows; give a manifest of at least one image")
    start = time.perf_counter()
    if config.command:
        _refuse_what_a_command_ignores(config)
        predictions = ask_command(
            config.model, manifest, by=config.by, views=config.views, timeout_s=config.timeout_s
        )
        write_predictions(predictions, config.output)
        report(Progress(len(manifest), len(manifest)))
        seconds = time.perf_counter() - start
        return Outcome(len(predictions), len(manifest), 0, seconds, {}, _failures(config, manifest, {}))
    network = load(config.model)
    journal = Journal(_beside(config.output, ".partial"), _key(network.card, manifest, config))
    with journal:
        before = sum(len(batch.image_ids) + len(batch.faults) for batch in journal.done.values())
        start = time.perf_counter()
        scores = score_manifest(
            network,
            manifest,
            report,
            config.batch_size,
            threads=config.threads,
            journal=journal,
            average=config.average,
            flatten=config.flatten,
        )
        seconds = time.perf_counter() - start
    predictions = _predictions(network.card, scores, manifest, config)
    notes = _notes(scores, predictions, manifest) if config.flatten else None
    write_predictions(predictions, config.output, notes)
    failures = _failures(config, manifest, scores.faults)
    journal.remove()
    return Outcome(len(predictions), len(manifest) - before, before, seconds, scores.faults, failures)


def _refuse_what_a_command_ignores(config: PredictConfig) -> None:
    ours = {
        "--flatten": config.flatten,
        "--average": config.average != "none",
        "--scale": config.scale != "score",
    }
    for option, given in ours.items():
        if given:
            raise UsageError(
                f"{option} needs a model that radsnap runs; a command reads its files and answers by itself"
            )


def to_scores(card: Card, logits: FloatArray) -> NDArray[np.float64]:
    """Turn logits (N, outputs) into scores in [0, 1], by the activation of each of the card's heads."""
    columns = [list(head_scores(card, row, head).values()) for row in logits for head in card.heads]
    flat = [value for part in columns for value in part]
    return np.array(flat, dtype=np.float64).reshape(len(logits), card.outputs)


def column_names(card: Card) -> list[str]:
    """Name the outputs: by their class, and by head and class where two heads share one."""
    names = [name for head in card.heads for name in head.classes]
    full = [f"{head.name}.{name}" for head in card.heads for name in head.classes]
    return [long if names.count(short) > 1 else short for short, long in zip(names, full, strict=True)]


def _rows(number: int, batch_size: int, total: int) -> range:
    return range(number * batch_size, min((number + 1) * batch_size, total))


@dataclass(frozen=True, eq=False)
class _Shown:
    """What a network is shown of one image, (channels, size, size), and how a photo came to it."""

    shown: FloatArray
    note: Note | None = None


def _decoded(
    jobs: Sequence[tuple[Path, str]], spec: InputSpec, threads: int, ahead: int, flatten: bool = False
) -> Iterator[_Shown | ImageError]:
    """Give inputs in order; threads keep `ahead` of them ready, so that memory does not grow with their number."""
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[_Shown | ImageError]] = deque()
        try:
            for file, domain in jobs:
                pending.append(pool.submit(_input, file, domain, spec, flatten))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _input(file: Path, domain: str, spec: InputSpec, flatten: bool) -> _Shown | ImageError:
    # a raster read as a radiograph has lost its colours
    read = read_radiograph if domain == "digital" and spec.pixels == "grey" else read_image
    try:
        image = read(file, at_least_px=max(_DECODE_AT_LEAST_PX, spec.size_px))
        if flatten and domain in _PHOTOS and isinstance(image, Photo):
            return _straightened(image, spec)
        return _Shown(to_input(seen(image, spec), spec))
    except ImageError as error:
        return error


def _straightened(photo: Photo, spec: InputSpec) -> _Shown:
    """Show a photo as the pipeline does: its straightened x-ray, or itself where none is found."""
    _, flat = flattened(photo)
    if flat is None:
        return _Shown(to_input(seen(photo, spec), spec), Note("as it is", None))
    straight = to_input(seen(flat.straight.radiograph, spec), spec)
    return _Shown(straight, Note("straightened", round(float(flat.quad.confidence), 6)))


def _run(
    network: Runner, ids: Sequence[str], inputs: Sequence[_Shown | ImageError], average: Average
) -> Batch:
    faults = {one: str(got) for one, got in zip(ids, inputs, strict=True) if isinstance(got, ImageError)}
    good = {one: got for one, got in zip(ids, inputs, strict=True) if not isinstance(got, ImageError)}
    logits = np.zeros((0, network.card.outputs), dtype=np.float32)
    if good:
        shown = np.stack([got.shown for got in good.values()])
        logits = averaged(lambda view: network.run(view)["logits"], shown, average)
    notes = {one: got.note for one, got in good.items() if got.note is not None}
    return Batch(tuple(good), logits, faults, notes)


def _joined(batches: Sequence[Batch], outputs: int) -> Scores:
    ids = tuple(one for batch in batches for one in batch.image_ids)
    parts = [batch.logits.reshape(-1, outputs) for batch in batches]
    logits = np.concatenate([np.zeros((0, outputs), dtype=np.float32), *parts])
    faults = {one: fault for batch in batches for one, fault in batch.faults.items()}
    return Scores(ids, logits, faults, {one: note for batch in batches for one, note in batch.notes.items()})


def _predictions(card: Card, scores: Scores, manifest: Manifest, config: PredictConfig) -> Predictions:
    if not scores.image_ids:
        first = next(iter(scores.faults.values()))
        raise PredictionsError(f"none of {len(scores.faults)} images could be read; the first: {first}")
    finite = np.isfinite(scores.logits).all(axis=1)
    if not finite.all():
        row = int((~finite).argmax())
        raise PredictionsError(
            f"model {card.name} gives no finite number for '{scores.image_ids[row]}' ({int((~finite).sum())} "
            "images like it); the weights do not fit their card, or overflow"
        )
    values = scores.logits.astype(np.float64) if config.scale == "logit" else to_scores(card, scores.logits)
    frame = pd.DataFrame(values, index=pd.Index(scores.image_ids, name="image"), columns=column_names(card))
    predictions = Predictions(frame, "image", card.name)
    return by_study(predictions, config.views, manifest) if config.by == "study" else predictions


def _notes(scores: Scores, predictions: Predictions, manifest: Manifest) -> pd.DataFrame:
    """Lay out how photos were read, a row a prediction; a study's is of all its photos, and its least confidence."""
    blank = Note("", None)
    found = [scores.notes.get(one, blank) for one in scores.image_ids]
    index = pd.Index(scores.image_ids)
    how = pd.Series([note.flatten for note in found], index)
    sure = pd.Series([note.confidence for note in found], index, dtype=np.float64)
    if predictions.key == "study":
        study = manifest.frame.set_index("image_id")["study_id"].loc[index].to_numpy()
        how = how.groupby(study).agg(lambda words: "+".join(sorted(set(words) - {""})))
        sure = sure.groupby(study).min()
    return pd.DataFrame({"flatten": how, "confidence": sure}).loc[predictions.frame.index]


def _failures(config: PredictConfig, manifest: Manifest, faults: Mapping[str, str]) -> Path | None:
    """Write the list of images that failed; without any, a list of an earlier run goes."""
    path = _beside(config.output, "_failures.csv")
    if not faults:
        path.unlink(missing_ok=True)
        return None
    where = dict(zip(manifest.frame["image_id"], manifest.frame["path"], strict=True))
    rows = [{"image_id": one, "path": where[one], "error": fault} for one, fault in faults.items()]
    write_table(pd.DataFrame(rows), path)
    return path


def _beside(output: Path, ending: str) -> Path:
    return output.with_name(f"{output.stem}{ending}")


def _key(card: Card, manifest: Manifest, config: PredictConfig) -> str:
    """Name what partial results depend on: weights and their input, images in their order, and the batches."""
    flatten = [read_card(locate(name)).sha256 for name in _FLATTENERS] if config.flatten else []
    how = f"{card.input.model_dump_json()}|{config.batch_size}|{config.average}|{','.join(flatten)}"
    digest = hashlib.sha256(f"{card.sha256}|{how}|".encode())
    for column in ("image_id", "path", "domain"):
        digest.update("\n".join(manifest.frame[column]).encode() + b"\0")
    digest.update(str(manifest.root.resolve()).encode())
    return digest.hexdigest()
