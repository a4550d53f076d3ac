"""A plan in; its design, settings and provenance as a reader of the report wants them, out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from storage_schemas.manifests import Manifest
from storage_schemas.results import EffectRow
from storage_schemas.runs import RunSpec
from storage_schemas.studies import Plan, StudySpec


@dataclass(frozen=True)
class Fold:
    """One turn of the rotation: which studies are tested, and by size what was trained on."""

    number: int
    tested: tuple[str, ...]
    trained: tuple[str, ...]


@dataclass(frozen=True)
class Design:
    """What the report says about how the study was made."""

    studies: int
    sizes: tuple[int, ...]
    folds: tuple[Fold, ...]
    cohorts: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    families: tuple[str, ...]


def describe(plan: Plan, manifest: Manifest, effects: Sequence[EffectRow]) -> Design:
    """The design of a plan, as it was carried out."""
    return Design(
        studies=len(manifest.studies),
        sizes=tuple(sorted(plan.spec.training_sizes)),
        folds=_folds(plan),
        cohorts=tuple((name, _cohort(plan.spec, name)) for name in sorted(plan.spec.cohorts)),
        settings=tuple(_settings(plan.spec)),
        families=tuple(dict.fromkeys(f"m = {e.family} for {e.test}" for e in effects if e.test != "rm-anova")),
    )


def provenance(plan: Plan, digest: str) -> tuple[tuple[str, str], ...]:
    """Hashes of everything that this analysis rests on."""
    parents = {run.parent.model.name: run.parent for run in plan.runs if run.parent}
    return (
        ("Analysis", digest),
        ("Plan", plan.digest()),
        (f"Manifest of {plan.spec.target.cohort}", plan.manifest),
        *(
            (f"Default model {name}", f"version {parent.model.version}, weights sha256 {parent.weights_sha256}")
            for name, parent in sorted(parents.items())
        ),
        ("Code that trained and tested", ", ".join(sorted({run.code_version for run in plan.runs}))),
    )


def _folds(plan: Plan) -> tuple[Fold, ...]:
    runs = [run for run in plan.runs if run.cell]
    tested = {run.cell.fold: tuple(entry.study for entry in run.test) for run in runs if run.cell}
    subset_of = {study: fold for fold, studies in tested.items() for study in studies}
    return tuple(
        Fold(
            number=fold,
            tested=tested[fold],
            trained=tuple(_trained_on(runs, fold, size, subset_of) for size in sorted(plan.spec.training_sizes)),
        )
        for fold in sorted(tested)
    )


def _trained_on(runs: Iterable[RunSpec], fold: int, size: int, subset_of: Mapping[str, int]) -> str:
    run = next((r for r in runs if r.cell and (r.cell.fold, r.cell.training_size) == (fold, size)), None)
    if run is None:
        return "not planned"
    subsets = sorted({subset_of[entry.study] for entry in run.train})
    return f"subset{'s' if len(subsets) > 1 else ''} {', '.join(map(str, subsets))}"


def _cohort(spec: StudySpec, name: str) -> str:
    roles = ["the labelled studies"] if name == spec.target.cohort else []
    roles += [f"default model {source.model}" for source in spec.sources if source.cohort == name]
    simulated = spec.cohorts[name].simulate
    origin = "given as a BIDS dataset"
    if simulated:
        kinds = simulated.pathology if isinstance(simulated.pathology, str) else ", ".join(simulated.pathology)
        origin = f"simulated: {simulated.studies} studies, {kinds}, seed {simulated.seed}"
    return f"{origin} ({'; '.join(roles) or 'not used'})"


def _settings(spec: StudySpec) -> Iterable[tuple[str, str]]:
    yield "spacing_mm", f"{spec.spacing_mm:g}"
    for part in (spec.architecture, spec.training, spec.inference):
        yield from _flat(part.model_dump(mode="json"))
    for source in spec.sources:
        if source.training:
            own, shared = (dict(_flat(t.model_dump(mode="json"))) for t in (source.training, spec.training))
            yield from ((f"{name} ({source.model})", value) for name, value in own.items() if value != shared[name])


def _flat(values: Mapping[str, JsonValue], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)
