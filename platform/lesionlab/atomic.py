"""Read a file whole; write a file whole, or leave exactly what was there before."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path


def read_whole(path: Path) -> bytes:
    """The bytes of a file. Raises OSError, also for a pipe or a device, which may never end."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "is a pipe or a device, not a file", str(path))
    return path.read_bytes()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a draft beside the file, then put it in the file's place; a link there is replaced, not followed.

    What is no regular file, such as /dev/stdout, is written to as it is. Raises OSError where that cannot be done.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    draft = path.with_name(f".{secrets.token_hex(8)}.draft")
    try:
        with draft.open("xb") as file:
            file.write(data)
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
