"""Open the store that a URI names."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from obstore.store import MemoryStore

from lesionlab.errors import StoreError
from lesionlab.store.base import Store, Tagged
from lesionlab.store.faults import masked
from lesionlab.store.files import FileStore
from lesionlab.store.s3 import BucketStore

__all__ = ["Store", "Tagged", "open_store"]

_BUCKET = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])")
_PREFIX = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


def open_store(uri: str) -> Store:
    """Open the store under this URI; the same URI opens the same store in every process.

    `file:///folder` is created if it does not exist. `s3://bucket/prefix` uses the standard AWS configuration; the
    bucket must exist. `memory://` is empty and exists only as long as the returned value.

    Raises StoreError if the URI is none of these or the folder cannot be created, AccessDenied without credentials.
    """
    if uri == "memory://":
        return Store(uri, MemoryStore())
    if uri.startswith("file:///"):
        return FileStore(uri, folder_of(uri))
    bucket = _BUCKET.match(uri)
    if bucket and (prefix := _prefix(uri[bucket.end() :])) is not None and ".." not in bucket["bucket"]:
        return BucketStore(uri, bucket["bucket"], prefix)
    raise StoreError(
        f"store {masked(uri)!r}: wanted file:///absolute/folder, s3://bucket/prefix or memory://; write one of these "
        "(a relative path is not a URI; a bucket has 3 to 63 lower-case letters, digits, '.' and '-'; a prefix has "
        "letters, digits, '.', '_', '-' and single slashes, and no part '.' or '..')"
    )


def folder_of(uri: str) -> Path:
    """The folder of a URI `file:///folder`. Raises StoreError if its name has characters that cannot be printed."""
    folder = unquote(uri.removeprefix("file://"))
    if not folder.isprintable():
        raise StoreError(f"store {uri!r}: wanted printable characters, found {folder!r}; correct the path")
    return Path(folder)


def _prefix(path: str) -> str | None:
    """The prefix in the part of a URI after its bucket; None if it is malformed."""
    if path in ("", "/"):
        return ""
    prefix = path.removeprefix("/").removesuffix("/")
    plain = path.startswith("/") and _PREFIX.fullmatch(prefix) and not {".", ".."} & set(prefix.split("/"))
    return prefix if plain else None
