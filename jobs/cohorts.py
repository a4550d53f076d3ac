"""The cohorts of a study, found again in the store."""

from __future__ import annotations

from lesionlab.errors import InputError
from lesionlab.store.documents import read_document, read_pointer
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Slug
from storage_schemas.manifests import Manifest


def manifest_of(store: Store, cohort: Slug) -> Manifest:
    """The current manifest of a cohort. Raises InputError where nothing was preprocessed under that name."""
    digest = read_pointer(store, keys.CURRENT_MANIFEST.build(cohort=cohort))
    if digest is None:
        raise InputError(
            f"cohort {cohort}: not in {store.uri}; bring it in with: lesionlab preprocess BIDS --cohort {cohort}"
        )
    return read_document(store, keys.MANIFEST.build(cohort=cohort, digest=digest), Manifest)
