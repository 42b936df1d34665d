from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from sklearn.metrics import log_loss  # noqa: E402

from radsnap.learn.objectives import heads_objective  # noqa: E402
from radsnap.models.card import Head  # noqa: E402

SIGMOID = Head(name="findings", classes=("Edema", "Mass"), activation="sigmoid")
SOFTMAX = Head(name="kind", classes=("a", "b", "c"), activation="softmax")


class Says(torch.nn.Module):
    """A network that always says the same."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(logits))

    def forward(self, images):
        return self.logits[: len(images)]


def batch(target):
    return {"image": torch.zeros(len(target), 1, 4, 4), "target": torch.tensor(target)}


def test_losses_equal_scikit_learns():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 5)).astype(np.float32)
    binary = rng.integers(0, 2, size=(6, 2)).astype(np.float32)
    kind = rng.permutation(np.repeat([0, 1, 2], 2))
    target = np.concatenate([binary, np.eye(3, dtype=np.float32)[kind]], axis=1)
    loss = heads_objective((SIGMOID, SOFTMAX))(Says(logits), batch(target))
    share = 1 / (1 + np.exp(-logits[:, :2].astype(float)))
    soft = np.exp(logits[:, 2:].astype(float))
    soft /= soft.sum(axis=1, keepdims=True)
    assert loss.parts["findings"] == pytest.approx(log_loss(binary.ravel(), share.ravel()), abs=1e-6)
    assert loss.parts["kind"] == pytest.approx(log_loss(kind, soft, labels=[0, 1, 2]), abs=1e-6)
    assert float(loss.value.detach()) == pytest.approx(sum(loss.parts.values()), abs=1e-6)


def test_unknown_targets_give_no_gradient():
    model = Says([[0.3, -0.2, 1, 0, 0], [0.5, 2, 0, 1, 0]])
    nan = float("nan")
    target = [[1, nan, nan, nan, nan], [nan, nan, 0, 1, 0]]
    heads_objective((SIGMOID, SOFTMAX))(model, batch(target)).value.backward()
    gradient = model.logits.grad.numpy()
    assert gradient[0, 0] != 0
    assert (gradient[0, 1:] == 0).all()
    assert (gradient[1, :2] == 0).all()
    assert (gradient[1, 2:] != 0).all()


def test_a_batch_without_any_label_has_loss_zero():
    loss = heads_objective((SIGMOID, SOFTMAX))(Says([[1.0] * 5]), batch([[float("nan")] * 5]))
    loss.value.backward()
    assert float(loss.value.detach()) == 0
