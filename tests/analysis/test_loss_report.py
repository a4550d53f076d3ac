"""The report shows the loss of every trained network that left a history, and does without where none did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lesionlab.analysis.evidence import read_evidence
from lesionlab.analysis.figures.loss_curves import loss_figure
from lesionlab.analysis.pages.hashes import study_digest
from lesionlab.analysis.report import write_report
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.supplementary import Options
from lesionlab.experiments.ledger import ledger_entries
from lesionlab.experiments.run_history import finished_histories
from lesionlab.store.documents import write_document
from lesionlab.store.objects import Store, open_store
from lesionlab.store.tables import write_rows
from storage_schemas import keys
from storage_schemas.experiments import Plan
from storage_schemas.results import EpochRow
from storage_schemas.runs import RunSpec
from tests.analysis.conftest import draw_card
from tests.experiments.drawn import ledger_entry

ATTEMPT = "001-drawn"


def history(losses: list[float], seconds: float = 1.0) -> list[EpochRow]:
    return [
        EpochRow(
            epoch=epoch,
            step=10 * epoch,
            loss=loss,
            learning_rate=1e-3,
            seconds=seconds,
            waiting_s=0,
            patches_per_s=5,
            peak_memory_mib=300,
        )
        for epoch, loss in enumerate(losses, start=1)
    ]


def finish(store: Store, run: RunSpec, rows: list[EpochRow] | None) -> None:
    """What an attempt leaves; `None`: of a version that kept no history."""
    entry = ledger_entry(run.run_id, experiment=run.experiment, attempt=ATTEMPT)
    write_document(store, keys.LEDGER.build(run_id=run.run_id), entry)
    write_document(store, keys.RUN_CARD.of(ATTEMPT).build(run_id=run.run_id), draw_card(run))
    if rows is not None:
        write_rows(store, keys.RUN_HISTORY.build(run_id=run.run_id, attempt=ATTEMPT), rows, EpochRow)


def trained(plan: Plan) -> list[RunSpec]:
    return [run for run in plan.runs if run.cell and run.cell.training_size]


@pytest.fixture(scope="module")
def store(draw_store: Callable[[], Store], plan: Plan) -> Store:
    """A finished experiment whose first network was trained by a version that kept no history."""
    store = draw_store()
    older, *others = trained(plan)
    finish(store, older, None)
    for run in others:
        finish(store, run, history([0.5, 0.1]))
    return store


def test_the_report_has_a_figure_of_the_losses_and_says_how_many_networks_it_shows(store: Store, plan: Plan) -> None:
    page = store.get(write_report(store, plan, null_repetitions=0).key).decode()
    section = page.partition('<section id="training">')[2].partition("</section>")[0]
    networks = len(trained(plan)) - 1
    assert f"Loss of {networks} trained networks; 1 network of earlier versions left none." in section
    assert section.count("<figure") == 1
    assert '<a href="#training">' in page
    assert "figures/losses-drawn-glioma.svg" in page


def test_without_histories_there_is_no_such_section(written: tuple[Store, object]) -> None:
    store, result = written
    assert b'id="training"' not in store.get(result.key)  # type: ignore[attr-defined]


def test_another_loss_is_another_analysis_and_another_speed_is_not(store: Store, plan: Plan) -> None:
    evidence, run_id = read_evidence(store, plan), trained(plan)[0].run_id
    analysis: Any = SimpleNamespace(rows=(), supplementary=SimpleNamespace(options=Options()))

    def digest(rows: list[EpochRow]) -> str:
        return study_digest(plan, analysis, replace(evidence, histories={run_id: rows}))

    first = digest(history([0.5, 0.1]))
    assert digest(history([0.5, 0.1], seconds=9.0)) == first
    assert digest(history([0.5, 0.2])) != first


def test_a_history_that_cannot_be_read_is_left_out(plan: Plan, caplog: pytest.LogCaptureFixture) -> None:
    store, runs = open_store("memory://"), trained(plan)[:2]
    for run in runs:
        finish(store, run, history([0.5]))
    damaged = keys.RUN_HISTORY.build(run_id=runs[0].run_id, attempt=ATTEMPT)
    store.put(damaged, b"nothing of a table")
    entries = ledger_entries(store, [run.run_id for run in runs])
    assert finished_histories(store, entries).keys() == {runs[1].run_id}
    assert damaged in caplog.text


def test_each_network_is_a_line_in_the_panel_of_its_size() -> None:
    small, large = (Condition(arm="de-novo", source=None, training_size=size) for size in (4, 8))
    figure = loss_figure({small: [history([0.5, 0.1]), history([0.4, 0.2])], large: [history([0.3])]})
    left, right = figure.axes
    assert [list(line.get_ydata()) for line in left.lines] == [[0.5, 0.1], [0.4, 0.2]]
    assert [list(line.get_xdata()) for line in right.lines] == [[10]]
    assert left.get_yscale() == "log"
    assert loss_figure({small: [history([0.5, -0.1])]}).axes[0].get_yscale() == "linear"
