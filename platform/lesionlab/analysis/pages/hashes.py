"""What a report rests on, and its files, in; the digest that names the report, and the digest of everything, out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

from lesionlab.analysis.evidence import Evidence
from lesionlab.analysis.experiment_analysis import Analysis
from lesionlab.analysis.statistics.compute import Statistics
from lesionlab.analysis.statistics.external import Table
from lesionlab.experiments.provenance import analysis_versions
from storage_schemas.base import Digest, Document, canonical_json, digest_of
from storage_schemas.experiments import Plan
from storage_schemas.manifests import Manifest

Hash = tuple[str, str, str]
"""What it is, its name, its digest."""


def study_digest(plan: Plan, analysis: Analysis, evidence: Evidence) -> Digest:
    """Of all that the report of a study shows and of what made it, so that another report never takes its place.

    Seconds are left out: equal runs give one report.
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
    )


def table_digest(table: Table, found: Statistics) -> Digest:
    """Of the file, of what was asked of it, and of what made the report."""
    options = found.supplementary.options
    return digest_of(
        {
            "versions": analysis_versions(),
            "table": [table.name, table.sha256],
            "unit": found.unit,
            "undefined": options.undefined,
            "goal": options.goal.written() if options.goal else None,
            "null_repetitions": options.null_repetitions,
        }
    )


def main_hashes(plan: Plan, digest: Digest) -> tuple[Hash, ...]:
    """Those that name the analysis of a study and what decided it."""
    parents = {(run.parent.model.name, run.parent.model.version): run.parent for run in plan.runs if run.parent}
    return (
        ("analysis", plan.spec.name, digest),
        *_made_by(),
        ("plan", plan.spec.name, plan.id),
        ("manifest", plan.spec.target.cohort, plan.manifest),
        ("split", plan.spec.target.cohort, plan.split),
        *(
            ("weights of the default model, sha256", f"{name}@{version}", parent.weights_sha256)
            for (name, version), parent in sorted(parents.items())
        ),
        *(("result version", room, str(number)) for room, number in plan.versions.written().items()),
    )


def table_hashes(table: Table, digest: Digest) -> tuple[Hash, ...]:
    """Those that name the analysis of a table and what decided it."""
    return (("analysis", "", digest), *_made_by(), ("table, sha256", table.name, table.sha256))


def study_hashes(plan: Plan, evidence: Evidence) -> tuple[Hash, ...]:
    """Every run, all trained weights, every study volume and every native image."""
    runs = [(run.cell.title(), run.run_id) for run in plan.runs if run.cell]
    return (
        *(("run", title, run_id) for title, run_id in runs),
        *(
            ("trained weights, sha256", title, evidence.weights[run_id])
            for title, run_id in runs
            if run_id in evidence.weights
        ),
        *(("study volume", entry.study, entry.volume) for entry in evidence.manifest.studies),
        *_images(evidence.manifest),
    )


def file_hashes(files: Mapping[str, bytes]) -> tuple[Hash, ...]:
    """Of every file of a report but the page itself, by its place beside it."""
    return tuple(
        ("file of this report, sha256", name, sha256(data).hexdigest()) for name, data in sorted(files.items())
    )


def _made_by() -> Iterable[Hash]:
    for name, version in analysis_versions().items():
        yield "code of the analysis" if name.startswith("lesionlab") else "version of", name, version


def _images(manifest: Manifest) -> Iterable[Hash]:
    for entry in manifest.studies:
        for sha in (entry.image_sha256, *entry.further_images_sha256):
            yield "voxels of the native image, sha256", entry.study, sha


def _contents(rows: Iterable[Document]) -> list[str]:
    return sorted(canonical_json(row.written()) for row in rows)
