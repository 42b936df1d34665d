"""Weights that others publish: where they are, what they read and say, and under which licence.

Checksums are those that several independent projects state for the file; where none is known it stays None,
and fetching asks for one, or for trust in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from radsnap.errors import UsageError
from radsnap.findings import CHESTXRAY_14

_XRV = "https://github.com/mlmed/torchxrayvision/releases/download/v1/"
_XRV_LICENCE = "Apache-2.0 (code and weights); the terms of the training data apply"


@dataclass(frozen=True)
class Published:
    """One published file. classes: in the outputs' order, blank for outputs that were not trained.

    midpoints: the operating points that its library bends scores by, one an output (any number where blank).
    """

    name: str
    url: str
    kind: str
    classes: tuple[str, ...]
    data: tuple[str, ...]
    licence: str
    sha256: str | None = None
    midpoints: tuple[float, ...] = ()

    @property
    def file(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[1]


_XRV_CLASSES = (
    "Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis",
    "Effusion", "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia", "Lung Lesion",
    "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum",
)  # fmt: skip


def _xrv(
    name: str, file: str, data: tuple[str, ...], points: tuple[float, ...], sha256: str | None = None
) -> Published:
    classes = tuple(label if point else "" for label, point in zip(_XRV_CLASSES, points, strict=True))
    url = f"{_XRV}{file}-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt"
    return Published(
        f"torchxrayvision-{name}", url, "torchxrayvision", classes, data, _XRV_LICENCE, sha256, points
    )


# Operating points as torchxrayvision 1.5 has them (`model_urls[...]["op_threshs"]`); 0 marks an untrained output.
_ALL = (
    _xrv(
        "all", "nih-pc-chex-mimic_ch-google-openi-kaggle",
        ("NIH ChestX-ray14", "PadChest", "CheXpert", "MIMIC-CXR", "Google", "OpenI", "RSNA Pneumonia"),
        (0.07422872, 0.038290843, 0.09814756, 0.0098118475, 0.023601074, 0.0022490358, 0.010060724, 0.103246614,
         0.056810737, 0.026791653, 0.050318155, 0.023985857, 0.01939503, 0.042889766, 0.053369623, 0.035975814,
         0.20204692, 0.05015312),
        # stated by more than five public projects that pin this file
        "56524913dd16a906422e8d8b66a7a5c46be1d82eb7ac012d8103776f1aa68899",
    ),
    _xrv(
        "nih", "nih", ("NIH ChestX-ray14",),
        (0.039117552, 0.0034529066, 0.11396341, 0.0057298196, 0.00045666535, 0.0018880932, 0.012037827,
         0.038744126, 0.0037213727, 0.014730946, 0.016149804, 0.054241467, 0.037198864, 0.0004403434, 0, 0, 0, 0),
    ),
    _xrv(
        "padchest", "pc", ("PadChest",),
        (0.031012505, 0.013347598, 0.081435576, 0.001262615, 0.002587246, 0.0035944257, 0.0023071, 0.055412333,
         0.044385884, 0.042766232, 0.043258056, 0.037629247, 0.005658899, 0.0091741895, 0, 0.026507627, 0, 0),
    ),
    _xrv(
        "chexpert", "chex", ("CheXpert",),
        (0.1988969, 0.05710573, 0, 0.0531293, 0.1435217, 0, 0, 0.27212676, 0.07749717, 0, 0.19712369, 0, 0, 0,
         0.09932402, 0.09273402, 0.3270967, 0.10888247),
    ),
    _xrv(
        "rsna", "kaggle", ("RSNA Pneumonia",),
        (0, 0, 0, 0, 0, 0, 0, 0, 0.13486601, 0, 0, 0, 0, 0, 0, 0, 0.13511065, 0),
    ),
    _xrv(
        "mimic-nb", "mimic_nb", ("MIMIC-CXR (NegBio labels)",),
        (0.08558747, 0.011884617, 0, 0.0040595434, 0.010733786, 0, 0, 0.118761964, 0.022924708, 0, 0.06358637,
         0, 0, 0, 0.022143636, 0.017476924, 0.1258702, 0.014020768),
    ),
    _xrv(
        "mimic-ch", "mimic_ch", ("MIMIC-CXR (CheXpert labels)",),
        (0.09121389, 0.010573786, 0, 0.005023008, 0.003698257, 0, 0, 0.08001232, 0.037242252, 0, 0.05006329, 0,
         0, 0, 0.019866971, 0.03823637, 0.11303808, 0.0069147074),
    ),
    Published(
        "chexnet", "https://github.com/arnoweng/CheXNet/raw/master/model.pth.tar", "chexnet", CHESTXRAY_14,
        ("NIH ChestX-ray14",), "not stated by its author; ask before any use but research",
    ),
)  # fmt: skip
PUBLISHED: Mapping[str, Published] = {one.name: one for one in _ALL}


def published(name: str) -> Published:
    """Find published weights by name. Raises UsageError with the names there are."""
    if name not in PUBLISHED:
        raise UsageError(
            f"no published model '{name}' is known; known are {', '.join(PUBLISHED)}; or give a URL"
        )
    return PUBLISHED[name]


def by_file(name: str) -> Published | None:
    """Recognise a published file by its name; None for any other, and for names that say nothing."""
    return next((one for one in _ALL if one.file == name and name != "model.pth.tar"), None)
