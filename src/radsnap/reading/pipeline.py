"""The chain: gate, kind, findings. It stops where the next question makes no sense, and says why."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radsnap.errors import UsageError
from radsnap.imaging import Photo, Radiograph, grey_level
from radsnap.models.card import InputSpec
from radsnap.models.preprocess import seen, to_input
from radsnap.models.runtime import load
from radsnap.reading.diagnosis import Diagnosis, Gate
from radsnap.reading.flattening import Flat, flattened, too_cropped
from radsnap.reading.lungs import HEAD, Chest, in_diagnosis, read_lungs
from radsnap.reading.quality import file_remarks, remarks
from radsnap.reading.stages import (
    Runner,
    agreed,
    both_saw,
    findings_head,
    read_findings,
    read_gate,
    read_kind,
)

FloatArray = NDArray[np.float32]

# Which network reads which kind of x-ray. `--reader knee_leg=MODEL` adds one.
READERS: Mapping[str, str | Path] = {"chest_frontal": "findings"}
# Below this score of the whole photo nobody looks for an x-ray in it.
_HOPELESS = 0.02
# Which network finds the lungs, and in which kinds of x-ray.
LUNGS = "lungs"
LUNGS_SHOW = frozenset({"chest_frontal"})


@dataclass(frozen=True, eq=False)
class Pipeline:
    """The networks of a chain. Raises WeightsError when one lacks the head that its stage asks.

    flatten: whether photos are straightened before they are read. Several threads may use one pipeline.
    """

    gate: Runner
    kind: Runner
    readers: Mapping[str, Runner]
    lungs: Runner | None = None
    flatten: bool = True

    def __post_init__(self) -> None:
        self.gate.card.head("xray")
        if self.lungs is not None:
            self.lungs.card.head(HEAD)
        kinds = self.kind.card.head("kind").classes
        for kind, reader in self.readers.items():
            findings_head(reader.card)
            if kind not in kinds:
                raise UsageError(
                    f"a reader for '{kind}' would never be asked: model {self.kind.card.name} tells apart "
                    f"{', '.join(kinds)}"
                )

    def diagnose(
        self,
        image: Radiograph | Photo,
        path: str | None = None,
        heat_maps: bool = False,
        decode_ms: float = 0.0,
    ) -> Diagnosis:
        """Read a picture as far as the chain goes. `decode_ms` is what reading its file took."""
        clock = _Clock({"decode": decode_ms})
        with clock.lap("decode"):
            inputs = _Inputs(image, grey_level(image))
        flat, diagnosis = self._read(image, inputs, heat_maps, clock)
        if flat is not None:
            diagnosis = replace(
                diagnosis, corners_px=flat.corners_px, heat_maps=flat.placed(diagnosis.heat_maps)
            )
        return replace(diagnosis, path=path, ms={**clock.ms, "total": sum(clock.ms.values())})

    def _read(
        self, image: Radiograph | Photo, inputs: _Inputs, heat_maps: bool, clock: _Clock
    ) -> tuple[Flat | None, Diagnosis]:
        """Read a picture, straightened where that is possible; heat maps are those of what was read."""
        cards = {"gate": self.gate.card}
        with clock.lap("gate"):
            gate, saw = read_gate(self.gate, inputs.of(self.gate))
        flat = None
        # what is cut out of a picture that is clearly no x-ray could pass for one
        if self.flatten and isinstance(image, Photo) and gate.xray >= _HOPELESS:
            with clock.lap("flatten"):
                looked, flat = flattened(image)
            saw = both_saw(saw, looked)
        if flat is not None:
            inputs = _Inputs(flat.straight.radiograph, flat.straight.radiograph.pixels)
            with clock.lap("gate"):
                gate = agreed(gate, read_gate(self.gate, inputs.of(self.gate))[0])
        if not gate.passed:
            return None, Diagnosis(None, gate=gate, reason=_not_an_xray(gate), cards=cards)
        cards["kind"] = self.kind.card
        with clock.lap("kind"):
            kind = read_kind(self.kind, inputs.of(self.kind))
        chest = self._chest(kind.label, inputs, clock)
        with clock.lap("quality"):
            size_px = image.provenance.size_px or inputs.grey.shape[::-1]
            lungs = None if chest is None or flat is None else chest.mask(*inputs.grey.shape)
            quality = remarks(inputs.grey, size_px) if flat is None else flat.remarks(lungs)
            quality = (*file_remarks(image.provenance), *quality)
        outline = None if flat is None else flat.outline
        so_far = Diagnosis(
            None,
            domain=_domain(image, saw),
            outline=outline,
            gate=gate,
            kind=kind,
            quality=quality,
            cards=cards,
        )
        reader = self.readers.get(kind.label)
        if reader is None:
            return flat, replace(so_far, reason=_not_read(kind.label))
        cropped = None if chest is None or flat is None else too_cropped(chest, flat)
        if cropped is not None:
            return flat, self._with_lungs(replace(so_far, reason=cropped), chest, inputs, clock)
        cards["findings"] = reader.card
        with clock.lap("findings"):
            findings, maps = read_findings(reader, inputs.of(reader), so_far.domain, heat_maps)
        read = replace(so_far, findings=findings, heat_maps=maps)
        return flat, self._with_lungs(read, chest, inputs, clock)

    def _chest(self, kind: str, inputs: _Inputs, clock: _Clock) -> Chest | None:
        """Look for the lungs where they can be seen."""
        if self.lungs is None or kind not in LUNGS_SHOW:
            return None
        with clock.lap("lungs"):
            return read_lungs(self.lungs, inputs.of(self.lungs))

    def _with_lungs(
        self, diagnosis: Diagnosis, chest: Chest | None, inputs: _Inputs, clock: _Clock
    ) -> Diagnosis:
        """Say how the picture covers the lungs, and how much of the heat lies in them."""
        if chest is None or self.lungs is None:
            return diagnosis
        with clock.lap("lungs"):
            height, width = inputs.grey.shape
            coverage = in_diagnosis(chest, diagnosis.heat_maps, height, width)
        return replace(
            diagnosis,
            lungs=coverage.said,
            quality=(*diagnosis.quality, *coverage.remarks),
            cards={**diagnosis.cards, "lungs": self.lungs.card},
        )


def load_pipeline(
    gate: str | Path = "gate",
    kind: str | Path = "kind",
    readers: Mapping[str, str | Path] = READERS,
    threads: int | None = None,
    lungs: str | Path | None = None,
    flatten: bool = True,
) -> Pipeline:
    """Load the networks of a chain by card, folder or shipped name; no lungs are looked for with None.

    Raises WeightsError.
    """
    models = [gate, kind, *readers.values(), *([] if lungs is None else [lungs])]
    # compiling takes the time, outside Python's lock; and memory, so no more than two at once
    with ThreadPoolExecutor(2) as pool:
        loaded = list(pool.map(lambda model: load(model, threads), models))
    named = dict(zip(readers, loaded[2 : 2 + len(readers)], strict=True))
    return Pipeline(loaded[0], loaded[1], named, None if lungs is None else loaded[-1], flatten)


@dataclass(frozen=True, eq=False)
class _Inputs:
    """A picture, its grey pixels, and what networks are given of them; networks of one input share it."""

    image: Radiograph | Photo
    grey: FloatArray
    made: dict[InputSpec, FloatArray] = field(default_factory=dict)

    def of(self, network: Runner) -> FloatArray:
        spec = network.card.input
        if spec not in self.made:
            picture = self.grey if spec.pixels == "grey" else seen(self.image, spec)
            self.made[spec] = to_input(picture, spec)
        return self.made[spec]


@dataclass(frozen=True, eq=False)
class _Clock:
    """Milliseconds by stage."""

    ms: dict[str, float]

    @contextmanager
    def lap(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.ms[stage] = self.ms.get(stage, 0.0) + (time.perf_counter() - start) * 1000


def _domain(image: Radiograph | Photo, saw: Mapping[str, float]) -> str | None:
    """Say what the camera saw, None where nobody knows."""
    if isinstance(image, Radiograph):
        return "digital"  # a DICOM x-ray is the detector's own picture; a raster may be anything a camera saw
    return max(saw, key=lambda name: saw[name], default=None)


def _not_an_xray(gate: Gate) -> str:
    return f"not an x-ray: the gate gives it {gate.xray:.2f}, an x-ray has {gate.threshold:.2f} or more"


def _not_read(kind: str) -> str:
    if kind == "chest_lateral":
        return "not assessed: lateral view"
    return f"not assessed: no reader for {kind}; add one with --reader {kind}=MODEL"
