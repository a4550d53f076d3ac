"""One study's files in; one study volume out, and into the store under a key that its making decides.

C channel, i j k native voxels, I J K voxels of the isotropic study grid.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lesionlab.errors import ImageError
from lesionlab.imaging.intensity import head_mask, z_score
from lesionlab.imaging.lesions import label_lesions, voxel_volume_mm3
from lesionlab.imaging.resample import resample_linear, resample_mask, study_grid
from lesionlab.imaging.volume import Mask, Volume
from lesionlab.preprocessing.files import StudyFiles
from lesionlab.preprocessing.integrity import Scans, read_scans
from lesionlab.store.arrays import group_exists, read_attributes, write_group
from lesionlab.store.objects import Store
from storage_schemas.base import Digest, Sha256, digest_of
from storage_schemas.keys import STUDY_VOLUME
from storage_schemas.manifests import ENTRY_ATTRIBUTE, ManifestEntry
from storage_schemas.tasks import Task
from storage_schemas.volumes import ATTRIBUTE, Grid, Normalisation, SourceImage, StudyVolumeCard


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """One image as a network wants it: float16, (value - mean) / sd over the head, on the study grid."""

    image_IJK: NDArray[np.float16]
    study_grid: Grid
    mean: float
    sd: float


@dataclass(frozen=True, eq=False)
class StudyVolume:
    """One study, ready to be stored."""

    card: StudyVolumeCard
    entry: ManifestEntry
    image_CIJK: NDArray[np.float16]
    label_IJK: Mask
    native_label_ijk: Mask


def preprocess_study(files: StudyFiles, task: Task, spacing_mm: float, code_version: Digest) -> StudyVolume:
    """One study from its files to its volume. Raises DatasetError with every fault of it, each one argument."""
    scans = read_scans(files, task)
    images = [prepare_image(scan, spacing_mm) for scan in scans.images]
    grid = images[0].study_grid
    card = StudyVolumeCard(
        study=files.study,
        patient=files.patient,
        site=files.site,
        task=task.name,
        channels=task.channel_names,
        spacing_mm=spacing_mm,
        study_grid=grid,
        native_grid=scans.images[0].grid,
        normalisation=tuple(
            Normalisation(image=role, mean=image.mean, sd=image.sd)
            for role, image in zip(task.roles, images, strict=True)
        ),
        sources=hash_sources(files, task),
        code_version=code_version,
    )
    return StudyVolume(
        card=card,
        entry=_entry(files, scans, study_digest(files, task, spacing_mm, code_version)),
        image_CIJK=np.stack([image.image_IJK for image in images]),
        label_IJK=resample_mask(scans.reference.voxels, scans.reference.grid, grid),
        native_label_ijk=scans.reference.voxels,
    )


def prepare_image(scan: Volume, spacing_mm: float) -> PreparedImage:
    """One image, linear on its isotropic study grid, z-scored over the head. Raises ImageError if it is flat."""
    grid = study_grid(scan.grid, spacing_mm)
    voxels_IJK = resample_linear(scan.voxels, scan.grid, grid)
    standardised = z_score(voxels_IJK, head_mask(voxels_IJK))
    return PreparedImage(standardised.voxels_IJK.astype(np.float16), grid, standardised.mean, standardised.sd)


def hash_sources(files: StudyFiles, task: Task) -> tuple[SourceImage, ...]:
    """The files' own bytes, by role. Raises ImageError where one cannot be read."""
    paths = {**files.images, "reference": files.reference.mask}
    return tuple(SourceImage(role=role, sha256=_file_sha256(path)) for role, path in paths.items())


def study_digest(files: StudyFiles, task: Task, spacing_mm: float, code_version: Digest) -> Digest:
    """Digest of all that decides the volume, known before anything is computed. Raises ImageError as `hash_sources`."""
    return digest_of(
        {
            "study": files.study,
            "patient": files.patient,
            "site": files.site,
            "task": task.model_dump(mode="json"),
            "spacing_mm": float(spacing_mm),
            "sources": [source.model_dump(mode="json") for source in hash_sources(files, task)],
            "code_version": code_version,
        }
    )


def stored_entry(store: Store, files: StudyFiles, digest: Digest) -> ManifestEntry | None:
    """What the manifest says of this volume, if it lies in the store, whole."""
    key = STUDY_VOLUME.build(site=files.site, study=files.study, digest=digest)
    if not group_exists(store, key):
        return None
    return ManifestEntry.model_validate(read_attributes(store, key)[ENTRY_ATTRIBUTE])


def store_study(store: Store, volume: StudyVolume) -> ManifestEntry:
    """Write the volume, whole or not at all; what the manifest says of it comes back."""
    entry = volume.entry
    write_group(
        store,
        STUDY_VOLUME.build(site=entry.site, study=entry.study, digest=entry.volume),
        {"image": volume.image_CIJK, "label": volume.label_IJK, "native_label": volume.native_label_ijk},
        {ATTRIBUTE: volume.card.model_dump(mode="json"), ENTRY_ATTRIBUTE: entry.model_dump(mode="json")},
    )
    return entry


def _entry(files: StudyFiles, scans: Scans, digest: Digest) -> ManifestEntry:
    lesion_mm3 = int(scans.reference.voxels.sum()) * voxel_volume_mm3(scans.reference.affine)
    return ManifestEntry(
        study=files.study,
        patient=files.patient,
        site=files.site,
        volume=digest,
        image_sha256=_voxels_sha256(scans.images[0]),
        lesions=label_lesions(scans.reference.voxels).count,
        lesion_volume_ml=round(lesion_mm3 / 1000, 6),
    )


def _voxels_sha256(image: Volume) -> Sha256:
    """Of shape and float32 values: one image compressed, typed or placed in the world anew is still the same image."""
    sha = hashlib.sha256(repr(tuple(image.voxels.shape)).encode())
    sha.update(np.ascontiguousarray(image.voxels, dtype="<f4").data)
    return sha.hexdigest()


def _file_sha256(path: Path) -> Sha256:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(f"{path.name}: cannot be read ({error.strerror}); give read permission") from error
