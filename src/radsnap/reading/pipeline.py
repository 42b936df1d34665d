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
from radsnap.models.preprocess import to_input
from radsnap.models.runtime import load
from radsnap.reading.diagnosis import Diagnosis, Gate
from radsnap.reading.quality import remarks
from radsnap.reading.stages import Runner, findings_head, read_findings, read_gate, read_kind

FloatArray = NDArray[np.float32]

# Which network reads which kind of x-ray. `--reader knee_leg=MODEL` adds one.
READERS: Mapping[str, str | Path] = {"chest_frontal": "findings"}


@dataclass(frozen=True, eq=False)
class Pipeline:
    """The networks of a chain. Raises WeightsError when one lacks the head that its stage asks.

    Several threads may use one pipeline.
    """

    gate: Runner
    kind: Runner
    readers: Mapping[str, Runner]

    def __post_init__(self) -> None:
        self.gate.card.head("xray")
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
            inputs = _Inputs(grey_level(image))
        diagnosis = self._read(image, inputs, heat_maps, clock)
        return replace(diagnosis, path=path, ms={**clock.ms, "total": sum(clock.ms.values())})

    def _read(self, image: Radiograph | Photo, inputs: _Inputs, heat_maps: bool, clock: _Clock) -> Diagnosis:
        cards = {"gate": self.gate.card}
        with clock.lap("gate"):
            gate, domain = read_gate(self.gate, inputs.of(self.gate))
        if not gate.passed:
            return Diagnosis(None, gate=gate, reason=_not_an_xray(gate), cards=cards)
        # A DICOM x-ray is the detector's own picture; a raster may be anything a camera saw.
        domain = "digital" if isinstance(image, Radiograph) else domain
        cards["kind"] = self.kind.card
        with clock.lap("kind"):
            kind = read_kind(self.kind, inputs.of(self.kind))
        with clock.lap("quality"):
            quality = remarks(inputs.grey, image.provenance.size_px or inputs.grey.shape[::-1])
        so_far = Diagnosis(None, domain=domain, gate=gate, kind=kind, quality=quality, cards=cards)
        reader = self.readers.get(kind.label)
        if reader is None:
            return replace(so_far, reason=_not_read(kind.label))
        cards["findings"] = reader.card
        with clock.lap("findings"):
            findings, maps = read_findings(reader, inputs.of(reader), domain, heat_maps)
        return replace(so_far, findings=findings, heat_maps=maps)


def load_pipeline(
    gate: str | Path = "gate",
    kind: str | Path = "kind",
    readers: Mapping[str, str | Path] = READERS,
    threads: int | None = None,
) -> Pipeline:
    """Load the networks of a chain by card, folder or shipped name. Raises WeightsError."""
    models = [gate, kind, *readers.values()]
    with ThreadPoolExecutor(len(models)) as pool:  # compiling takes the time, outside Python's lock
        loaded = list(pool.map(lambda model: load(model, threads), models))
    return Pipeline(loaded[0], loaded[1], dict(zip(readers, loaded[2:], strict=True)))


@dataclass(frozen=True, eq=False)
class _Inputs:
    """Grey pixels, and what networks are given of them; networks of one input share it."""

    grey: FloatArray
    made: dict[InputSpec, FloatArray] = field(default_factory=dict)

    def of(self, network: Runner) -> FloatArray:
        spec = network.card.input
        if spec not in self.made:
            self.made[spec] = to_input(self.grey, spec)
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


def _not_an_xray(gate: Gate) -> str:
    return f"not an x-ray: the gate gives it {gate.xray:.2f}, an x-ray has {gate.threshold:.2f} or more"


def _not_read(kind: str) -> str:
    if kind == "chest_lateral":
        return "not assessed: lateral view"
    return f"not assessed: no reader for {kind}; add one with --reader {kind}=MODEL"
