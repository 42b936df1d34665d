"""The chain goes as far as it makes sense, and says why it stopped."""

from __future__ import annotations

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radsnap.errors import UsageError, WeightsError
from radsnap.imaging import Photo, Radiograph
from radsnap.models.card import Card
from radsnap.models.runtime import Network
from radsnap.reading import pipeline as pipeline_module
from radsnap.reading.pipeline import Pipeline, load_pipeline

FloatArray = np.ndarray


@pytest.fixture(scope="module")
def chain(tiny_chain: Path) -> Pipeline:
    return load_pipeline(*(tiny_chain / f"{name}.card.json" for name in ("gate", "kind")), {
        "chest_frontal": tiny_chain / "findings.card.json",
        "knee_leg": tiny_chain / "knee.card.json",
    })  # fmt: skip


def photo(level: float) -> Photo:
    """A grey photo with a fine texture, so that it is neither flat nor blurred."""
    pixels = np.full((256, 320, 3), round(255 * level), dtype=np.uint8)
    pixels[::2] -= 25
    pixels[1::2] += 25
    return Photo(pixels)


def test_a_frontal_chest_is_read_to_the_end(chain: Pipeline) -> None:
    result = chain.diagnose(photo(0.5), "a.jpg")
    assert result.gate is not None
    assert result.kind is not None
    assert result.findings is not None
    assert (result.path, result.ok, result.reason) == ("a.jpg", True, None)
    assert result.gate.xray == pytest.approx(1 / (1 + math.exp(-12)), abs=1e-3)
    assert result.kind.label == "chest_frontal"
    assert sum(result.kind.scores.values()) == pytest.approx(1)
    # logits 1, -1 and 0 at a brightness of one half
    assert result.findings["Pneumonia"].score == pytest.approx(1 / (1 + math.exp(-1)), abs=0.01)
    assert result.findings["Pneumonia"].probability == pytest.approx(1 / (1 + math.exp(0.5)), abs=0.01)
    assert {name: finding.word for name, finding in result.findings.items()} == {
        "Pneumonia": "likely",
        "Edema": "possible",
        "Hernia": "not assessed",
    }
    assert set(result.cards) == {"gate", "kind", "findings"}


def test_what_is_not_an_xray_gets_no_kind_and_no_findings(chain: Pipeline) -> None:
    result = chain.diagnose(photo(0.12))
    assert result.gate is not None
    assert (result.ok, result.gate.passed, result.kind, result.findings) == (True, False, None, None)
    assert result.reason == "not an x-ray: the gate gives it 0.04, an x-ray has 0.50 or more"
    assert (result.domain, result.quality, set(result.cards)) == (None, (), {"gate"})


@pytest.mark.parametrize(
    ("level", "reason"),
    [
        (0.7, "not assessed: lateral view"),
        (0.88, "not assessed: no reader for hand_wrist; add one with --reader hand_wrist=MODEL"),
    ],
)
def test_an_xray_without_reader_is_not_assessed(chain: Pipeline, level: float, reason: str) -> None:
    result = chain.diagnose(photo(level))
    assert result.reason == reason
    assert result.findings is None
    assert result.kind is not None


def test_an_added_reader_reads_its_kind(chain: Pipeline) -> None:
    result = chain.diagnose(photo(0.3))
    assert result.findings is not None
    assert set(result.findings) == {"Fracture"}
    assert result.findings["Fracture"].word == "likely"


def test_a_raster_has_the_domain_the_gate_sees_and_a_radiograph_is_digital(chain: Pipeline) -> None:
    assert dataclasses.replace(chain, flatten=False).diagnose(photo(0.5)).domain == "screen"
    pixels = photo(0.5).pixels[..., 0].astype(np.float32) / 255
    assert chain.diagnose(Radiograph(pixels)).domain == "digital"


def test_a_photo_and_the_radiograph_of_the_same_pixels_score_the_same(chain: Pipeline) -> None:
    shot = photo(0.5)
    digital = chain.diagnose(Radiograph(shot.pixels[..., 0].astype(np.float32) / 255)).findings
    assert digital is not None
    for name, finding in (chain.diagnose(shot).findings or {}).items():
        assert finding.score == pytest.approx(digital[name].score, abs=1e-5)


def test_heat_maps_come_only_when_asked_for(chain: Pipeline) -> None:
    assert chain.diagnose(photo(0.5)).heat_maps is None
    kept = chain.diagnose(photo(0.5), heat_maps=True).heat_maps
    assert kept is not None
    assert set(kept.maps) == {"Pneumonia", "Edema", "Hernia"}
    assert kept.maps["Pneumonia"] == pytest.approx(np.full((4, 4), 8 * 0.5 / 16), abs=0.01)


def test_a_network_without_heat_maps_says_so(tiny_chain: Path, chain: Pipeline) -> None:
    plain = load_pipeline(*(tiny_chain / f"{name}.card.json" for name in ("gate", "kind")), {
        "chest_frontal": tiny_chain / "plain.card.json",
    })  # fmt: skip
    result = plain.diagnose(photo(0.5), heat_maps=True)
    assert result.heat_maps is not None
    assert not result.heat_maps.maps
    assert result.heat_maps.reason == "the model plain gives no heat maps"
    assert result.to_json()["findings"] == chain.diagnose(photo(0.5)).to_json()["findings"]


def test_networks_of_one_input_share_it(chain: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    original = pipeline_module.to_input
    monkeypatch.setattr(
        pipeline_module, "to_input", lambda grey, spec: made.append(spec) or original(grey, spec)
    )
    chain.diagnose(photo(0.5))
    assert len(made) == 1


def test_times_add_up(chain: Pipeline) -> None:
    ms = chain.diagnose(photo(0.5), decode_ms=5.0).ms
    assert set(ms) == {"decode", "gate", "flatten", "kind", "quality", "findings", "total"}
    assert ms["decode"] >= 5.0
    assert ms["total"] == pytest.approx(sum(ms.values()) - ms["total"])


def test_threads_may_share_a_pipeline(chain: Pipeline) -> None:
    levels = [0.12, 0.3, 0.5, 0.7, 0.88] * 6
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda level: chain.diagnose(photo(level)), levels))
    for level, result in zip(levels, together, strict=True):
        alone = chain.diagnose(photo(level))
        assert replace(result, ms={}).to_json() == replace(alone, ms={}).to_json()


class Bright:
    """A network of another kind: anything with a card and `run` takes part."""

    def __init__(self, card: Card) -> None:
        self.card = card

    def run(self, images: FloatArray) -> dict[str, FloatArray]:
        return {"logits": np.array([[3.0, -3.0, 0.0]], dtype=np.float32)}


def test_any_runner_with_a_card_can_be_a_reader(chain: Pipeline) -> None:
    reader = chain.readers["chest_frontal"]
    foreign = Pipeline(chain.gate, chain.kind, {"chest_frontal": Bright(reader.card)})
    assert [f.word for f in (foreign.diagnose(photo(0.5)).findings or {}).values()][:2] == [
        "likely",
        "unlikely",
    ]


def test_a_network_of_the_wrong_stage_is_refused(chain: Pipeline) -> None:
    with pytest.raises(WeightsError, match="model kind has no head 'xray', it has kind"):
        Pipeline(chain.kind, chain.kind, {})
    with pytest.raises(WeightsError, match="model gate has no head 'findings', it has xray, domain"):
        Pipeline(chain.gate, chain.kind, {"chest_frontal": chain.gate})


def test_a_reader_that_would_never_be_asked_is_refused(chain: Pipeline) -> None:
    with pytest.raises(
        UsageError, match="a reader for 'knee' would never be asked: model kind tells apart knee_leg"
    ):
        Pipeline(chain.gate, chain.kind, {"knee": chain.readers["knee_leg"]})


def test_readers_are_networks_of_the_runtime(chain: Pipeline) -> None:
    assert isinstance(chain.readers["chest_frontal"], Network)
