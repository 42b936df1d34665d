"""The two tables that everything meets at: the manifest of images, and predictions."""

from radsnap.tables.boxes import parse_boxes
from radsnap.tables.labels import Uncertain, labels, parse_labels
from radsnap.tables.manifest import (
    COLUMNS,
    SPLITS,
    Manifest,
    build_manifest,
    combine,
    paths,
    read_manifest,
    write_manifest,
)
from radsnap.tables.predictions import (
    Predictions,
    align,
    by_study,
    read_predictions,
    write_predictions,
)
from radsnap.tables.sources import NO_XRAY, is_xray, sources
from radsnap.tables.splits import split_by_patient

__all__ = [
    "COLUMNS",
    "NO_XRAY",
    "SPLITS",
    "Manifest",
    "Predictions",
    "Uncertain",
    "align",
    "build_manifest",
    "by_study",
    "combine",
    "is_xray",
    "labels",
    "parse_boxes",
    "parse_labels",
    "paths",
    "read_manifest",
    "read_predictions",
    "sources",
    "split_by_patient",
    "write_manifest",
    "write_predictions",
]
