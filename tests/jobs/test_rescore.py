"""What `lesionlab rescore` refuses before it counts anything; what it counts is in test_flow."""

from __future__ import annotations

from tests.jobs.conftest import Lesionlab


def test_rescoring_without_a_sweep_says_what_comes_first(lesionlab: Lesionlab) -> None:
    result = lesionlab("rescore", "demo", "--definition", "msseg-2")
    assert result.exit_code == 1
    assert "lesionlab sweep" in result.output


def test_an_unknown_definition_is_refused_before_the_store_is_asked(lesionlab: Lesionlab) -> None:
    result = lesionlab("rescore", "demo", "--definition", "mseg-2", "--store", "nowhere")
    assert result.exit_code == 1
    assert "found 'mseg-2'" in result.output
    assert "nowhere" not in result.output
