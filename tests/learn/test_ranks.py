"""Several processes that fit one network: the single process's gradients, and nothing lost when one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from radsnap.errors import UsageError  # noqa: E402
from radsnap.learn.ranks import Ranks  # noqa: E402

WORK = Path(__file__).with_name("rank_work.py")


def start(ranks: int, *words: object) -> subprocess.Popen[bytes]:
    alone = [sys.executable, str(WORK)]
    many = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(ranks),
        "--max-restarts",
        "1",
    ]
    command = alone if ranks == 1 else [sys.executable, *many, str(WORK)]
    quiet = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, *map(str, words)], env=quiet, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said.decode()[-3000:]


def load(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)


def test_two_processes_give_the_gradients_of_one(phantoms, tmp_path):
    both = [start(ranks, "gradients", phantoms, tmp_path) for ranks in (1, 2)]
    for process in both:
        finish(process)
    alone, first, second = (load(tmp_path / f"{name}.pt") for name in ("1-0", "2-0", "2-1"))
    assert alone.keys() == first.keys()
    for name, gradient in alone.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(first[name], gradient, rtol=1e-4, atol=1e-6)
        assert torch.equal(first[name], second[name]), name


def test_blank_labels_count_alike_however_a_batch_is_shared(phantoms, tmp_path):
    shared = [start(ranks, "blank", phantoms, tmp_path, parts) for ranks, parts in ((1, 1), (1, 2), (2, 2))]
    for process in shared:
        finish(process)
    alone, *others = (load(tmp_path / f"{name}.pt") for name in ("1-1", "1-2", "2-2"))
    for other in others:
        for name, value in alone.items():
            torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-6)


def test_a_rank_killed_in_the_middle_changes_nothing(phantoms, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    undisturbed = start(2, "fit", phantoms, whole, 0.0)
    disturbed = start(2, "fit", phantoms, killed, 0.3)
    end = time.monotonic() + 200
    while not (killed / "step-5").exists():
        assert time.monotonic() < end, "the training did not reach its fifth step"
        assert disturbed.poll() is None, "the training ended before it could be killed"
        time.sleep(0.02)
    os.kill(int((killed / "pid-1").read_text()), signal.SIGKILL)
    finish(disturbed)
    finish(undisturbed)
    expected, got = load(whole / "best.pt"), load(killed / "best.pt")
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=0, atol=0)


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(
        UsageError, match="a batch of 9 images cannot be shared by 2 processes; give a multiple"
    ):
        Ranks(0, 2).share([], 9)


def test_ranks_share_out_every_batch():
    whole = list(range(16))
    parts = [Ranks(rank, 2).share(whole, 8) for rank in (0, 1)]
    assert [len(part) for part in parts] == [8, 8]
    seen = [[part[k] for k in range(8)] for part in parts]
    assert seen == [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]]
