"""Write a picture as a DICOM Secondary Capture: what it is, said in the file, and nothing about a patient."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from radsnap.imaging.radiograph import Photo, Radiograph


def write_secondary_capture(path: str | os.PathLike[str], image: Photo | Radiograph) -> Path:
    """Write pixels as a Secondary Capture of 8 bits (DICOM PS3.3 A.8), grey for a radiograph and RGB for a photo.

    The patient stays blank: a photo does not say who it shows. Folders are made; a killed write leaves no
    half file under the name.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    grey = isinstance(image, Radiograph)
    pixels = np.rint(image.pixels * 255).astype(np.uint8) if grey else image.pixels
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = SecondaryCaptureImageStorage
    data.SOPInstanceUID, data.StudyInstanceUID, data.SeriesInstanceUID = (generate_uid() for _ in range(3))
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.PatientName = data.PatientID = data.PatientBirthDate = data.PatientSex = ""
    data.StudyDate = data.StudyTime = data.StudyID = data.AccessionNumber = data.ReferringPhysicianName = ""
    data.Modality, data.ConversionType = "OT", "DI"
    data.SeriesNumber = data.InstanceNumber = 1
    data.InstanceCreationDate = datetime.now(UTC).strftime("%Y%m%d")
    data.ImageType = ["DERIVED", "SECONDARY"]
    data.DerivationDescription = "; ".join(image.provenance.steps)[:1024] or "radsnap"
    data.BurnedInAnnotation = "YES"  # a photo may show names
    data.SamplesPerPixel, data.PhotometricInterpretation = (1, "MONOCHROME2") if grey else (3, "RGB")
    if not grey:
        data.PlanarConfiguration = 0
    data.Rows, data.Columns = pixels.shape[:2]
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    raw = np.ascontiguousarray(pixels).tobytes()
    data.PixelData = raw + b"\0" * (len(raw) % 2)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        data.save_as(partial, enforce_file_format=True)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target
