from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from radsnap.errors import UsageError, WeightsError
from radsnap.models import store
from radsnap.models.card import read_card, write_card
from radsnap.models.runtime import load, locate

GREY = np.full((3, 1, 32, 32), 0.5, dtype=np.float32)


def test_named_arrays_come_out(tiny_chain: Path) -> None:
    said = load(tiny_chain / "findings.card.json", threads=1).run(GREY)
    assert said["logits"].shape == (3, 3)
    assert said["heat_maps"].shape == (3, 3, 4, 4)
    np.testing.assert_allclose(said["logits"][0], [1.0, -1.0, 0.0], atol=1e-5)


def test_a_card_is_found_by_path_weights_folder_and_name(
    tiny_chain: Path, own_store: Path, tmp_path: Path
) -> None:
    card = read_card(tiny_chain / "knee.card.json")
    stored = store.add(card, tiny_chain / "knee.onnx")
    assert stored == own_store / "knee" / "knee.card.json"
    assert locate("knee") == stored
    assert locate(own_store / "knee") == stored
    assert locate(tiny_chain / "gate.onnx") == tiny_chain / "gate.card.json"
    assert load("knee").card == card


def test_an_unknown_name_says_which_there_are(tiny_chain: Path, own_store: Path) -> None:
    store.add(read_card(tiny_chain / "knee.card.json"), tiny_chain / "knee.onnx")
    with pytest.raises(
        WeightsError, match=r"no model 'strong': not a card, not a folder with one.*\(.*knee.*\)"
    ):
        locate("strong")


def test_a_folder_of_several_cards_is_refused(tiny_chain: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds 5 model cards \(\*\.card\.json\); name the one to use"):
        locate(tiny_chain)


def test_pickles_and_weights_without_a_card_are_refused_with_the_way_out(tmp_path: Path) -> None:
    for name, message in (
        ("a.pt", "pickled checkpoints are not run: convert it once with 'radsnap models import'"),
        ("b.onnx", r"it has no card b\.card\.json beside it: make one with 'radsnap models import'"),
    ):
        (tmp_path / name).write_bytes(b"\x80\x02}.")
        with pytest.raises(WeightsError, match=message):
            load(tmp_path / name)


def _copy(tiny_chain: Path, folder: Path) -> Path:
    for ending in (".onnx", ".card.json"):
        shutil.copy(tiny_chain / f"knee{ending}", folder)
    return folder / "knee.card.json"


def test_weights_that_are_not_the_cards_are_refused(tiny_chain: Path, tmp_path: Path) -> None:
    card = _copy(tiny_chain, tmp_path)
    with (tmp_path / "knee.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(
        WeightsError, match=r"is not what its card describes: sha256 .*…, the card says .*…; get the"
    ):
        load(card)
    (tmp_path / "knee.onnx").unlink()
    with pytest.raises(WeightsError, match=r"names knee\.onnx, which is not beside it; get the model again"):
        load(card)


def test_a_card_of_other_classes_or_of_maps_that_are_not_there_is_refused(
    tiny_chain: Path, tmp_path: Path
) -> None:
    path = _copy(tiny_chain, tmp_path)
    card = read_card(path)
    head = card.heads[0].model_copy(update={"classes": ("a", "b")})
    write_card(card.model_copy(update={"heads": (head,)}), path)
    with pytest.raises(WeightsError, match="gives 1 logits, its card names 2 classes"):
        load(path)
    write_card(card.model_copy(update={"heat_maps": True}), path)
    with pytest.raises(
        WeightsError, match=r"gives \['logits'\], its card promises \['heat_maps', 'logits'\]"
    ):
        load(path)


def test_a_wrong_shape_is_refused(tiny_chain: Path) -> None:
    with pytest.raises(WeightsError, match=r"model knee reads \(N, 1, 32, 32\), got \(3, 1, 16, 16\)"):
        load(tiny_chain / "knee.card.json").run(GREY[:, :, :16, :16])


def test_the_store_follows_its_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADSNAP_MODELS", str(tmp_path / "own"))
    assert store.folder() == tmp_path / "own"
    monkeypatch.delenv("RADSNAP_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert store.folder() == tmp_path / "data" / "radsnap" / "models"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert store.folder() == Path.home() / ".local" / "share" / "radsnap" / "models"


def test_a_name_is_not_taken_twice_unless_asked_for(tiny_chain: Path, own_store: Path) -> None:
    card = read_card(tiny_chain / "knee.card.json")
    store.add(card, tiny_chain / "knee.onnx")
    with pytest.raises(UsageError, match="is there already; give another --name, or --replace it"):
        store.add(card, tiny_chain / "knee.onnx")
    store.add(card, tiny_chain / "knee.onnx", replace=True)
    assert store.names() == ["knee"]
    assert sorted(path.name for path in own_store.rglob("*")) == ["knee", "knee.card.json", "knee.onnx"]


def test_weights_of_another_card_do_not_enter_the_store(tiny_chain: Path, own_store: Path) -> None:
    with pytest.raises(WeightsError, match="is not what the card knee describes"):
        store.add(read_card(tiny_chain / "knee.card.json"), tiny_chain / "gate.onnx")
    assert store.names() == []


@pytest.mark.train
def test_a_state_dict_with_a_card_runs_like_the_network_itself(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from foreign_states import images
    from safetensors.torch import save_file
    from test_card import card

    from radsnap.models.card import Head, InputSpec, sha256_of
    from radsnap.models.networks_vit import ViT

    torch.manual_seed(1)
    network = ViT(3, size_px=32, patch_px=8, width=64, depth=1, heads=1, inner=64)
    save_file(network.state_dict(), tmp_path / "v.safetensors")
    described = card(
        name="v", network="vit", file="v.safetensors", sha256=sha256_of(tmp_path / "v.safetensors"),
        input=InputSpec(size_px=32, channels=3),
        heads=(Head(name="findings", classes=("a", "b", "c"), activation="sigmoid"),),
    )  # fmt: skip
    write_card(described, tmp_path / "v.card.json")
    batch = images(3, 3, 32, -1, 1)
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(load(tmp_path / "v.safetensors").run(batch)["logits"], expected, atol=1e-5)


def test_a_trainings_folder_of_two_cards_gives_the_quantised_one(tiny_chain: Path, tmp_path: Path) -> None:
    card = read_card(tiny_chain / "gate.card.json")
    write_card(card.model_copy(update={"precision": "float32"}), tmp_path / "gate-float32.card.json")
    write_card(card.model_copy(update={"precision": "int8"}), tmp_path / "gate.card.json")
    assert locate(tmp_path) == tmp_path / "gate.card.json"
    write_card(card.model_copy(update={"precision": "int8"}), tmp_path / "other.card.json")
    with pytest.raises(WeightsError, match="holds 3 model cards"):
        locate(tmp_path)


def test_one_picture_and_many_get_the_same_answer(tiny_chain: Path) -> None:
    network = load(tiny_chain / "findings.card.json", threads=1)
    pictures = np.random.default_rng(0).random((4, 1, 32, 32)).astype(np.float32)
    together = network.run(pictures)
    for place in range(4):
        alone = network.run(pictures[place : place + 1])
        np.testing.assert_allclose(alone["logits"][0], together["logits"][place], atol=1e-5)


def test_an_answer_stays_when_the_next_picture_is_read(tiny_chain: Path) -> None:
    network = load(tiny_chain / "findings.card.json", threads=1)
    rng = np.random.default_rng(0)
    first = network.run(rng.random((1, 1, 32, 32)).astype(np.float32))
    kept = {name: value.copy() for name, value in first.items()}
    network.run(rng.random((1, 1, 32, 32)).astype(np.float32))
    for name, value in first.items():
        assert (value == kept[name]).all()


def test_threads_share_a_network(tiny_chain: Path) -> None:
    network = load(tiny_chain / "findings.card.json", threads=1)
    pictures = np.random.default_rng(0).random((24, 1, 1, 32, 32)).astype(np.float32)
    with ThreadPoolExecutor(6) as pool:
        said = list(pool.map(lambda picture: network.run(picture)["logits"], pictures))
    for picture, logits in zip(pictures, said, strict=True):
        assert (network.run(picture)["logits"] == logits).all()


_FIRST_RUNS = """
import os, sys, threading
import numpy as np
from radsnap.models.runtime import load

networks = [load(sys.argv[1]) for _ in range(4)]
shape = networks[0].card.input
images = np.zeros((1, shape.channels, shape.size_px, shape.size_px), np.float32)
together = threading.Barrier(len(networks))
sys.setswitchinterval(1e-6)

def first(network):
    together.wait()
    network.run(images)

threads = [threading.Thread(target=first, args=(network,), daemon=True) for network in networks]
[thread.start() for thread in threads]
threads[0].join(15)
[thread.join(1) for thread in threads]
print(sum(thread.is_alive() for thread in threads), "threads wait for ever", flush=True)
os._exit(0)
"""


def test_first_runs_in_several_threads_do_not_wait_for_each_other(tiny_chain: Path) -> None:
    # Without the care that `_started` takes, about half of these processes hung.
    command = [sys.executable, "-c", _FIRST_RUNS, str(tiny_chain / "gate.card.json")]
    for _ in range(4):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert done.stdout == "0 threads wait for ever\n"


def test_weights_that_change_before_the_first_batch_are_refused(tiny_chain: Path, tmp_path: Path) -> None:
    network = load(_copy(tiny_chain, tmp_path), threads=1)
    with (tmp_path / "knee.onnx").open("ab") as file:
        file.write(b"\0")
    assert len(network.run(GREY[:1])["logits"]) == 1
    with pytest.raises(WeightsError, match="is not what its card describes"):
        network.run(GREY)
