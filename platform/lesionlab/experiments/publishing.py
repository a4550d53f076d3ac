"""Copy the rows of finished runs into an experiment's results, under the experiment's own names; read them back.

Experiments share runs. The rows of each run are stored once under `runs/<run_id>/`; the analysis reads one Parquet part
per run under `results/<experiment>/`.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable
from typing import TypeVar

from lesionlab.errors import DamagedObject, MissingObject, StoreError
from lesionlab.experiments.cells import run_title
from lesionlab.experiments.ledger import attempt_of, completed, reopen
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_parts, read_rows, write_rows
from storage_schemas import keys
from storage_schemas.base import Digest, Document
from storage_schemas.experiments import Plan
from storage_schemas.keys import KeyPattern
from storage_schemas.results import LesionRow, OperatingRow, StudyRow
from storage_schemas.runs import RunSpec

Row = TypeVar("Row", bound=Document)

_LOG = logging.getLogger(__name__)


def publish(store: Store, run: RunSpec) -> None:
    """Write the run's rows into the results of `run.experiment`; a pretraining run has no rows.

    The published rows carry this experiment's names of experiment, source and metric definition. Raises MissingObject
    if the run has no stored rows.
    """
    if run.cell is None:
        return
    named = {"experiment": run.experiment, "source": run.cell.source, "definition": run.metric.label()}
    place = {"experiment": run.experiment, "run_id": run.run_id}
    attempt = attempt_of(store, run.run_id)
    lesions = read_rows(store, [keys.RUN_LESION_ROWS.of(attempt).build(run_id=run.run_id)], LesionRow)
    studies = read_rows(store, [keys.RUN_STUDY_ROWS.of(attempt).build(run_id=run.run_id)], StudyRow)
    write_rows(store, keys.LESION_ROWS.build(**place), [row.model_copy(update=named) for row in lesions], LesionRow)
    own_points = keys.RUN_OPERATING_ROWS.of(attempt).build(run_id=run.run_id)
    if store.exists(own_points):  # earlier versions stored masks only
        points = [row.model_copy(update=named) for row in read_rows(store, [own_points], OperatingRow)]
        write_rows(store, keys.OPERATING_ROWS.build(**place), points, OperatingRow)
    # Written last: the study rows mark a run as published.
    write_rows(store, keys.STUDY_ROWS.build(**place), [row.model_copy(update=named) for row in studies], StudyRow)


def finished(store: Store, runs: Iterable[RunSpec]) -> set[Digest]:
    """The ids of those runs that have a ledger entry and, if they test studies, rows."""
    runs = tuple(runs)
    done = completed(store, (run.run_id for run in runs))
    left = [run for run in _unpublished(store, runs) if run.run_id in done]
    return done - {run.run_id for run in left if not all(map(store.exists, _own_parts(store, run)))}


def publish_missing(
    store: Store, runs: Iterable[RunSpec], complete: Container[Digest] | None = None, *, reopening: bool = False
) -> int:
    """Publish the complete runs of which a part is missing from their experiment's results; return how many.

    The ledger entry is what makes a run complete, so a process that ended between entry and results loses nothing. A
    run whose own rows are missing or damaged raises StoreError; with `reopening` it counts as not complete from now on.
    `complete` are those that have an entry; by default the ledger is asked.
    """
    missing = _unpublished(store, runs)
    if complete is None:
        complete = completed(store, (run.run_id for run in missing)) if missing else set()
    missing = [run for run in missing if run.run_id in complete]
    for run in missing:
        try:
            publish(store, run)
        except (MissingObject, DamagedObject) as error:
            lost = f"{run_title(run)}: its rows are lost ({error})"
            if not reopening:
                raise StoreError(f"{lost}; lesionlab sweep with the experiment file makes them again") from error
            _LOG.warning("%s; it is executed again", lost)
            reopen(store, run.run_id)
    return len(missing)


def _unpublished(store: Store, runs: Iterable[RunSpec]) -> list[RunSpec]:
    """Those of the runs that test studies and lack a part in their experiment's results."""
    testing = [run for run in runs if run.cell]
    there = {key for name in {run.experiment for run in testing} for key in store.list(f"results/{name}/")}
    return [
        run
        for run in testing
        if not {
            keys.STUDY_ROWS.build(experiment=run.experiment, run_id=run.run_id),
            keys.LESION_ROWS.build(experiment=run.experiment, run_id=run.run_id),
        }
        <= there
    ]


def _own_parts(store: Store, run: RunSpec) -> list[str]:
    """Keys of the run's own rows."""
    attempt = attempt_of(store, run.run_id)
    return [pattern.of(attempt).build(run_id=run.run_id) for pattern in (keys.RUN_STUDY_ROWS, keys.RUN_LESION_ROWS)]


def study_rows(store: Store, plan: Plan) -> list[StudyRow]:
    """Read the study rows of the plan's finished runs: in the plan's order, then by place in the test subset.

    Runs without results yet are skipped. Raises StoreError if the rows cannot be read.
    """
    rows = _published_rows(store, plan, keys.STUDY_ROWS, StudyRow)
    return [row for own in rows for row in sorted(own, key=lambda row: row.position)]


def lesion_rows(store: Store, plan: Plan) -> list[LesionRow]:
    """Read the lesion rows of the plan's finished runs, in the plan's order.

    Runs without results yet are skipped. Raises StoreError if the rows cannot be read.
    """
    return [row for own in _published_rows(store, plan, keys.LESION_ROWS, LesionRow) for row in own]


def operating_rows(store: Store, plan: Plan) -> list[OperatingRow]:
    """Read the rows at all thresholds of the plan's finished runs, in the plan's order.

    Runs without results, and runs of versions that stored masks only, are skipped. Raises StoreError if they cannot be
    read.
    """
    there = set(store.list(keys.OPERATING_ROWS.prefix(experiment=plan.spec.name)))
    parts = [keys.OPERATING_ROWS.build(experiment=plan.spec.name, run_id=run.run_id) for run in plan.runs if run.cell]
    return read_rows(store, [part for part in parts if part in there], OperatingRow)


def _published_rows(store: Store, plan: Plan, pattern: KeyPattern, row_type: type[Row]) -> list[list[Row]]:
    there = set(store.list(keys.STUDY_ROWS.prefix(experiment=plan.spec.name)))
    done = [run.run_id for run in plan.runs if run.cell and _published(run) in there]
    return read_parts(store, [pattern.build(experiment=plan.spec.name, run_id=run_id) for run_id in done], row_type)


def _published(run: RunSpec) -> str:
    return keys.STUDY_ROWS.build(experiment=run.experiment, run_id=run.run_id)
