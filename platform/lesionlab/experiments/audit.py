"""Append to the audit's chains by put-if-absent, read them together, and find what was changed.

Each role writes its own chain and nobody else's (`storage_schemas/roles.py`). A chain tells a change, a gap or an
insertion. That its newest entries were removed, only their number tells, if somebody noted it before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from lesionlab.errors import AccessDenied, Conflict, ObjectExists, StoreError
from lesionlab.store.at_once import at_once
from lesionlab.store.documents import document_bytes, parse_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.audit import AuditEntry
from storage_schemas.base import Sha256, Slug

ATTEMPTS = 1000
"""Each loses against another process that appended to the same chain meanwhile, so some process always succeeds."""

Place = tuple[int, Sha256 | None]
"""Number of the next entry of a chain, and the sha256 of the last one."""


@dataclass(frozen=True)
class Chain:
    """One writer's entries, and what is wrong with them."""

    writer: Slug
    entries: tuple[AuditEntry, ...]
    """Those that can be read, in order."""
    head: Sha256 | None
    """Of the bytes of the last one."""
    faults: tuple[str, ...]
    """One sentence each; empty if nothing was changed, left out or inserted."""


def append(store: Store, writers: Sequence[Slug], entry: Callable[[Slug, Place], AuditEntry]) -> AuditEntry:
    """Append to the chain of the first of these writers whose chain this process may write.

    `entry` makes the entry of a writer for a place in the chain. Raises AccessDenied if it may write none of them.
    """
    for writer in writers:
        try:
            return _append(store, writer, entry)
        except AccessDenied:
            continue
    raise AccessDenied(
        f"{store.uri}: these keys may write none of the audit's chains {', '.join(writers)}, and what touches sites' "
        "studies is recorded; renew the access policies: lesionlab storage policies"
    )


def _append(store: Store, writer: Slug, entry: Callable[[Slug, Place], AuditEntry]) -> AuditEntry:
    number = max(_numbers(store, writer), default=0)
    before = _sha(store.get(_key(writer, number))) if number else None
    for _ in range(ATTEMPTS):
        new = entry(writer, (number + 1, before))
        key = _key(writer, number + 1)
        try:
            store.create(key, document_bytes(new))
        except ObjectExists:
            number, before = number + 1, _sha(store.get(key))
            continue
        return new
    raise Conflict(f"{store.uri}: others appended to the audit's chain of {writer} {ATTEMPTS} times; run it again")


def chains(store: Store) -> tuple[Chain, ...]:
    """Every writer's chain, sorted by writer."""
    writers = [folder.removeprefix(keys.AUDIT.prefix()).rstrip("/") for folder in store.folders(keys.AUDIT.prefix())]
    return tuple(chain(store, writer) for writer in writers)


def chain(store: Store, writer: Slug) -> Chain:
    """Read and check one chain."""
    numbers = _numbers(store, writer)
    if numbers != list(range(1, len(numbers) + 1)):
        numbers = _numbers(store, writer)  # a listing may miss what is written while it is made
    entries: list[AuditEntry] = []
    faults: list[str] = []
    before: Sha256 | None = None
    expected = 1
    for number, data in at_once(lambda own: (own, store.get(_key(writer, own))), numbers):
        key = _key(writer, number)
        if number != expected:
            missing = f"{expected}" if number == expected + 1 else f"{expected} to {number - 1}"
            faults.append(f"{key}: entry {missing} before it is missing")
        try:
            entry = parse_document(store, key, AuditEntry, data)
        except StoreError as error:
            faults.append(str(error))
        else:
            entries.append(entry)
            if (entry.writer, entry.number) != (writer, number):
                faults.append(f"{key}: it is entry {entry.number} of {entry.writer}")
            if number == expected and entry.before != before:
                faults.append(f"{key}: the entry before it is not the one that it was appended to")
        before, expected = _sha(data), number + 1
    return Chain(writer, tuple(entries), before, tuple(faults))


def merged(found: Sequence[Chain]) -> list[AuditEntry]:
    """All entries in the order of their clocks; those of one chain in the order of the chain."""
    return sorted((entry for one in found for entry in one.entries), key=lambda one: (one.at, one.writer, one.number))


def concerns(entry: AuditEntry, site: Slug) -> bool:
    """Whether an entry is about studies of this site."""
    return any(one.site == site for one in entry.studies)


def _numbers(store: Store, writer: Slug) -> list[int]:
    """Of the entries that a chain has, sorted."""
    values = (keys.AUDIT.parse(key) for key in store.list(keys.AUDIT.prefix(writer=writer)))
    return sorted(int(found["number"]) for found in values if found and re.fullmatch("[0-9]{8}", found["number"]))


def _key(writer: Slug, number: int) -> str:
    return keys.AUDIT.build(writer=writer, number=f"{number:08d}")


def _sha(data: bytes) -> Sha256:
    return sha256(data).hexdigest()
