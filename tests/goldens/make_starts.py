"""Make `starts.json`: what EVA-X, a masked auto-encoder's transformer, RAD-DINO's class and EfficientNet-Lite0 say with
weights from a seed.

EVA-X and the transformer are timm's classes, RAD-DINO's is `Dinov2Model` of transformers, EfficientNet-Lite0's that of
efficientnet-lite-pytorch 0.1.0; in an environment of its own:

    python -m venv /tmp/others
    /tmp/others/bin/pip install torch numpy huggingface_hub pyyaml regex tokenizers packaging safetensors
    /tmp/others/bin/pip install --no-deps timm transformers efficientnet-lite-pytorch
    /tmp/others/bin/python tests/goldens/make_starts.py
"""

from __future__ import annotations

import json

import make_foreign as foreign
import torch
from make_foreign import HERE, fill, states


@torch.no_grad()
def eva_x() -> dict[str, object]:
    """As EVA-X's own `eva_x.py` makes tiny and small (`joined`) and base (`apart`), but smaller."""
    from timm.models.eva import Eva

    answers: dict[str, object] = {}
    for name, more in (("joined", {}), ("apart", {"qkv_fused": False, "scale_mlp": True})):
        network = Eva(
            img_size=32, patch_size=8, embed_dim=128, depth=2, num_heads=2, num_classes=3, mlp_ratio=4 * 2 / 3,
            swiglu_mlp=True, use_rot_pos_emb=True, ref_feat_shape=(14, 14), global_pool="avg", **more,
        )  # fmt: skip
        answers[name] = {"state": fill(network), "logits": network(colour()).tolist()}
    return answers


@torch.no_grad()
def mae() -> dict[str, object]:
    """A masked auto-encoder's transformer has timm's names, and says its tokens."""
    from timm.models.vision_transformer import VisionTransformer

    network = VisionTransformer(img_size=32, patch_size=8, embed_dim=128, depth=2, num_heads=2, num_classes=0)
    return {"state": fill(network), "tokens": network.forward_features(colour())[:, :, ::16].tolist()}


@torch.no_grad()
def rad_dino() -> dict[str, object]:
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(
        hidden_size=128, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    network = Dinov2Model(config)
    batch = torch.from_numpy(states.images(2, 3, 28, -1, 1))
    return {"state": fill(network), "tokens": network(batch).last_hidden_state[:, :, ::16].tolist()}


@torch.no_grad()
def efficientnet_lite0() -> dict[str, object]:
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0", num_classes=3)
    batch = torch.from_numpy(states.images(2, 3, 64, -1, 1))
    return {"state": fill(network), "logits": network(batch).tolist()}


def colour() -> torch.Tensor:
    return torch.from_numpy(states.images(2, 3, 32, -1, 1))


def main() -> None:
    torch.manual_seed(0)
    foreign.stub_torchvision()
    golden = {"torch": torch.__version__, "eva-x": eva_x(), "mae": mae()}
    foreign.unstub_torchvision()
    golden["rad-dino"] = rad_dino()
    golden["efficientnet-lite0"] = efficientnet_lite0()
    (HERE / "starts.json").write_text(json.dumps(golden, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
