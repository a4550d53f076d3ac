"""Read and move the sites' parts of a cohort: what a site contributes, and what a second dataset of it does to that."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Literal

from lesionlab.errors import Conflict, DatasetError
from lesionlab.store.documents import create_named, read_document, read_pointer, swap_pointer
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest, Slug
from storage_schemas.manifests import ManifestEntry
from storage_schemas.parts import Part

Second = Literal["refuse", "add", "replace"]
"""What a second dataset of a site does to its part of a cohort."""

ATTEMPTS = 20
"""Each loses against another writer who moved the same site's part meanwhile."""

LISTED = 5
"""Studies that a message lists."""


def sites_of(store: Store) -> list[Slug]:
    """Every site that has written to the store, sorted."""
    return [folder.removeprefix(keys.SITES).rstrip("/") for folder in store.folders(keys.SITES)]


def current_part(store: Store, site: Slug, cohort: Slug) -> Part | None:
    """What the site contributes to the cohort now; None: nothing yet."""
    digest = read_pointer(store, keys.CURRENT_PART.build(site=site, cohort=cohort))
    return None if digest is None else stored_part(store, site, cohort, digest)


def stored_part(store: Store, site: Slug, cohort: Slug, digest: Digest) -> Part:
    """A part, current or not. Raises MissingObject."""
    return read_document(store, keys.PART.build(site=site, cohort=cohort, digest=digest), Part)


def current_parts(store: Store, cohort: Slug, sites: Iterable[Slug] | None = None) -> tuple[Part, ...]:
    """The current parts of these sites (None: of all sites), sorted by site; a site without a part has none."""
    names = sorted(sites_of(store) if sites is None else sites)
    return tuple(part for site in names if (part := current_part(store, site, cohort)) is not None)


def move_part(store: Store, part: Part, was: Digest | None) -> None:
    """Store a part and make it the site's current one. Raises Conflict if the current one is not `was` any more."""
    create_named(store, keys.PART.build(site=part.site, cohort=part.cohort, digest=part.id), part)
    swap_pointer(store, keys.CURRENT_PART.build(site=part.site, cohort=part.cohort), was, part.id)


def leave_cohort(store: Store, cohort: Slug, but: Set[Slug]) -> tuple[Part, ...]:
    """Take the cohort from all sites but these; return their parts, which stay stored but count no more."""
    left = tuple(part for part in current_parts(store, cohort) if part.site not in but)
    for part in left:
        store.delete(keys.CURRENT_PART.build(site=part.site, cohort=cohort))
    return left


def contended(part: Slug) -> Conflict:
    """The error of a site whose part others moved each time."""
    return Conflict(f"site {part}: its part was changed by another writer {ATTEMPTS} times; run the command again")


def combined(before: Part | None, new: Part, second: Second) -> Part:
    """The site's part with a further dataset.

    The same dataset again, also corrected or grown, updates the part. A dataset that lacks studies of the part, or has
    another image under one of its labels, is a second one. Raises DatasetError with every fault if `second` is refuse
    and it is one, or if studies cannot be added.
    """
    if before is None or second == "replace":
        return new
    known = {entry.study: entry for entry in before.studies}
    taken = [
        entry.study for entry in new.studies if entry.study in known and not _same_image(entry, known[entry.study])
    ]
    if second == "refuse":
        told = {entry.study for entry in new.studies} | {exclusion.study for exclusion in new.excluded}
        if lost := sorted({*taken, *(known.keys() - told)}):
            raise DatasetError(
                f"site {new.site}: cohort {new.cohort} has {_count(before.studies)} of this site, and this dataset "
                f"would replace {len(lost)} of them ({_short(lost)}); say --add to keep both, or --replace to keep "
                "this one"
            )
        return new
    faults = [
        f"site {new.site}: {study} of cohort {new.cohort} has another image than {study} of this dataset; give one of "
        "them another label, or say --replace"
        for study in taken
    ]
    ours, theirs = new.preparation(), before.preparation()
    faults += [
        f"site {new.site}: {name}: cohort {new.cohort} has {theirs[name]} at this site, this dataset {ours[name]}; "
        "prepare both in the same way, or say --replace"
        for name in ours
        if ours[name] != theirs[name]
    ]
    if faults:
        raise DatasetError(*faults)
    studies = known | {entry.study: entry for entry in new.studies}
    excluded = {exclusion.study: exclusion for exclusion in (*before.excluded, *new.excluded)}
    return new.changed(
        studies=tuple(studies[study] for study in sorted(studies)),
        excluded=tuple(excluded[study] for study in sorted(excluded.keys() - studies.keys())),
    )


def _same_image(entry: ManifestEntry, other: ManifestEntry) -> bool:
    return bool(entry.images & other.images)


def _count(studies: Iterable[object]) -> str:
    count = len(list(studies))
    return f"{count} {'study' if count == 1 else 'studies'}"


def _short(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
