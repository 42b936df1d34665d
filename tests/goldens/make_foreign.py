"""Make `foreign.json`: what torchxrayvision, timm and transformers say with weights from a seed.

They do not import beside radsnap's torch, so that this runs in an environment of its own:

    python -m venv /tmp/others
    /tmp/others/bin/pip install torch numpy pandas requests tqdm imageio scikit-image pillow \
        huggingface_hub pyyaml regex tokenizers packaging safetensors
    /tmp/others/bin/pip install --no-deps torchxrayvision timm transformers
    /tmp/others/bin/python tests/goldens/make_foreign.py
"""

from __future__ import annotations

import importlib.machinery
import json
import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "models"))

import foreign_states as states  # noqa: E402
import torch  # noqa: E402


class _Anything(ModuleType):
    """Stands for torchvision, of which only names are imported here."""

    __path__: list[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock()


def stub(*names: str) -> None:
    for name in names:
        module = _Anything(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        sys.modules[name] = module


def fill(network: torch.nn.Module) -> list[tuple[str, list[int]]]:
    """Fill a network from the seed, and give names and shapes of its state dict."""
    own = network.state_dict()
    new = {name: torch.from_numpy(states.filled(name, tuple(value.shape))) for name, value in own.items()}
    network.load_state_dict({name: value.to(own[name].dtype) for name, value in new.items()})
    network.eval()
    return [(name, list(value.shape)) for name, value in own.items()]


@torch.no_grad()
def torchxrayvision() -> dict[str, object]:
    import torchxrayvision as xrv

    answers: dict[str, object] = {"version": xrv.__version__}
    for channels, outputs in ((1, 18), (3, 14)):
        network = xrv.models.DenseNet(in_channels=channels, num_classes=outputs)
        expected = [(name, list(shape)) for name, shape in states.densenet_shapes(channels, outputs)]
        assert fill(network) == expected, "the naming is not what the tests generate"
        batch = torch.from_numpy(states.images(2, channels, 64, -1024, 1024))
        answers[f"logits_{channels}"] = network(batch).tolist()
        answers[f"features_{channels}"] = network.features2(batch)[:, ::64].tolist()
        if channels == 1:
            points = torch.tensor(xrv.models.model_urls["all"]["op_threshs"])
            answers["op_threshs"] = points.tolist()
            network.op_threshs = points
            answers["bent"] = network(batch).tolist()
            network.op_threshs = None
            network.apply_sigmoid = True
            answers["sigmoid"] = network(batch).tolist()
    bytes_ = (states.images(1, 1, 64, 0, 255)[0, 0]).round()
    answers["normalised"] = xrv.datasets.normalize(bytes_, 255)[::16, ::16].tolist()
    return answers


@torch.no_grad()
def timm() -> dict[str, object]:
    from timm.models.vision_transformer import VisionTransformer

    answers: dict[str, object] = {}
    for pool in ("token", "avg"):
        network = VisionTransformer(
            img_size=32, patch_size=8, embed_dim=128, depth=2, num_heads=2, num_classes=3, global_pool=pool
        )
        answers[pool] = {"state": fill(network), "logits": network(_colour()).tolist()}
    return answers


@torch.no_grad()
def transformers() -> dict[str, object]:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=256, image_size=32,
        patch_size=8, num_labels=3,
    )  # fmt: skip
    network = ViTForImageClassification(config)
    return {"state": fill(network), "logits": network(pixel_values=_colour()).logits.tolist()}


def _colour() -> torch.Tensor:
    return torch.from_numpy(states.images(2, 3, 32, -1, 1))


def stub_torchvision() -> None:
    stub("torchvision", "torchvision.transforms", "torchvision.transforms.functional", "torchvision.datasets",
         "torchvision.models", "torchvision.ops", "torchvision.io", "torchvision.utils",
         "torchvision.ops.misc", "torchvision.transforms.v2", "torchvision.datasets.folder",
         "torchvision.transforms.v2.functional", "torchvision.models.feature_extraction")  # fmt: skip


def unstub_torchvision() -> None:
    """transformers asks whether torchvision is there, and does without."""
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]


def main() -> None:
    torch.manual_seed(0)
    stub_torchvision()
    golden = {"torch": torch.__version__, "torchxrayvision": torchxrayvision(), "timm": timm()}
    unstub_torchvision()
    golden["transformers"] = transformers()
    (HERE / "foreign.json").write_text(json.dumps(golden, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
