"""Store objects as files below one folder: durable, with conditional writes between processes, as on an S3 server."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from obstore.store import LocalStore

from lesionlab.errors import Conflict, MissingObject, ObjectExists, StoreError
from lesionlab.store.base import Store, Tagged, plain

# obstore treats file names that end with # and digits as unfinished uploads and never lists them.
_LOCK = "lock#0"


class FileStore(Store):
    """Objects as files. obstore reads and lists; it has no `replace` for files and does not sync, so this class writes.

    The tag is the sha256 of the content.
    """

    def __init__(self, uri: str, root: Path) -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
            self.root = root.resolve(strict=True)
            super().__init__(uri, LocalStore(self.root))
        except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
            reason = getattr(error, "strerror", None) or error
            raise StoreError(
                f"{uri}: the folder {str(root)!r} cannot be created or opened ({reason}); choose another folder"
            ) from error

    def check(self, folder: str = "") -> None:
        """Raise StoreError unless the folder can be listed and written to."""
        self.check_readable(folder)
        with self._writing(str(self.root)), tempfile.TemporaryFile(dir=self.root):
            pass

    def get_tagged(self, key: str) -> Tagged:
        """The file's bytes and their sha256. Raises MissingObject."""
        found = super().get_tagged(key)
        return Tagged(found.data, _tag(found.data), found.modified)

    def put(self, key: str, data: bytes) -> None:
        """Write the file atomically; after returning it survives a power failure."""
        with self._written(key, data) as (draft, path), self._alone():
            os.replace(draft, path)

    def create(self, key: str, data: bytes) -> str:
        """As `put`, if there is no such file; its tag. Raises ObjectExists."""
        with self._written(key, data) as (draft, path):
            try:
                os.link(draft, path)
            except FileExistsError as error:
                raise ObjectExists(f"{self.uri}: {key} is write-once and already exists; choose another key") from error
        return _tag(data)

    def replace(self, key: str, data: bytes, tag: str) -> str:
        """As `put`, if the file's content still has this tag; its new tag. Raises Conflict."""
        with self._written(key, data) as (draft, path), self._alone():
            try:
                unchanged = self.get_tagged(key).tag == tag
            except MissingObject:
                unchanged = False
            if not unchanged:
                raise Conflict(f"{self.uri}: {key} was changed by another writer since it was read; read it again")
            os.replace(draft, path)
        return _tag(data)

    def _remove(self, key: str) -> None:
        with self._alone():
            super()._remove(key)

    @contextmanager
    def _written(self, key: str, data: bytes) -> Iterator[tuple[Path, Path]]:
        """A synced draft next to the final path, and that path; the draft is removed afterwards."""
        path = self.root / plain(key)
        with self._writing(key):
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f"{path.name}#{secrets.randbelow(10**12)}")
            try:
                with draft.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                yield draft, path
                sync_folder(path.parent)
            finally:
                draft.unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._writing(_LOCK), locked(self.root / _LOCK):
            yield

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{self.uri}: {what} cannot be written ({error.strerror or error}); "
                "check the permissions of the folder and that the disk is not full"
            ) from error


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock file at this path: only one holder on this file system can have it at a time.

    Raises Held, unless it shall wait, if somebody else has it.
    """
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise Held(str(path)) from None
        yield


class Held(Exception):
    """Somebody else has this lock."""


def sync_folder(folder: Path) -> None:
    """Sync a folder so that the names in it survive a power failure."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some network file systems cannot sync a folder; the file itself is synced.
        with suppress(OSError):
            os.fsync(number)
    finally:
        os.close(number)


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
