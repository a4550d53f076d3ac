"""`lesionlab export` gives the history of every run to other tools, from the store alone."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event
from typer.testing import Result

from lesionlab.experiments.cells import run_title
from lesionlab.experiments.ledger import close_run
from lesionlab.experiments.run_history import RunHistory
from lesionlab.experiments.stored_plans import store_plan
from lesionlab.store.objects import Store, open_store
from storage_schemas.experiments import Plan
from storage_schemas.results import EpochRow
from tests.experiments.drawn import ledger_entry
from tests.experiments.test_planning import planned
from tests.jobs.conftest import Lesionlab

Export = Callable[[str, object], Result]

ROWS = [
    EpochRow(
        epoch=epoch,
        step=4 * epoch,
        loss=0.5 / epoch,
        learning_rate=1e-3,
        seconds=2.5,
        waiting_s=0.5,
        patches_per_s=3.2,
        peak_memory_mib=300,
    )
    for epoch in (1, 2)
]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned()


@pytest.fixture(scope="module")
def store(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a plan whose first training is finished and whose second has begun; the tests only read it."""
    store = open_store(tmp_path_factory.mktemp("store").as_uri())
    store_plan(store, plan)
    finished, begun = exported(plan)
    for run in (finished, begun):
        history = RunHistory(store, run.run_id, "001-drawn")
        for row in ROWS:
            history.add(row)
    close_run(store, ledger_entry(finished.run_id, attempt="001-drawn"))
    return store


@pytest.fixture
def export(lesionlab: Lesionlab, plan: Plan, store: Store) -> Export:
    """Export the experiment: to what, and where."""
    return lambda to, out: lesionlab("export", plan.spec.name, "--to", to, "--out", out, "--store", store.uri)


def exported(plan: Plan) -> list[Any]:
    return [run for run in plan.runs if run.train][:2]


def test_csv_has_a_line_for_every_epoch_of_every_run(export: Export, plan: Plan, tmp_path: Path) -> None:
    out = tmp_path / "history.csv"
    result = export("csv", out)
    assert (result.exit_code, result.output.split()[:3]) == (0, ["2", "runs", "exported"])
    with out.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["run_id"], line["epoch"]) for line in lines] == [
        (run.run_id, str(epoch)) for run in exported(plan) for epoch in (1, 2)
    ]
    assert lines[0]["cell"] == run_title(exported(plan)[0])
    assert [float(line["loss"]) for line in lines] == [0.5, 0.25, 0.5, 0.25]


def scalars(file: Path) -> set[tuple[str, int, float]]:
    """Tag, step and value of each point; a record has a length of 8 bytes, a checksum, its data and a checksum."""
    data, found = file.read_bytes(), set()
    while data:
        length = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + length])
        found |= {(value.tag, event.step, round(value.simple_value, 6)) for value in event.summary.value}
        data = data[16 + length :]
    return found


def test_tensorboard_has_a_folder_for_each_run_and_no_run_twice(export: Export, plan: Plan, tmp_path: Path) -> None:
    for _ in range(2):
        assert export("tensorboard", tmp_path / "board").exit_code == 0
    files = sorted((tmp_path / "board" / plan.spec.name).rglob("events*"))
    assert sorted(file.parent.name[-16:] for file in files) == sorted(run.run_id for run in exported(plan))
    for file in files:
        assert {("loss", 4, 0.5), ("loss", 8, 0.25), ("patches_per_s", 8, 3.2)} <= scalars(file)


class Server:
    """What an MLflow client would send, by the names of its methods in MLflow 3."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.experiments: list[str] = []

    def client(self, tracking_uri: str) -> Server:
        self.uri = tracking_uri
        return self

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="7") if name in self.experiments else None

    def create_experiment(self, name: str) -> str:
        self.experiments.append(name)
        return "7"

    def search_runs(self, places: list[str], filter_string: str, max_results: int) -> list[Any]:
        return [run for run in self.runs if filter_string == f"tags.`lesionlab.run_id` = '{run['tags'].get(TAG)}'"]

    def create_run(self, place: str, run_name: str, tags: dict[str, str]) -> Any:
        self.runs.append({"name": run_name, "tags": tags, "params": {}, "metrics": []})
        return SimpleNamespace(info=SimpleNamespace(run_id=str(len(self.runs) - 1)))

    def log_batch(self, run: str, metrics: Any = (), params: Any = ()) -> None:
        self.runs[int(run)]["metrics"] += metrics
        self.runs[int(run)]["params"] |= dict(params)

    def set_terminated(self, run: str) -> None:
        self.runs[int(run)]["ended"] = True

    def set_tag(self, run: str, name: str, value: str) -> None:
        self.runs[int(run)]["tags"][name] = value


TAG = "lesionlab.run_id"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """MLflow is not installed for the tests; this has the methods that the export calls."""
    server = Server()
    names: dict[str, dict[str, Any]] = {
        "mlflow": {},
        "mlflow.exceptions": {"MlflowException": type("MlflowException", (Exception,), {})},
        "mlflow.tracking": {"MlflowClient": server.client},
        "mlflow.entities": {"Metric": lambda *values: values, "Param": lambda *values: values},
    }
    for name, content in names.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return server


def test_mlflow_gets_each_finished_run_once(export: Export, plan: Plan, server: Server) -> None:
    for _ in range(2):
        assert export("mlflow", "http://own.example:5000").exit_code == 0
    (sent,) = server.runs
    finished = exported(plan)[0]
    assert (server.uri, server.experiments) == ("http://own.example:5000", [plan.spec.name])
    assert (sent["name"], sent["tags"][TAG], sent["ended"]) == (run_title(finished), finished.run_id, True)
    assert sent["params"]["training_size"] == str(finished.cell.training_size)
    assert ("loss", 0.25, 0, 8) in sent["metrics"]


def test_mlflow_needs_the_address_of_an_own_server(export: Export, plan: Plan, server: Server) -> None:
    result = export("mlflow", "databricks")
    assert result.exit_code == 1
    assert "wanted the tracking URI of your own server" in result.output
    assert not server.runs


def test_without_mlflow_the_export_says_what_to_install(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    result = export("mlflow", "http://own.example:5000")
    assert result.exit_code == 1
    assert "pip install mlflow" in result.output


def test_an_experiment_without_a_history_is_named(lesionlab: Lesionlab, plan: Plan, file_store_uri: str) -> None:
    store_plan(open_store(file_store_uri), plan)
    result = lesionlab("export", plan.spec.name, "--to", "csv", "--out", "history.csv")
    assert result.exit_code == 1
    assert "no run has a history yet" in result.output
