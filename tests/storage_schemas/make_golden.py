"""Copy one stored object of each kind to golden/: `python -m tests.storage_schemas.make_golden STORE VERSION`.

STORE is the URI of a store in which that release ran the tiny experiment (tests/jobs/tiny.yaml); what that does not
leave is written from `consortium_documents`. The files of a release are written once and never changed, from 0.2.0 on.
`0.2.0.dev` has those of a version between 0.1.0 and 0.2.0: plans of schema 1, and documents without a checksum.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lesionlab.experiments.upkeep import kinds
from lesionlab.store.arrays import read_attributes
from lesionlab.store.documents import document_bytes, read_document
from lesionlab.store.objects import Store, open_store
from lesionlab.store.tables import write_rows
from storage_schemas import keys
from storage_schemas.experiments import Plan
from storage_schemas.grading import InsertedLesion
from storage_schemas.keys import KeyPattern
from storage_schemas.manifests import ENTRY_ATTRIBUTE
from storage_schemas.volumes import ATTRIBUTE, PREDICTION_ATTRIBUTE
from tests.storage_schemas.consortium_documents import INSERTED, documents

GOLDEN = Path(__file__).parent / "golden"

OBJECTS: dict[str, KeyPattern] = {
    "Pointer.json": keys.CURRENT_PLAN,
    "Part.json": keys.PART,
    "Manifest.json": keys.MANIFEST,
    "Split.json": keys.SPLIT,
    "Plan.json": keys.PLAN,
    "RunSpec.json": keys.RUN_SPEC,
    "ModelCard.json": keys.MODEL_CARD,
    "LedgerEntry.json": keys.LEDGER,
    "StudyVerdict.json": keys.STUDY_VERDICT,
    "StudyRow.parquet": keys.STUDY_ROWS,
    "LesionRow.parquet": keys.LESION_ROWS,
    "TensorTransfer.parquet": keys.MODEL_TRANSFER,
    "VerdictRow.parquet": keys.VERDICTS,
    "StudyFacts.parquet": keys.FACTS,
    "EpochRow.parquet": keys.RUN_HISTORY,
    "OperatingRow.parquet": keys.OPERATING_ROWS,
}
"""Named after the class that reads it."""

ATTRIBUTES: dict[str, tuple[KeyPattern, str]] = {
    "StudyVolumeCard.json": (keys.STUDY_VOLUME, ATTRIBUTE),
    "ManifestEntry.json": (keys.STUDY_VOLUME, ENTRY_ATTRIBUTE),
    "PredictionCard.json": (
        KeyPattern("runs/{run_id}/attempts/{attempt}/predictions/{study}.zarr"),
        PREDICTION_ATTRIBUTE,
    ),
}
"""Documents in the attributes of Zarr groups."""

DRAWN = frozenset(
    f"{kind.__name__}.json" for kind in {*kinds.DOCUMENTS.values()} if f"{kind.__name__}.json" not in OBJECTS
) | {"InsertedLesion.parquet"}
"""Those of `consortium_documents`."""


def main(uri: str, version: str) -> None:
    """Write the folder of a release. Raises SystemExit if it exists."""
    store, folder = open_store(uri), GOLDEN / version
    if folder.exists():
        raise SystemExit(f"{folder} exists: golden documents of a release are written once")
    folder.mkdir(parents=True)
    for file, pattern in OBJECTS.items():
        (folder / file).write_bytes(store.get(_one(store, pattern)))
    for file, (pattern, attribute) in ATTRIBUTES.items():
        group = _one(store, KeyPattern(pattern.template + "/zarr.json")).removesuffix("/zarr.json")
        (folder / file).write_text(json.dumps(read_attributes(store, group)[attribute], sort_keys=True) + "\n")
    plan = read_document(store, _one(store, keys.PLAN), Plan)
    for document in documents(plan.spec, plan.versions):
        (folder / f"{type(document).__name__}.json").write_bytes(document_bytes(document))
    drawn = open_store("memory://")
    write_rows(drawn, "table", [INSERTED], InsertedLesion)
    (folder / "InsertedLesion.parquet").write_bytes(drawn.get("table"))


def _one(store: Store, pattern: KeyPattern) -> str:
    """The last key of the pattern; pointers count only for the pattern of pointers."""
    found = [key for key in store.list(pattern.prefix()) if pattern.parse(key)]
    return [key for key in found if pattern == keys.CURRENT_PLAN or not key.endswith("/current.json")][-1]


if __name__ == "__main__":
    main(*sys.argv[1:])
