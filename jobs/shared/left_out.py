"""Say before anything is trained what will be refused: studies kept out by policies or benchmarks, and the report."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from jobs.shared.console import notes
from jobs.shared.options import connect_to_read
from lesionlab.errors import LesionlabError, StoreError
from lesionlab.experiments.benchmarks import held_studies
from lesionlab.experiments.manifests import current_manifest, forbidden_parts, has_cohort
from lesionlab.experiments.rehearsal import purposes, report_withheld
from lesionlab.experiments.site_policies import shared_instead, without_report
from lesionlab.store.objects import Store
from storage_schemas.base import Slug
from storage_schemas.experiments import ExperimentSpec, Plan
from storage_schemas.manifests import ManifestEntry
from storage_schemas.policies import LeftOut


def note_left_out(found: Iterable[LeftOut]) -> None:
    """One line for each, on standard error."""
    for one in found:
        notes.print(one.text(), style="yellow")


def note_without_report(found: Iterable[str]) -> None:
    """Why there will be no report of the hospitals, and what to do; nothing if there will be one."""
    if found := tuple(found):
        for line in ("no report of the hospitals:", *found):
            notes.print(line, style="yellow")


def note_policies(plan: Plan, store: Store) -> None:
    """What the policies forbid of a plan."""
    note_left_out(plan.left_out)
    note_without_report(without_report(store, plan.runs))


def note_obstacles(spec: ExperimentSpec, uri: str) -> None:
    """What policies and benchmarks forbid of an experiment that is not planned; nothing where its cohorts cannot be
    read."""
    with suppress(StoreError):
        store = connect_to_read(uri)
        note_left_out([one for cohort, purpose in purposes(spec) for one in forbidden_parts(store, cohort, purpose)])
        with suppress(LesionlabError):  # a cohort that does not fit the design is refused by whatever trains on it
            for fault in held_studies(store, _in_store(spec, store), spec.cohorts):
                notes.print(fault, style="yellow")
        with suppress(LesionlabError):
            if has_cohort(store, spec.target.cohort) and (found := report_withheld(spec, store)):
                note_without_report((*found, shared_instead(spec.name)))


def _in_store(spec: ExperimentSpec, store: Store) -> dict[Slug, tuple[ManifestEntry, ...]]:
    return {
        cohort: current_manifest(store, cohort, purpose).studies
        for cohort, purpose in purposes(spec)
        if has_cohort(store, cohort)
    }
