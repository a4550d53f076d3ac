"""Tell for any object of a store whether it is what was written: one check for each kind of key."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable

from lesionlab.errors import DamagedObject, MissingObject, SpecError
from lesionlab.experiments.site_policies import parse_policy
from lesionlab.store.arrays import damage_of
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.audit import AuditEntry
from storage_schemas.base import Document, Pointer
from storage_schemas.benchmarks import Benchmark, Ticket
from storage_schemas.decisions import Champion, Decision
from storage_schemas.experiments import Plan
from storage_schemas.facts import StudyFacts
from storage_schemas.grading import InsertedLesion
from storage_schemas.keys import KeyPattern
from storage_schemas.leases import ActiveSweep, Failure, Lease
from storage_schemas.manifests import Manifest
from storage_schemas.models import ModelCard, TensorTransfer
from storage_schemas.parts import DeclaredCohort, Part, Receipt, SaltCheck, Withdrawal
from storage_schemas.results import EpochRow, LedgerEntry, LesionRow, OperatingRow, StudyRow
from storage_schemas.retraining import RetrainDecision, RetrainOutcome
from storage_schemas.rules import GateOutcome, Rule
from storage_schemas.runs import RunSpec
from storage_schemas.sites import SmallestCounts
from storage_schemas.splits import Split
from storage_schemas.submissions import Submission, SubmissionAttempt, SubmissionOutcome, SubmissionProgress
from storage_schemas.verdicts import StudyVerdict, VerdictRow

DOCUMENTS: dict[KeyPattern, type[Document]] = {
    **dict.fromkeys((keys.CURRENT_PART, keys.CURRENT_PLAN), Pointer),
    keys.PART: Part,
    keys.RECEIPT: Receipt,
    keys.WITHDRAWAL: Withdrawal,
    keys.SALT_CHECK: SaltCheck,
    keys.COHORT: DeclaredCohort,
    keys.SMALLEST_COUNTS: SmallestCounts,
    keys.AUDIT: AuditEntry,
    keys.CHAMPION: Champion,
    keys.DECISION: Decision,
    keys.BENCHMARK: Benchmark,
    keys.RULE: Rule,
    keys.TICKET: Ticket,
    keys.GATE_OUTCOME: GateOutcome,
    keys.RETRAIN_OUTCOME: RetrainOutcome,
    keys.RETRAIN_DECISION: RetrainDecision,
    keys.MANIFEST: Manifest,
    keys.SPLIT: Split,
    keys.PLAN: Plan,
    keys.STUDY_VERDICT: StudyVerdict,
    **dict.fromkeys((keys.MODEL_CARD, keys.RUN_CARD), ModelCard),
    keys.RUN_SPEC: RunSpec,
    keys.LEASE: Lease,
    keys.FAILURE: Failure,
    **dict.fromkeys((keys.LEDGER, keys.RUN_ENTRY), LedgerEntry),
    keys.SUBMISSION: Submission,
    keys.SUBMISSION_ATTEMPT: SubmissionAttempt,
    keys.SUBMISSION_OUTCOME: SubmissionOutcome,
    keys.SUBMISSION_PROGRESS: SubmissionProgress,
    keys.ACTIVE_SWEEP: ActiveSweep,
}
TABLES: dict[KeyPattern, type[Document]] = {
    keys.VERDICTS: VerdictRow,
    keys.FACTS: StudyFacts,
    **dict.fromkeys((keys.MODEL_TRANSFER, keys.RUN_TRANSFER), TensorTransfer),
    keys.RUN_HISTORY: EpochRow,
    keys.GATE_ROWS: StudyRow,
    **dict.fromkeys((keys.SELF_GRADE, keys.GATE_GRADES), InsertedLesion),
    **dict.fromkeys((keys.RUN_STUDY_ROWS, keys.STUDY_ROWS, keys.RESCORED_STUDY_ROWS), StudyRow),
    **dict.fromkeys((keys.RUN_LESION_ROWS, keys.LESION_ROWS, keys.RESCORED_LESION_ROWS), LesionRow),
    **dict.fromkeys((keys.RUN_OPERATING_ROWS, keys.OPERATING_ROWS), OperatingRow),
}
WEIGHTS = (keys.MODEL_WEIGHTS, keys.RUN_WEIGHTS)
GROUPS = (keys.STUDY_VOLUME, keys.SEALED_VOLUME, keys.PREDICTION, keys.SITE_PREDICTION)
OTHERS = (keys.RUN_CHECKPOINT, keys.STUDY_PICTURE, keys.POLICY)
KINDS: tuple[KeyPattern, ...] = (*DOCUMENTS, *TABLES, *WEIGHTS, *GROUPS, *OTHERS)
"""Every kind that is checked, in an order in which the first that fits a key is right."""

_ROOT = "/zarr.json"
_PNG = b"\x89PNG\r\n\x1a\n"


def kind_of(place: str) -> tuple[KeyPattern, dict[str, str]] | None:
    """The kind of an object, or of a Zarr group, and the values in its key; `attempt` is one, if it lies in one."""
    attempt = None
    for kind in KINDS:
        if (values := kind.parse(place)) is not None:
            return kind, values
    head, found, rest = place.partition("/attempts/")
    if found:
        attempt, _, rest = rest.partition("/")
        for kind in KINDS:
            if values := kind.parse(f"{head}/{rest}"):
                return kind, values | {"attempt": attempt}
    return None


def place_of(key: str) -> str | None:
    """What an object is checked as: itself, its Zarr group if it is the group's own metadata, None if a part of one."""
    group, found, _ = key.partition(".zarr/")
    if not found:
        return key
    return f"{group}.zarr" if key == f"{group}.zarr{_ROOT}" else None


def key_of(place: str) -> str:
    """The object that makes a place exist."""
    return place + _ROOT if place.endswith(".zarr") else place


def faults_of(store: Store, place: str, whole_checkpoint: Callable[[bytes], bool]) -> list[str]:
    """What is wrong with an object or a Zarr group, one sentence each; empty if it is what was written."""
    found = kind_of(place)
    if found is None:
        return []
    kind, values = found
    try:
        if kind in GROUPS:
            return damage_of(store, place)
        if kind == keys.POLICY:
            parse_policy(store.get(place), values["site"], place)
        elif kind in DOCUMENTS:
            if kind == keys.LEDGER and not store.get(place):
                return []  # the run was reopened
            read_document(store, place, DOCUMENTS[kind])
        elif kind in TABLES:
            read_rows(store, [place], TABLES[kind])
        elif kind in WEIGHTS:
            card = read_document(store, place.replace("weights.safetensors", "card.json"), ModelCard)
            if hashlib.sha256(store.get(place)).hexdigest() != card.weights_sha256:
                return ["the weights do not match the sha256 in their card"]
        elif kind == keys.RUN_CHECKPOINT and not whole_checkpoint(store.get(place)):
            return ["the checkpoint does not match its checksum"]
        elif kind == keys.STUDY_PICTURE and not is_whole_png(store.get(place)):
            return ["the picture does not match its checksums"]
    except (DamagedObject, SpecError) as error:
        return [str(error)]
    except MissingObject:
        return []  # removed meanwhile, or a card that is missing, which is told as such
    return []


def is_whole_png(data: bytes) -> bool:
    """Whether every chunk of a PNG has the CRC-32 that stands after it."""
    at = len(_PNG)
    if data[:at] != _PNG:
        return False
    while at < len(data):
        if at + 12 > len(data):
            return False
        (length,) = struct.unpack(">I", data[at : at + 4])
        end = at + 8 + length
        if data[end : end + 4] != struct.pack(">I", zlib.crc32(data[at + 4 : end])):
            return False
        if data[at + 4 : at + 8] == b"IEND":
            return bool(end + 4 == len(data))
        at = end + 4
    return False
