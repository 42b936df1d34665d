from __future__ import annotations

import hashlib
import json
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from radsnap.errors import UsageError, WeightsError
from radsnap.jobs.models import ImportConfig, export_model, get_model, import_model, list_models
from radsnap.models import store
from radsnap.models.runtime import load

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
pytest.importorskip("onnx")

XRV = json.loads((Path(__file__).parents[1] / "goldens" / "foreign.json").read_text())["torchxrayvision"]


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RADSNAP_MODELS", str(tmp_path / "store"))
    return tmp_path / "store"


def foreign_onnx(path: Path, *, batch: int | str = 1, sigmoid: bool = True, outputs: int = 2) -> Path:
    """An ONNX file as others save it: other names, a fixed batch, probabilities; reads 3 × 32 px."""
    from onnx import TensorProto, helper, numpy_helper, save

    weights = np.linspace(-2, 2, 3 * outputs, dtype=np.float32).reshape(outputs, 3, 1, 1)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input.1"], ["pooled"]),
        helper.make_node("Conv", ["pooled", "w"], ["raw"]),
        helper.make_node("Flatten", ["raw"], ["logits" if sigmoid else "output"]),
    ]
    if sigmoid:
        nodes.append(helper.make_node("Sigmoid", ["logits"], ["output"]))
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [batch, 3, 32, 32])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, outputs])],
        [numpy_helper.from_array(weights, "w")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path


def config(file: Path, kind: str = "onnx", **changes: object) -> ImportConfig:
    return ImportConfig.model_validate({"file": file, "kind": kind} | changes)


def test_an_onnx_file_of_probabilities_becomes_a_model_of_logits(tmp_path: Path) -> None:
    file = foreign_onnx(tmp_path / "Strong Model.onnx")
    imported = import_model(config(file, labels=("Effusion", "edema"), says="probability"))
    assert imported.card.name == "strong-model"
    assert imported.card.heads[0].classes == ("Pleural Effusion", "Edema")
    assert imported.card.input.channels == 3
    network = load("strong-model")
    batch = np.random.default_rng(1).standard_normal((3, 3, 32, 32)).astype(np.float32)
    weights = np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(network.run(batch)["logits"], batch.mean(axis=(2, 3)) @ weights.T, atol=1e-4)


def test_the_card_says_where_weights_come_from_and_that_nothing_was_measured(tmp_path: Path) -> None:
    file = foreign_onnx(tmp_path / "m.onnx")
    card = import_model(config(file, labels=("a", "b"), command="radsnap models import")).card
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert card.training.started_from == f"m.onnx (sha256 {digest[:12]})"
    assert card.training.licence == "not stated; ask who published the weights"
    assert "radsnap has measured nothing" in card.caveats[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "has 2 outputs and does not name them; name them by --labels"),
        ({"labels": ("a",)}, "1 labels for 2 outputs"),
        ({"labels": ("Effusion", "Pleural_Effusion")}, "labels are distinct"),
        ({"labels": ("a", "b"), "size_px": 64}, "this network reads 32 px, not 64"),
        ({"labels": ("a", "b"), "mean": (0.1, 0.2)}, "one number or 3 for mean and deviation, got 2"),
    ],
)
def test_what_is_missing_or_wrong_is_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        import_model(config(foreign_onnx(tmp_path / "m.onnx"), **changes))
    assert store.names() == []


def test_files_that_are_not_onnx_are_refused(tmp_path: Path) -> None:
    for content in (b"", b"<html>", bytes(range(256)) * 20):
        (tmp_path / "bad.onnx").write_bytes(content)
        with pytest.raises(WeightsError, match=r"bad\.onnx"):
            import_model(config(tmp_path / "bad.onnx", labels=("a",)))


def test_onnx_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    import onnx

    model = onnx.load(str(foreign_onnx(tmp_path / "m.onnx")))
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "../../../etc/passwd")
    model.graph.initializer[0].ClearField("raw_data")
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError):
        import_model(config(tmp_path / "m.onnx", labels=("a", "b")))


def test_an_exported_model_can_be_taken_in_elsewhere(
    tmp_path: Path, tiny_chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export_model(str(tiny_chain / "findings.card.json"), tmp_path / "out")
    assert path == tmp_path / "out" / "findings" / "findings.card.json"
    taken = import_model(config(path.parent, "radsnap", name="mine"))
    assert load("mine").card == taken.card
    assert ("mine", "yours") in [(card.name, where) for card, where in list_models()]


@pytest.mark.train
def test_quantised_on_the_users_images_it_still_says_the_same(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    rng = np.random.default_rng(2)
    (tmp_path / "x").mkdir()
    for number in range(9):
        cv2.imwrite(
            str(tmp_path / "x" / f"{number}.png"),
            rng.integers(0, 255, (40, 40), dtype=np.uint8) // (1 + number),
        )
    file = foreign_onnx(tmp_path / "m.onnx", sigmoid=False)
    imported = import_model(config(file, labels=("a", "b"), quantise_on=tmp_path / "x"))
    assert imported.card.precision == "int8"
    assert imported.agreement is not None
    assert imported.agreement > 0.98
    assert imported.card.figures[0].value == imported.agreement
    (tmp_path / "few").mkdir()
    cv2.imwrite(str(tmp_path / "few" / "1.png"), np.zeros((9, 9), dtype=np.uint8))
    with pytest.raises(UsageError, match="1 images that can be read; quantising needs 8 or more"):
        import_model(config(file, labels=("a", "b"), name="other", quantise_on=tmp_path / "few"))


def _module(torch: Any, state: dict[str, Any]) -> Any:
    """A tree of modules that has exactly this state dict, to be pickled whole."""
    root = torch.nn.Module()
    for name, value in state.items():
        *places, last = name.split(".")
        module = root
        for place in places:
            if place not in module._modules:
                module.add_module(place, torch.nn.Module())
            module = module._modules[place]
        if value.is_floating_point() and not last.startswith("running"):
            module.register_parameter(last, torch.nn.Parameter(value))
        else:
            module.register_buffer(last, value)
    return root


@pytest.mark.train
def test_a_pickled_module_of_torchxrayvision_says_what_it_said_there(tmp_path: Path) -> None:
    """The whole way: a module in torch's old format, read without running it, to the runtime's scores."""
    torch = pytest.importorskip("torch")
    from foreign_states import densenet_shapes, filled, images

    state = {name: torch.from_numpy(filled(name, shape)) for name, shape in densenet_shapes(1, 18)}
    module = _module(torch, state)
    module.register_buffer("op_threshs", torch.tensor(XRV["op_threshs"]))
    module.pathologies = ["Edema", "", *(f"Output {number}" for number in range(16))]
    torch.save(module, tmp_path / "xrv.pt", _use_new_zipfile_serialization=False)
    card = import_model(config(tmp_path / "xrv.pt", "torchxrayvision", size_px=64)).card
    assert card.heads[0].classes[:2] == ("Edema", "Output 0")
    assert card.input.model_dump() == {
        "size_px": 64, "fit": "crop", "normalisation": "fixed", "channels": 1, "pixels": "grey",
        "mean": 0.5, "deviation": 1 / 2048,
    }  # fmt: skip
    assert card.domain("film").operating_points["Edema"].score == 0.5
    said = load("xrv").run(images(2, 1, 64, -1024, 1024))
    scores = 1 / (1 + np.exp(-said["logits"]))
    wanted = np.delete(np.array(XRV["bent"]), 1, axis=1)
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    assert said["heat_maps"].shape == (2, 17, 2, 2)
    _expect_autograds_maps(torch, state, said["heat_maps"])


def _expect_autograds_maps(torch: Any, state: dict[str, Any], heat_maps: NDArray[np.float32]) -> None:
    """Grad-CAM at the last rectified maps, by autograd; outputs are without the second of the file's."""
    from foreign_states import images

    from radsnap.models.networks import grad_cam
    from radsnap.models.networks_state import densenet

    network = densenet(state)
    rectified = torch.nn.Sequential(network.features, torch.nn.ReLU())
    whole = torch.nn.Sequential(rectified, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), network.out)
    batch = torch.from_numpy(images(2, 1, 64, -1024, 1024))
    pairs = ((0, 0), (1, 2), (5, 6), (16, 17))
    expected = np.stack([grad_cam(whole, rectified, batch, theirs).detach().numpy() for _, theirs in pairs])
    scale = float(expected.max())  # of all four: a map of a network without training may be zero everywhere
    assert scale > 0
    found = np.stack([heat_maps[:, ours] for ours, _ in pairs])
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-3)


@pytest.mark.train
def test_a_malicious_checkpoint_does_not_run_when_it_is_imported(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Evil:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"state_dict": {"classifier.bias": torch.zeros(2)}, "extra": Evil()}, tmp_path / "e.pt")
    with pytest.raises(WeightsError, match=r"has no first convolution 'features\.conv0'"):
        import_model(config(tmp_path / "e.pt", "densenet121", labels=("a", "b")))
    assert not (tmp_path / "ran").exists()


@pytest.mark.train
def test_a_transformer_is_imported_with_the_sizes_of_its_weights(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from radsnap.models.networks_vit import ViT

    network = ViT(2, size_px=32, patch_px=8, width=64, depth=1, heads=1, inner=64).eval()
    torch.save({"model": network.state_dict()}, tmp_path / "vit.pth")
    card = import_model(config(tmp_path / "vit.pth", "vit", labels=("NORMAL", "PNEUMONIA"), one_of=True)).card
    assert (card.input.size_px, card.input.channels, card.heads[0].activation) == (32, 3, "softmax")
    batch = np.random.default_rng(3).standard_normal((3, 3, 32, 32)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(load("vit").run(batch)["logits"], expected, atol=1e-5)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_weights_are_fetched_checked_and_imported(tmp_path: Path, own_store: Path) -> None:
    (tmp_path / "web").mkdir()
    file = foreign_onnx(tmp_path / "web" / "m.onnx")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "web")))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/m.onnx"
        with pytest.raises(
            UsageError, match="unverified, no checksum of it is known; give its --sha256, or --trust"
        ):
            get_model(url, kind="onnx", labels=("a", "b"))
        with pytest.raises(UsageError, match=r"say what http.*m\.onnx is by --as"):
            get_model(url, sha256=digest)
        with pytest.raises(UsageError, match="kind: Input should be"):
            get_model(url, sha256=digest, kind="tensorflow")
        with pytest.raises(WeightsError, match="is not the file that was expected"):
            get_model(url, sha256="0" * 64, kind="onnx", labels=("a", "b"))
        assert get_model(url, sha256=digest.upper(), kind="onnx", labels=("a", "b")).card.name == "m"
        assert get_model(url, trust=True, kind="onnx", labels=("a", "b"), name="n").card.name == "n"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert store.names() == ["m", "n"]
    assert list((own_store / ".fetched").iterdir()) == []


def test_unverified_weights_of_the_table_ask_for_trust() -> None:
    with pytest.raises(UsageError, match=r"arnoweng.*unverified"):
        get_model("chexnet")
