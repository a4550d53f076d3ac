"""Open a cached volume in a separate process."""

from __future__ import annotations

from pathlib import Path

from lesionlab.experiments.caches.volumes import open_cached
from lesionlab.store.objects import open_store
from storage_schemas.manifests import ManifestEntry
from tests.store.processes import meet


def ask(uri: str, entry: str, cache: str, name: int, processes: int) -> int:
    """The inode of the image file that this process opened, when all processes open it at once."""
    store = open_store(uri)
    meet(store, name, processes)
    volume = open_cached(store, ManifestEntry.model_validate_json(entry), Path(cache))
    return Path(volume.image_CIJK.filename).stat().st_ino  # type: ignore[attr-defined]
