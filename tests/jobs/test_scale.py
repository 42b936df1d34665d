"""The map: every item once, whatever the number of workers and whatever becomes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from radsnap.errors import UsageError
from radsnap.jobs.scale import Lost, Scale, spread
from radsnap.jobs.stores import LocalStore, RemoteStore, locked, open_store

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_item_comes_back_once_with_its_own_result(jobs: int) -> None:
    from works import square

    found = dict(spread(square, range(50), Scale(jobs)))
    assert found == {number: number * number for number in range(50)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_in_a_worker_is_raised_and_not_swallowed(jobs: int) -> None:
    from works import fail_at_three

    with pytest.raises(ArithmeticError, match="three"):
        dict(spread(fail_at_three, range(10), Scale(jobs)))


def test_an_item_that_kills_its_worker_is_lost_and_all_others_are_done() -> None:
    from works import die_at_three

    found = dict(spread(die_at_three, range(12), Scale(2)))
    assert isinstance(found.pop(3), Lost)
    assert found == {number: number for number in range(12) if number != 3}


def test_a_script_without_its_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from operator import neg\nfrom radsnap.jobs.scale import Scale, spread\nlist(spread(neg, range(9), Scale(2)))\n"
    )
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1
    assert "RadsnapError: worker processes end as they start; a script of your own" in ran.stderr


def test_only_a_few_items_are_under_way_at_a_time() -> None:
    from works import square

    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(10_000):
            taken += 1
            yield number

    results = spread(square, items(), Scale(2))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert taken <= 40


def test_opencv_keeps_to_one_thread_in_workers_and_has_its_own_back_here() -> None:
    from works import opencv_threads

    before = cv2.getNumThreads()
    for jobs in (1, 2):
        assert set(dict(spread(opencv_threads, range(8), Scale(jobs))).values()) == {1}
    assert cv2.getNumThreads() == before


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from works import Sleeper\n"
        "from radsnap.jobs.scale import Scale, spread\n"
        f"list(spread(Sleeper({str(tmp_path)!r}), range(9), Scale(2)))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    try:
        _until(lambda: len(list(tmp_path.iterdir())) == 2)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert len(workers) == 2
    _until(lambda: not any(_alive(worker) for worker in workers))
    assert not any(_alive(worker) for worker in workers)


def _alive(process: int) -> bool:
    try:
        return (
            " Z " not in Path(f"/proc/{process}/stat").read_text()
            if Path("/proc").is_dir()
            else _signals(process)
        )
    except FileNotFoundError:
        return False


def _signals(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _until(condition: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.05)


def test_a_write_that_fails_leaves_neither_a_half_file_nor_a_temporary_one(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.write("a/b.jpg", b"whole")
    with pytest.raises(TypeError):
        store.write("a/b.jpg", 5)  # type: ignore[arg-type]
    assert store.read("a/b.jpg") == b"whole"
    assert store.files() == ["a/b.jpg"]


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    with (
        locked(store),
        pytest.raises(UsageError, match=r"another run is at work in .*; wait for it, or give another folder"),
        locked(store),
    ):
        pass


def test_object_storage_behaves_as_a_folder_does() -> None:
    pytest.importorskip("fsspec")
    store = open_store("memory://bucket/stores")
    assert isinstance(store, RemoteStore)
    assert store.read("a.txt") is None
    store.write("x/a.txt", b"1")
    store.write("b.txt", b"2")
    assert store.read("x/a.txt") == b"1"
    assert store.files() == ["b.txt", "x/a.txt"]
    assert store.missing(["b.txt", "c.txt"]) == {"c.txt"}
    store.remove("x")
    store.remove("nothing")
    assert store.files() == ["b.txt"]
    store.remove("b.txt")


def test_a_storage_without_its_package_is_refused_in_words() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(UsageError, match="nosuch://x: no such storage here"):
        open_store("nosuch://x")


def test_a_ray_cluster_that_loses_a_node_loses_no_photo(tmp_path: Path) -> None:
    """Three nodes in a network of their own, one killed at work: the same bytes as one local process."""
    pytest.importorskip("ray", reason="needs ray: pip install 'radsnap[cluster]'")
    alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("no network namespace can be made here (unshare --net)")
    ran = subprocess.run(
        [*alone, sys.executable, str(HERE / "ray_cluster.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"},
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    assert "same bytes, a node was killed" in ran.stdout
