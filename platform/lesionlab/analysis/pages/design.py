"""Describe the design and the settings of a plan, for the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from lesionlab.analysis.words import pages as words
from lesionlab.experiments.splits import subset_names
from storage_schemas.axes import text_of
from storage_schemas.experiments import ExperimentSpec, Plan
from storage_schemas.manifests import Manifest
from storage_schemas.splits import Split


@dataclass(frozen=True)
class Design:
    """How the experiment was carried out."""

    studies: int
    subsets: tuple[tuple[str, tuple[str, ...]], ...]
    """Name and studies, in the order of the folds that test them."""
    unused: tuple[str, ...]
    """Studies that the split does not use."""
    cohorts: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]


def describe(plan: Plan, manifest: Manifest, split: Split) -> Design:
    """Describe the design of a plan as it was carried out."""
    return Design(
        studies=len(manifest.studies),
        subsets=tuple(zip(subset_names(plan.spec.target), split.subsets, strict=True)),
        unused=split.unused,
        cohorts=tuple((name, _cohort(plan.spec, name)) for name in sorted(plan.spec.cohorts)),
        settings=tuple(_settings(plan.spec)),
    )


def _cohort(spec: ExperimentSpec, name: str) -> str:
    roles = [words.LABELLED] if name == spec.target.cohort else []
    roles += [words.default_model(source.model) for source in spec.sources if source.cohort == name]
    return f"{words.cohort_origin(spec.cohorts[name].simulate)} ({'; '.join(roles) or words.NO_ROLE})"


def _settings(spec: ExperimentSpec) -> Iterable[tuple[str, str]]:
    yield "spacing_mm", f"{spec.spacing_mm:g}"
    yield from ((name, text) for name, text in _axes(spec) if text)
    for part in (spec.architecture, spec.training, spec.inference):
        yield from _flat(part.written())
    for source in spec.sources:
        if source.training:
            own, shared = (dict(_flat(t.written())) for t in (source.training, spec.training))
            yield from ((f"{name} ({source.model})", value) for name, value in own.items() if value != shared[name])


def _axes(spec: ExperimentSpec) -> Iterable[tuple[str, str]]:
    """The lists of values that the experiment gives besides sizes and folds; empty texts for those it does not give."""
    for name, values in spec.lists().items():
        if name not in ("training_sizes", "folds"):
            yield name, ", ".join(text_of(value) or words.NO_VALUE for value in values)


def _flat(values: Mapping[str, JsonValue], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)
