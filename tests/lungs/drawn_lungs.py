"""A network that takes what is dark for lungs and what is bright for the heart, and pictures drawn for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from radsnap.models.card import Card, Head, InputSpec, Training, sha256_of, write_card

SIZE_PX = 64
BODY, LUNG, HEART = 128, 26, 242
# (top, bottom, left, right) as shares of the picture
LEFT, RIGHT, MIDDLE = (0.2, 0.8, 0.15, 0.4), (0.2, 0.8, 0.6, 0.85), (0.5, 0.75, 0.42, 0.58)


def write_network(folder: Path, heart: bool = True, fit: str = "stretch") -> Path:
    """Write lungs.onnx: below 0.3 is lung, above 0.8 heart. Gives the card's path."""
    from onnx import TensorProto, helper, numpy_helper, save

    classes = ("lungs", "heart") if heart else ("lungs",)
    slopes = np.array([-20.0, 20.0], np.float32)[: len(classes)]
    offsets = np.array([6.0, -16.0], np.float32)[: len(classes)]
    shape = ["n", len(classes), SIZE_PX, SIZE_PX]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w", "b"], ["logits"])],
        "lungs",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, SIZE_PX, SIZE_PX])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(slopes.reshape(-1, 1, 1, 1), "w"),
            numpy_helper.from_array(offsets, "b"),
        ],
    )
    path = folder / "lungs.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    card = Card(
        name="lungs", task="lungs", network="tiny",
        input=InputSpec(size_px=SIZE_PX, fit=fit, normalisation="fixed", mean=0.0, deviation=1.0),
        heads=(Head(name="masks", classes=classes, activation="sigmoid"),),
        file=path.name, sha256=sha256_of(path),
        training=Training(command="none", data=("none",), licence="none", images=0, epochs=0),
    )  # fmt: skip
    write_card(card, folder / "lungs.card.json")
    return folder / "lungs.card.json"


def drawn(
    height: int, width: int, *dark: tuple[float, float, float, float], heart: bool = True
) -> np.ndarray:
    """Draw a grey picture (height, width) with boxes for lungs, and one for the heart between them."""
    picture = np.full((height, width), BODY, np.uint8)
    for box, value in [*((part, LUNG) for part in dark), *([(MIDDLE, HEART)] if heart else [])]:
        picture[inside(box, height, width)] = value
    return picture


def inside(box: tuple[float, float, float, float], height: int, width: int) -> tuple[slice, slice]:
    """The pixels of a box."""
    top, bottom, left, right = box
    return slice(round(top * height), round(bottom * height)), slice(
        round(left * width), round(right * width)
    )
