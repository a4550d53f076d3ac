"""Choose the training and test studies of each fold from a split. Subsets and folds count from 1.

The rotation follows Wahlig et al. 2023, figure S3: train on k consecutive subsets, test on the next subset, wrap
around until every subset has been the test set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from lesionlab.errors import DatasetError
from lesionlab.experiments.randomisation import draw_split
from lesionlab.store.documents import create_named, is_sound, read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.manifests import Manifest, ManifestEntry
from storage_schemas.splits import ALL_SITES, Split, Target, split_name

Subset = tuple[ManifestEntry, ...]


@dataclass(frozen=True)
class FoldSubsets:
    """The numbers of the subsets that one fold trains on, in order, and of those that it tests."""

    train: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True)
class Fold:
    """The studies that one fold trains on and tests."""

    train: Subset
    test: Subset


def fold_subsets(target: Target, training_size: int, fold: int) -> FoldSubsets:
    """The subsets of fold `fold` (from 1) at this training size.

    Raises ValueError if the fold does not exist, or if a rotation's training size is not a whole number of subsets.
    """
    count, size = target.fold_count, target.subset_size
    if not 1 <= fold <= count:
        raise ValueError(f"fold: wanted 1 to {count}, found {fold}")
    others = tuple(number for number in range(1, count + 1) if number != fold)
    if target.design == "cross-site":
        return _cross_site(target, fold)
    if target.design == "train-on-one-site":
        return FoldSubsets(train=(fold,), test=others)
    if target.design != "rotation":
        return FoldSubsets(train=others, test=(fold,))
    if training_size % size or not size <= training_size <= size * (count - 1):
        raise ValueError(
            f"training_size: wanted a multiple of {size} up to {size * (count - 1)}, found {training_size}"
        )
    return FoldSubsets(
        train=tuple((fold - 1 - back) % count + 1 for back in range(training_size // size, 0, -1)), test=(fold,)
    )


def _cross_site(target: Target, fold: int) -> FoldSubsets:
    """Part k of every site is tested by networks that were trained on the other parts: of one site, or of all. Where a
    site is left out, all of it is tested by a network of the other sites."""
    numbers, test_site = range(1, target.subset_count + 1), target.test_site(fold)
    if test_site is not None:
        tested = tuple(number for number in numbers if target.site_of(number) == test_site)
        return FoldSubsets(train=tuple(number for number in numbers if number not in tested), test=tested)
    tested = tuple(number for number in numbers if (number - fold) % target.parts == 0)
    site = target.train_site(fold)
    return FoldSubsets(
        train=tuple(n for n in numbers if n not in tested and site in (ALL_SITES, target.site_of(n))), test=tested
    )


def subset_names(target: Target) -> tuple[str, ...]:
    """How the subsets are called: `1`, `north`, `north 1`."""
    names = (
        [f"{site} {part}" for site in target.sites for part in range(1, target.parts + 1)]
        if target.parts > 1
        else list(target.sites)
    )
    return tuple(names or map(str, range(1, target.subset_count + 1)))


def fold_of(subsets: Sequence[Subset], target: Target, training_size: int, fold: int) -> Fold:
    """The studies of one fold.

    A rotation trains on whole subsets. The other designs take studies from the training subsets in turn, up to
    `training_size` or until all are used. Raises ValueError as `fold_subsets` does, and DatasetError if a patient or
    an image is in both training and test studies.
    """
    numbers = fold_subsets(target, training_size, fold)
    trained = [subsets[number - 1] for number in numbers.train]
    if target.design == "rotation":
        pool = list(chain.from_iterable(trained))
    else:
        pool = [entry for round_ in zip_longest(*trained) for entry in round_ if entry is not None]
    chosen = Fold(
        train=tuple(pool[:training_size]),
        test=tuple(chain.from_iterable(subsets[number - 1] for number in numbers.test)),
    )
    if faults := leaks(chosen.train, chosen.test):
        raise DatasetError(*(f"fold {fold}: {fault}" for fault in faults))
    return chosen


def leaks(train: Iterable[ManifestEntry], test: Iterable[ManifestEntry]) -> list[str]:
    """One fault for each test study whose patient or image is also in the training studies."""
    patients: dict[str, str] = {}
    images: dict[str, str] = {}
    for entry in train:
        patients[entry.patient] = entry.study
        images |= dict.fromkeys(entry.images, entry.study)
    faults = []
    for entry in test:
        shared = {f"{patients[entry.patient]} (same patient)"} if entry.patient in patients else set()
        shared |= {f"{images[image]} (same image)" for image in entry.images if image in images}
        faults += [f"{entry.study} is tested, but {other} is trained on" for other in sorted(shared)]
    return faults


def subsets_of(split: Split, manifest: Manifest) -> tuple[Subset, ...]:
    """The split's subsets as manifest entries. Raises DatasetError if the split was drawn from another manifest."""
    if split.manifest != manifest.id:
        raise DatasetError(
            f"cohort {manifest.cohort}: the split was drawn from manifest {split.manifest}, found {manifest.id}; "
            "draw it again"
        )
    entries = {entry.study: entry for entry in manifest.studies}
    return tuple(tuple(entries[study] for study in subset) for subset in split.subsets)


def stored_split(store: Store, manifest: Manifest, target: Target) -> Split:
    """The stored split of this manifest and target; drawn and stored on first use, or if it is damaged.

    A split therefore outlives the code that drew it. Raises DatasetError as `draw_split` does.
    """
    key = keys.SPLIT.build(cohort=manifest.cohort, digest=split_name(manifest.id, target))
    if not is_sound(store, key, Split):
        create_named(store, key, draw_split(manifest, target))
    return read_document(store, key, Split)
