"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("RADSNAP_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images; tests that use it are marked `shared`."""
    if not (DATA / "manifest.csv").exists():
        pytest.skip(f"no real images at {DATA}; set RADSNAP_TEST_DATA")
    return DATA.resolve()


@pytest.fixture(scope="session")
def tiny_chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of networks that read the mean brightness of a picture: cards gate, kind, findings, knee, plain.

    Below 0.2 is no x-ray; around 0.3 a knee, 0.5 a frontal chest, 0.7 a lateral chest, 0.9 a hand.
    `findings` scores rise with brightness, its heat is the brightness of 4 × 4 cells; `plain` has no heat.
    """
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("chain")
    centres = {"knee_leg": 0.3, "chest_frontal": 0.5, "chest_lateral": 0.7, "hand_wrist": 0.9}
    gate = [("xray", ("xray",), "sigmoid"), ("domain", ("digital", "screen", "film"), "softmax")]
    _write_tiny(folder, "gate", gate, [40.0, 0.0, 9.0, 0.0], [-8.0, 0.0, 0.0, 1.0])
    _write_tiny(
        folder,
        "kind",
        [("kind", tuple(centres), "softmax")],
        [400 * centre for centre in centres.values()],
        [-200 * centre**2 for centre in centres.values()],
    )
    findings = ("Pneumonia", "Edema", "Hernia")
    for name, heat_maps in (("findings", True), ("plain", False)):
        _write_tiny(
            folder, name, [("findings", findings, "sigmoid")], [8.0, 8.0, 8.0], [-3.0, -5.0, -4.0], heat_maps
        )
    _write_tiny(folder, "knee", [("findings", ("Fracture",), "sigmoid")], [10.0], [-1.0])
    return folder


def _write_tiny(
    folder: Path,
    name: str,
    heads: list[tuple[str, tuple[str, ...], str]],
    slopes: list[float],
    offsets: list[float],
    heat_maps: bool = False,
) -> None:
    """Write a network of 32 px: logit = slope · mean + offset; heat = relu(slope · cell) / 16."""
    import numpy as np
    from onnx import TensorProto, checker, helper, numpy_helper, save

    from radsnap.models import card as cards

    count = len(slopes)
    weights = np.array(slopes, dtype=np.float32).reshape(count, 1, 1, 1)
    constants = {"w": weights, "b": np.array(offsets, dtype=np.float32)}
    if heat_maps:
        constants["share"] = np.array(1 / 16, dtype=np.float32)
    nodes = [
        helper.make_node("AveragePool", ["image"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Conv", ["cells", "w", "b"], ["shifted"]),
        helper.make_node("GlobalAveragePool", ["shifted"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["logits"]),
        helper.make_node("Conv", ["cells", "w"], ["evidence"]),
        helper.make_node("Relu", ["evidence"], ["rectified"]),
        helper.make_node("Mul", ["rectified", "share"], ["heat_maps"]),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", count])]
    if heat_maps:
        outputs.append(helper.make_tensor_value_info("heat_maps", TensorProto.FLOAT, ["n", count, 4, 4]))
    graph = helper.make_graph(
        nodes if heat_maps else nodes[:4],
        name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 32, 32])],
        outputs,
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    path = folder / f"{name}.onnx"
    save(model, str(path))
    points = {"Pneumonia": (0.7, 0.5), "Edema": (0.7, 0.2), "Fracture": (0.7, 0.5)}
    domain = cards.Domain(
        operating_points={
            finding: cards.Threshold(score=score, possible=possible, rule="Youden on validation", n=100)
            for finding, (score, possible) in points.items()
        },
        calibration={"Pneumonia": cards.Platt(slope=0.5, intercept=-1.0)},
    )
    cards.write_card(
        cards.Card(
            name=name,
            task=name,
            network="tiny",
            input=cards.InputSpec(size_px=32, normalisation="fixed", mean=0.0, deviation=1.0),
            heads=tuple(
                cards.Head.model_validate({"name": n, "classes": c, "activation": a}) for n, c, a in heads
            ),
            heat_maps=heat_maps,
            file=path.name,
            sha256=cards.sha256_of(path),
            training=cards.Training(command="none", data=("none",), licence="none", images=0, epochs=0),
            domains={"any": domain} if heads[0][0] == "findings" else {},
            caveats=(f"{name} <only> reads brightness.",),
        ),
        folder / f"{name}.card.json",
    )
