"""Open the store that a URI names."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from obstore.store import MemoryStore

from lesionlab.errors import StoreError
from lesionlab.store.base import Store, Tagged
from lesionlab.store.files import FileStore
from lesionlab.store.s3 import BucketStore

__all__ = ["Store", "Tagged", "open_store"]

_BUCKET = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/(?P<prefix>[A-Za-z0-9._/-]*))?")


def open_store(uri: str) -> Store:
    """Open the store under this URI; the same URI opens the same store in every process.

    `file:///folder` is created if it does not exist. `s3://bucket/prefix` uses the standard AWS configuration; the
    bucket must exist. `memory://` is empty and exists only as long as the returned value.

    Raises StoreError if the URI is none of these or the folder cannot be created, AccessDenied without credentials.
    """
    if uri == "memory://":
        return Store(uri, MemoryStore())
    if uri.startswith("file:///"):
        return FileStore(uri, Path(unquote(uri.removeprefix("file://"))))
    match = _BUCKET.fullmatch(uri)
    if match and ".." not in uri:
        return BucketStore(uri, match["bucket"], (match["prefix"] or "").strip("/"))
    raise StoreError(
        f"store {uri!r}: wanted file:///absolute/folder, s3://bucket/prefix or memory://; "
        "write one of these (a relative path or a bare folder name is not a URI)"
    )
