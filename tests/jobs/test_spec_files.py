"""An experiment file is valid or refused with all its faults, in words that a radiologist can act on."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from jobs.shared.experiment_files import SPECS, load_spec
from lesionlab.errors import SpecError
from storage_schemas.experiments import ExperimentSpec
from tests.jobs.conftest import Lesionlab

EXAMPLE = SPECS["example"].read_text()
ALTERNATIVES = re.findall(r"^# or: (\w+): (.*)$", EXAMPLE, flags=re.MULTILINE)


def faults_of(folder: Path, text: str) -> list[str]:
    path = folder / "experiment.yaml"
    path.write_text(dedent(text))
    with pytest.raises(SpecError) as caught:
        load_spec(str(path))
    return [fault.removeprefix(f"experiment file {path}: ") for fault in caught.value.args]


def experiment(**changes: object) -> str:
    whole = {
        "name": "mine",
        "title": "mine",
        "task": "flair-single",
        "cohorts": {"ms": {}},
        "target": {"cohort": "ms"},
        "training_sizes": [10],
    }
    return yaml.safe_dump(whole | changes)


@pytest.mark.parametrize("name", SPECS)
def test_every_built_in_experiment_file_is_valid(name: str) -> None:
    assert load_spec(name).name == name


def test_the_example_shows_every_key_of_an_experiment_file() -> None:
    assert yaml.safe_load(EXAMPLE).keys() == ExperimentSpec.model_fields.keys()


@pytest.mark.parametrize(("key", "value"), ALTERNATIVES, ids=[f"{key} {n}" for n, (key, _) in enumerate(ALTERNATIVES)])
def test_every_alternative_of_the_example_can_replace_its_key(key: str, value: str, tmp_path: Path) -> None:
    content = yaml.safe_load(EXAMPLE) | yaml.safe_load(f"{key}: {value}")
    if content["target"].get("design", "rotation") != "rotation":
        content["unit_of_analysis"] = "per-study"
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(content))
    spec = load_spec(str(tmp_path / "experiment.yaml"))
    assert getattr(spec, key) != getattr(load_spec("example"), key)


def test_an_unknown_key_is_named_with_a_suggestion_and_hides_no_other_fault(tmp_path: Path) -> None:
    assert faults_of(
        tmp_path, experiment(trainning={"epochs": 3}, training_sizes=[15, 15], target={"cohort": "gone"})
    ) == [
        "trainning: unknown key; did you mean training?",
        "training_sizes: wanted whole subsets of 10, from 10 to 50 studies; found 15",
        "training_sizes: wanted each value once, found [15, 15]",
        "cohorts: 'gone' is used but not defined; defined are ['ms']",
    ]


def test_without_a_similar_key_all_keys_of_that_place_are_listed(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, experiment(target={"cohort": "ms", "leave_out": True}))
    assert fault.startswith("target.leave_out: unknown key; known keys: cohort, design, subsets, ")
    simulation = {"pathology": "ms", "studies": 1, "zeed": 1}
    assert faults_of(tmp_path, experiment(cohorts={"ms": {"simulate": simulation}})) == [
        "cohorts.ms.simulate.seed: missing",
        "cohorts.ms.simulate.zeed: unknown key; did you mean seed?",
    ]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"seeds": 3}, "seeds: wanted a list, as in [1, 2]; found 3"),
        ({"budgets": [10]}, "budgets.0: wanted keys with values; found 10"),
        ({"spacing_mm": "1 mm"}, "spacing_mm: wanted a number; found '1 mm'"),
        ({"spacing_mm": 0}, "spacing_mm: wanted 0.1 or more; found 0"),
        ({"task": "flair"}, "task: wanted one of flair-single, flair-new, "),
        ({"training_sizes": [1.5]}, "training_sizes.0: wanted a whole number; found 1.5"),
        (
            {"target": {"cohort": "ms", "sites": ["North Site"]}},
            "(write the site `North Site` as north-site); found 'North Site'",
        ),
        ({"title": None}, "title: wanted text; found nothing"),
    ],
    ids=["list", "keys", "number", "bound", "choice", "whole", "name", "nothing"],
)
def test_a_fault_says_what_was_wanted_and_what_was_found(changes, fault, tmp_path: Path) -> None:
    (found,) = faults_of(tmp_path, experiment(**changes))
    assert fault in found


def test_a_key_given_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    assert faults_of(tmp_path, experiment() + "training_sizes: [20]\n") == [
        "training_sizes appears twice, in lines 8 and 10; keep one"
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("title: {{ x }}", "wanted a name as key, found a group in brackets; put text with brackets in quotes"),
        ("seeds: [010]", "010 is octal to some YAML readers and decimal to others; write 10, or '010' for text"),
        ("title: 1:30", "1:30 is a number of base 60 to some YAML readers and text to others; write '1:30' for text"),
        ("de_novo: yes", "yes is true to some YAML readers and text to others; write true, or 'yes' for text"),
        ("de_novo: Off", "Off is false to some YAML readers and text to others; write false, or 'Off' for text"),
        ("1: 2", "wanted a name as key, found 1; put it in quotes if it is a name"),
        ("~: 2", "wanted a name as key, found ~; put it in quotes if it is a name"),
        ("no: 1", "no is false to some YAML readers and text to others; write false, or 'no' for text"),
        ("spacing_mm: .inf", "wanted a finite number, found .inf"),
        ("spacing_mm: 1e999", "wanted a finite number, found 1e999"),
        ("spacing_mm: .NaN", "wanted a finite number, found .NaN"),
        (f"seeds: [{'9' * 5000}]", "wanted a number of at most 18 digits, found one of 5000"),
        ("seeds: [!!int '010']", "wanted a plain value, found the tag tag:yaml.org,2002:int; write it without a tag"),
        ("title: !!python/name:os.system x", "wanted a plain value, found the tag"),
        ("seeds: &s [*s]", "wanted values that end, found an anchor that contains itself; write it out"),
        ("seeds: " + "[" * 3000 + "]" * 3000, "wanted at most 32 levels of nesting, found more; nest less deeply"),
    ],
    ids=[
        *(
            "template",
            "octal",
            "base 60",
            "yes",
            "Off",
            "key 1",
            "key ~",
            "key no",
            "infinity",
            "overflow",
            "not a number",
            "digits",
        ),
        *("tag", "code", "recursion", "depth"),
    ],
)
def test_a_value_that_yaml_readers_disagree_on_or_cannot_hold_is_refused_with_its_line(
    line: str, fault: str, tmp_path: Path
) -> None:
    (found,) = faults_of(tmp_path, f"# first\n{line}\n")
    assert found.startswith(f"line 2: {fault}")


def test_every_ambiguous_value_of_a_file_is_reported_at_once(tmp_path: Path) -> None:
    assert [fault[:11] for fault in faults_of(tmp_path, "seeds: [010]\nde_novo: yes\n")] == [
        "line 1: 010",
        "line 2: yes",
    ]


def test_aliases_that_multiply_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    assert faults_of(tmp_path, "\n".join(lines)) == [
        "wanted at most 20,000 values with all aliases written out, found more; use fewer"
    ]


def test_numbers_are_read_by_the_yaml_1_2_rules(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    text = experiment() + "learning_rates: {de-novo: [1e-3, 5E-4, +.5]}\nseeds: [0o10, 0x1F, +7, 0]\nde_novo: TRUE\n"
    path.write_text(text.replace("title: mine", "title: 2020-01-01"))
    spec = load_spec(str(path))
    assert (spec.seeds, spec.learning_rates["de-novo"], spec.title) == ((8, 31, 7, 0), (1e-3, 5e-4, 0.5), "2020-01-01")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"seeds": [-1]}, "seeds.0: wanted 0 or more; found -1"),
        ({"seeds": [2**32]}, "seeds.0: wanted less than 4294967296; found 4294967296"),
        ({"target": {"cohort": "ms", "split_seed": -1}}, "target.split_seed: wanted 0 or more; found -1"),
        (
            {"cohorts": {"ms": {"simulate": {"pathology": "ms", "studies": 1, "seed": -1}}}},
            "cohorts.ms.simulate.seed: wanted 0 or more; found -1",
        ),
        ({"training": {"patch_voxels": 1024}}, "training.patch_voxels: wanted 512 or less; found 1024"),
        ({"training": {"learning_rate": "inf"}}, "training.learning_rate: wanted a finite number; found 'inf'"),
        ({"training": {"elastic": {"sd_mm": "inf"}}}, "training.elastic.sd_mm: wanted a finite number; found 'inf'"),
        ({"spacing_mm": "nan"}, "spacing_mm: wanted a finite number; found 'nan'"),
        ({"goal": {"annotation_minutes": "inf"}}, "goal.annotation_minutes: wanted a finite number; found 'inf'"),
    ],
    ids=[
        *("negative seed", "long seed", "split seed", "simulation seed", "patch", "rate", "elastic", "spacing"),
        "minutes",
    ],
)
def test_a_number_that_no_run_could_use_is_refused(changes, fault, tmp_path: Path) -> None:
    assert faults_of(tmp_path, experiment(**changes)) == [fault]


def test_a_merged_key_may_be_overridden(tmp_path: Path) -> None:
    merged = "training: &t {epochs: 3}\nsources: [{model: a, cohort: ms, training: {<<: *t, epochs: 5}}]\n"
    assert faults_of(tmp_path, experiment() + merged) == [
        "source a: ms is the target; a model must not be tested on its training studies"
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.yaml", "not found"),
        ("nosuch", "not found"),
        (".", "found no YAML file"),
        ("empty.yaml", "found nothing"),
    ],
)
def test_a_file_that_is_not_an_experiment_file_is_refused(name: str, message: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.yaml").touch()
    with pytest.raises(SpecError, match=message):
        load_spec(name)


def test_other_rules_cannot_use_the_name_of_a_built_in_definition(tmp_path: Path) -> None:
    assert faults_of(tmp_path, experiment(metric={"name": "paper", "connectivity": 6})) == [
        "metric: paper is the name of a built-in definition; use another name"
    ]


def test_brackets_in_a_title_are_printed_literally(lesionlab: Lesionlab, tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text(experiment(title="lesions [FLAIR/T1] at 3T [/new] [bold]three[/bold]"))
    result = lesionlab("plan", tmp_path / "experiment.yaml")
    assert result.exit_code == 0
    assert "lesions [FLAIR/T1] at 3T [/new] [bold]three[/bold]" in " ".join(result.output.split())
