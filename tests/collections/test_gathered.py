"""The gathered images: what is labelled is labelled, what is not stays unknown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from radsnap.collections import import_collection
from radsnap.errors import ManifestError, UsageError
from radsnap.findings import CHESTXRAY_14
from radsnap.tables import Manifest, paths, read_manifest, write_manifest

Tree = Callable[..., Path]

HEADER = (
    "file,kind,body,split,labels,patient_id,view,official_split,rsna_class,boxes_xywh,mask,width,height,orig_width,"
    "orig_height,source,licence,remark,nih_image\n"
)
ROWS = [
    'n/1.jpg,cxr_nih,chest,test,Pneumonia|Effusion,193,AP,test_list,Lung Opacity,"Lung Opacity:1,2,3,4",,512,512,1,1,s,l,,1.png',
    "n/2.jpg,cxr_nih,chest,train,No Finding,7,PA,train_val_list,,,,512,512,1,1,s,l,,2.png",
    "n/3.jpg,cxr_nih_normal,chest,train,,7,PA,train_val_list,Normal,,,256,256,1,1,s,l,,3.png",
    "k/4.jpg,cxr_paediatric,chest,train,pneumonia_virus,7,,kaggle_train,,,m/4.png,256,256,1,1,s,l,,",
    "k/5.jpg,cxr_paediatric,chest,train,normal,8,,kaggle_train,,,m/5.png,256,256,1,1,s,l,,",
    "c/6.jpg,cxr_covid,chest,train,COVID-19,7,PA,,,,,512,512,1,1,s,l,,",
    "x/7.jpg,xray_other,femur,val,femur,,,,,,,512,512,1,1,s,l,,",
    "d/8.jpg,nonxray_medical,,val,brain MRI,,,,,,,512,512,1,1,s,l,,",
    "p/9.jpg,photo_chest,chest,test,COVID-19,,,,,,,512,512,1,1,s,l,photo_screen_or_lightbox,",
    "p/10.jpg,photo_chest,chest,test,COVID-19,,,,,,,512,512,1,1,s,l,tinted_film_or_scan_possible_photo,",
    "n/11.jpg,cxr_nih,chest,train,No Finding,9,PA,train_val_list,No Lung Opacity / Not Normal,,,512,512,1,1,s,l,,4.png",
]


@pytest.fixture
def manifest(tree: Tree) -> Manifest:
    return import_collection("gathered", tree(**{"manifest.csv": HEADER + "\n".join(ROWS) + "\n"}))


def test_patients_of_the_two_nih_kinds_are_the_same_and_of_others_not(manifest: Manifest) -> None:
    patients = manifest.frame["patient_id"].tolist()
    assert patients[:6] == ["nih-193", "nih-7", "nih-7", "kermany-7", "kermany-8", "covid-7"]
    assert patients[6] == "x/7"


def test_findings_are_known_only_where_the_source_labels_them(manifest: Manifest) -> None:
    frame = manifest.frame.set_index("image_id")
    assert frame.loc[
        "n/1", ["Pneumonia", "Pleural Effusion", "Edema", "No Finding", "Lung Opacity"]
    ].tolist() == [1, 1, 0, 0, 1]
    assert frame.loc["n/2", [*CHESTXRAY_14]].tolist() == [0] * 14
    assert frame.loc["n/2", "No Finding"] == 1
    assert frame["Lung Opacity"].isna().tolist() == [
        False,
        True,
        True,
        False,
        False,
        True,
        True,
        True,
        True,
        True,
        False,
    ]
    assert frame.loc["n/11", "Lung Opacity"] == 0
    assert frame.loc["k/4", ["Pneumonia", "Lung Opacity"]].tolist() == [1, 1]
    assert frame.loc["k/5", ["Pneumonia", "Lung Opacity"]].tolist() == [0, 0]
    assert frame.loc["k/5", ["Edema", "No Finding"]].isna().all()
    for image in ("n/3", "c/6", "x/7", "d/8", "p/9"):
        assert frame.loc[image, list(manifest.findings)].isna().all(), image


def test_body_domain_and_x_ray_follow_the_kind(manifest: Manifest) -> None:
    frame = manifest.frame.set_index("image_id")
    assert frame.loc[["n/1", "x/7", "d/8", "p/9", "p/10"], "body"].tolist() == [
        "chest_frontal",
        "knee_leg",
        "none",
        "chest_frontal",
        "chest_frontal",
    ]
    assert frame.loc[["n/1", "x/7", "d/8", "p/9", "p/10"], "domain"].tolist() == [
        "digital",
        "digital",
        "",
        "",
        "film",
    ]
    assert frame["xray"].tolist() == ["1"] * 7 + ["0"] + ["1"] * 3
    assert frame.loc["x/7", "body_part"] == "femur"
    assert frame.loc["n/1", "boxes_xywh"] == "Lung Opacity:1,2,3,4"


def test_an_unknown_label_of_nih_is_refused(tree: Tree) -> None:
    with pytest.raises(UsageError, match="'Sneeze' is not a finding"):
        import_collection(
            "gathered",
            tree(**{"manifest.csv": HEADER + ROWS[0].replace("Pneumonia|Effusion", "Sneeze") + "\n"}),
        )


def test_an_unknown_collection_is_named_with_its_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"no collection is called 'CheXprt'; did you mean 'chexpert'\? known are: chexpert, chexphoto,",
    ):
        import_collection("CheXprt", tmp_path)


def test_a_patient_of_two_splits_is_refused(tree: Tree) -> None:
    with pytest.raises(ManifestError, match="patient 'nih-7' is in train and test"):
        import_collection(
            "gathered",
            tree(**{"manifest.csv": HEADER + ROWS[1] + "\n" + ROWS[2].replace(",train,", ",test,") + "\n"}),
        )


@pytest.mark.shared
def test_the_real_images_are_all_there_and_survive_writing(shared_data: Path, tmp_path: Path) -> None:
    manifest = import_collection("gathered", shared_data)
    assert all(path.is_file() for path in paths(manifest))
    masks = [name for cell in manifest.frame["mask"] for name in cell.split("|") if name]
    assert all((shared_data / name).is_file() for name in masks)
    write_manifest(manifest, tmp_path / "gathered.csv")
    again = read_manifest(tmp_path / "gathered.csv")
    assert paths(again) == paths(manifest)
    assert again.frame.equals(manifest.frame)
    known = manifest.frame.groupby("kind")[list(CHESTXRAY_14)].count().sum(axis=1)
    assert set(known.index[known > 0]) == {"cxr_nih", "cxr_paediatric"}
