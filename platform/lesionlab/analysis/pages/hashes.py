"""Compute the digest that names a report, and list the digests of everything that it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

from lesionlab.analysis.evidence import Evidence
from lesionlab.analysis.experiment_analysis import Analysis
from lesionlab.analysis.statistics.compute import Statistics
from lesionlab.analysis.statistics.external import Table
from lesionlab.analysis.words import pages as words
from lesionlab.experiments.provenance import analysis_versions
from storage_schemas.base import Digest, Document, canonical_json, digest_of
from storage_schemas.experiments import Plan
from storage_schemas.manifests import Manifest

Hash = tuple[str, str, str]
"""What it is, its name, its digest."""


def study_digest(plan: Plan, analysis: Analysis, evidence: Evidence) -> Digest:
    """Digest everything that the report of an experiment shows and what made it, so that no other report replaces it.

    Times and memory are left out: equal runs give one report.
    """
    return digest_of(
        {
            "versions": analysis_versions(),
            "plan": plan.id,
            "null_repetitions": analysis.supplementary.options.null_repetitions,
            "rows": _contents(row.model_copy(update={"inference_s": 0.0}) for row in analysis.rows),
            "lesions": _contents(lesion for own in evidence.lesions.values() for lesion in own),
            "facts": _contents(evidence.facts),
            "verdicts": _contents(evidence.verdicts),
            "weights": dict(evidence.weights),
        }
        | ({"operating": _contents(evidence.operating)} if evidence.operating else {})
        | ({"losses": _losses(evidence)} if evidence.histories else {})
    )


def _losses(evidence: Evidence) -> dict[Digest, list[tuple[int, float]]]:
    return {run_id: [(row.step, row.loss) for row in rows] for run_id, rows in evidence.histories.items()}


def table_digest(table: Table, found: Statistics) -> Digest:
    """Digest the file, the options of its analysis, and what made the report."""
    options = found.supplementary.options
    return digest_of(
        {
            "versions": analysis_versions(),
            "table": [table.name, table.sha256],
            "unit": found.unit,
            "undefined": options.undefined,
            "goal": options.goal.written() if options.goal else None,
            "null_repetitions": options.null_repetitions,
            "margin": options.margin,
        }
        | ({"declared": dict(options.declared)} if options.declared else {})
    )


def main_hashes(plan: Plan, digest: Digest) -> tuple[Hash, ...]:
    """List those that name the analysis of an experiment and what decided it."""
    parents = {(run.parent.model.name, run.parent.model.version): run.parent for run in plan.runs if run.parent}
    return (
        (words.ANALYSIS, plan.spec.name, digest),
        *_made_by(),
        (words.PLAN, plan.spec.name, plan.id),
        (words.MANIFEST, plan.spec.target.cohort, plan.manifest),
        (words.SPLIT, plan.spec.target.cohort, plan.split),
        *(
            (words.DEFAULT_WEIGHTS, f"{name}@{version}", parent.weights_sha256)
            for (name, version), parent in sorted(parents.items())
        ),
        *((words.RESULT_VERSION, room, str(number)) for room, number in plan.versions.written().items()),
    )


def table_hashes(table: Table, digest: Digest) -> tuple[Hash, ...]:
    """List those that name the analysis of a table and what decided it."""
    return ((words.ANALYSIS, "", digest), *_made_by(), (words.TABLE, table.name, table.sha256))


def study_hashes(plan: Plan, evidence: Evidence) -> tuple[Hash, ...]:
    """List those of every run, all trained weights, every study volume and every native image."""
    runs = [(run.cell.title(), run.run_id) for run in plan.runs if run.cell]
    return (
        *((words.RUN, title, run_id) for title, run_id in runs),
        *((words.WEIGHTS, title, evidence.weights[run_id]) for title, run_id in runs if run_id in evidence.weights),
        *((words.VOLUME_HASH, entry.study, entry.volume) for entry in evidence.manifest.studies),
        *_images(evidence.manifest),
    )


def file_hashes(files: Mapping[str, bytes]) -> tuple[Hash, ...]:
    """List those of every file of a report except the page itself, by path relative to it."""
    return tuple((words.FILE, name, sha256(data).hexdigest()) for name, data in sorted(files.items()))


def _made_by() -> Iterable[Hash]:
    for name, version in analysis_versions().items():
        yield words.CODE_OF_ANALYSIS if name.startswith("lesionlab") else words.VERSION_OF, name, version


def _images(manifest: Manifest) -> Iterable[Hash]:
    for entry in manifest.studies:
        for sha in (entry.image_sha256, *entry.further_images_sha256):
            yield words.IMAGE_HASH, entry.study, sha


def _contents(rows: Iterable[Document]) -> list[str]:
    return sorted(canonical_json(row.written()) for row in rows)
