"""Rows of studies and lesions are read from a store of files: by us, and as before by fastparquet through pandas."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastparquet
import pyarrow
from pyarrow import parquet

from lesionlab.store.base import Store
from lesionlab.store.objects import open_store
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas.base import Document
from storage_schemas.definitions import MetricDefinition
from storage_schemas.results import LesionRow, StudyColumns, StudyRow
from storage_schemas.runs import Cell
from tests.benchmarks.frame import Contender, Row, cpu_seconds
from tests.training.drawn import draw_study, make_run


def rows(*, tiny: bool) -> Iterator[Row]:
    """Study rows of 66 trainings on 10 studies each, and 400 lesion rows of each of 6 trainings."""
    parts = 3 if tiny else 66
    with tempfile.TemporaryDirectory(prefix="lesionlab-bench-") as folder:
        store = open_store((Path(folder) / "store").as_uri())
        yield of_kind("study rows of 66 trainings", store, "studies", _studies(), StudyRow, parts, tiny)
        lesions = [_lesion(number) for number in range(40 if tiny else 400)]
        yield of_kind("lesion rows of 6 trainings", store, "lesions", lesions, LesionRow, max(1, parts // 10), tiny)


def of_kind(
    work: str, store: Store, name: str, written: list[Any], row_type: type[Document], parts: int, tiny: bool
) -> Row:
    """The row for one kind of table, stored in so many parts."""
    keys = [f"results/bench/{name}/part-{part:04d}.parquet" for part in range(parts)]
    for key in keys:
        write_rows(store, key, written, row_type)

    def ours() -> list[Any]:
        return read_rows(store, keys, row_type)

    def through_pandas() -> list[Any]:
        frames = [fastparquet.ParquetFile(io.BytesIO(store.get(key))).to_pandas() for key in keys]
        records = [row for f in frames for row in f.astype(object).where(f.notna(), None).to_dict("records")]
        return [row_type.model_validate(record) for record in records]

    def columns_alone() -> None:
        for key in keys:
            parquet.ParquetFile(pyarrow.BufferReader(store.get(key))).read(use_threads=False).to_pylist()

    def check() -> str:
        assert ours() == through_pandas() == written * parts
        return f"{len(written) * parts} equal rows"

    contenders = [Contender("lesionlab", ours), Contender("fastparquet through pandas", through_pandas)]
    columns_alone()
    bound_s = cpu_seconds(columns_alone)
    return Row("analysis", work, contenders, check, bound_s, "pyarrow's records, not validated", runs=1 if tiny else 5)


def _columns() -> dict[str, Any]:
    cell = Cell(arm="de-novo", source=None, training_size=1, fold=1, seed=0)
    run = make_run([draw_study(1, edge=8)]).changed(cell=cell)
    tested = {"study": "sub-001", "patient": "001", "site": "drawn", "definition": MetricDefinition().label()}
    return StudyColumns.model_validate(run.columns().model_dump() | tested | {"position": 1}).model_dump()


def _studies() -> list[StudyRow]:
    numbers = {"reference_lesions": 40, "predicted_lesions": 38, "true_positives": 30, "false_positives": 8}
    ratios = {"sensitivity": 0.75, "ppv": 30 / 38, "f1": 0.77, "dice": 0.6, "assd_mm": 1.5, "hd95_mm": None}
    volumes = {"reference_ml": 10.0, "predicted_ml": 9.0, "inference_s": 1.0}
    return [StudyRow.model_validate(_columns() | numbers | ratios | volumes | {"position": n}) for n in range(1, 11)]


def _lesion(number: int) -> LesionRow:
    side = "reference" if number % 2 else "prediction"
    own = {"side": side, "lesion": number + 1, "outcome": "true-positive", "volume_mm3": 12.5, "overlap": 0.5}
    place = {"x_mm": 1.0, "y_mm": -2.0, "z_mm": 0.25 * number, "matched": None, "peak": 0.9}
    return LesionRow.model_validate(COLUMNS | own | place)


COLUMNS = _columns()
