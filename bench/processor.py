"""What this processor makes of the shipped int8 networks, beside the same weights computed in float32.

python bench/processor.py

Inputs are phantoms and what is no x-ray, digital and photographed by the recipes screen-lite and film-lite. Exits 1 where
a logit differs by more than 0.1 in the mean: then the runtime computes int8 wrong on this processor.
"""

from __future__ import annotations

import time

import numpy as np
import openvino

from radsnap.imaging import Photo, Radiograph
from radsnap.models.card import read_card
from radsnap.models.preprocess import seen, to_input
from radsnap.models.runtime import DEFAULTS, shipped_names
from radsnap.phantom import document, limb, sample_chest, scene
from radsnap.photo import photograph

WRONG = 0.1


def main() -> int:
    """Print a line a network."""
    core, wrong = openvino.Core(), False
    print(core.get_property("CPU", "FULL_DEVICE_NAME"), core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    shown = pictures()
    for name in shipped_names():
        card = read_card(DEFAULTS / f"{name}.card.json")
        if card.precision != "int8":
            continue
        inputs = [to_input(seen(picture, card.input), card.input)[None] for picture in shown]
        made = {}
        for way, settings in (("int8", {}), ("float32", {"LP_TRANSFORMS_MODE": "NO"})):
            model = core.read_model(str(DEFAULTS / card.file))
            model.reshape([1, *inputs[0].shape[1:]])
            settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", **settings}
            compiled = core.compile_model(model, "CPU", settings)
            compiled([inputs[0]])
            start = time.perf_counter()
            logits = np.array([compiled([one])["logits"][0] for one in inputs])
            made[way] = (logits, 1000 * (time.perf_counter() - start) / len(inputs))
        away = np.abs(made["int8"][0] - made["float32"][0])
        wrong |= bool(away.mean() > WRONG)
        print(f"{name:16s} logits differ by {away.mean():.3f} in the mean, {away.max():.3f} at most; "
              f"int8 {made['int8'][1]:.0f} ms, float32 {made['float32'][1]:.0f} ms")  # fmt: skip
    return int(wrong)


def pictures() -> list[Radiograph | Photo]:
    """Draw what the networks are shown."""
    xrays = [sample_chest(5, i, 384).radiograph for i in range(6)]
    xrays += [limb(name, 5, 0, 384).radiograph for name in ("hand", "knee")]
    photos = [
        photograph(one, f"{kind}-lite", seed=5, image_id=str(i), level=3).photo
        for i, one in enumerate(xrays)
        for kind in ("screen", "film")
    ]
    return [*xrays, *photos, document(5, "x", 384), scene(5, "x", 384)]


if __name__ == "__main__":
    raise SystemExit(main())
