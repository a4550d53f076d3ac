"""A site sets, checks and shows its policy, and every command that would show more says which site forbids it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lesionlab.analysis.report import write_report
from lesionlab.errors import InputError
from lesionlab.evaluation.exports import export_predictions
from lesionlab.store.objects import Store, open_store
from storage_schemas import keys
from tests.experiments.drawn import cohort_of
from tests.experiments.finished import SPEC, finish_experiment
from tests.jobs.conftest import Lesionlab
from tests.parts import contribute

TEXT = "# agreed on by the board\nsite: north\nleaves: aggregates\nexperiments: ['ms-*']\nsmallest_count: 12\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def store(file_store_uri: str) -> Store:
    return open_store(file_store_uri)


def test_a_policy_is_checked_set_as_it_was_written_and_shown(lesionlab: Lesionlab, store: Store, file: Path) -> None:
    key = keys.POLICY.build(site="north")
    checked = lesionlab("policy", file, "--site", "north", "--check")
    assert "nothing was written" in checked.output
    assert not store.exists(key)
    assert lesionlab("policy", file, "--site", "north").exit_code == 0
    assert store.get(key) == TEXT.encode()
    shown = lesionlab("policy", "--site", "north").output
    assert "experiments: ms-*" in shown
    assert "aggregates, of 12 patients at least" in shown
    assert "no policy" in lesionlab("policy", "--site", "south").output


def test_a_faulty_policy_is_refused_with_every_fault_and_changes_nothing(
    lesionlab: Lesionlab, store: Store, file: Path
) -> None:
    file.write_text("site: north\nleaves: some\nexpires: soon\n")
    refused = lesionlab("policy", file, "--site", "north")
    assert refused.exit_code == 1
    assert "leaves" in refused.output
    assert "expires" in refused.output
    assert store.list("") == []
    assert lesionlab("policy", file.with_name("none.yaml"), "--site", "north").exit_code == 1


@pytest.fixture
def experiment(store: Store, tmp_path: Path) -> Path:
    """An experiment file whose cohort is in the store without volumes, so whatever is trained fails; site a lets
    aggregates leave."""
    contribute(store, cohort_of(6, spacing_mm=3.0))
    store.put(keys.POLICY.build(site="a"), b"site: a\nleaves: aggregates\n")
    path = tmp_path / "alone.yaml"
    path.write_text(yaml.safe_dump(SPEC))
    return path


TOLD = "site a: 6 studies in alone, but its policy lets aggregates leave, and this shows images of single studies"
INSTEAD = "lesionlab analyse alone --share consortium --out DIR"


@pytest.mark.parametrize("command", [("plan",), ("sweep", "--dry-run"), ("run", "--dry-run")], ids=" ".join)
def test_that_no_report_can_be_written_is_told_before_anything_is_trained(
    lesionlab: Lesionlab, store: Store, experiment: Path, command: tuple[str, ...]
) -> None:
    told = lesionlab(command[0], experiment, *command[1:])
    assert told.exit_code == 0, told.output
    assert TOLD in told.output
    assert INSTEAD in told.output
    assert store.list("runs/") == []
    store.put(keys.POLICY.build(site="a"), b"site: a\nleaves: images\n")
    assert "no report" not in lesionlab(command[0], experiment, *command[1:]).output


def test_a_run_to_the_report_and_masks_that_may_not_leave_are_refused_before_anything_is_trained(
    lesionlab: Lesionlab, store: Store, experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed: list[str] = []
    monkeypatch.setattr("jobs.shared.stages.execute_with_progress", lambda runs, *_, what, **__: executed.append(what))
    monkeypatch.chdir(tmp_path)
    refused = lesionlab("run", experiment, "--plain")
    assert refused.exit_code == 1
    assert TOLD in refused.output
    assert "lesionlab sweep trains and tests without one, then " + INSTEAD in refused.output
    masks = lesionlab("sweep", experiment, "--plain", "--save-predictions", tmp_path / "masks")
    assert masks.exit_code == 1
    assert TOLD in masks.output
    assert "without masks (--save-predictions, --masks) it can go on" in masks.output
    assert executed == []
    swept = lesionlab("sweep", experiment, "--plain")
    assert TOLD in swept.output
    assert executed == ["cells"]


def test_whatever_would_show_more_than_a_site_lets_leave_is_refused(lesionlab: Lesionlab, store: Store) -> None:
    plan = finish_experiment(store)
    store.put(keys.POLICY.build(site="a"), b"site: a\nleaves: aggregates\n")
    told = "site a: 6 studies in alone, but its policy lets aggregates leave"
    for command in (("compare", "--experiment", "alone", "--masks", "x=."), ("rescore", "alone", "--threshold", 0.9)):
        refused = lesionlab(*command)
        assert refused.exit_code == 1
        assert told in refused.output
    with pytest.raises(InputError, match=told):
        write_report(store, plan)
    with pytest.raises(InputError, match=told):
        export_predictions(store, plan.runs, Path("masks"))
