"""Every row type survives Parquet in our reader, pyarrow and pandas; null stays null and text stays text."""

from __future__ import annotations

import io
from typing import Any, Literal, get_args, get_origin

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from lesionlab.errors import StoreError
from lesionlab.store.objects import open_store
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas.axes import Budget, Freezing
from storage_schemas.base import Document, as_columns
from storage_schemas.facts import StudyFacts
from storage_schemas.models import TensorTransfer
from storage_schemas.results import EffectRow, LesionRow, OperatingRow, StudyRow
from storage_schemas.verdicts import VerdictRow

ROW_TYPES: tuple[type[Document], ...] = (
    *(StudyRow, LesionRow, OperatingRow, EffectRow),
    *(TensorTransfer, VerdictRow, StudyFacts),
)
KEY = "results/s/part-1.parquet"

# Text that careless readers misinterpret, and text outside ASCII.
TEXT = st.sampled_from(["", "NaN", "nan", "None", "null", "<NA>", "1", "true", "µ × –", "a\nb"]) | st.text(max_size=8)
NAMED = {
    **dict.fromkeys(("experiment", "task"), st.just("small")),
    "run_id": st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    "study": st.sampled_from(["sub-1", "sub-012_ses-01"]),
    **dict.fromkeys(("site", "train_site", "test_site"), st.sampled_from(["a", "site-b"])),
    "source": st.sampled_from(["glioma", "nan", "none"]),
    "budget": st.sampled_from([Budget(epochs=1), Budget(epochs=30), Budget(steps=2000)]),
    "freezing": st.builds(Freezing, epochs=st.none() | st.integers(1, 50)),
}


def values_of(name: str, field: FieldInfo) -> st.SearchStrategy[Any]:
    """Valid values of this column."""
    kinds = get_args(field.annotation) if get_origin(field.annotation) is not Literal else ()
    nullable = type(None) in kinds
    annotation = next((kind for kind in kinds if kind is not type(None)), field.annotation)
    if name in NAMED:
        values: st.SearchStrategy[Any] = NAMED[name]
    elif get_origin(annotation) is Literal:
        values = st.sampled_from(get_args(annotation))
    elif "int" in str(annotation):
        values = st.integers(1, 2**62)  # beyond the integers that a float represents exactly
    elif "bool" in str(annotation):
        values = st.booleans()
    elif "float" in str(annotation):
        values = st.floats(0, 1, exclude_min=True)
    else:
        values = TEXT
    return values | st.none() if nullable else values


def rows_of(row_type: type[Document]) -> st.SearchStrategy[list[Document]]:
    columns = {name: values_of(name, field) for name, field in row_type.model_fields.items()}
    return st.lists(st.builds(row_type, **columns), max_size=5)


@pytest.mark.parametrize("row_type", ROW_TYPES, ids=lambda row_type: row_type.__name__)
@settings(max_examples=20)  # writing many columns takes fastparquet long
@given(data=st.data())
def test_rows_are_read_back_equal_also_by_other_readers(row_type: type[Document], data: st.DataObject) -> None:
    rows = data.draw(rows_of(row_type))
    store = open_store("memory://")
    write_rows(store, KEY, rows, row_type)
    assert read_rows(store, [KEY], row_type) == rows

    plain = [as_columns(row) for row in rows]
    parquet = store.get(KEY)
    table = pq.read_table(io.BytesIO(parquet))
    assert table.to_pylist() == plain
    frame = pd.read_parquet(io.BytesIO(parquet), dtype_backend="numpy_nullable")
    assert frame.astype(object).where(frame.notna(), None).to_dict("records") == plain

    write_rows(store, KEY, rows, row_type)
    assert store.get(KEY) == parquet


@pytest.mark.parametrize("row_type", ROW_TYPES, ids=lambda row_type: row_type.__name__)
def test_no_rows_give_an_empty_table_with_typed_columns(row_type: type[Document]) -> None:
    store = open_store("memory://")
    write_rows(store, KEY, [], row_type)
    assert read_rows(store, [KEY], row_type) == []
    schema = pq.read_schema(io.BytesIO(store.get(KEY)))
    assert schema.names == list(row_type.model_fields)
    assert set(schema.types) <= {pa.int64(), pa.float64(), pa.string(), pa.bool_()}


def test_only_nullable_fields_become_nullable_columns() -> None:
    store = open_store("memory://")
    write_rows(store, KEY, [], StudyRow)
    schema = pq.read_schema(io.BytesIO(store.get(KEY)))
    axes = ["learning_rate", "budget", "freezing", "loss", "optimizer", "train_site", "test_site"]
    metrics = ["sensitivity", "ppv", "f1", "dice", "assd_mm", "hd95_mm"]
    assert [field.name for field in schema if field.nullable] == ["source", *axes, *metrics]


class OldRow(Document):
    """A column of text, as rows had it before budgets were values."""

    budget: str | None


class NewRow(Document):
    """The same column as a value, and one that came later."""

    budget: Budget | None
    freezing: Freezing | None = None


def test_rows_of_older_code_are_read_as_values_and_lack_nothing() -> None:
    store = open_store("memory://")
    write_rows(store, KEY, [OldRow(budget="30 epochs"), OldRow(budget="2000 steps"), OldRow(budget=None)], OldRow)
    values = [Budget(epochs=30), Budget(steps=2000), None]
    assert read_rows(store, [KEY], NewRow) == [NewRow(budget=value) for value in values]


def test_an_unparsable_text_is_refused_with_its_column() -> None:
    store = open_store("memory://")
    write_rows(store, KEY, [OldRow(budget="for long")], OldRow)
    with pytest.raises(StoreError, match=rf"{KEY} does not contain NewRow rows: budget: .*found 'for long'"):
        read_rows(store, [KEY], NewRow)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_non_finite_number_is_refused_with_its_column(value: float) -> None:
    row = EffectRow(
        metric="dice",
        test="paired-t",
        comparison="de novo – fine-tuned",
        training_size=10,
        n=10,
        n_other=None,
        undefined=0,
        difference=0.1,
        statistic=value,
        p=None,
        p_bonferroni=None,
        family=5,
        significant=False,
    )
    with pytest.raises(StoreError, match=rf"{KEY}: statistic: wanted a finite number.* found {value}"):
        write_rows(open_store("memory://"), KEY, [row], EffectRow)


def test_rows_of_another_type_are_refused_with_the_faulty_columns() -> None:
    store = open_store("memory://")
    write_rows(store, KEY, [TensorTransfer(tensor="a", shape="3", origin="random", how="new head")], TensorTransfer)
    with pytest.raises(StoreError, match=rf"{KEY} does not contain EffectRow rows: metric: Field required"):
        read_rows(store, [KEY], EffectRow)


@pytest.mark.parametrize("cut", [0, 10, -10], ids=["empty", "head", "tail"])
def test_a_truncated_object_is_reported_by_key(cut: int) -> None:
    store = open_store("memory://")
    write_rows(store, KEY, [TensorTransfer(tensor="a", shape="3", origin="random", how="new head")], TensorTransfer)
    store.put(KEY, store.get(KEY)[:cut])
    with pytest.raises(StoreError, match=rf"{KEY} is damaged: "):
        read_rows(store, [KEY], TensorTransfer)
