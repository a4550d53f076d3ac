"""Rotating subsets: a manifest in; equal, patient-disjoint subsets, and who trains and who tests in each fold, out.

The rotation is the paper's (Wahlig et al. 2023, figure S3): train on k consecutive subsets, test on the next one, wrap
around, until every subset was the test set. Fold f tests subset f; subsets and folds count from 1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lesionlab.errors import DatasetError
from storage_schemas.manifests import Manifest, ManifestEntry
from storage_schemas.runs import Target

Subset = tuple[ManifestEntry, ...]


@dataclass(frozen=True)
class Fold:
    """One turn of the rotation."""

    train: Subset
    test: Subset


def rotating_subsets(manifest: Manifest, target: Target) -> tuple[Subset, ...]:
    """Share out the studies into equal subsets, at random but the same for the same studies and `split_seed`.

    Studies beyond `subsets × subset_size` stay unused. Raises DatasetError, with every fault, where there are too few
    studies, where a patient has more than one, or where one image stands under two patients.
    """
    faults = shared_patients_or_images(manifest.studies)
    wanted = target.subsets * target.subset_size
    if len(manifest.studies) < wanted:
        faults.append(
            f"wanted {wanted} studies ({target.subsets} subsets of {target.subset_size}), "
            f"found {len(manifest.studies)}; add studies or ask for fewer or smaller subsets"
        )
    if faults:
        raise DatasetError(*(f"cohort {manifest.cohort}: {fault}" for fault in faults))
    entries = sorted(manifest.studies, key=lambda entry: entry.study)
    order = np.random.default_rng(target.split_seed).permutation(len(entries))
    drawn = [entries[i] for i in order[:wanted]]
    size = target.subset_size
    return tuple(tuple(drawn[start : start + size]) for start in range(0, wanted, size))


def rotate(subsets: Sequence[Subset], training_size: int, fold: int) -> Fold:
    """Fold `fold` (from 1) at this training size: the `training_size` studies before subset `fold`, and subset `fold`.

    Raises ValueError for a fold that does not exist or a size that is no whole number of subsets.
    """
    count, size = len(subsets), len(subsets[0])
    if not 1 <= fold <= count:
        raise ValueError(f"fold: wanted 1 to {count}, found {fold}")
    if training_size % size or not size <= training_size <= size * (count - 1):
        raise ValueError(
            f"training_size: wanted a multiple of {size} up to {size * (count - 1)}, found {training_size}"
        )
    tested = fold - 1
    turns = training_size // size
    train = tuple(entry for back in range(turns, 0, -1) for entry in subsets[(tested - back) % count])
    return Fold(train=train, test=subsets[tested])


def shared_patients_or_images(entries: Sequence[ManifestEntry]) -> list[str]:
    """Faults that would let a fold leak: patients with several studies, images that several studies share."""
    by_patient: dict[str, list[str]] = defaultdict(list)
    by_image: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        by_patient[entry.patient].append(entry.study)
        by_image[entry.image_sha256].append(entry.study)
    several = [
        f"patient {patient} has {', '.join(names)}; keep one" for patient, names in by_patient.items() if names[1:]
    ]
    same = [f"{' and '.join(names)} are the same image; keep one" for names in by_image.values() if names[1:]]
    return several + same
