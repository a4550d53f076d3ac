"""Send training histories to an MLflow server of the site, afterwards and from this machine alone.

The only module that knows MLflow, which is an optional dependency.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from jobs.shared.exporting import MEASURES
from lesionlab.errors import InputError
from lesionlab.experiments.cells import run_title
from lesionlab.experiments.run_history import RunWithHistory
from lesionlab.store.faults import masked
from storage_schemas.base import Slug

RUN_TAG = "lesionlab.run_id"
SCHEMES = ("http", "https", "file", "sqlite", "postgresql", "mysql", "mssql")
METRICS_AT_ONCE = 1000
"""Limit of MLflow for one request."""


def send_to_mlflow(experiment: Slug, histories: Sequence[RunWithHistory], out: str) -> None:
    """One MLflow run for each finished run: its cell as parameters, provenance as tags, every epoch's measures.

    Runs that the server has already, by their tag, are left alone, and so are runs that are not finished. Raises
    InputError if MLflow is missing, the URI is none of the site's own (`databricks`, a name), or the server refuses.
    """
    if urlsplit(out).scheme.partition("+")[0] not in SCHEMES:
        raise InputError(
            f"--out {masked(out)}: wanted the tracking URI of your own server, such as http://mlflow.example:5000"
        )
    try:
        refused = import_module("mlflow.exceptions").MlflowException
        connect = import_module("mlflow.tracking").MlflowClient
    except ImportError as error:
        raise InputError("--to mlflow: needs MLflow, which is missing; pip install mlflow-skinny") from error
    try:
        client = connect(tracking_uri=out)
        found = client.get_experiment_by_name(experiment)
        place = found.experiment_id if found else client.create_experiment(experiment)
        for one in histories:
            if one.entry and not client.search_runs([place], f"tags.`{RUN_TAG}` = '{one.run.run_id}'", max_results=1):
                _send(client, place, one)
    except refused as error:
        raise InputError(f"--out {masked(out)}: {masked(str(error))}; check the URI and the server") from error


def _send(client: Any, place: str, one: RunWithHistory) -> None:
    """The tag that marks the run as sent is set last, so a run that was sent in part is sent again."""
    kinds, entry = import_module("mlflow.entities"), one.entry
    assert entry is not None
    made = {"device": entry.device, "workers": entry.workers, "lesionlab": entry.lesionlab, "code": entry.code}
    tags = {f"lesionlab.{name}": str(value) for name, value in (made | entry.libraries).items()}
    sent = client.create_run(place, run_name=run_title(one.run), tags=tags).info.run_id
    cell = one.run.cell.model_dump(mode="json") if one.run.cell else {}
    client.log_batch(sent, params=[kinds.Param(name, str(value)) for name, value in cell.items() if value is not None])
    metrics = [kinds.Metric(name, getattr(row, name), 0, row.step) for row in one.rows for name in MEASURES]
    for first in range(0, len(metrics), METRICS_AT_ONCE):
        client.log_batch(sent, metrics=metrics[first : first + METRICS_AT_ONCE])
    client.set_terminated(sent)
    client.set_tag(sent, RUN_TAG, one.run.run_id)
