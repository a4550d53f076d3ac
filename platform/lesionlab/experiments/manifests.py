"""Compute the manifest of a cohort, the union of its sites' current parts, and freeze the one that is planned with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

from lesionlab.errors import DatasetError, InputError, MissingObject
from lesionlab.experiments.parts import current_parts
from lesionlab.experiments.site_policies import left_out, usable
from lesionlab.store.documents import create_named, read_document
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.base import Slug
from storage_schemas.facts import StudyFacts
from storage_schemas.keys import KeyPattern
from storage_schemas.manifests import Exclusion, Manifest, ManifestEntry
from storage_schemas.parts import DeclaredCohort, Part
from storage_schemas.policies import LeftOut, Purpose
from storage_schemas.verdicts import VerdictRow

R = TypeVar("R", StudyFacts, VerdictRow)


def declared_cohort(store: Store, cohort: Slug) -> DeclaredCohort | None:
    """The declaration of a cohort of several sites; None: nobody declared it."""
    try:
        return read_document(store, keys.COHORT.build(cohort=cohort), DeclaredCohort)
    except MissingObject:
        return None


def has_cohort(store: Store, cohort: Slug) -> bool:
    """Whether any site has a part of it."""
    return bool(_parts(store, cohort, declared_cohort(store, cohort)))


def current_manifest(store: Store, cohort: Slug, purpose: Purpose | None = None) -> Manifest:
    """The union of the sites' current parts; with a purpose, of the sites whose policies allow it.

    What is trained or tested is always asked for with its purpose. Raises InputError if no site has contributed to it,
    or if all of them forbid the purpose, DatasetError with every fault that keeps the parts apart.
    """
    declared = declared_cohort(store, cohort)
    parts = _parts(store, cohort, declared)
    if not parts:
        invited = f" (invited: {', '.join(declared.sites)})" if declared else ""
        raise InputError(
            f"cohort {cohort}: not in {store.uri}{invited}; preprocess it first: lesionlab preprocess DATASET --cohort "
            f"{cohort}"
        )
    return union(cohort, parts if purpose is None else usable(store, cohort, parts, purpose), declared)


def forbidden_parts(store: Store, cohort: Slug, purpose: Purpose) -> tuple[LeftOut, ...]:
    """The sites whose studies are not in the manifest, because their policies forbid this purpose."""
    return left_out(store, _parts(store, cohort, declared_cohort(store, cohort)), purpose)


def frozen_manifest(store: Store, cohort: Slug, purpose: Purpose | None = None) -> Manifest:
    """Store the current manifest under its name, so that plans can refer to it later; return it."""
    manifest = current_manifest(store, cohort, purpose)
    create_named(store, keys.MANIFEST.build(cohort=cohort, digest=manifest.id), manifest)
    return manifest


def union(cohort: Slug, parts: Sequence[Part], declared: DeclaredCohort | None = None) -> Manifest:
    """The manifest of these parts; their order does not matter.

    In a declared cohort the labels of studies and patients are qualified by their sites, because every hospital has a
    sub-0001. Otherwise all parts come from one hospital, and labels are its own. Raises DatasetError with every fault:
    sites that prepared their studies differently, or a study, an image or a patient at two sites.
    """
    parts = sorted(parts, key=lambda part: part.site)
    faults = [*_differences(cohort, parts, declared), *_shared(parts, qualified=declared is not None)]
    if faults:
        raise DatasetError(*(f"cohort {cohort}: {fault}" for fault in faults))
    entries = [
        entry.qualified() if declared else entry.model_copy(update={"register_token": None})
        for part in parts
        for entry in part.studies
    ]
    excluded = [
        Exclusion(study=f"{part.site}/{one.study}", findings=one.findings) if declared else one
        for part in parts
        for one in part.excluded
    ]
    return Manifest.named(
        cohort=cohort,
        task=parts[0].task,
        spacing_mm=parts[0].spacing_mm,
        studies=tuple(sorted(entries, key=lambda entry: entry.study)),
        excluded=tuple(sorted(excluded, key=lambda one: one.study)),
        strip=parts[0].strip,
        parts={part.site: part.id for part in parts},
    )


def manifest_facts(store: Store, manifest: Manifest) -> tuple[StudyFacts, ...]:
    """Facts of the studies of a manifest, sorted; none of parts whose facts are not in the store."""
    found = {entry.study for entry in manifest.studies}
    return tuple(fact for fact in _rows(store, manifest, keys.FACTS, StudyFacts) if fact.study in found)


def manifest_verdicts(store: Store, manifest: Manifest) -> tuple[VerdictRow, ...] | None:
    """Every finding of quality control, sorted; None if the store has no table of them."""
    return _rows(store, manifest, keys.VERDICTS, VerdictRow) or None


def _parts(store: Store, cohort: Slug, declared: DeclaredCohort | None) -> tuple[Part, ...]:
    return current_parts(store, cohort, declared.sites if declared else None)


def _rows(store: Store, manifest: Manifest, kind: KeyPattern, model: type[R]) -> tuple[R, ...]:
    qualified = any("/" in entry.study for entry in manifest.studies)
    rows: list[R] = []
    for site, digest in sorted(manifest.parts.items()):
        key = kind.build(site=site, cohort=manifest.cohort, digest=digest)
        own = read_rows(store, [key], model) if store.exists(key) else []
        update = [
            {"study": f"{site}/{row.study}", "patient": f"{site}/{row.patient}"} if qualified else {} for row in own
        ]
        rows += [row.model_copy(update=fields) for row, fields in zip(own, update, strict=True)]
    return tuple(sorted(rows, key=lambda row: row.study))


def _differences(cohort: Slug, parts: Sequence[Part], declared: DeclaredCohort | None) -> Iterable[str]:
    """One fault for each thing that is not prepared everywhere in the same way, with what it is at which site."""
    for name in parts[0].preparation():
        found: dict[str, list[Slug]] = defaultdict(list)
        for part in parts:
            found[part.preparation()[name]].append(part.site)
        if len(found) > 1 or len({part.task.canonical_json() for part in parts if name == "task"}) > 1:
            told = ", ".join(f"{value} at {' and '.join(sites)}" for value, sites in found.items())
            yield f"{name} differs: {told}; prepare every site's studies in the same way"
    if declared is None:
        return
    wanted = {"task": declared.task.name, "spacing_mm": f"{declared.spacing_mm:g}", "strip": declared.strip or "none"}
    for part in parts:
        own = part.preparation()
        for name, value in wanted.items():
            if own[name] != value:
                yield f"{name}: {value} is declared, {part.site} has {own[name]}; {part.site} contributes again"
        lacking = [e.study for e in part.studies if not e.second_rater and declared.second_rater == "required"]
        surplus = [e.study for e in part.studies if e.second_rater and declared.second_rater == "none"]
        if lacking:
            yield f"second rater: required, but {part.site} has none for {', '.join(lacking)}"
        if surplus:
            yield f"second rater: none is declared, but {part.site} has one for {', '.join(surplus)}"


def _shared(parts: Sequence[Part], *, qualified: bool) -> Iterable[str]:
    """One fault for each study label, image or register entry that two sites have, naming both."""
    labels: dict[str, ManifestEntry] = {}
    images: dict[str, ManifestEntry] = {}
    people: dict[str, ManifestEntry] = {}
    for part in parts:
        for entry in part.studies:
            if not qualified and entry.study in labels:
                yield (
                    f"{entry.study} is a study of {labels[entry.study].site} and of {part.site}; if these are "
                    "different hospitals, declare the cohort (lesionlab declare): labels are qualified by site then; "
                    "if it is one dataset, whose sites were named since, preprocess it with --replace"
                )
            others = {images[image].study: images[image] for image in sorted(entry.images) if image in images}
            for other in others.values():
                if other.site != part.site and (qualified or other.patient != entry.patient):
                    yield (f"{_named(other)} and {_named(entry)} have the same image; one of the sites withdraws it")
            if entry.register_token in people and people[entry.register_token].site != part.site:
                yield (
                    f"{_named(people[entry.register_token])} and {_named(entry)} are the same patient of the register; "
                    "one of the sites withdraws its studies"
                )
        labels |= {entry.study: entry for entry in part.studies}
        images |= {image: entry for entry in part.studies for image in entry.images}
        people |= {entry.register_token: entry for entry in part.studies if entry.register_token}


def _named(entry: ManifestEntry) -> str:
    return f"{entry.site}/{entry.study}"
