"""The printed design states shared settings once, breaks no word on a narrow screen and names models correctly."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lesionlab.experiments.benchmarks import freeze
from lesionlab.store.objects import open_store
from storage_schemas.definitions import MetricDefinition
from tests.experiments.drawn import cohort_of, entry, manifest
from tests.experiments.finished import SPEC
from tests.jobs.conftest import Lesionlab
from tests.parts import contribute

EVERY_AXIS = """
name: wide
title: every axis
task: flair-single
cohorts: {ms: {}, tumours: {}, brain-mets: {}}
target: {cohort: ms}
sources: [{model: mixed-flair, cohort: tumours}, {model: metastases, cohort: brain-mets}]
training_sizes: [10, 20, 30, 40, 50]
depths: [3, 4]
learning_rates: {fine-tuned: [1.0e-5, 1.0e-4], de-novo: [1.0e-4, 1.0e-3]}
budgets: [{epochs: 30}, {steps: 2000}]
freezings: [null, {part: encoder, epochs: 5}]
"""


def table_of(output: str) -> list[str]:
    """The lines between the table's header and the drawing of the rotation."""
    lines = output.splitlines()
    rule = next(place for place, line in enumerate(lines) if "───" in line)
    return lines[rule + 1 : next(place for place, line in enumerate(lines) if "N = 10" in line)]


@pytest.fixture
def narrow(lesionlab: Lesionlab, monkeypatch: pytest.MonkeyPatch) -> Lesionlab:
    monkeypatch.setenv("COLUMNS", "80")
    return lesionlab


def test_no_word_is_broken_on_a_narrow_screen(narrow: Lesionlab, tmp_path: Path) -> None:
    file = tmp_path / "wide.yaml"
    file.write_text(EVERY_AXIS)
    lines = table_of(narrow("plan", file).output)
    words = "default model mixed-flair metastases de novo fine-tuned from 3 4 1e-05 0.0001 0.001 30 epochs 2000 steps"
    words += " none encoder frozen for 5 60 10 –"
    assert {word for line in lines for word in line.split()} == set(words.split())
    assert max(map(len, lines)) <= 80


def test_a_shared_setting_is_printed_once_and_has_no_column(narrow: Lesionlab, tmp_path: Path) -> None:
    shared = EVERY_AXIS.replace("[1.0e-5, 1.0e-4], de-novo: [1.0e-4, 1.0e-3]", "[1.0e-5]")
    shared = shared.replace("[{epochs: 30}, {steps: 2000}]", "[{steps: 2000}]")
    file = tmp_path / "shared.yaml"
    file.write_text(shared)
    lines = narrow("plan", file).output.splitlines()
    assert lines[1:4] == [
        "training sizes: 10, 20, 30, 40, 50",
        "learning rate: 1e-05 (all fine-tuned)",
        "budget: 2000 steps (all de novo and fine-tuned)",
    ]
    assert next(line for line in lines if "trainings" in line).split() == [
        "model",
        "depth",
        "freezing",
        "tested",
        "trainings",
    ]


def test_arms_with_different_learning_rates_call_for_a_caution_before_anything_is_trained(
    lesionlab: Lesionlab, tmp_path: Path
) -> None:
    file = tmp_path / "unlike.yaml"
    for rates, caution in (("[1.0e-5]}", True), ("[1.0e-4]}", False), ("[1.0e-5], de-novo: [1.0e-5]}", False)):
        file.write_text("\n".join([*EVERY_AXIS.splitlines()[:8], f"learning_rates: {{fine-tuned: {rates}", ""]))
        assert ("caution: Fine-tuned and de novo also differ" in lesionlab("plan", file).output) == caution


def test_losses_are_a_column_like_any_other_axis(narrow: Lesionlab, tmp_path: Path) -> None:
    file = tmp_path / "losses.yaml"
    file.write_text("\n".join([*EVERY_AXIS.splitlines()[:8], "losses: [cross-entropy, dice-cross-entropy]", ""]))
    lines = table_of(narrow("plan", file).output)
    assert [line.split()[-3:] for line in lines if line.startswith(" de novo")] == [
        ["cross-entropy", "60", "30"],
        ["dice-cross-entropy", "60", "30"],
    ]


def test_models_trained_by_another_experiment_are_not_called_default_models(narrow: Lesionlab) -> None:
    output = narrow("plan", "wahlig2023-isbi").output
    assert "default model" not in output
    assert "flair-single-dn-10, not fine-tuned" in output
    assert "flair-single-dn-10: de novo in wahlig2023-flair-single, training size 10, depth 4, fold 1\n" in output
    assert max(map(len, output.splitlines()[1:])) <= 100


def test_repeats_and_default_models_to_pretrain_are_listed(narrow: Lesionlab, tmp_path: Path) -> None:
    file = tmp_path / "wide.yaml"
    file.write_text(EVERY_AXIS + "seeds: [1, 2, 3]\n")
    lines = narrow("plan", file).output.splitlines()
    assert any(line.startswith("seeds: 1, 2, 3;") and "3 times" in line for line in lines)
    assert lines[-4].endswith(": mixed-flair, metastases at depths 3, 4")


def test_a_figure_that_cannot_be_written_gives_one_message(lesionlab: Lesionlab, tmp_path: Path) -> None:
    result = lesionlab("plan", "demo", "--figure", tmp_path / "nowhere" / "x.png")
    assert result.exit_code == 1
    assert "cannot be written" in result.output


@pytest.mark.parametrize("command", [("plan",), ("run", "--dry-run")], ids=" ".join)
def test_a_cohort_that_holds_studies_of_a_benchmark_is_told_before_anything_is_trained(
    lesionlab: Lesionlab, file_store_uri: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    store = open_store(file_store_uri)
    contribute(store, cohort_of(6, spacing_mm=3.0))
    path = tmp_path / "alone.yaml"
    path.write_text(yaml.safe_dump(SPEC))
    assert "benchmark" not in lesionlab(command[0], path, *command[1:]).output
    contribute(store, manifest(entry(7, image=2), cohort="held-out"))
    name = freeze(store, "bench", "held-out", MetricDefinition()).name
    told = lesionlab(command[0], path, *command[1:])
    assert told.exit_code == 0, told.output
    assert f"cohort ms holds 1 of the 1 studies of benchmark {name} (sub-0007: same image as sub-0002)" in told.output
