"""The notebook page of the documentation runs from top to bottom as it is printed."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from lesionlab.experiments.ledger import completed
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.store.objects import open_store
from storage_schemas import keys

PAGE = Path(__file__).parents[2] / "docs" / "notebook.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty folder in which a person follows the page; commands and code find the same store."""
    folder = tmp_path_factory.mktemp("notebook")
    before = Path.cwd()
    os.chdir(folder)
    try:
        for line in "".join(blocks("sh")).splitlines():
            command, *arguments = shlex.split(line)
            assert command == "lesionlab"
            result = CliRunner().invoke(app, arguments, catch_exceptions=False)
            assert result.exit_code == 0, result.output
        (written,) = blocks("yaml")
        Path("experiment.yaml").write_text(written)
        yield folder
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def names(folder: Path) -> dict[str, Any]:
    """What the page's code leaves behind."""
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks("python"), start=1):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
    return names


def test_it_runs_from_top_to_bottom_and_finishes_the_experiment(names: dict[str, Any], folder: Path) -> None:
    store = open_store((folder / ".lesionlab" / "store").as_uri())
    plan = current_plan(store, "notebook")
    assert completed(store, (run.run_id for run in plan.runs)) == {run.run_id for run in plan.runs}
    assert (folder / "report.html").read_bytes() == store.get(names["report"].key)
    assert names["result"].dice is not None


def test_rows_are_those_of_the_one_cell_that_was_run(names: dict[str, Any]) -> None:
    first, second = names["plan"].runs
    assert [(row.run_id, row.position) for row in names["rows"]] == [(first.run_id, 1), (first.run_id, 2)]
    assert {lesion.run_id for lesion in names["missed"]} <= {first.run_id}
    assert keys.STUDY_ROWS.build(experiment="notebook", run_id=second.run_id) in names["store"].list("results/")


def test_a_refusal_says_what_there_is_instead(names: dict[str, Any]) -> None:
    (fault,) = names["faults"]
    assert "no-such-experiment" in fault
    assert "notebook" in fault
