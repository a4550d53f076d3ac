"""Record in the audit that a command begins to read or write sites' studies, and how it ends.

Only in the store of a consortium, one with a declared cohort: a single hospital has nobody to answer to.
"""

from __future__ import annotations

import os
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from jobs.shared.entry_points import COMMAND
from lesionlab.errors import AccessDenied, MissingObject, StoreError
from lesionlab.experiments.audit import Place, append
from lesionlab.experiments.leases import this_user
from lesionlab.experiments.provenance import ALL, code_version
from lesionlab.store.aws import aws_caller
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.audit import AuditedStudies, AuditEntry, KnownBy, Outcome
from storage_schemas.base import Digest, Slug
from storage_schemas.manifests import Manifest
from storage_schemas.runs import RunSpec

USER_VARIABLE = "LESIONLAB_USER"
IMAGE_VARIABLE = "LESIONLAB_IMAGE"

TRAINING = ("trainer", "steward")
ANALYSING = ("analyst", "trainer", "steward")
STEWARD = ("steward",)
"""The chains that a command may write to: that of the first role that its keys have."""

_SUBMITTER: ContextVar[str] = ContextVar("submitter", default="")


def contributing(site: Slug) -> tuple[Slug, ...]:
    """The chains of what a site does."""
    return (f"contributor-{site}", "steward")


@dataclass
class Record:
    """What is said about the studies when the command ends."""

    studies: Sequence[AuditedStudies]


@contextmanager
def audited(store: Store, writers: Sequence[Slug], about: Slug, studies: Sequence[AuditedStudies]) -> Iterator[Record]:
    """Append that the command begins; at the end, what became of it. Without studies nothing is recorded.

    Raises AccessDenied if none of the chains may be written: what cannot be recorded is not done.
    """
    record = Record(studies)
    if not studies or not _is_shared(store):
        yield record
        return
    action = secrets.token_hex(8)

    def tell(outcome: Outcome, fault: str = "") -> None:
        append(store, writers, lambda writer, at: _entry(store, writer, at, action, about, record, outcome, fault))

    tell("begun")
    try:
        yield record
    except BaseException as error:
        with suppress(StoreError):  # the error itself matters more
            tell("failed", type(error).__name__)
        raise
    tell("done")


@contextmanager
def submitted_by(user: str) -> Iterator[None]:
    """Within this, who acts is the user who submitted the work, as the cluster knows them."""
    token = _SUBMITTER.set(user)
    try:
        yield
    finally:
        _SUBMITTER.reset(token)


def studies_of(store: Store, runs: Iterable[RunSpec]) -> tuple[AuditedStudies, ...]:
    """The studies that these runs read, by cohort and site."""
    found: dict[tuple[Slug, Digest, Slug], set[str]] = defaultdict(set)
    for run in runs:
        for entry in (*run.train, *run.test):
            found[run.cohort, run.manifest, entry.site].add(entry.study)
    parts: dict[tuple[Slug, Digest], dict[Slug, Digest]] = {}
    for cohort, digest, _ in found:
        if (cohort, digest) not in parts:
            with suppress(MissingObject):
                manifest = read_document(store, keys.MANIFEST.build(cohort=cohort, digest=digest), Manifest)
                parts[cohort, digest] = manifest.parts
    return tuple(
        AuditedStudies(site=site, cohort=cohort, part=parts.get((cohort, digest), {}).get(site), studies=len(studies))
        for (cohort, digest, site), studies in sorted(found.items())
    )


def _is_shared(store: Store) -> bool:
    return bool(store.list(keys.COHORT.prefix()))


def _entry(
    store: Store, writer: Slug, place: Place, action: Digest, about: Slug, record: Record, outcome: Outcome, fault: str
) -> AuditEntry:
    who, known_by = _caller(store.uri)
    number, before = place
    return AuditEntry(
        writer=writer,
        number=number,
        before=before,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        who=who,
        known_by=known_by,
        action=action,
        command=COMMAND.get(),
        about=about,
        studies=tuple(record.studies),
        outcome=outcome,
        fault=fault,
        lesionlab=version("lesionlab"),
        code=code_version(ALL),
        image=os.environ.get(IMAGE_VARIABLE, ""),
    )


def _caller(uri: str) -> tuple[str, KnownBy]:
    declared = os.environ.get(USER_VARIABLE, "").strip()
    person = (declared or this_user())[:120]
    if submitter := _SUBMITTER.get():
        return submitter[:300], "cluster"
    if uri.startswith("s3://"):
        with suppress(AccessDenied, StoreError):
            return f"{aws_caller(uri)} ({person})"[:300], "aws"
    return person, "declared" if declared else "login"


def words(studies: Sequence[AuditedStudies]) -> str:
    """`12 of north in ms, 8 of south in ms`."""
    return ", ".join(f"{one.studies} of {one.site}{f' in {one.cohort}' if one.cohort else ''}" for one in studies)


def as_plain(entry: AuditEntry) -> dict[str, Any]:
    """The columns of a table of entries."""
    return entry.model_dump(mode="json") | {"studies": words(entry.studies)}
