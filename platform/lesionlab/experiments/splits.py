"""A Split in; who trains and who tests in each fold, out. Subsets and folds count from 1.

The rotation is the paper's (Wahlig et al. 2023, figure S3): train on k consecutive subsets, test on the next one, wrap
around, until every subset was the test set.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from lesionlab.errors import DatasetError
from lesionlab.experiments.draw import draw_split
from lesionlab.store.documents import create_named, read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.manifests import Manifest, ManifestEntry
from storage_schemas.splits import Split, Target, split_name

Subset = tuple[ManifestEntry, ...]


@dataclass(frozen=True)
class Turn:
    """One turn of a design: the numbers of the subsets that are trained on, in order, and of those that are tested."""

    train: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True)
class Fold:
    """One turn with its studies."""

    train: Subset
    test: Subset


def turn(target: Target, training_size: int, fold: int) -> Turn:
    """Fold `fold` (from 1) of the design at this training size.

    Raises ValueError for a fold that does not exist, or a size that is no whole number of a rotation's subsets.
    """
    count, size = target.fold_count, target.subset_size
    if not 1 <= fold <= count:
        raise ValueError(f"fold: wanted 1 to {count}, found {fold}")
    others = tuple(number for number in range(1, count + 1) if number != fold)
    if target.design == "train-on-one-site":
        return Turn(train=(fold,), test=others)
    if target.design != "rotation":
        return Turn(train=others, test=(fold,))
    if training_size % size or not size <= training_size <= size * (count - 1):
        raise ValueError(
            f"training_size: wanted a multiple of {size} up to {size * (count - 1)}, found {training_size}"
        )
    return Turn(
        train=tuple((fold - 1 - back) % count + 1 for back in range(training_size // size, 0, -1)), test=(fold,)
    )


def fold_of(subsets: Sequence[Subset], target: Target, training_size: int, fold: int) -> Fold:
    """The studies of one turn.

    A rotation trains on whole subsets. The other designs take one study of each training subset in turn, until there
    are `training_size`, or all where there are fewer. Raises ValueError as `turn` does, and DatasetError where a
    patient or an image would stand on both sides.
    """
    numbers = turn(target, training_size, fold)
    trained = [subsets[number - 1] for number in numbers.train]
    if target.design == "rotation":
        pool = list(chain.from_iterable(trained))
    else:
        pool = [entry for round_ in zip_longest(*trained) for entry in round_ if entry is not None]
    turned = Fold(
        train=tuple(pool[:training_size]),
        test=tuple(chain.from_iterable(subsets[number - 1] for number in numbers.test)),
    )
    if faults := leaks(turned.train, turned.test):
        raise DatasetError(*(f"fold {fold}: {fault}" for fault in faults))
    return turned


def leaks(train: Iterable[ManifestEntry], test: Iterable[ManifestEntry]) -> list[str]:
    """A fault for every tested study whose patient, or one of whose images, is trained on."""
    patients: dict[str, str] = {}
    images: dict[str, str] = {}
    for entry in train:
        patients[entry.patient] = entry.study
        images |= dict.fromkeys(entry.images, entry.study)
    faults = []
    for entry in test:
        shared = {f"{patients[entry.patient]} of the same patient"} if entry.patient in patients else set()
        shared |= {f"{images[image]} of the same image" for image in entry.images if image in images}
        faults += [f"{entry.study} is tested, but {other} is trained on" for other in sorted(shared)]
    return faults


def subsets_of(split: Split, manifest: Manifest) -> tuple[Subset, ...]:
    """The split's subsets with all that the manifest knows. Raises DatasetError where it is of another manifest."""
    if split.manifest != manifest.id:
        raise DatasetError(
            f"cohort {manifest.cohort}: the split was drawn from manifest {split.manifest}, found {manifest.id}; "
            "draw it again"
        )
    entries = {entry.study: entry for entry in manifest.studies}
    return tuple(tuple(entries[study] for study in subset) for subset in split.subsets)


def kept_split(store: Store, manifest: Manifest, target: Target) -> Split:
    """The split that the store keeps for this manifest and target; drawn and put there where it has none.

    So a split outlives the code that drew it. Raises DatasetError as `draw_split` does.
    """
    key = keys.SPLIT.build(cohort=manifest.cohort, digest=split_name(manifest.id, target))
    if not store.exists(key):
        create_named(store, key, draw_split(manifest, target))
    return read_document(store, key, Split)
