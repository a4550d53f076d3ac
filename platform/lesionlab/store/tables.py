"""Read and write rows (the pydantic models of storage_schemas.results) as Parquet objects.

Only this module uses fastparquet. A column may contain null only if its row type allows it; null stays null. A document
with a text form is stored as its text and parsed when read. The same rows give the same bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import fastparquet
import pandas as pd
from pydantic import ValidationError

from lesionlab.errors import StoreError
from lesionlab.store.base import Store
from storage_schemas.base import Document, OneText, as_columns

Row = TypeVar("Row", bound=Document)

# pandas 2 and 3 agree on these types; text stays `object`, which fastparquet writes as UTF-8.
_DTYPES = {int: "Int64", float: "Float64", bool: "boolean", str: "object"}


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
    )
    store.put(key, buffer.getvalue())


def read_rows(store: Store, keys: Iterable[str], row_type: type[Row]) -> list[Row]:
    """Read the rows of these objects, in order. Raises MissingObject, and StoreError if one has no such rows."""
    return [row for key in keys for row in _rows(store, key, row_type)]


def _rows(store: Store, key: str, row_type: type[Row]) -> list[Row]:
    data = store.get(key)
    try:
        frame = fastparquet.ParquetFile(io.BytesIO(data)).to_pandas()
        records = frame.astype(object).where(frame.notna(), None).to_dict("records")
        return [row_type.model_validate(record) for record in records]
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise StoreError(f"{store.uri}: {key} does not contain {row_type.__name__} rows: {faults}") from error
    except Exception as error:  # fastparquet lets any exception of its decoders through
        raise StoreError(f"{store.uri}: {key} cannot be read as Parquet ({error}); write it again") from error


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
