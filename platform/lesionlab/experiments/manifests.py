"""Find a cohort's current manifest."""

from __future__ import annotations

from lesionlab.errors import InputError
from lesionlab.store.documents import read_document, read_pointer
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Slug
from storage_schemas.manifests import Manifest


def current_manifest(store: Store, cohort: Slug) -> Manifest:
    """The current manifest of a cohort. Raises InputError if no cohort of this name was preprocessed."""
    digest = read_pointer(store, keys.CURRENT_MANIFEST.build(cohort=cohort))
    if digest is None:
        raise InputError(
            f"cohort {cohort}: not in {store.uri}; preprocess it first: lesionlab preprocess DATASET --cohort {cohort}"
        )
    return read_document(store, keys.MANIFEST.build(cohort=cohort, digest=digest), Manifest)
