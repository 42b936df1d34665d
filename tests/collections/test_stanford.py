"""CheXpert, CheXphoto and MURA, in the originals' layout and with their quirks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from radsnap.collections import import_collection
from radsnap.errors import ManifestError
from radsnap.findings import CHEXPERT_14
from radsnap.jobs.photograph import PhotographConfig, photograph_files
from radsnap.photo import RECIPES, camera_sees
from radsnap.tables import combine, labels, paths

Tree = Callable[..., Path]

HEADER = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(CHEXPERT_14) + "\n"
TRAIN = HEADER + (
    "{0}/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0,,,,,,,,,0.0,,,,1.0\n"
    "{0}/train/patient00002/study2/view1_frontal.jpg,Male,87,Frontal,PA,,,-1.0,1.0,,-1.0,-1.0,,-1.0,,-1.0,,1.0,\n"
    "{0}/train/patient00002/study2/view2_lateral.jpg,Male,87,Lateral,,,,-1.0,1.0,,-1.0,-1.0,,-1.0,,-1.0,,1.0,\n"
)
VALID = (
    HEADER
    + "{0}/valid/patient64541/study1/view1_frontal.jpg,Male,73,Frontal,AP,0.0,1.0,1.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n"
)
IMAGES = [
    "train/patient00001/study1/view1_frontal.jpg",
    "train/patient00002/study2/view1_frontal.jpg",
    "train/patient00002/study2/view2_lateral.jpg",
    "valid/patient64541/study1/view1_frontal.jpg",
]


@pytest.mark.parametrize("name", ["CheXpert-v1.0-small", "CheXpert-v1.0", "my/disk"])
def test_chexpert_reads_whatever_folder_its_paths_start_with(tree: Tree, name: str) -> None:
    root = tree(IMAGES, **{"train.csv": TRAIN.format(name), "valid.csv": VALID.format(name)})
    manifest = import_collection("chexpert", root)
    frame = manifest.frame
    assert all(path.is_file() for path in paths(manifest))
    assert frame["image_id"].tolist() == [path.removesuffix(".jpg") for path in IMAGES]
    assert frame["study_id"].tolist() == [
        "patient00001/study1",
        *["patient00002/study2"] * 2,
        "patient64541/study1",
    ]
    assert frame["patient_id"].tolist()[0] == "chexpert-patient00001"
    assert frame["split"].tolist() == ["train", "train", "train", "val"]
    assert frame["body"].tolist() == ["chest_frontal", "chest_frontal", "chest_lateral", "chest_frontal"]
    assert frame["view"].tolist() == ["AP", "PA", "lateral", "AP"]
    assert set(frame["domain"]) == {"digital"}
    assert frame["sex"].tolist() == ["Female", "Male", "Male", "Male"]
    assert manifest.findings == CHEXPERT_14


def test_chexpert_keeps_uncertain_and_blank(tree: Tree) -> None:
    root = tree(**{"train.csv": TRAIN.format("x")})
    frame = import_collection("chexpert", root).frame
    np.testing.assert_array_equal(frame["Cardiomegaly"], np.array([np.nan, -1, -1], dtype=np.float32))
    np.testing.assert_array_equal(frame["Pneumothorax"], np.array([0, np.nan, np.nan], dtype=np.float32))


def test_the_test_set_of_chexpert_comes_with_another_order_of_columns_and_no_sex(tree: Tree) -> None:
    table = "Path,Lung Lesion,Lung Opacity,Edema\ntest/patient64741/study1/view1_frontal.jpg,0,1,0\n"
    frame = import_collection("chexpert", tree(**{"test_labels.csv": table})).frame
    assert frame[["split", "Lung Opacity", "Lung Lesion", "sex"]].to_numpy().tolist() == [
        ["test", 1.0, 0.0, ""]
    ]


def test_truth_by_study_is_given_to_each_image_of_the_study(tree: Tree) -> None:
    home = "test/patient64741/study1/"
    table = "Study,Edema,No Finding\nCheXpert-v1.0/test/patient64741/study1,1,0\nCheXpert-v1.0/test/patient64742/study1,0,1\n"
    root = tree(
        [
            home + "view1_frontal.jpg",
            home + "view2_lateral.jpg",
            "test/patient64742/study1/view1_frontal.jpg",
        ],
        **{"groundtruth.csv": table},
    )
    frame = import_collection("chexpert", root).frame
    assert frame["Edema"].tolist() == [1.0, 1.0, 0.0]
    assert frame["split"].tolist() == ["test"] * 3


def test_chexpert_finds_images_in_the_downloads_own_folders(tree: Tree) -> None:
    homes = {
        "train/patient00001": "CheXpert-v1.0 batch 2 (train 1)/patient00001",
        "train/patient00002": "CheXpert-v1.0 batch 3 (train 2)/patient00002",
        "valid/patient64541": "CheXpert-v1.0 batch 1 (validate & csv)/valid/patient64541",
    }
    images = ["/".join([homes["/".join(name.split("/")[:2])], *name.split("/")[2:]]) for name in IMAGES]
    csv = "CheXpert-v1.0 batch 1 (validate & csv)/"
    root = tree(
        images,
        **{
            csv + "train.csv": TRAIN.format("CheXpert-v1.0"),
            csv + "valid.csv": VALID.format("CheXpert-v1.0"),
        },
    )
    manifest = import_collection("chexpert", root)
    assert manifest.frame["path"].tolist() == images
    assert manifest.frame["image_id"].tolist() == [path.removesuffix(".jpg") for path in IMAGES]


def test_a_path_that_is_none_of_chexperts_is_named_with_its_row(tree: Tree) -> None:
    bad = TRAIN.format("x") + "x/train/p3/view1.jpg" + "," * 18 + "\n"
    with pytest.raises(
        ManifestError,
        match=r"the train table: row 4, column 'Path' has 'x/train/p3/view1\.jpg'; expected train\|valid",
    ):
        import_collection("chexpert", tree(**{"train.csv": bad}))


PHOTOS = HEADER + (
    "CheXphoto-v1.0/train/natural/nokia/patient00002/study2/view1_frontal.jpg,Male,87,Frontal,PA,,,-1.0,1.0,,,,,,,,,1.0,\n"
    "CheXphoto-v1.0/train/natural/iphone/patient00002/study2/view1_frontal.jpg,Male,87,Frontal,PA,,,-1.0,1.0,,,,,,,,,1.0,\n"
    "CheXphoto-v1.0/train/synthetic/photographic/patient00002/study2/view1_frontal.jpg,Male,87,Frontal,PA,,,-1.0,1.0,,,,,,,,,1.0,\n"
    "CheXphoto-v1.0/train/synthetic/digital/patient00002/study2/view2_lateral.jpg,Male,87,Lateral,,,,-1.0,1.0,,,,,,,,,1.0,\n"
)
FILMS = HEADER + (
    "CheXphoto-v1.0/valid/natural/film/patient64541/study1/view1_frontal.jpg,Male,73,Frontal,AP,0.0,1.0,1.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n"
    "CheXphoto-v1.0/valid/natural/oneplus/patient64541/study1/view1_frontal.jpg,Male,73,Frontal,AP,0.0,1.0,1.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n"
)


def test_chexphoto_pairs_every_subset_with_chexpert(tree: Tree) -> None:
    root = tree(**{"train.csv": PHOTOS, "valid.csv": FILMS})
    frame = import_collection("chexphoto", root).frame
    assert frame["device"].tolist() == ["nokia", "iphone", "photographic", "digital", "film", "oneplus"]
    assert frame["domain"].tolist() == ["screen", "screen", "screen", "digital", "film", "screen"]
    assert frame["origin"].tolist() == ["real", "real", "synthetic", "synthetic", "real", "real"]
    assert frame["path"].tolist()[0] == "train/natural/nokia/patient00002/study2/view1_frontal.jpg"
    digital = tree(IMAGES, **{"train.csv": TRAIN.format("a"), "valid.csv": VALID.format("a")})
    xrays = import_collection("chexpert", digital).frame
    assert set(frame["source_image_id"]) <= set(xrays["image_id"])
    assert set(frame["study_id"]) <= set(xrays["study_id"])
    assert set(frame["patient_id"]) <= set(xrays["patient_id"])


def test_chexphoto_knows_the_folders_of_our_own_recipes(tree: Tree) -> None:
    """The same domains as the job writes into its manifest, for every recipe and its copies."""
    row = "train/synthetic/{0}/patient00002/study2/view1_frontal.jpg,Male,87,Frontal,PA" + "," * 14 + "\n"
    folders = [
        name + end for name in [*RECIPES, "blur+moire@3", "jpeg", "tint+film"] for end in ("", "-copy2")
    ]
    frame = import_collection(
        "chexphoto", tree(**{"train.csv": HEADER + "".join(row.format(name) for name in folders)})
    ).frame
    assert frame["device"].tolist() == folders
    assert frame["domain"].tolist() == [camera_sees(name.removesuffix("-copy2")) for name in folders]
    assert set(frame["domain"]) == {"digital", "screen", "film"}
    assert set(frame["origin"]) == {"synthetic"}


def test_what_the_job_makes_is_read_as_chexphoto(tree: Tree, tmp_path: Path) -> None:
    root, photos = tree(IMAGES, **{"train.csv": TRAIN.format("CheXpert")}), tmp_path / "photos"
    config = PhotographConfig(
        source=str(root / "train.csv"), output=str(photos), recipe="chexphoto-digital", copies=2, jobs=1
    )
    assert photograph_files(config).made == 6
    manifest = import_collection("chexphoto", photos)
    assert all(path.is_file() for path in paths(manifest))
    assert len(manifest) == 6
    assert manifest.frame["image_id"].is_unique
    assert set(manifest.frame["domain"]) == {"digital"}
    assert set(manifest.frame["origin"]) == {"synthetic"}
    xrays = import_collection("chexpert", root).frame
    assert set(manifest.frame["source_image_id"]) == set(xrays["image_id"])


def test_photos_and_x_rays_stand_in_one_table(tree: Tree, tmp_path: Path) -> None:
    photos = import_collection("chexphoto", tree(**{"train.csv": PHOTOS, "valid.csv": FILMS}))
    xrays = import_collection(
        "chexpert", tree(IMAGES, **{"train.csv": TRAIN.format("a"), "valid.csv": VALID.format("a")})
    )
    both = combine(xrays, photos)
    assert len(both) == len(xrays) + len(photos)
    assert labels(both, ["Lung Opacity"], uncertain="ignore")[1:3].tolist() == [[1.0], [1.0]]


def test_a_photo_outside_the_subsets_is_named(tree: Tree) -> None:
    bad = PHOTOS.replace("natural/nokia", "nokia")
    with pytest.raises(
        ManifestError, match=r"the train table: row 1, column 'Path' has .*; expected train\|valid/natural"
    ):
        import_collection("chexphoto", tree(**{"train.csv": bad}))


def test_mura_reads_lists_without_a_header(tree: Tree) -> None:
    train = (
        "MURA-v1.1/train/XR_SHOULDER/patient00001/study1_positive/image1.png\n"
        "MURA-v1.1/train/XR_SHOULDER/patient00001/study1_positive/image2.png\n"
        "MURA-v1.1/train/XR_FINGER/patient00001/study1_negative/image1.png\n"
    )
    valid = "MURA-v1.1/valid/XR_WRIST/patient11185/study1_negative/image1.png\n"
    frame = import_collection(
        "mura", tree(**{"train_image_paths.csv": train, "valid_image_paths.csv": valid})
    ).frame
    assert frame["body"].tolist() == ["shoulder_humerus", "shoulder_humerus", "hand_wrist", "hand_wrist"]
    assert frame["body_part"].tolist() == ["shoulder", "shoulder", "finger", "wrist"]
    assert frame["abnormal"].tolist() == ["1", "1", "0", "0"]
    assert frame["split"].tolist() == ["train", "train", "train", "val"]
    assert frame["patient_id"].nunique() == 2
    assert frame["study_id"].nunique() == 3
    assert frame["path"].tolist()[0] == "train/XR_SHOULDER/patient00001/study1_positive/image1.png"
    with pytest.raises(ManifestError, match="expected MURA"):
        import_collection("mura", tree(**{"train_image_paths.csv": "train/hand.png\n"}))
