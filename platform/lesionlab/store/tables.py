"""Read and write rows (the pydantic models of storage_schemas.results) as Parquet objects.

Only this module knows Parquet: fastparquet writes it, and pyarrow reads it, which is faster. A column may contain null
only if its row type allows it; null stays null. A document with a text form is stored as its text and parsed when read.
The same rows give the same bytes. Each object carries in its metadata the sha256 of itself, computed with zeros in the
place of the sum; it is checked before decoding.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterable, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import fastparquet
import pandas as pd
import pyarrow
from pyarrow import parquet
from pydantic import ValidationError

from lesionlab.errors import DamagedObject, StoreError
from lesionlab.store.at_once import at_once
from lesionlab.store.base import Store
from storage_schemas.base import Document, OneText, as_columns

Row = TypeVar("Row", bound=Document)

# pandas 2 and 3 agree on these types; text stays `object`, which fastparquet writes as UTF-8.
_DTYPES = {int: "Int64", float: "Float64", bool: "boolean", str: "object"}

_SEAL = "lesionlab.sha256"
_UNSEALED = "0" * 64


def write_rows(store: Store, key: str, rows: Sequence[Row], row_type: type[Row]) -> None:
    """Write the rows as one Parquet object; no rows give an empty table with all columns.

    Raises StoreError if a number is not finite; undefined values must be null.
    """
    records = [as_columns(row) for row in rows]
    for record in records:
        for name, value in record.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise StoreError(f"{key}: {name}: wanted a finite number, or null if it is undefined, found {value}")
    columns = {name: _plain_type(field.annotation) for name, field in row_type.model_fields.items()}
    frame = pd.DataFrame(
        {name: pd.Series([r[name] for r in records], dtype=_DTYPES[kind]) for name, (kind, _) in columns.items()}
    )
    buffer = _KeptBytes()
    fastparquet.write(
        key,
        frame,
        compression="ZSTD",
        open_with=lambda *_: buffer,
        write_index=False,
        has_nulls=[name for name, (_, nullable) in columns.items() if nullable],
        object_encoding={name: "utf8" for name, (kind, _) in columns.items() if kind is str},
        custom_metadata={_SEAL: _UNSEALED},
    )
    store.put(key, _sealed(buffer.getvalue()))


def read_rows(store: Store, keys: Iterable[str], row_type: type[Row]) -> list[Row]:
    """Read the rows of these objects, in order; several objects are asked for at once.

    Raises MissingObject, DamagedObject if one is not what was written, StoreError if one has no such rows.
    """
    return [row for part in read_parts(store, keys, row_type) for row in part]


def read_parts(store: Store, keys: Iterable[str], row_type: type[Row]) -> list[list[Row]]:
    """The rows of each of these objects, in order. Raises the errors of `read_rows`."""
    return at_once(lambda key: _rows(store, key, row_type), keys)


def _rows(store: Store, key: str, row_type: type[Row]) -> list[Row]:
    data = store.get(key)
    if is_altered(data):
        raise DamagedObject(f"{store.uri}: {key}", f"its {len(data)} bytes do not match their checksum")
    try:
        table = parquet.ParquetFile(pyarrow.BufferReader(data)).read(use_threads=False)
        return [row_type.model_validate(record) for record in table.to_pylist()]
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise StoreError(f"{store.uri}: {key} does not contain {row_type.__name__} rows: {faults}") from error
    except Exception as error:  # decoders raise errors of many kinds
        raise DamagedObject(f"{store.uri}: {key}", f"it cannot be read as Parquet ({error})") from error


def is_altered(data: bytes) -> bool:
    """Whether a table carries a checksum and has other content; False for one of an earlier version, without."""
    at = _seal_at(data)
    return at is not None and _sum_of(data, at) != data[at : at + len(_UNSEALED)]


def _sealed(data: bytes) -> bytes:
    at = _seal_at(data)
    if at is None:
        raise AssertionError(f"a table without its metadata {_SEAL}")
    return data[:at] + _sum_of(data, at) + data[at + len(_UNSEALED) :]


def _seal_at(data: bytes) -> int | None:
    """Where the checksum begins: in the metadata at the end, two bytes of Parquet's after its key."""
    at = data.rfind(_SEAL.encode())
    return None if at < 0 else at + len(_SEAL) + 2


def _sum_of(data: bytes, at: int) -> bytes:
    unsealed = hashlib.sha256(data[:at])
    unsealed.update(_UNSEALED.encode())
    unsealed.update(data[at + len(_UNSEALED) :])
    return unsealed.hexdigest().encode()


def _plain_type(annotation: Any) -> tuple[type, bool]:
    """int, float, bool or str, and whether null is allowed. Raises TypeError for types that a column cannot have."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _plain_type(arguments[0])
    if origin is Literal:
        return type(arguments[0]), False
    if origin in (Union, UnionType) and len(arguments) == 2 and NoneType in arguments:
        inner = next(argument for argument in arguments if argument is not NoneType)
        return _plain_type(inner)[0], True
    if isinstance(annotation, type) and issubclass(annotation, OneText):
        return str, False
    if annotation in _DTYPES:
        return annotation, False
    raise TypeError(f"column type: wanted int, float, bool or str, or one of these or null; found {annotation}")


class _KeptBytes(io.BytesIO):
    """A file in memory that keeps its content after `close`, which fastparquet calls."""

    def close(self) -> None:
        pass
