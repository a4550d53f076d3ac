"""Turn one study's files into a study volume and store it under the digest of everything that decides it.

C channel, i j k native voxels, I J K voxels of the isotropic model grid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lesionlab.errors import ImageError, StudyRefused
from lesionlab.imaging.lesions import label_lesions, voxel_volume_mm3
from lesionlab.imaging.likeness import describe
from lesionlab.imaging.resample import resample_mask
from lesionlab.imaging.volume import Mask, Volume
from lesionlab.imaging.warp import Steps
from lesionlab.preprocessing.channels import prepare_images
from lesionlab.preprocessing.files import StudyFiles
from lesionlab.preprocessing.integrity import Scans, read_scans
from lesionlab.preprocessing.stripping import STRIPPERS, lost_lesions
from lesionlab.store.arrays import damage_of, group_exists, write_group
from lesionlab.store.documents import read_card
from lesionlab.store.objects import Store
from storage_schemas.base import Digest, Sha256
from storage_schemas.cohorts import Stripper
from storage_schemas.identity import identity_digest
from storage_schemas.keys import volume_key
from storage_schemas.manifests import ENTRY_ATTRIBUTE, ManifestEntry
from storage_schemas.ome import OME_ATTRIBUTE, ome_image
from storage_schemas.tasks import Task
from storage_schemas.verdicts import Finding
from storage_schemas.versions import CURRENT
from storage_schemas.volumes import ATTRIBUTE, SourceImage, StudyVolumeCard


@dataclass(frozen=True, eq=False)
class StudyVolume:
    """One study, ready to be stored."""

    card: StudyVolumeCard
    entry: ManifestEntry
    image_CIJK: NDArray[np.float16]
    label_IJK: Mask
    native_label_ijk: Mask
    second_label_ijk: Mask | None
    """Another rater's mask."""
    deformations: Mapping[str, Steps]
    """By the array name given in the card."""
    pictures: Mapping[str, bytes]
    """PNG of each registration, by the role of the moved image, and of the brain as `brain`."""
    findings: tuple[Finding, ...]
    """All repairs."""


def preprocess_study(
    files: StudyFiles,
    task: Task,
    spacing_mm: float,
    *,
    registered: bool = False,
    accepted: bool = False,
    strip: Stripper | None = None,
) -> StudyVolume:
    """Preprocess one study from its files to its volume. Raises StudyRefused with all findings.

    `registered`: its images are registered already. `accepted`: somebody has looked at the study and vouches for what
    is doubtful (see `read_scans` and `registration_findings`). `strip` removes the skull.
    """
    scans = read_scans(files, task, accepted=accepted)
    try:
        prepared = prepare_images(
            scans.images,
            task,
            spacing_mm,
            registered=registered,
            transforms=scans.transforms,
            accepted=accepted,
            find_brain=STRIPPERS[strip] if strip else None,
        )
    except StudyRefused as refusal:
        raise StudyRefused([*scans.findings, *refusal.findings], refusal.pictures) from refusal
    lost = (
        ()
        if prepared.brain_ijk is None
        else lost_lesions(prepared.brain_ijk, scans.reference.voxels, accepted=accepted)
    )
    findings = scans.findings + prepared.findings + lost
    if any(not finding.repaired for finding in findings):
        raise StudyRefused(findings, prepared.pictures)
    sources = hash_sources(files)
    card = StudyVolumeCard(
        study=files.study,
        patient=files.patient,
        site=files.site,
        task=task,
        channels=task.channel_names,
        spacing_mm=spacing_mm,
        model_grid=prepared.model_grid,
        whole_grid=prepared.whole_grid,
        native_grid=scans.images[task.native].grid,
        normalisation=prepared.normalisation,
        registrations=prepared.registrations,
        second_rater=scans.second is not None,
        strip=strip,
        sources=sources,
        version=CURRENT.preprocessing,
    )
    return StudyVolume(
        card=card,
        entry=_entry(files, scans, task, _digest(files, sources, task, spacing_mm, registered, strip)),
        image_CIJK=prepared.image_CIJK,
        label_IJK=resample_mask(scans.reference.voxels, scans.reference.grid, prepared.model_grid),
        native_label_ijk=scans.reference.voxels,
        second_label_ijk=None if scans.second is None else scans.second.voxels,
        deformations=prepared.deformations,
        pictures=prepared.pictures,
        findings=findings,
    )


def hash_sources(files: StudyFiles) -> tuple[SourceImage, ...]:
    """Hash every file that is read, by role. Raises ImageError if one cannot be read."""
    paths = {
        **files.images,
        "reference": files.reference.mask,
        "reference-transform": files.reference.transform,
        "second": files.second.mask if files.second else None,
        "second-transform": files.second.transform if files.second else None,
        **{f"{role}-transform": path for role, path in files.transforms.items()},
    }
    return tuple(SourceImage(role=role, sha256=_file_sha256(path)) for role, path in paths.items() if path)


def study_digest(
    files: StudyFiles, task: Task, spacing_mm: float, *, registered: bool = False, strip: Stripper | None = None
) -> Digest:
    """Digest of everything that decides the volume, before any computation. Raises ImageError as `hash_sources`."""
    return _digest(files, hash_sources(files), task, spacing_mm, registered, strip)


def _digest(
    files: StudyFiles,
    sources: Sequence[SourceImage],
    task: Task,
    spacing_mm: float,
    registered: bool,
    strip: Stripper | None,
) -> Digest:
    """Identity of a study volume; it includes the labels, because rows and random draws depend on them."""
    return identity_digest(
        {
            "study": files.study,
            "patient": files.patient,
            "site": files.site,
            "task": task,
            "spacing_mm": float(spacing_mm),
            "sources": sources,
            "preprocessing_version": CURRENT.preprocessing,
        }
        | ({"registered": True} if registered else {})
        | ({"labels": sorted(files.reference.labels)} if files.reference.labels else {})
        | ({"strip": strip} if strip else {})
    )


def stored_entry(store: Store, files: StudyFiles, digest: Digest) -> ManifestEntry | None:
    """Manifest entry of this volume if it is completely stored and no byte of it was altered, else None."""
    key = volume_key(files.site, files.study, digest)
    if not group_exists(store, key) or damage_of(store, key):
        return None
    return read_card(store, key, ENTRY_ATTRIBUTE, ManifestEntry)


def store_study(store: Store, volume: StudyVolume) -> ManifestEntry:
    """Write the volume, completely or not at all; return its manifest entry."""
    entry = volume.entry
    second = {} if volume.second_label_ijk is None else {"second_label": volume.second_label_ijk}
    write_group(
        store,
        entry.volume_key,
        {
            "image": volume.image_CIJK,
            "label": volume.label_IJK,
            "native_label": volume.native_label_ijk,
            **second,
            **volume.deformations,
        },
        {
            ATTRIBUTE: volume.card.stored_form(),
            ENTRY_ATTRIBUTE: entry.stored_form(),
            OME_ATTRIBUTE: ome_image(entry.study, "image", 4, volume.card.model_grid),
        },
    )
    return entry


def _entry(files: StudyFiles, scans: Scans, task: Task, digest: Digest) -> ManifestEntry:
    lesion_mm3 = int(scans.reference.voxels.sum()) * voxel_volume_mm3(scans.reference.affine)
    return ManifestEntry(
        study=files.study,
        patient=files.patient,
        site=files.site,
        volume=digest,
        image_sha256=voxels_sha256(scans.images[task.native]),
        further_images_sha256=tuple(voxels_sha256(scans.images[role]) for role in task.roles if role != task.native),
        lesions=label_lesions(scans.reference.voxels).count,
        lesion_volume_ml=round(lesion_mm3 / 1000, 6),
        likeness=describe(scans.images, scans.heads, scans.reference),
        second_rater=scans.second is not None,
    )


def voxels_sha256(image: Volume) -> Sha256:
    """Digest of shape and float32 values: a different compression, data type or affine gives the same digest."""
    sha = hashlib.sha256(repr(tuple(image.voxels.shape)).encode())
    sha.update(np.ascontiguousarray(image.voxels, dtype="<f4").data)
    return sha.hexdigest()


def _file_sha256(path: Path) -> Sha256:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(f"{path.name}: cannot be read ({error.strerror}); give read permission") from error
