"""Models of others and of one's own: fetch, import with a card, list, export."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from radsnap.errors import ImageError, UsageError, WeightsError
from radsnap.extras import need
from radsnap.findings import CHESTXRAY_14, known
from radsnap.imaging import find_images, read_image
from radsnap.jobs.progress import Progress, Report, silent
from radsnap.models import runtime, store
from radsnap.models.card import (
    Card,
    Domain,
    Figure,
    Head,
    InputSpec,
    Threshold,
    Training,
    read_card,
    sha256_of,
)
from radsnap.models.fetch import fetch
from radsnap.models.foreign_onnx import adapt_onnx
from radsnap.models.preprocess import seen, to_input
from radsnap.models.published import Published, by_file, published

if TYPE_CHECKING:
    from torch import nn

FloatArray = NDArray[np.float32]
KindName = Literal["torchxrayvision", "chexnet", "densenet121", "vit", "onnx", "radsnap"]
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_FEWEST_IMAGES = 8
_DECODE_AT_LEAST_PX = 640


class ImportConfig(BaseModel):
    """What `radsnap models import` is told. What is None comes from the kind, the file or its publisher."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path
    kind: KindName
    name: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9._-]*$")
    labels: tuple[str, ...] | None = None
    one_of: bool = False
    size_px: int | None = Field(default=None, ge=16, le=2048)
    fit: Literal["stretch", "crop"] | None = None
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None
    heads: int | None = Field(default=None, ge=1)
    says: Literal["logit", "probability"] = "logit"
    licence: str | None = None
    quantise_on: Path | None = None
    images: int = Field(default=200, ge=_FEWEST_IMAGES)
    seed: int = 0
    replace: bool = False
    command: str = ""


@dataclass(frozen=True)
class Kind:
    """What checkpoints of one kind read; `network` is the card's word for how they are built."""

    network: str
    size_px: int | None
    fit: Literal["stretch", "crop"]
    mean: float | tuple[float, float, float]
    deviation: float | tuple[float, float, float]
    labels: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    # its images are centre-cropped and lie in -1024 to 1024: (x - 0.5) / (1 / 2048)
    "torchxrayvision": Kind("densenet121", 224, "crop", 0.5, 1 / 2048),
    "chexnet": Kind("densenet121", 224, "stretch", *_IMAGENET, CHESTXRAY_14),
    "densenet121": Kind("densenet121", 224, "stretch", *_IMAGENET),
    "vit": Kind("vit", None, "stretch", 0.5, 0.5),
    "onnx": Kind("onnx", None, "stretch", *_IMAGENET),
}


@dataclass(frozen=True)
class Imported:
    """A model that is in its place. agreement: correlation of int8 logits with float32 ones, where quantised."""

    card: Card
    path: Path
    agreement: float | None = None


@dataclass(frozen=True, eq=False)
class _Made:
    """A float32 ONNX file and what its card will say."""

    file: Path
    network: str
    input: InputSpec
    classes: tuple[str, ...]
    heat_maps: bool
    midpoints: tuple[float, ...] = ()


def import_model(config: ImportConfig, report: Report = silent, source: Published | None = None) -> Imported:
    """Turn a downloaded checkpoint into ONNX with a card, in the user's store.

    Nothing in a pickled checkpoint is executed. With `quantise_on`, a folder of the user's images, weights become
    int8. Raises WeightsError when the checkpoint does not fit the kind, UsageError for what is missing.
    """
    if config.kind == "radsnap":
        return _adopt(config)
    source = source or by_file(config.file.name)
    name = config.name or (source.name if source else _name_from(config.file))
    _refuse_shipped(name)
    with tempfile.TemporaryDirectory(prefix="radsnap-") as folder:
        report(Progress(0, 3, "reading the checkpoint"))
        made = _made(config, source, Path(folder) / "full.onnx")
        report(Progress(1, 3, "checking the network"))
        _try_out(made)
        file, agreement = made.file, None
        if config.quantise_on is not None:
            report(Progress(2, 3, "quantising"))
            file, agreement = _quantised(config, made, Path(folder) / "small.onnx")
        card = _card(config, source, name, made, file, agreement)
        path = store.add(card, file, replace=config.replace)
    report(Progress(3, 3))
    return Imported(card, path, agreement)


def get_model(
    name_or_url: str, report: Report = silent, *, sha256: str | None = None, trust: bool = False,
    kind: str | None = None, **options: Any,
) -> Imported:  # fmt: skip
    """Fetch published weights by name or URL, check them, and import them.

    Without a checksum, known or given, nothing is fetched unless `trust` says that the address is enough.
    options: further fields of ImportConfig. Raises UsageError or WeightsError.
    """
    source = None if "://" in name_or_url else published(name_or_url)
    url = source.url if source else name_or_url
    wanted = kind or (source.kind if source else None)
    if wanted is None:
        raise UsageError(f"say what {url} is by --as; kinds are {', '.join([*KINDS, 'radsnap'])}")
    expected = sha256 or (source.sha256 if source else None)
    if expected is None and not trust:
        raise UsageError(
            f"{url}: unverified, no checksum of it is known; give its --sha256, or --trust the address"
        )
    file = _file_name(source, url)
    target = store.folder() / ".fetched" / file
    _refuse_shipped(str(options.get("name") or (source.name if source else _name_from(target))))
    try:
        config = ImportConfig.model_validate({"file": target, "kind": wanted, **options})
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{first['loc'][0]}: {first['msg']}, got {first['input']!r}") from error
    fetch(url, target, expected.lower() if expected else None, lambda got, all_: report(_bytes(got, all_)))
    imported = import_model(config, report, source)
    target.unlink()  # the store keeps what was made of it
    return imported


def export_model(model: str, output: Path) -> Path:
    """Copy a model, weights and card, into a folder of its name below `output`; gives the card's path."""
    network = runtime.load(model)  # checks that weights and card belong together
    return store.add(network.card, runtime.locate(model).parent / network.card.file, into=output)


def list_models() -> list[tuple[Card, str]]:
    """List all models that can be named: (card, `shipped` or `yours`)."""
    shipped = [(read_card(runtime.locate(name)), "shipped") for name in runtime.shipped_names()]
    return [*shipped, *((card, "yours") for card in store.cards())]


def _adopt(config: ImportConfig) -> Imported:
    """Take a model that radsnap exported into the store as it is."""
    network = runtime.load(config.file)
    card = network.card if config.name is None else network.card.model_copy(update={"name": config.name})
    _refuse_shipped(card.name)
    weights = runtime.locate(config.file).parent / card.file
    return Imported(card, store.add(card, weights, replace=config.replace))


def _made(config: ImportConfig, source: Published | None, target: Path) -> _Made:
    if config.kind == "onnx":
        channels, outputs, size_px = adapt_onnx(config.file, target, config.says)
        spec = _spec(config, KINDS["onnx"], channels, size_px)
        return _Made(target, "onnx", spec, _classes(config.labels, outputs), False)
    need("torch", extra="train")
    from radsnap.learn.export import to_onnx
    from radsnap.models import networks_state as states

    state, values = states.read_state(config.file)
    points = _points(state.pop("op_threshs", None), source, config)
    if config.kind == "vit":
        transformer = states.vit_of(state, config.heads)
        network: nn.Module = transformer
        size_px, channels = states.vit_sizes(transformer)
        classes = _classes(config.labels, states.outputs_of(network))
        made = _Made(target, "vit", _spec(config, KINDS["vit"], channels, size_px), classes, False)
    else:
        kind = KINDS[config.kind]
        given = config.labels or _told(source, values) or kind.labels
        channels = states.channels_of(state)
        picked = states.densenet(state, channels)
        labels = _classes(given, states.outputs_of(picked))
        kept = [place for place, label in enumerate(labels) if label]
        midpoints = tuple(points[place] for place in kept) if points else ()
        network = states.densenet(states.with_outputs(state, kept), channels, midpoints or None)
        classes = tuple(labels[place] for place in kept)
        made = _Made(target, kind.network, _spec(config, kind, channels, None), classes, True, midpoints)
    to_onnx(network, made.input.size_px, target, made.heat_maps, made.input.channels)
    return made


def _points(stored: Any, source: Published | None, config: ImportConfig) -> tuple[float, ...]:
    """Operating points of torchxrayvision: the file's own, else the published ones."""
    if config.kind != "torchxrayvision":
        return ()
    if stored is not None:
        return tuple(float(value) for value in stored)
    return source.midpoints if source else ()


def _told(source: Published | None, values: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels that the publisher or the file itself tells; torchxrayvision's modules carry theirs."""
    if source is not None:
        return source.classes
    for key in ("pathologies", "targets"):
        told = values.get(key)
        if isinstance(told, list | tuple) and all(isinstance(one, str) for one in told):
            return tuple(told)
    return ()


def _classes(labels: tuple[str, ...] | None, outputs: int) -> tuple[str, ...]:
    """Give outputs their names, findings by radsnap's vocabulary; blank names are outputs that are left out."""
    if not labels:
        raise UsageError(
            f"the checkpoint has {outputs} outputs and does not name them; name them by --labels"
        )
    if len(labels) != outputs:
        raise UsageError(f"{len(labels)} labels for {outputs} outputs; name each, in the outputs' order")
    names = tuple(known(label) or label.strip() for label in labels)
    doubles = {name for name in names if name and names.count(name) > 1}
    if doubles or not any(names):
        raise UsageError(f"labels are distinct and not all blank, got {', '.join(labels)}")
    return names


def _spec(config: ImportConfig, kind: Kind, channels: int, size_px: int | None) -> InputSpec:
    if size_px and config.size_px and size_px != config.size_px:
        raise UsageError(f"this network reads {size_px} px, not {config.size_px}; leave --size out")
    size = config.size_px or size_px or kind.size_px
    if size is None:
        raise UsageError("the file does not say which size it reads; give --size")
    mean, deviation = _for_channels(config, kind, channels)
    return InputSpec.model_validate(
        {
            "size_px": size, "fit": config.fit or kind.fit, "normalisation": "fixed", "channels": channels,
            "mean": mean, "deviation": deviation,
        }
    )  # fmt: skip


def _for_channels(config: ImportConfig, kind: Kind, channels: int) -> tuple[Any, Any]:
    """Mean and deviation: one number for all channels, or one each; a grey network takes the means of a kind's three."""
    chosen: list[Any] = []
    for given, usual in ((config.mean, kind.mean), (config.deviation, kind.deviation)):
        if given is not None and len(given) not in (1, channels):
            raise UsageError(f"one number or {channels} for mean and deviation, got {len(given)}")
        value: Any = usual if given is None else (given[0] if len(given) == 1 else given)
        chosen.append(float(np.mean(value)) if channels == 1 else value)
    return chosen[0], chosen[1]


def _try_out(made: _Made) -> None:
    """Run one and two images, so that what cannot run is refused before it has a card."""
    network = runtime.Network(_draft(made), runtime.compile_file(made.file, _draft(made)))
    size, channels = made.input.size_px, made.input.channels
    for count in (1, 2):
        try:
            logits = network.run(np.zeros((count, channels, size, size), dtype=np.float32))["logits"]
        except RuntimeError as error:
            raise WeightsError(
                f"the network does not run on {count} images of {size} px: {str(error).splitlines()[0][:200]}"
            ) from error
        if logits.shape != (count, len(made.classes)) or not np.isfinite(logits).all():
            raise WeightsError(
                f"the network gives {logits.shape} for {count} images, or no finite numbers; expected "
                f"({count}, {len(made.classes)})"
            )


def _draft(made: _Made, file: Path | None = None) -> Card:
    return Card(
        name="draft", task="findings", network=made.network, input=made.input, heat_maps=made.heat_maps,
        heads=(Head(name="findings", classes=made.classes, activation="sigmoid"),), file="draft.onnx",
        sha256=sha256_of(file or made.file),
        training=Training(command="", data=(), licence="", images=None, epochs=None),
    )  # fmt: skip


def _quantised(config: ImportConfig, made: _Made, target: Path) -> tuple[Path, float]:
    """Quantise on the user's images; gives the file and how the new logits correlate with the old."""
    need("nncf", extra="train")
    from radsnap.learn.export import quantise

    images = _inputs(config, made.input)
    quantise(made.file, images, target)
    full, small = (
        runtime.Network(_draft(made, file), runtime.compile_file(file, _draft(made, file)))
        for file in (made.file, target)
    )
    before, after = (
        np.concatenate([network.run(images[k : k + 1])["logits"] for k in range(len(images))])
        for network in (full, small)
    )
    return target, float(np.corrcoef(before.ravel(), after.ravel())[0, 1])


def _inputs(config: ImportConfig, spec: InputSpec) -> FloatArray:
    """Read the user's images, spread evenly over the folder when there are more than asked for."""
    assert config.quantise_on is not None
    files = find_images([config.quantise_on])
    chosen = [files[k] for k in np.unique(np.linspace(0, len(files) - 1, config.images).astype(int))]
    inputs, faults = [], []
    for file in chosen:
        try:
            inputs.append(to_input(seen(read_image(file, at_least_px=_DECODE_AT_LEAST_PX), spec), spec))
        except ImageError as error:
            faults.append(str(error))
    if len(inputs) < _FEWEST_IMAGES:
        raise UsageError(
            f"{config.quantise_on}: {len(inputs)} images that can be read; quantising needs {_FEWEST_IMAGES} or "
            f"more, some hundred are better{f' (the first fault: {faults[0]})' if faults else ''}"
        )
    return np.stack(inputs)


def _card(
    config: ImportConfig,
    source: Published | None,
    name: str,
    made: _Made,
    file: Path,
    agreement: float | None,
) -> Card:
    activation: Literal["sigmoid", "softmax"] = "softmax" if config.one_of else "sigmoid"
    domains = {}
    if made.midpoints:  # bent so that the operating point is 0.5
        rule = "published with the weights"
        points = {one: Threshold(score=0.5, possible=0.5, rule=rule, n=None) for one in made.classes}
        domains = {"any": Domain(operating_points=points)}
    figures: tuple[Figure, ...] = ()
    if agreement is not None:
        figures = (
            Figure(
                measure="correlation", subject="int8 with float32 logits", data=str(config.quantise_on),
                value=agreement, low=None, high=None, n=config.images, method="Pearson, on the images quantised on",
            ),
        )  # fmt: skip
    return Card(
        name=name, task="findings", network=made.network, input=made.input, heat_maps=made.heat_maps,
        heads=(Head(name="findings", classes=made.classes, activation=activation),),
        file=f"{name}.onnx", sha256=sha256_of(file), precision="float32" if agreement is None else "int8",
        training=Training(
            command=config.command,
            data=source.data if source else (),
            licence=config.licence or (source.licence if source else "not stated; ask who published the weights"),
            images=None,
            epochs=None,
            started_from=f"{source.url if source else config.file.name} (sha256 {sha256_of(config.file)[:12]})",
        ),
        domains=domains,
        figures=figures,
        caveats=("Weights of others: radsnap has measured nothing of them.",
                 "Not a medical device: do not use for diagnosis or treatment."),
    )  # fmt: skip


def _name_from(file: Path) -> str:
    stem = file.name.split(".")[0].lower()
    name = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in stem).strip("-")
    if not name:
        raise UsageError(f"'{file.name}' gives no name for the model; give --name")
    return name[:80]


def _file_name(source: Published | None, url: str) -> str:
    """A plain name for what is fetched: the URL's last part with everything unusual taken out."""
    last = (source.file if source else url.split("?")[0].rsplit("/", 1)[-1]) or "weights"
    return "".join(letter for letter in last if letter.isalnum() or letter in "._-").lstrip(".") or "weights"


def _refuse_shipped(name: str) -> None:
    if name in runtime.shipped_names():
        raise UsageError(f"'{name}' is the name of a model that comes with radsnap; give another --name")


def _bytes(got: int, total: int) -> Progress:
    return Progress(got, total, f"{got / 1e6:.1f} MB")
