"""Recognise a patient of the consortium's register in several cohorts, by tokens that only the sites' parts hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lesionlab.experiments.parts import current_part, stored_part
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Sha256, Slug, StudyLabel
from storage_schemas.manifests import ManifestEntry
from storage_schemas.parts import Part

Marked = Callable[[Iterable[ManifestEntry], Slug], tuple[ManifestEntry, ...]]
"""Studies of a cohort, with whatever recognises their patients in another one."""


def unmarked(entries: Iterable[ManifestEntry], cohort: Slug) -> tuple[ManifestEntry, ...]:
    """The studies as they are."""
    return tuple(entries)


class PatientRegister:
    """The tokens in a store; each site's parts of a cohort are read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[tuple[Slug, Slug], dict[StudyLabel, Sha256]] = {}

    def marked(self, entries: Iterable[ManifestEntry], cohort: Slug) -> tuple[ManifestEntry, ...]:
        """Studies of a declared cohort with their patients' tokens, to be compared and never stored; others as they
        are."""
        return tuple(self._marked(entry, cohort) for entry in entries)

    def _marked(self, entry: ManifestEntry, cohort: Slug) -> ManifestEntry:
        site, qualified, label = entry.study.partition("/")
        token = self._tokens(site, cohort).get(label) if qualified else None
        return entry.model_copy(update={"register_token": token}) if token else entry

    def _tokens(self, site: Slug, cohort: Slug) -> dict[StudyLabel, Sha256]:
        if (site, cohort) not in self._read:
            tokens: dict[StudyLabel, Sha256] = {}
            for part in self._parts(site, cohort):
                for own in part.studies:
                    if own.register_token:
                        tokens.setdefault(own.study, own.register_token)
            self._read[site, cohort] = tokens
        return self._read[site, cohort]

    def _parts(self, site: Slug, cohort: Slug) -> Iterable[Part]:
        """The current part first, because it may correct an entry; earlier ones have what was frozen from them."""
        if current := current_part(self._store, site, cohort):
            yield current
        for key in self._store.list(keys.PART.prefix(site=site, cohort=cohort)):
            if (found := keys.PART.parse(key)) and key != keys.CURRENT_PART.build(site=site, cohort=cohort):
                yield stored_part(self._store, site, cohort, found["digest"])
