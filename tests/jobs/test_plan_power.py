"""`lesionlab plan` says which difference a design can show, from SDs that were found or given, and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lesionlab.analysis.sheets.records import csv_text
from tests.analysis.drawn_rows import drawn_rows
from tests.jobs.conftest import Lesionlab

FLAIR = "wahlig2023-flair-single"
GIVEN = ("--sd", "patient-by-arm=0.05", "--sd", "subset-by-arm=0.03", "--sd", "network=0.05", "--sd", "residual=0.1")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = drawn_rows(1, {"fine-tuned": 0.75, "de-novo": 1.1}, sizes=(10, 30))
    columns = ("study", "patient", "site", "arm", "training_size", "fold", "sensitivity", "ppv")
    path = tmp_path_factory.mktemp("elsewhere") / "rows.csv"
    path.write_text(csv_text([{name: getattr(row, name) for name in columns} for row in rows]))
    return path


def power_of(lesionlab: Lesionlab, *arguments: object) -> dict[str, object]:
    result = lesionlab("plan", FLAIR, "--json", *arguments)
    assert result.exit_code == 0
    return json.loads(result.output)["power"]


def test_without_sds_one_line_says_how_to_get_them_and_no_number_is_invented(lesionlab: Lesionlab) -> None:
    last = lesionlab("plan", FLAIR).output.splitlines()[-1]
    assert last.startswith("power: ")
    assert "--variances" in last
    assert "--sd" in last
    assert power_of(lesionlab) is None


def test_given_sds_say_what_the_design_shows_and_what_more_seeds_and_folds_would(lesionlab: Lesionlab) -> None:
    found = power_of(lesionlab, *GIVEN)
    assert (found["studies"], found["folds"], found["seeds"], found["power"]) == (60, 6, 1, 0.8)
    sensitivity, ppv = found["metrics"]["sensitivity"], found["metrics"]["ppv"]
    assert sensitivity == ppv
    assert sum(sensitivity["share_of_variance"].values()) == pytest.approx(1)
    smallest = {(one["folds"], one["seeds"]): one["smallest_difference"] for one in sensitivity["by_folds_and_seeds"]}
    assert smallest[6, 1] == sensitivity["smallest_difference"]
    assert smallest[6, 1] > smallest[6, 2] > smallest[6, 10] > smallest[12, 10]
    assert set(smallest) == {(folds, seeds) for folds in (6, 9, 12) for seeds in (1, 2, 3, 5, 10)}


def test_an_sd_for_one_endpoint_leaves_the_other_alone(lesionlab: Lesionlab) -> None:
    metrics = power_of(lesionlab, *GIVEN, "--sd", "ppv.network=0.1")["metrics"]
    assert metrics["sensitivity"]["sd"]["network"] == 0.05
    assert metrics["ppv"]["sd"]["network"] == 0.1
    assert metrics["ppv"]["smallest_difference"] > metrics["sensitivity"]["smallest_difference"]


def test_a_target_difference_needs_so_many_seeds_or_more_folds(lesionlab: Lesionlab) -> None:
    output = lesionlab("plan", FLAIR, *GIVEN, "--difference", "0.07").output
    assert "Sensitivity: a difference of 0.07 needs " in output
    output = lesionlab("plan", FLAIR, *GIVEN, "--difference", "0.03").output
    assert "Sensitivity: no number of seeds suffices for a difference of 0.03" in output
    assert "Training subset × arm limits it" in output


def test_sds_of_earlier_results_are_fitted_and_one_of_them_may_be_replaced(lesionlab: Lesionlab, table: Path) -> None:
    fitted = power_of(lesionlab, "--variances", table)["metrics"]
    assert all(metric["sd"]["residual"] > 0.01 for metric in fitted.values())
    assert fitted["sensitivity"]["sd"] != fitted["ppv"]["sd"]
    replaced = power_of(lesionlab, "--variances", table, "--sd", "network=0.2")["metrics"]
    for metric, found in replaced.items():
        assert found["sd"] == fitted[metric]["sd"] | {"network": 0.2}


def test_results_without_disjoint_training_sets_give_a_reason_instead_of_sds(
    lesionlab: Lesionlab, table: Path, tmp_path: Path
) -> None:
    lines = table.read_text().splitlines(keepends=True)
    few = tmp_path / "few.csv"
    few.write_text("".join(line for line in lines if "-novo,10," not in line and "-tuned,10," not in line))
    result = lesionlab("plan", FLAIR, "--variances", few)
    assert result.exit_code == 1
    assert "the SDs of sensitivity: no training size at which no two folds share training studies" in result.output


def test_an_experiment_without_both_arms_has_no_power_but_a_reason_if_asked(lesionlab: Lesionlab) -> None:
    assert "power: not computed: the experiment does not train both arms" in (
        lesionlab("plan", "wahlig2023-isbi", *GIVEN).output
    )
    assert "power" not in lesionlab("plan", "wahlig2023-isbi").output


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (("--sd", "network=0.05"), ["sensitivity lacks patient-by-arm, subset-by-arm, residual", "PPV lacks "]),
        (("--sd", "foo=1", "--sd", "network=2"), ["found 'foo=1'", "found 'network=2'"]),
        ((*GIVEN, "--sd", "residual=0"), ["wanted a residual SD above 0"]),
        ((*GIVEN, "--difference", "5"), ["--difference: wanted a number between 0 and 1"]),
        (("--variances", "nothing"), ["experiment nothing: no sweep in"]),
        (("--variances", "nothing.csv"), ["nothing.csv"]),
    ],
    ids=["incomplete", "malformed", "no residual", "percent", "unknown experiment", "no table"],
)
def test_wrong_options_are_named_all_at_once(
    lesionlab: Lesionlab, arguments: tuple[str, ...], messages: list[str]
) -> None:
    result = lesionlab("plan", FLAIR, *arguments)
    assert result.exit_code == 1
    for message in messages:
        assert message in result.output
