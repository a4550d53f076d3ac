"""Read the facts of a stored cohort, and the subsets that an experiment draws from it."""

from __future__ import annotations

from jobs.shared.experiment_files import load_spec
from lesionlab.analysis.sheets.cohort_tables import cohort_tables
from lesionlab.analysis.sheets.sheet import Sheet
from lesionlab.errors import InputError
from lesionlab.experiments.manifests import current_manifest, manifest_facts
from lesionlab.experiments.site_policies import refuse_leaving
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Slug
from storage_schemas.facts import StudyFacts
from storage_schemas.manifests import Manifest
from storage_schemas.splits import Split, split_name

COUNTED = "lesionlab analyse EXPERIMENT --share consortium --out DIR counts patients instead"


def cohort_sheets(store: Store, cohort: Slug, experiment: str | None) -> dict[str, Sheet]:
    """Tables by file name: by site, and by subset if an experiment is given.

    Raises InputError if the store has no facts of the cohort, or the experiment has no split of its current manifest.
    """
    manifest = current_manifest(store, cohort)
    facts = cohort_facts(store, cohort)
    split = split_of(store, manifest, experiment) if experiment else None
    return cohort_tables(facts, f"Cohort {cohort}, {manifest.task.name}", split)


def cohort_facts(store: Store, cohort: Slug) -> list[StudyFacts]:
    """The facts of every study and visit. Raises InputError if the store has none, or if a site's policy does not let
    them leave."""
    manifest = current_manifest(store, cohort)
    refuse_leaving(store, "cohort", manifest.task.name, manifest.studies, "rows", COUNTED)
    facts = manifest_facts(store, manifest)
    if not facts:
        raise InputError(f"cohort {cohort}: its facts are not in the store; run lesionlab preprocess again")
    return list(facts)


def split_of(store: Store, manifest: Manifest, experiment: str) -> Split:
    """The split of an experiment. Raises InputError if its target is another cohort or the split is not drawn yet."""
    spec = load_spec(experiment)
    if spec.target.cohort != manifest.cohort:
        raise InputError(
            f"experiment {spec.name}: its target is cohort {spec.target.cohort}, not {manifest.cohort}; "
            f"use: lesionlab cohort {spec.target.cohort}"
        )
    key = keys.SPLIT.build(cohort=manifest.cohort, digest=split_name(manifest.id, spec.target))
    if not store.exists(key):
        raise InputError(
            f"experiment {spec.name}: the current manifest of cohort {manifest.cohort} has no subsets yet; "
            f"draw them with: lesionlab sweep {experiment}"
        )
    return read_document(store, key, Split)
