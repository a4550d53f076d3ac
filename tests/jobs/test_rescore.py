"""`lesionlab rescore` refuses bad input before it scores anything; test_flow covers its results."""

from __future__ import annotations

from tests.jobs.conftest import Lesionlab


def test_rescoring_without_a_sweep_names_the_command_to_run_first(lesionlab: Lesionlab) -> None:
    result = lesionlab("rescore", "demo", "--definition", "msseg-2")
    assert result.exit_code == 1
    assert "lesionlab sweep" in result.output


def test_an_unknown_definition_is_refused_before_the_store_is_opened(lesionlab: Lesionlab) -> None:
    result = lesionlab("rescore", "demo", "--definition", "mseg-2", "--store", "nowhere")
    assert result.exit_code == 1
    assert "found 'mseg-2'" in result.output
    assert "nowhere" not in result.output
