"""A plan, its manifest and the report's files in; the digest of everything that the report rests on, out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

from storage_schemas.base import Digest
from storage_schemas.manifests import Manifest
from storage_schemas.studies import Plan

Hash = tuple[str, str, str]
"""What it is, its name, its digest."""


def main_hashes(plan: Plan, digest: Digest) -> tuple[Hash, ...]:
    """Those that name the analysis and what decided it."""
    parents = {(run.parent.model.name, run.parent.model.version): run.parent for run in plan.runs if run.parent}
    return (
        ("analysis", plan.spec.name, digest),
        ("plan", plan.spec.name, plan.digest()),
        ("manifest", plan.spec.target.cohort, plan.manifest),
        ("split", plan.spec.target.cohort, plan.split),
        *(
            ("weights of the default model, sha256", f"{name}@{version}", parent.weights_sha256)
            for (name, version), parent in sorted(parents.items())
        ),
        *(("code of the runs", "", version) for version in sorted({run.code_version for run in plan.runs})),
    )


def all_hashes(plan: Plan, manifest: Manifest, digest: Digest, files: Mapping[str, bytes]) -> tuple[Hash, ...]:
    """Those, then every run, every study volume, every native image and every file of the report."""
    return (
        *main_hashes(plan, digest),
        *(("run", run.cell.title(), run.run_id) for run in plan.runs if run.cell),
        *(("study volume", entry.study, entry.volume) for entry in manifest.studies),
        *_images(manifest),
        *(("file of this report, sha256", name, sha256(data).hexdigest()) for name, data in sorted(files.items())),
    )


def _images(manifest: Manifest) -> Iterable[Hash]:
    for entry in manifest.studies:
        for sha in (entry.image_sha256, *entry.further_images_sha256):
            yield "voxels of the native image, sha256", entry.study, sha
