"""The other chest collections, in the originals' layout and with their quirks."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from radsnap.collections import COLLECTIONS, import_collection
from radsnap.errors import ManifestError
from radsnap.findings import CHESTXRAY_14
from radsnap.tables import paths

Tree = Callable[..., Path]

NIH_TABLE = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
    "00000001_000.png,Cardiomegaly|Pleural_Thickening,0,1,058Y,M,PA,2682,2749,0.143,0.143,\n"
    "00000001_001.png,No Finding,1,1,058Y,M,AP,2682,2749,0.143,0.143,\n"
    "00000002_000.png,Effusion|Infiltration,0,2,081Y,M,PA,2500,2048,0.171,0.171,\n"
)
NIH_BOXES = (
    "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
    "00000002_000.png,Infiltrate,225.084745762712,547.019216763771,86.7796610169491,79.1864406779661,,,\n"
    "00000002_000.png,Effusion,1,2,3,4,,,\n"
)


def test_nih_reads_labels_lists_and_boxes(tree: Tree) -> None:
    root = tree(
        [
            "images_001/images/00000001_000.png",
            "images_001/images/00000001_001.png",
            "images_012/images/00000002_000.png",
        ],
        **{
            "Data_Entry_2017.csv": NIH_TABLE,
            "train_val_list.txt": "00000001_000.png\n00000001_001.png\n",
            "test_list.txt": "00000002_000.png",
            "BBox_List_2017.csv": NIH_BOXES,
        },
    )
    manifest = import_collection("nih", root)
    frame = manifest.frame
    assert all(path.is_file() for path in paths(manifest))
    assert manifest.findings == ("No Finding", *(name for name in manifest.findings if name in CHESTXRAY_14))
    assert set(CHESTXRAY_14) < set(manifest.findings)
    assert frame["split"].tolist() == ["train", "train", "test"]
    assert frame["patient_id"].tolist() == ["nih-1", "nih-1", "nih-2"]
    assert frame[
        ["Cardiomegaly", "Pleural Thickening", "Pleural Effusion", "Infiltration", "No Finding"]
    ].to_numpy().tolist() == [
        [1, 1, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 1, 1, 0],
    ]
    assert frame["boxes_xywh"].tolist()[2].startswith("Infiltration:225.084745762712,547.")
    assert frame["boxes_xywh"].tolist()[2].endswith(";Pleural Effusion:1,2,3,4")


def test_nih_of_2020_has_no_last_comma_and_images_in_one_folder(tree: Tree) -> None:
    table = NIH_TABLE.replace(",\n", "\n")
    manifest = import_collection(
        "nih", tree(["images/00000001_000.png"], **{"Data_Entry_2017_v2020.csv": table})
    )
    assert manifest.frame["path"].tolist()[0] == "images/00000001_000.png"
    assert manifest.frame["split"].tolist() == ["", "", ""]


MIMIC_LABELS = (
    "subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,"
    "Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices\n"
    "10000032,50414267,,,,,,,,,1.0,,,,,\n"
    "10000764,57375967,,,1.0,,,,,,,,,-1.0,0.0,\n"
)
MIMIC_META = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns\n"
    "02aa804e-bde0afdd,10000032,50414267,CHEST (PA AND LAT),PA,3056,2544\n"
    '174413ec-4ec4c1f7,10000032,50414267,"CHEST, LATERAL",LATERAL,3056,2544\n'
    "096052b7-d256dc40,10000764,57375967,,,3056,2544\n"
    "ffffffff-00000000,10000999,59999999,,AP,3056,2544\n"
)
MIMIC_SPLIT = (
    "dicom_id,study_id,subject_id,split\n02aa804e-bde0afdd,50414267,10000032,train\n174413ec-4ec4c1f7,50414267,10000032,train\n"
    "096052b7-d256dc40,57375967,10000764,validate\nffffffff-00000000,59999999,10000999,test\n"
)


@pytest.mark.parametrize("packed", [False, True])
def test_mimic_joins_its_three_tables_packed_or_not(tree: Tree, packed: bool) -> None:
    tables = {"metadata": MIMIC_META, "split": MIMIC_SPLIT, "chexpert": MIMIC_LABELS}
    root = tree()
    for name, text in tables.items():
        file = root / f"mimic-cxr-2.0.0-{name}.csv{'.gz' if packed else ''}"
        file.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    frame = import_collection("mimic", root).frame
    assert frame["path"].tolist()[0] == "files/p10/p10000032/s50414267/02aa804e-bde0afdd.jpg"
    assert frame["body"].tolist() == ["chest_frontal", "chest_lateral", "", "chest_frontal"]
    assert frame["split"].tolist() == ["train", "train", "val", "test"]
    np.testing.assert_array_equal(
        frame["Pneumonia"], np.array([np.nan, np.nan, -1, np.nan], dtype=np.float32)
    )
    np.testing.assert_array_equal(frame["No Finding"], np.array([1, 1, np.nan, np.nan], dtype=np.float32))


def test_half_a_packed_table_is_refused(tree: Tree) -> None:
    root = tree()
    for name, text in {"metadata": MIMIC_META, "split": MIMIC_SPLIT, "chexpert": MIMIC_LABELS}.items():
        (root / f"mimic-cxr-2.0.0-{name}.csv.gz").write_bytes(gzip.compress(text.encode())[:-12])
    with pytest.raises(ManifestError, match="not a whole gzip file"):
        import_collection("mimic", root)


PADCHEST = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,"
    "MethodProjection,Pediatric,ReportID,Report,MethodLabel,Labels\n"
    "0,a.png,0,20140915,s1,p1,1933,M,POSTEROANTERIOR,PA,Manual review,No,1,sin hallazgo,Physician,['normal']\n"
    "1,b.png,0,20140915,s1,p1,1933,M,LATERAL,L,Manual review,No,1,sin hallazgo,Physician,['normal']\n"
    "2,c.png,14,20140915,s2,p2,1933,M,,AP_horizontal,Manual review,No,2,x,RNN_model,\"['pulmonary fibrosis', ' pleural effusion', 'NSG tube', 'laminar atelectasis', 'scoliosis']\"\n"
    "3,d.png,14,20140915,s3,,1933,M,,EXCLUDE,Manual review,No,3,x,RNN_model,\"['unchanged', '']\"\n"
    "4,e.png,14,20140915,s4,p4,1933,M,,COSTAL,Manual review,No,4,x,RNN_model,\n"
)


def test_padchest_reads_words_and_tells_silence_from_absence(tree: Tree) -> None:
    root = tree(["0/a.png"], **{"PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv": PADCHEST})
    frame = import_collection("padchest", root).frame
    assert frame["path"].tolist() == ["0/a.png", "0/b.png", "14/c.png", "14/d.png", "14/e.png"]
    assert frame["body"].tolist() == ["chest_frontal", "chest_lateral", "chest_frontal", "", ""]
    assert frame["patient_id"].tolist()[3] == "padchest-d"
    np.testing.assert_array_equal(frame["No Finding"], np.array([1, 1, 0, np.nan, np.nan], dtype=np.float32))
    for name in ("Fibrosis", "Pleural Effusion", "Support Devices", "Atelectasis"):
        np.testing.assert_array_equal(frame[name], np.array([0, 0, 1, np.nan, np.nan], dtype=np.float32))
    assert (
        frame["labels"].tolist()[2]
        == "pulmonary fibrosis|pleural effusion|nsg tube|laminar atelectasis|scoliosis"
    )


def test_padchest_in_one_folder_is_found(tree: Tree) -> None:
    root = tree(["a.png"], **{"chest_x_ray_images_labels_sample.csv": PADCHEST})
    assert import_collection("padchest", root).frame["path"].tolist()[:2] == ["a.png", "b.png"]


def test_vindr_takes_the_majority_of_its_readers_and_the_consensus_of_the_test(tree: Tree) -> None:
    train = (
        "image_id,rad_ID,Aortic enlargement,Cardiomegaly,Nodule/Mass,Rib fracture,Clavicle fracture,Lung tumor,Tuberculosis,No finding\n"
        "i1,R1,1,1,0,0,0,0,1,0\ni1,R2,0,1,0,1,0,0,1,0\ni1,R3,0,0,0,1,0,0,0,0\n"
        "i2,R4,0,0,0,0,0,0,0,1\ni2,R5,0,0,0,0,0,0,0,1\ni2,R6,0,0,1,0,0,0,0,0\n"
    )
    test = "image_id,Cardiomegaly,Nodule/Mass,Lung tumor,No finding\nt1,0,0,1,0\n"
    marks = (
        "image_id,rad_id,class_name,x_min,y_min,x_max,y_max\ni2,R4,No finding,,,,\n"
        "i1,R1,Cardiomegaly,691.5,1375,1653.0,1831\ni1,R2,Aortic enlargement,10,20,30.25,40\n"
    )
    root = tree(
        **{
            "annotations/image_labels_train.csv": train,
            "annotations/image_labels_test.csv": test,
            "annotations/annotations_train.csv": marks,
        }
    )
    frame = import_collection("vindr", root).frame
    assert frame["path"].tolist() == ["train/i1.dicom", "train/i2.dicom", "test/t1.dicom"]
    assert frame["Cardiomegaly"].tolist() == [1, 0, 0]
    assert frame["Fracture"].tolist()[:2] == [1, 0]
    assert frame["Lung Lesion"].tolist() == [0, 0, 1]
    assert frame["No Finding"].tolist() == [0, 1, 0]
    assert frame["Tuberculosis"].tolist() == ["1", "0", ""]
    assert frame["boxes_xywh"].tolist() == [
        "Cardiomegaly:691.5,1375.0,961.5,456.0;Aortic enlargement:10.0,20.0,20.25,20.0",
        "",
        "",
    ]


def test_rsna_has_one_row_an_image_with_all_its_boxes(tree: Tree) -> None:
    labels = "patientId,x,y,width,height,Target\nu1,,,,,0\nu2,264.0,152.0,213.0,379.0,1\nu2,562.0,152.0,256.0,453.0,1\nu3,,,,,0\n"
    classes = (
        "patientId,class\nu1,No Lung Opacity / Not Normal\nu2,Lung Opacity\nu2,Lung Opacity\nu3,Normal\n"
    )
    root = tree(**{"stage_2_train_labels.csv": labels, "stage_2_detailed_class_info.csv": classes})
    frame = import_collection("rsna", root).frame
    assert frame["path"].tolist() == [f"stage_2_train_images/u{k}.dcm" for k in (1, 2, 3)]
    assert frame[["Lung Opacity", "Pneumonia", "No Finding"]].to_numpy().tolist() == [
        [0, 0, 0],
        [1, 1, 0],
        [0, 0, 1],
    ]
    assert (
        frame["boxes_xywh"].tolist()[1]
        == "Lung Opacity:264.0,152.0,213.0,379.0;Lung Opacity:562.0,152.0,256.0,453.0"
    )


def test_siim_joins_masks_and_files_and_leaves_the_unlisted_unknown(tree: Tree) -> None:
    table = "ImageId, EncodedPixels\n1.2.1, -1\n1.2.2, 175349 7 1013\n1.2.2, 5 5 5\n1.2.9,-1\n"
    root = tree(
        [
            "dicom-images-train/1.1/1.3/1.2.1.dcm",
            "dicom-images-train/1.1/1.4/1.2.2.dcm",
            "dicom-images-train/1.1/1.5/1.2.3.dcm",
            "dicom-images-test/1/1/1.2.4.dcm",
        ],
        **{"train-rle.csv": table},
    )
    frame = import_collection("siim", root).frame.set_index("image_id")
    np.testing.assert_array_equal(
        frame["Pneumothorax"], np.array([0, 1, 0, np.nan, np.nan], dtype=np.float32)
    )
    assert frame.loc["siim/1.2.2", "mask_rle"] == "175349 7 1013|5 5 5"
    assert frame.loc["siim/1.2.1", "path"] == "dicom-images-train/1.1/1.3/1.2.1.dcm"
    assert frame.loc["siim/1.2.9", "path"] == "dicom-images-train/1.2.9.dcm"
    assert frame.loc["siim/1.2.4", "split"] == "test"


def test_covidx_reads_classes_of_both_versions_and_names_with_spaces(tree: Tree) -> None:
    root = tree(
        **{
            "train_COVIDx_CXR-3A.txt": "379 1e64990d 1b.jpeg COVID-19 cohen\n379 1e64990d 1b.jpeg COVID-19 cohen\n3 x.png pneumonia rsna\n\n7 y.png normal rsna\n",
            "test_COVIDx_CXR-3A.txt": "379 z.png COVID-19 cohen\n9 old.png normal\n",
        }
    )
    frame = import_collection("covidx", root).frame
    assert frame["path"].tolist() == [
        "train/1e64990d 1b.jpeg",
        "train/x.png",
        "train/y.png",
        "test/z.png",
        "test/old.png",
    ]
    assert frame["Pneumonia"].tolist() == [1, 1, 0, 1, 0]
    assert frame["covid"].tolist() == ["1", "0", "0", "1", "0"]
    assert frame["source"].tolist() == ["cohen", "rsna", "rsna", "cohen", ""]
    assert frame["split"].tolist() == ["", "train", "train", "", "test"]  # patient 379 is in both
    assert frame["official_split"].tolist() == ["train", "train", "train", "test", "test"]


def test_covidx_of_two_classes_says_nothing_of_pneumonia_in_negatives(tree: Tree) -> None:
    frame = import_collection(
        "covidx", tree(**{"train.txt": "1 a.png positive cohen\n2 b.png negative rsna\n"})
    ).frame
    assert frame["covid"].tolist() == ["1", "0"]
    assert frame["Pneumonia"].isna().all()
    with pytest.raises(ManifestError, match=r"row 2 reads '2 b\.png maybe'; expected patient, file, class"):
        import_collection("covidx", tree(**{"train.txt": "1 a.png positive cohen\n2 b.png maybe\n"}))


def test_kermany_reads_patients_and_germs_from_names(tree: Tree) -> None:
    images = [
        "chest_xray/train/NORMAL/IM-0115-0001.jpeg",
        "chest_xray/train/NORMAL/NORMAL2-IM-0383-0001.jpeg",
        "chest_xray/train/PNEUMONIA/person1_bacteria_1.jpeg",
        "chest_xray/train/PNEUMONIA/person1_virus_6.jpeg",
        "chest_xray/train/PNEUMONIA/BACTERIA-1008087-0001.jpeg",
        "chest_xray/val/PNEUMONIA/person1_bacteria_2.jpeg",
        "chest_xray/test/PNEUMONIA/person1_virus_7.jpeg",
        "chest_xray/train/NORMAL/._IM-0115-0001.jpeg",
    ]
    frame = import_collection("kermany", tree(images)).frame.set_index("path")
    assert len(frame) == 7
    patients = frame.loc[images[:7], "patient_id"].tolist()
    assert patients[2] == patients[5] == "kermany-person1_bacteria"
    assert patients[3] == patients[6] == "kermany-person1_virus"
    assert patients[4] == "kermany-BACTERIA-1008087"
    assert frame.loc[[images[3], images[6], images[0]], "split"].tolist() == ["", "", "train"]  # on two sides
    assert frame.loc[images[1], "patient_id"] == "kermany-NORMAL2-IM-0383"
    assert frame.loc[images[5], ["split", "official_split"]].tolist() == ["train", "val"]
    assert frame.loc[images[:5], "germ"].tolist() == ["", "", "bacteria", "virus", "bacteria"]
    assert frame.loc[images[:3], "Pneumonia"].tolist() == [0, 0, 1]
    within = import_collection("kermany", tree() / "chest_xray").frame
    assert within["path"].tolist()[0] == "train/NORMAL/IM-0115-0001.jpeg"


def test_montgomery_has_two_masks_and_a_reading(tree: Tree) -> None:
    root = tree(
        [
            "CXR_png/MCUCXR_0001_0.png",
            "CXR_png/MCUCXR_0108_1.png",
            "ManualMask/leftMask/MCUCXR_0001_0.png",
            "ManualMask/rightMask/MCUCXR_0001_0.png",
        ],
        **{"ClinicalReadings/MCUCXR_0001_0.txt": "Patient's Sex: F\nPatient's Age: 027Y\nnormal\n\n"},
    )
    frame = import_collection("montgomery", root).frame
    assert frame["mask"].tolist() == [
        "ManualMask/leftMask/MCUCXR_0001_0.png|ManualMask/rightMask/MCUCXR_0001_0.png",
        "",
    ]
    assert frame["reading"].tolist() == ["Patient's Sex: F Patient's Age: 027Y normal", ""]
    assert frame["tuberculosis"].tolist() == ["0", "1"]
    assert frame["No Finding"].tolist() == [1, 0]


def test_shenzhen_has_its_masks_from_elsewhere(tree: Tree) -> None:
    root = tree(["CXR_png/CHNCXR_0001_0.png", "CXR_png/CHNCXR_0327_1.png", "mask/CHNCXR_0327_1_mask.png"])
    frame = import_collection("shenzhen", root).frame
    assert frame["mask"].tolist() == ["", "mask/CHNCXR_0327_1_mask.png"]
    assert frame["patient_id"].tolist() == ["shenzhen-CHNCXR_0001_0", "shenzhen-CHNCXR_0327_1"]


def test_jsrt_prefers_converted_files_and_finds_the_masks(tree: Tree) -> None:
    root = tree(
        [
            "All247images/JPCLN001.IMG",
            "All247images/JPCNN001.IMG",
            "png/JPCLN001.png",
            "scratch/fold1/masks/left lung/JPCLN001.gif",
            "scratch/fold1/masks/right lung/JPCLN001.gif",
        ]
    )
    frame = import_collection("jsrt", root).frame
    assert frame["path"].tolist() == ["png/JPCLN001.png", "All247images/JPCNN001.IMG"]
    assert frame["Nodule"].tolist() == [1, 0]
    assert frame["mask"].tolist()[0].count("|") == 1


def test_a_plain_folder_lists_images_and_nothing_hidden(tree: Tree) -> None:
    root = tree(
        ["b/x.png", "b/x.jpg", "a.JPG", "c.dcm", ".hidden/y.png", "._z.png"], **{"notes.txt": "no image"}
    )
    frame = import_collection("folder", root).frame
    assert frame["path"].tolist() == ["a.JPG", "b/x.jpg", "b/x.png", "c.dcm"]
    assert frame["image_id"].tolist() == ["a", "b/x.jpg", "b/x.png", "c"]
    assert frame["domain"].tolist() == ["", "", "", "digital"]
    assert frame["patient_id"].is_unique


@pytest.mark.parametrize("name", [name for name in COLLECTIONS if name != "folder"])
def test_a_wrong_folder_is_told_what_was_expected_and_found(tree: Tree, name: str) -> None:
    root = tree(["holiday/beach.jpg"], **{"readme.txt": "hi"})
    with pytest.raises(ManifestError) as error:
        import_collection(name, root)
    message = str(error.value)
    assert message.startswith(f"{root} does not look like {COLLECTIONS[name].title}: expected ")
    assert "found holiday/, readme.txt; the data set comes from " in message
    with pytest.raises(ManifestError, match="no such folder; give the folder that holds"):
        import_collection(name, root / "nowhere")
    (root / "empty").mkdir()
    with pytest.raises(ManifestError, match="found an empty folder"):
        import_collection(name, root / "empty")


@pytest.mark.parametrize(
    ("name", "file", "column"),
    [
        ("chexpert", "train.csv", "Path"),
        ("chexphoto", "valid.csv", "Path"),
        ("nih", "Data_Entry_2017.csv", "Image Index"),
        ("padchest", "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", "ImageID"),
        ("vindr", "annotations/image_labels_train.csv", "image_id"),
        ("gathered", "manifest.csv", "file"),
    ],
)
def test_a_table_without_its_column_is_named(tree: Tree, name: str, file: str, column: str) -> None:
    with pytest.raises(ManifestError, match=f"column '{column}' is missing"):
        import_collection(name, tree(**{file: "a,b\n1,2\n"}))


def test_an_empty_table_is_refused(tree: Tree) -> None:
    header = NIH_TABLE.split("\n")[0] + "\n"
    with pytest.raises(ManifestError, match="NIH ChestX-ray14 without a single image; found Data_Entry"):
        import_collection("nih", tree(**{"Data_Entry_2017.csv": header}))


def test_every_collection_says_its_licence_and_address_in_its_docstring() -> None:
    for name, collection in COLLECTIONS.items():
        assert name == collection.name
        text = " ".join((sys.modules[collection.read.__module__].__doc__ or "").lower().split())
        assert "licence" in text, name
        assert "get it" in text or "get them" in text or "address" in text, name
