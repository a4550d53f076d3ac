"""The help lists the commands in workflow order with examples; `python -m jobs.X` and `lesionlab X` are the same."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
from rich.text import Text

from jobs.cli import PANEL_OF, _loaded, module_of, summary
from tests.jobs.conftest import Lesionlab

COMMANDS = [
    "simulate",
    "verify",
    "preprocess",
    "plan",
    "pretrain",
    "sweep",
    "status",
    "analyse",
    "export",
    "run",
    "demo",
    "cohort",
    "import",
    "models",
    "benchmark",
    "rule",
    "promote",
    "rollback",
    "retrain",
    "lineage",
    "evaluate",
    "self-grade",
    "predict",
]


def test_help_lists_the_commands_in_workflow_order(lesionlab: Lesionlab) -> None:
    shown = lesionlab("--help").output
    places = [shown.index(f"│ {command} ") for command in COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_an_example(lesionlab: Lesionlab, command: str) -> None:
    result = lesionlab(command, "--help")
    assert result.exit_code == 0
    assert f"Example: lesionlab {command}" in result.output


def test_a_paragraph_of_the_help_breaks_where_the_terminal_ends(
    lesionlab: Lesionlab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    assert "or its file name the patient's label. It must lie" in lesionlab("compare", "--help").output


def test_the_help_shows_the_first_sentence_of_each_command(lesionlab: Lesionlab) -> None:
    shown = " ".join(lesionlab("--help").output.split())
    for command in PANEL_OF:
        function = getattr(import_module(f"jobs.{module_of(command)}"), module_of(command))
        assert summary(command) == inspect.getdoc(function).partition("\n\n")[0]
        assert summary(command) in shown


@pytest.mark.parametrize("command", PANEL_OF)
def test_no_help_has_words_that_the_terminal_takes_for_a_style(command: str) -> None:
    loaded = _loaded(command)
    for text in (loaded.help, *(getattr(parameter, "help", "") for parameter in loaded.params)):
        assert Text.from_markup(text or "").plain == (text or "")


def test_the_version_is_shown(lesionlab: Lesionlab) -> None:
    result = lesionlab("--version")
    assert (result.exit_code, result.output) == (0, f"lesionlab {version('lesionlab')}\n")


@pytest.mark.parametrize(
    ("argument", "code", "answer"),
    [("--help", 0, "preprocess"), ("--version", 0, "lesionlab "), ("analyze", 2, "Did you mean 'analyse'?")],
)
def test_help_version_and_a_typo_import_no_heavy_library(argument: str, code: int, answer: str) -> None:
    watched = ["torch", "ray", "numpy", "pandas", "matplotlib", "lesionlab.errors"] + (
        ["pydantic", "importlib.metadata"] if argument != "--version" else []
    )
    program = (
        "import sys\nfrom jobs.cli import app\n"
        f"try: app([{argument!r}])\nfinally: print('imported:', sorted(set(sys.modules) & set({watched})))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == code
    assert answer in result.stdout + result.stderr
    assert result.stdout.endswith("imported: []\n")


def test_a_job_module_is_the_same_entry_point(lesionlab: Lesionlab) -> None:
    as_module = subprocess.run(
        [sys.executable, "-m", "jobs.plan", "demo"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert as_module.stdout == lesionlab("plan", "demo").output


@pytest.mark.parametrize(
    ("spec", "trainings"),
    [
        ("demo", 12),
        ("wahlig2023-flair-single", 180),
        ("wahlig2023-flair-new", 60),
        ("wahlig2023-enhancing", 24),
        ("wahlig2023-isbi", 30),
    ],
)
def test_the_plan_says_the_number_of_trainings(lesionlab: Lesionlab, spec: str, trainings: int) -> None:
    assert lesionlab("plan", spec).output.splitlines().count(f"{trainings} trainings") == 1


@pytest.mark.parametrize(("name", "start"), [("rotation.svg", b"<?xml"), ("rotation.png", b"\x89PNG")])
def test_the_plan_draws_the_rotation_into_a_file(lesionlab: Lesionlab, tmp_path: Path, name: str, start: bytes) -> None:
    assert lesionlab("plan", "demo", "--figure", tmp_path / name).exit_code == 0
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_picture_of_another_kind_is_refused(lesionlab: Lesionlab, tmp_path: Path) -> None:
    result = lesionlab("plan", "demo", "--figure", tmp_path / "rotation.pdf")
    assert result.exit_code == 1
    assert "ends in .svg or .png" in result.output
