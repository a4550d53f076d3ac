"""Print a lineage for people, and as plain values for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs.shared.decisions_output import decided
from jobs.shared.rule_output import outcome_lines
from lesionlab.experiments.lineage import Generation, Lineage, Training, declared_text
from lesionlab.experiments.withdrawn_models import withdrawn_text

UNKNOWN = "what it was trained on is unknown"


def lineage_text(lineage: Lineage) -> str:
    """Several lines for each generation, the model itself first."""
    lines = [line for generation in lineage.generations for line in _generation_lines(generation)]
    if lineage.unknown:
        lines.append(f"{lineage.unknown}: not in this store; {UNKNOWN}")
    return "\n".join(lines)


def lineage_form(lineage: Lineage) -> dict[str, Any]:
    """The same as plain values."""
    generations = [
        {
            "model": generation.card.name,
            "version": generation.card.version,
            "weights_sha256": generation.card.weights_sha256,
            "tensors": dict(generation.tensors),
            "trainings": [_training_form(training) for training in generation.trainings],
            "missing": list(generation.missing),
            "withdrawn": list(generation.withdrawn),
            "declared": generation.card.declared.model_dump(mode="json") if generation.card.declared else None,
            "decisions": [decision.model_dump(mode="json") for decision in generation.decisions],
        }
        for generation in lineage.generations
    ]
    return {"generations": generations, "unknown": lineage.unknown or None, "whole": lineage.whole}


def _training_form(training: Training) -> dict[str, Any]:
    run, entry = training.run, training.entry
    return {
        "run_id": run.run_id,
        "experiment": run.experiment,
        "cohort": run.cohort,
        "manifest": run.manifest,
        "studies_by_site": dict(training.studies_by_site),
        "patients": training.patients,
        "withdrawn": list(training.withdrawn),
        "code": entry.code if entry else None,
        "lesionlab": entry.lesionlab if entry else None,
        "libraries": entry.libraries if entry else {},
        "device": entry.device if entry else None,
    }


def _generation_lines(generation: Generation) -> Iterator[str]:
    card = generation.card
    yield f"{card.full_name}: {card.networks} network{'s' if card.networks > 1 else ''} for {card.task.name}"
    for training in generation.trainings:
        yield f"  trained on {_studies(training)} (run {training.run.run_id})"
        yield f"    {_made_by(training)}"
        if training.withdrawn:
            yield f"    of these, {', '.join(training.withdrawn)} withdrawn since"
    if card.declared:
        yield f"  {declared_text(card)}"
    for run_id in () if card.declared else generation.missing:
        yield f"  run {run_id}: not in this store; {UNKNOWN}"
    if {*generation.withdrawn} - {study for training in generation.trainings for study in training.withdrawn}:
        yield f"  {withdrawn_text(card, generation.withdrawn)}"
    if generation.tensors:
        counts = ", ".join(f"{count} {origin}" for origin, count in sorted(generation.tensors.items()))
        yield f"  tensors by origin: {counts}"
    if not card.declared:
        yield f"  fine-tuned from {card.started_from}" if card.parent else "  trained de novo"
    for decision in generation.decisions:
        yield f"  {decided(decision)}"
        if decision.gate:
            gate = decision.gate
            yield f"    by rule {gate.rule}, look {gate.ticket}, each test at {gate.level:.3g}"
            yield from (f"    {line}" for line in outcome_lines(gate.conditions))
    if not generation.decisions:
        yield "  a candidate: no decision put it into use"


def _studies(training: Training) -> str:
    run = training.run
    sites = ", ".join(f"{count} of site {site}" for site, count in training.studies_by_site.items())
    patients = f"{training.patients} patient{'s' if training.patients != 1 else ''}"
    return f"{len(run.train)} studies of {patients} of cohort {run.cohort}, manifest {run.manifest}: {sites}"


def _made_by(training: Training) -> str:
    entry, experiment = training.entry, training.run.experiment
    if entry is None:
        return f"experiment {experiment}; no ledger entry says by which code"
    return f"experiment {experiment}, lesionlab {entry.lesionlab}, code {entry.code}, on {entry.device}"
