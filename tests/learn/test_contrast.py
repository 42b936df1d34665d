"""What a contrastive teacher promises: it follows slowly, buffers too, gives no gradient, and ranks share its keys."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from radsnap.learn.contrast import Taught, contrasting, follow, info_nce, keep_at  # noqa: E402
from radsnap.learn.loop import Teaching  # noqa: E402
from radsnap.learn.masking import Corruption  # noqa: E402
from radsnap.models.networks_vit import ViT  # noqa: E402


def taught(momentum: float = 0.996) -> Taught:
    torch.manual_seed(0)
    made = {"size_px": 32, "patch_px": 8, "width": 64, "depth": 2, "heads": 1, "inner": 128, "channels": 1}
    return Taught(ViT(1, **made, pool="patches"), dimensions=16, momentum=momentum)


def batch_of() -> dict[str, torch.Tensor]:
    """Eight smooth pictures of 32 px, and their mirror images."""
    coarse = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    images = torch.nn.functional.interpolate(coarse, size=(32, 32), mode="bicubic")
    return {"image": images, "other": images.flip(3), "place": torch.arange(8)}


def test_a_teacher_follows_in_parameters_and_buffers() -> None:
    torch.manual_seed(0)
    teacher, student = (torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3)) for _ in range(2))
    student(torch.randn(16, 3) + 5)  # its running mean moves, a batch is counted
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    follow(teacher, student, keep=0.75)
    for name, value in teacher.state_dict().items():
        new = student.state_dict()[name]
        expected = 0.75 * before[name] + 0.25 * new if value.is_floating_point() else new
        torch.testing.assert_close(value, expected)
    assert int(teacher[1].num_batches_tracked) == 1


def test_the_momentum_rises_to_one() -> None:
    assert [keep_at(step, 100, 0.996) for step in (0, 50, 100)] == pytest.approx([0.996, 0.998, 1.0])


def test_the_loss_is_the_cross_entropy_of_finding_the_own_key() -> None:
    directions = torch.eye(4)
    own = torch.arange(4)
    found = float(info_nce(directions, directions, own, temperature=0.5))
    assert found == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + 3)))
    assert float(info_nce(directions, directions.roll(1, 0), own, temperature=0.5)) > found


def test_parts_of_a_batch_that_share_their_keys_give_the_whole_batchs_loss() -> None:
    torch.manual_seed(0)
    queries, keys = (torch.nn.functional.normalize(torch.randn(8, 5), dim=1) for _ in range(2))
    whole = info_nce(queries, keys, torch.arange(8))
    parts = [info_nce(queries[k : k + 4], keys, torch.arange(k, k + 4)) for k in (0, 4)]
    torch.testing.assert_close(torch.stack(parts).mean(), whole)


def test_the_teacher_gets_no_gradient_and_the_student_does() -> None:
    network = taught().train()
    assert isinstance(network, Teaching)
    contrasting(Corruption(), 8, seed=0)(network, batch_of()).value.backward()
    assert all(one.grad is None for one in network.teacher.parameters())
    for name in ("projection.0.weight", "encoder.cls_token", "pixels.weight"):
        assert network.get_parameter(name).grad.abs().max() > 0, name
    old = network.teacher["projection"][0].weight.clone()
    with torch.no_grad():
        network.projection[0].weight += 1
    network.teach(0, 100)
    torch.testing.assert_close(network.teacher["projection"][0].weight, old + 0.004)


def test_the_student_restores_as_it_does_without_a_teacher() -> None:
    network = taught().eval()
    images = batch_of()["image"]
    restored, directions = network.query(images)
    assert torch.equal(restored, network(images))
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(8))


def test_eight_pictures_are_told_apart_better_and_better() -> None:
    network, batch = taught(momentum=0.5).train(), batch_of()
    objective = contrasting(Corruption(share=(0.2, 0.3), alien=0.0), 8, seed=0, temperature=0.1)
    optimiser = torch.optim.AdamW((one for one in network.parameters() if one.requires_grad), lr=1e-3)
    losses = []
    for step in range(30):
        optimiser.zero_grad()
        loss = objective(network, batch | {"place": batch["place"] + 8 * step})
        loss.value.backward()
        optimiser.step()
        network.teach(step, 30)
        losses.append(loss.parts["contrast"])
    assert losses[0] == pytest.approx(math.log(8), rel=0.1), "at first it guesses"
    assert sum(losses[-5:]) / 5 < 0.7 * losses[0]
