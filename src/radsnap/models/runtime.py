"""The inference runtime: named arrays in, named arrays out. OpenVINO, never torch."""

from __future__ import annotations

import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radsnap.errors import WeightsError
from radsnap.extras import need
from radsnap.models import store
from radsnap.models.card import Card, read_card, sha256_of

FloatArray = NDArray[np.float32]
DEFAULTS = Path(__file__).parent / "weights"


@dataclass(frozen=True, eq=False)
class Network:
    """A loaded network with its card. Safe to call from several threads, one call at a time each."""

    card: Card
    _engine: Engine = field(repr=False)

    def run(self, images: FloatArray) -> dict[str, FloatArray]:
        """Run a batch (N, channels, size_px, size_px), as `preprocess.to_input` makes it.

        Returns `logits` (N, outputs) and, where the card says so, `heat_maps` (N, outputs, h, w), zero or
        more. Raises WeightsError when the shape is not the card's.
        """
        size, channels = self.card.input.size_px, self.card.input.channels
        if images.ndim != 4 or images.shape[1:] != (channels, size, size):
            raise WeightsError(
                f"model {self.card.name} reads (N, {channels}, {size}, {size}), got {images.shape}"
            )
        return self._engine.run(np.ascontiguousarray(images, dtype=np.float32))


class Engine:
    """A network on the processor, compiled for one picture, and for batches when the first one comes.

    A shape that is known beforehand and requests that are kept make a picture a quarter faster.
    """

    def __init__(self, read: Callable[[], Any], one: tuple[int, ...], settings: Mapping[str, Any]) -> None:
        """Compile for one picture, whose input has the shape (1, channels, size, size); `read` gives OpenVINO's model."""
        self._read, self._settings, self._lock = read, dict(settings), threading.Lock()
        model = read()
        self._takes_any = model.input("image").partial_shape[0].is_dynamic
        if self._takes_any:
            model.reshape({"image": list(one)})
        self._one = _Compiled(_core().compile_model(model, "CPU", self._settings))
        self._many: _Compiled | None = None

    def run(self, images: FloatArray) -> dict[str, FloatArray]:
        """Run images (N, channels, height, width); give every output by each of its names."""
        if len(images) == 1 or not self._takes_any:
            return self._one.run(images)
        with self._lock:
            if self._many is None:
                # read again: a model kept until then would take as much memory as the network
                self._many = _Compiled(_core().compile_model(self._read(), "CPU", self._settings))
        return self._many.run(images)

    @property
    def outputs(self) -> Mapping[str, Any]:
        """The outputs' shapes for one picture, by name."""
        return self._one.shapes


class _Compiled:
    """What OpenVINO compiled, and its idle requests: a new one costs a millisecond."""

    def __init__(self, network: Any) -> None:
        self.network, self._idle = network, deque[Any]()
        # an output may have several names, such as the one before it was reshaped
        self.shapes = {name: port.partial_shape for port in network.outputs for name in port.get_names()}

    def run(self, images: FloatArray) -> dict[str, FloatArray]:
        try:
            request = self._idle.pop()
        except IndexError:  # all are at work in other threads
            request = self.network.create_infer_request()
        results = request.infer({"image": images})
        self._idle.append(request)
        return {name: np.asarray(value) for port, value in results.items() for name in port.get_names()}


def load(path: str | Path, threads: int | None = None) -> Network:
    """Load weights by their card's path, their folder, or the name of a shipped model or one in the user's store.

    ONNX runs as it is; safetensors are built by `networks` first, which needs the extra `train`.

    Raises WeightsError when there is no such model, or when weights and card do not belong together.
    """
    card_path = locate(path)
    card = read_card(card_path)
    weights = card_path.parent / card.file
    if not weights.is_file():
        raise WeightsError(
            f"the card {card_path} names {card.file}, which is not beside it; get the model again"
        )
    return Network(card, compile_file(weights, card, threads))


def locate(path: str | Path) -> Path:
    """Find a model's card from a card's path, a folder that holds one, weights beside one, or a name.

    Names are those of shipped models and of models in the user's store; a path that exists goes before a name.
    """
    given = Path(path)
    if given.suffix == ".json":
        return given
    if given.is_dir():
        return _card_in(given)
    if store.is_name(str(path)):
        for card in (DEFAULTS / f"{path}.card.json", store.card_of(str(path))):
            if card.is_file():
                return card
    beside = given.with_suffix(".card.json")
    if given.is_file() and beside.is_file():
        return beside
    raise WeightsError(
        f"no model '{path}': not a card, not a folder with one, and not the name of a model "
        f"({', '.join([*shipped_names(), *store.names()]) or 'there are none'})" + _what_to_do(given)
    )


def _card_in(folder: Path) -> Path:
    """Find a folder's only card; of a training's two, the one of the small weights, which is what ships."""
    cards = sorted(folder.glob("*.card.json"))
    if len(cards) > 1:
        small = [card for card in cards if read_card(card).precision != "float32"]
        cards = small if len(small) == 1 else cards
    if len(cards) != 1:
        raise WeightsError(f"{folder} holds {len(cards)} model cards (*.card.json); name the one to use")
    return cards[0]


def _what_to_do(given: Path) -> str:
    if not given.is_file():
        return ""
    if given.suffix in (".onnx", ".safetensors"):
        return f"; it has no card {given.with_suffix('.card.json').name} beside it: make one with 'radsnap models import'"
    return "; pickled checkpoints are not run: convert it once with 'radsnap models import'"


def shipped_names() -> list[str]:
    """Name the models that come with radsnap."""
    return sorted(card.name.removesuffix(".card.json") for card in DEFAULTS.glob("*.card.json"))


def compile_file(weights: Path, card: Card, threads: int | None = None) -> Engine:
    """Compile weights for what `Network` needs. Raises WeightsError when they do not give what the card says."""
    # Stated, not left to the machine: where bfloat16 is native OpenVINO would use it unasked, and scores
    # would depend on the processor. int8 layers stay int8 under this hint.
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    try:
        one = (1, card.input.channels, card.input.size_px, card.input.size_px)
        engine = Engine(lambda: _read(weights, card), one, settings)
    except RuntimeError as error:
        raise WeightsError(f"{weights} cannot be loaded: {str(error).splitlines()[0]}") from error
    wanted = {"logits", "heat_maps"} if card.heat_maps else {"logits"}
    if not wanted <= engine.outputs.keys():
        raise WeightsError(f"{weights} gives {sorted(engine.outputs)}, its card promises {sorted(wanted)}")
    outputs = engine.outputs["logits"][1]
    if outputs.is_static and outputs.get_length() != card.outputs:
        raise WeightsError(
            f"{weights} gives {outputs.get_length()} logits, its card names {card.outputs} classes"
        )
    return engine


def _read(weights: Path, card: Card) -> Any:
    """Read weights as OpenVINO's model. Raises WeightsError when they are not those of the card."""
    got = sha256_of(weights)
    if got != card.sha256:
        raise WeightsError(
            f"{weights} is not what its card describes: sha256 {got[:12]}…, the card says {card.sha256[:12]}…; "
            "get the model again, or export it again with its card"
        )
    if weights.suffix != ".safetensors":
        return _core().read_model(str(weights))
    need("torch", extra="train")
    import openvino

    from radsnap.models.networks_state import module_of

    module, example = module_of(weights, card)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer remarks on every shape that is a constant
        model = openvino.convert_model(module, example_input=example, input=[-1, *example.shape[1:]])
    model.input(0).get_tensor().set_names({"image"})
    for port, name in zip(model.outputs, ("logits", "heat_maps"), strict=False):
        port.get_tensor().set_names({name})
    return model


_starting = threading.Lock()


def _core() -> Any:
    with _starting:
        return _started()


@cache
def _started() -> Any:
    os.environ.setdefault("OPENVINO_TELEMETRY_OPT_OUT", "1")
    import openvino

    # The first array that leaves OpenVINO sets up its bridge to numpy. In two threads at once that waits for itself,
    # for ever: one holds the bridge's lock and wants Python's, the other the reverse. So it is done here, in one.
    _ = openvino.Tensor(np.zeros(1, np.float32)).data
    return openvino.Core()
