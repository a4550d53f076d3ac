"""A manifest that a test has drawn, stored as its sites would contribute it."""

from __future__ import annotations

from lesionlab.experiments.manifests import current_manifest
from lesionlab.experiments.parts import current_part, move_part
from lesionlab.store.objects import Store
from storage_schemas.manifests import Manifest
from storage_schemas.parts import Part
from storage_schemas.versions import CURRENT


def parts_of(manifest: Manifest) -> list[Part]:
    """The part of each site whose union the manifest is."""
    return [
        Part.named(
            site=site,
            cohort=manifest.cohort,
            task=manifest.task,
            spacing_mm=manifest.spacing_mm,
            strip=manifest.strip,
            version=CURRENT.preprocessing,
            studies=tuple(entry for entry in manifest.studies if entry.site == site),
            excluded=manifest.excluded,
        )
        for site in sorted({entry.site for entry in manifest.studies})
    ]


def contribute(store: Store, manifest: Manifest) -> Manifest:
    """Make these the current parts of their sites; return what the cohort is then."""
    for part in parts_of(manifest):
        before = current_part(store, part.site, part.cohort)
        move_part(store, part, before.id if before else None)
    return current_manifest(store, manifest.cohort)
