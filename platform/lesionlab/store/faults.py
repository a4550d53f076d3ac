"""Translate obstore's errors into the project's own, with the key, what was found and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from lesionlab.errors import AccessDenied, Conflict, MissingObject, ObjectExists, StoreError, StoreUnreachable

CREDENTIALS_HELP = (
    "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), that AWS_ENDPOINT_URL_S3 is the server they "
    "belong to, and that they may read, write and list this bucket"
)

# obstore distinguishes these only by text: a GenericError contains the message of the HTTP client or the server.
_NO_BUCKET = re.compile(r"NoSuchBucket|(list request|performing (PUT|POST)).* 404 Not Found")
_NO_ANSWER = re.compile(r"HTTP error:|status code: (408|429|5(?!01)\d\d)")
# A refused deletion comes as an answer without an error status: deletions are sent in batches.
# AWS says of a token that expired only that the request is bad; of a HEAD, whose answer has no body, not even why.
_REFUSED = re.compile(
    r"status code: 40[13]|<Code>(ExpiredToken|InvalidToken|TokenRefreshRequired)</Code>|performing HEAD .* code: 400"
    r"|DeleteObjects request failed.*(AccessDenied|Access ?Denied)",
    re.DOTALL,
)
_ENDPOINT = re.compile(r"https?://[^/ ]+")
_OWNER = re.compile(r"(?P<scheme>[A-Za-z0-9+.-]*://)?[^\s'\"]*@")


@contextmanager
def translated(uri: str, key: str) -> Iterator[None]:
    """Translate any error of obstore in this context into a StoreError, or a subclass, about this key of this store."""
    try:
        yield
    except AlreadyExistsError as error:
        raise ObjectExists(f"{uri}: {key} is write-once and already exists; choose another key") from error
    except PreconditionError as error:
        raise Conflict(f"{uri}: {key} was changed by another writer since it was read; read it again") from error
    except (BaseError, OSError, NotImplementedError) as error:
        raise _by_text(uri, key, error) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of Rust; not importable, and no Exception
            raise
        raise StoreError(f"{uri}: {key or 'the store'} cannot be accessed: {masked(str(error))}") from error


def masked(text: str) -> str:
    """The text in one line, without user names and passwords in its URLs."""
    return " ".join(_OWNER.sub(r"\g<scheme>…@", text).split())


def _by_text(uri: str, key: str, error: Exception) -> StoreError:
    text, _, _ = str(error).partition("\n\nDebug source")
    match = _ENDPOINT.search(text)
    endpoint = match.group() if match else "the object store"
    if _NO_BUCKET.search(text):
        return AccessDenied(
            f"{uri}: {endpoint} has no such bucket; create it, or correct the URI or AWS_ENDPOINT_URL_S3"
        )
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or _REFUSED.search(text):
        return AccessDenied(f"{uri}: {endpoint} refuses access to {key or 'the bucket'}; {CREDENTIALS_HELP}")
    if isinstance(error, FileNotFoundError):
        return MissingObject(f"{uri}: wanted an object under {key}, found none")
    if _NO_ANSWER.search(text):
        return StoreUnreachable(
            f"{uri}: no answer from {endpoint}; check that the server runs and that AWS_ENDPOINT_URL_S3 names it"
        )
    return StoreError(f"{uri}: {key or 'the store'} cannot be accessed: {masked(text) or 'no reason was given'}")
