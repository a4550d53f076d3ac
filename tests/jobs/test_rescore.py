"""`lesionlab rescore` refuses bad input before it scores anything; test_flow covers its results."""

from __future__ import annotations

from tests.jobs.conftest import Lesionlab


def test_rescoring_wants_a_definition_or_a_threshold(lesionlab: Lesionlab) -> None:
    result = lesionlab("rescore", "demo")
    assert result.exit_code == 2
    assert "--threshold T or --fill" in result.output


def test_every_threshold_off_the_stored_scale_is_refused_with_its_neighbours(lesionlab: Lesionlab) -> None:
    result = lesionlab("rescore", "demo", "--threshold", "0.123", "--threshold", "1.5", "--store", "nowhere")
    assert result.exit_code == 1
    assert "such as 0.12 or 0.13; found 0.123" in result.output
    assert "such as 0.9999; found 1.5" in result.output
    assert "nowhere" not in result.output


def test_rescoring_without_a_sweep_names_the_command_to_run_first(lesionlab: Lesionlab) -> None:
    result = lesionlab("rescore", "demo", "--definition", "msseg-2")
    assert result.exit_code == 1
    assert "lesionlab sweep" in result.output


def test_an_unknown_definition_is_refused_before_the_store_is_opened(lesionlab: Lesionlab) -> None:
    result = lesionlab("rescore", "demo", "--definition", "mseg-2", "--store", "nowhere")
    assert result.exit_code == 1
    assert "found 'mseg-2'" in result.output
    assert "nowhere" not in result.output


def test_without_a_definition_and_without_fill_there_is_nothing_to_do(lesionlab: Lesionlab) -> None:
    result = lesionlab("rescore", "demo")
    assert result.exit_code == 2
    assert "--fill" in result.output


def test_filling_without_a_sweep_names_the_command_to_run_first(lesionlab: Lesionlab) -> None:
    result = lesionlab("rescore", "demo", "--fill")
    assert result.exit_code == 1
    assert "lesionlab sweep" in result.output
