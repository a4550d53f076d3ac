"""Randomise the studies of a cohort to subsets; all studies of a patient go to the same subset.

The same studies and the same Target give the same Split; the order of the studies does not matter.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from lesionlab.errors import DatasetError
from lesionlab.imaging.likeness import CopyOf, find_copies
from storage_schemas.base import Sha256
from storage_schemas.manifests import Manifest, ManifestEntry
from storage_schemas.splits import Split, Target

T = TypeVar("T")


class Study(Protocol):
    """What the numbers of a design ask of a study, also of one whose images nobody has read yet."""

    @property
    def study(self) -> str: ...
    @property
    def patient(self) -> str: ...
    @property
    def site(self) -> str: ...
    @property
    def second_rater(self) -> bool: ...


S = TypeVar("S", bound=Study)

Patient = tuple[ManifestEntry, ...]
"""All studies of one patient, sorted by name."""

ATTEMPTS = 100
"""Random patient orders to try: if patients have several studies each, some orders leave a subset incomplete."""


def draw_split(manifest: Manifest, target: Target) -> Split:
    """Randomise the studies to subsets as the target's design requires; surplus studies stay unused.

    Raises DatasetError with every fault: one image in two studies; too few studies, sites or patients; or a patient
    who would belong to two subsets.
    """
    faults = shared_images(manifest.studies)
    patients = by_patient(manifest.studies)
    rng = np.random.default_rng(target.split_seed)
    subsets: list[list[ManifestEntry]] = []
    faults += too_few(manifest.studies, target)
    if target.design == "rotation":
        subsets = [] if faults else _drawn(patients, target, rng)
        if not subsets and not faults:
            faults.append(
                f"the studies of {len(patients)} patients cannot be split into {target.subsets} subsets of "
                f"{target.subset_size} with each patient in one subset; change the subsets or add studies"
            )
    elif target.design == "leave-one-patient-out":
        if len(patients) > target.subset_count:
            faults.append(_wanted_patients(patients, target))
        subsets = [_shuffled(patient, rng) for patient in patients]
    else:
        faults += _at_two_sites(patients, target)
        subsets = [subset for site in target.sites for subset in _parts_of(site, patients, target, rng)]
    if faults:
        raise DatasetError(*(f"cohort {manifest.cohort}: {fault}" for fault in faults))
    used = {entry.study for subset in subsets for entry in subset}
    return Split.named(
        manifest=manifest.id,
        target=target,
        subsets=tuple(tuple(entry.study for entry in subset) for subset in subsets),
        unused=tuple(sorted(entry.study for entry in manifest.studies if entry.study not in used)),
    )


def too_few(studies: Iterable[S], target: Target) -> list[str]:
    """One fault for each thing that these are too few of, even if every study passes quality control."""
    patients = by_patient(studies)
    if target.design == "rotation":
        return [*_too_few_for_subsets(patients, target)]
    if target.design == "leave-one-patient-out":
        return [_wanted_patients(patients, target)] if len(patients) < target.subset_count else []
    return [*_too_few_for_sites(patients, target)]


def by_patient(entries: Iterable[S]) -> list[tuple[S, ...]]:
    """The studies of each patient; patients sorted by the name of their first study."""
    found: dict[str, list[S]] = defaultdict(list)
    for entry in sorted(entries, key=lambda entry: entry.study):
        found[entry.patient].append(entry)
    return [tuple(studies) for studies in found.values()]


def shared_images(entries: Iterable[ManifestEntry]) -> list[str]:
    """One fault for each pair of studies that share an image, or of two patients with a likely copy.

    Two studies of one patient may share some images, but not all: three visits make two pairs with a common visit.
    """
    entries = tuple(entries)
    seen: dict[Sha256, ManifestEntry] = {}
    faults = []
    for entry in entries:
        others = {seen[image].study: seen[image] for image in sorted(entry.images) if image in seen}
        faults += [
            f"{study} and {entry.study} have the same image; keep one of them"
            for study, other in others.items()
            if other.patient != entry.patient or other.same_images(entry)
        ]
        seen |= dict.fromkeys(entry.images, entry)
    return faults + [
        f"{one.study} and {other.study} have {_KIND[of]} that is likely a copy; compare them, then exclude one or give "
        "both the same patient label"
        for one, other, of in likely_copies(entries, entries)
        if one.study < other.study and one.patient != other.patient
    ]


_KIND: Mapping[CopyOf, str] = {"image": "an image", "mask": "a mask"}


def likely_copies(
    first: Sequence[ManifestEntry], second: Sequence[ManifestEntry]
) -> list[tuple[ManifestEntry, ManifestEntry, CopyOf]]:
    """Pairs of one study of each side with a likely copy of an image or a mask, unless they share an image."""
    copies = find_copies([entry.likeness for entry in first], [entry.likeness for entry in second])
    pairs = [(first[copy.first], second[copy.second], copy.of) for copy in copies]
    return [(one, other, of) for one, other, of in pairs if not one.images & other.images]


def _too_few_for_subsets(patients: Sequence[tuple[S, ...]], target: Target) -> Iterable[str]:
    wanted, found = target.subsets * target.subset_size, sum(map(len, patients))
    if found < wanted:
        yield (
            f"wanted {wanted} studies ({target.subsets} subsets of {target.subset_size}), found {found}; "
            "add studies or ask for fewer or smaller subsets"
        )
    twice_masked = sum(len(patient) for patient in patients if _twice_masked(patient))
    if target.second_rater_first and twice_masked < target.subset_size:
        yield (
            f"wanted {target.subset_size} studies with a second rater's mask for subset 1, found {twice_masked} "
            "(from patients with a second mask in every study); add masks or set second_rater_first: false"
        )


def _wanted_patients(patients: Sequence[tuple[S, ...]], target: Target) -> str:
    return f"wanted {target.patients} patients, found {len(patients)}; correct target.patients"


def _too_few_for_sites(patients: Sequence[tuple[S, ...]], target: Target) -> Iterable[str]:
    found = {entry.site for patient in patients for entry in patient}
    for site in target.sites:
        if site not in found:
            yield f"site {site}: no studies found; the cohort's sites are {', '.join(sorted(found))}"
        elif (own := sum(patient[0].site == site for patient in patients)) < target.parts:
            yield f"site {site}: wanted at least {target.parts} patients, one for each part; found {own}"


def _at_two_sites(patients: Sequence[Patient], target: Target) -> Iterable[str]:
    for patient in patients:
        if len(several := sorted({entry.site for entry in patient} & set(target.sites))) > 1:
            names = ", ".join(entry.study for entry in patient)
            yield (
                f"patient {patient[0].patient} was scanned at {' and '.join(several)} ({names}); "
                "keep the studies of one site"
            )


def _drawn(patients: Sequence[Patient], target: Target, rng: np.random.Generator) -> list[list[ManifestEntry]]:
    """Complete subsets, or an empty list if none of the random orders fills them."""
    for _ in range(ATTEMPTS):
        order = [patients[place] for place in rng.permutation(len(patients))]
        if not target.second_rater_first:
            subsets = _filled(order, target, target.subsets, rng)
        else:
            first = _filled(_twice_masked_first(order, target), target, 1, rng)
            taken = {entry.study for subset in first for entry in subset}
            rest = [patient for patient in order if patient[0].study not in taken]
            subsets = first + _filled(rest, target, target.subsets - 1, rng)
        if all(len(subset) == target.subset_size for subset in subsets):
            return subsets
    return []


def _parts_of(
    site: str, patients: Sequence[Patient], target: Target, rng: np.random.Generator
) -> list[list[ManifestEntry]]:
    """The studies of a site: all together, or in parts of nearly equal size with each patient in one part."""
    own = [patient for patient in patients if patient[0].site == site]
    if target.parts == 1:
        return [_shuffled([entry for patient in own for entry in patient], rng)]
    parts: list[list[ManifestEntry]] = [[] for _ in range(target.parts)]
    for patient in _shuffled(own, rng):
        min(parts, key=len).extend(patient)
    return parts


def _twice_masked_first(order: Sequence[Patient], target: Target) -> list[Patient]:
    """Candidates for subset 1 in order of preference; if stratified, so that subset 1 represents the whole cohort.

    All patients are ranked by stratum and cut into as many parts as subset 1 has patients; candidates are then taken
    from each part in turn. Other parts replace a part without candidates.
    """
    candidates = [patient for patient in order if _twice_masked(patient)]
    if not target.stratify:
        return candidates
    ranked = sorted(order, key=lambda patient: _stratum(patient, target))
    parts = max(1, round(target.subset_size * len(ranked) / sum(map(len, ranked))))
    part = {patient[0].study: place * parts // len(ranked) for place, patient in enumerate(ranked)}
    taken: Counter[int] = Counter()
    rounds: list[tuple[int, Patient]] = []
    for patient in candidates:
        own = part[patient[0].study]
        rounds.append((taken[own], patient))
        taken[own] += 1
    return [patient for _, patient in sorted(rounds, key=lambda entry: entry[0])]


def _filled(
    order: Sequence[Patient], target: Target, count: int, rng: np.random.Generator
) -> list[list[ManifestEntry]]:
    """Fill `count` subsets: each patient goes to the first subset with room; if stratified, to the emptiest, by
    stratum."""
    chosen: list[Patient] = []
    spare: list[Patient] = []
    room = count * target.subset_size
    for patient in order:
        fits_in = len(patient) <= min(room, target.subset_size)
        (chosen if fits_in else spare).append(patient)
        room -= len(patient) * fits_in
    if target.stratify:
        chosen.sort(key=lambda patient: _stratum(patient, target))
    subsets: list[list[ManifestEntry]] = [[] for _ in range(count)]
    for patient in (*chosen, *spare):
        open_to = [subset for subset in subsets if len(subset) + len(patient) <= target.subset_size]
        if target.stratify:
            # Neighbours in a stratum go to different subsets, in random order.
            emptiest = min(map(len, open_to), default=0)
            open_to = _shuffled([subset for subset in open_to if len(subset) == emptiest], rng)
        if open_to:
            open_to[0].extend(patient)
    return [_shuffled(subset, rng) for subset in subsets] if target.stratify else subsets


def _stratum(patient: Patient, target: Target) -> tuple[str | float, ...]:
    """Sort key: site first, then mean lesion volume."""
    keys: Mapping[str, str | float] = {
        "site": patient[0].site,
        "lesion-load": sum(entry.lesion_volume_ml for entry in patient) / len(patient),
    }
    return tuple(keys[name] for name in ("site", "lesion-load") if name in target.stratify)


def _twice_masked(patient: Sequence[Study]) -> bool:
    return all(entry.second_rater for entry in patient)


def _shuffled(values: Sequence[T], rng: np.random.Generator) -> list[T]:
    return [values[place] for place in rng.permutation(len(values))]
