"""Count the bytes that runs read from the store, keep on a node, and write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

from lesionlab.experiments.costs import Finished
from lesionlab.store.at_once import at_once
from lesionlab.store.documents import read_card
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.manifests import ManifestEntry
from storage_schemas.runs import RunSpec
from storage_schemas.volumes import ATTRIBUTE, StudyVolumeCard

MOST_LISTED = 20
"""Finished runs whose objects are listed; they differ little."""


@dataclass(frozen=True)
class Footprint:
    """Bytes of a sweep."""

    read: int
    """Of study volumes in the store; a node reads each at most once."""
    cache: int
    """On a node that executes every run: volumes as arrays, and their deformed copies."""
    written: float | None
    """Into the store, by the sizes of finished runs like these; None: there is none."""


def footprint(store: Store, runs: Sequence[RunSpec], finished: Iterable[Finished]) -> Footprint:
    """Raises MissingObject if a volume is not in the store."""
    studies = list({entry.volume: entry for run in runs for entry in (*run.train, *run.test)}.values())

    def measured(entry: ManifestEntry) -> tuple[int, StudyVolumeCard]:
        card = read_card(store, entry.volume_key, ATTRIBUTE, StudyVolumeCard)
        return sum(found.size for found in store.listed(f"{entry.volume_key}/")), card

    found = dict(zip((entry.volume for entry in studies), at_once(measured, studies), strict=True))
    copies = {
        (entry.study, entry.volume, copy, run.training.elastic.canonical_json(), run.training.patch_voxels, run.seed)
        for run in runs
        for entry in run.train
        for copy in range(run.training.augmentations)
    }
    of_copies = sum(_on_model_grid(found[volume][1]) for _, volume, *_ in copies)
    volumes = sum(_on_model_grid(card) + _on_native_grid(card) for _, card in found.values())
    return Footprint(sum(size for size, _ in found.values()), volumes + of_copies, _written(store, runs, finished))


def _on_model_grid(card: StudyVolumeCard) -> int:
    """Of float16 channels and a uint8 label."""
    return (2 * len(card.channels) + 1) * prod(card.model_grid.shape)


def _on_native_grid(card: StudyVolumeCard) -> int:
    return (2 if card.second_rater else 1) * prod(card.native_grid.shape)


def _written(store: Store, runs: Sequence[RunSpec], finished: Iterable[Finished]) -> float | None:
    like: dict[tuple[str, int, bool], list[Finished]] = {}
    for one in finished:
        like.setdefault(_written_kind(one.run), []).append(one)
    kinds = {_written_kind(run) for run in runs}
    if not kinds <= like.keys():
        return None
    chosen = {kind: like[kind][: max(1, MOST_LISTED // len(kinds))] for kind in kinds}
    sizes = {kind: at_once(lambda one: _bytes_of(store, one), own) for kind, own in chosen.items()}
    predicted = [size for own in sizes.values() for _, size in own if size]
    a_study = sum(predicted) / len(predicted) if predicted else 0.0
    own_bytes = {kind: sum(rest for rest, _ in own) / len(own) for kind, own in sizes.items()}
    return sum(own_bytes[_written_kind(run)] + a_study * len(run.test) for run in runs)


def _written_kind(run: RunSpec) -> tuple[str, int, bool]:
    """What the size of a run's model depends on."""
    return run.architecture.canonical_json(), len(run.channels), bool(run.train)


def _bytes_of(store: Store, one: Finished) -> tuple[int, float]:
    """Bytes of a run without its predictions, and those of the predictions for each study tested."""
    objects = store.listed(keys.ATTEMPT.build(run_id=one.run.run_id, attempt=one.entry.attempt) + "/")
    predictions = sum(found.size for found in objects if "/predictions/" in found.key)
    rest = sum(found.size for found in objects) - predictions
    return rest, predictions / len(one.run.test) if one.run.test else 0.0
