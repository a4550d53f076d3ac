"""A site sets, checks and shows its policy, and every command that would show more says which site forbids it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lesionlab.analysis.report import write_report
from lesionlab.errors import InputError
from lesionlab.evaluation.exports import export_predictions
from lesionlab.store.objects import Store, open_store
from storage_schemas import keys
from tests.experiments.finished import finish_experiment
from tests.jobs.conftest import Lesionlab

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


def test_whatever_would_show_more_than_a_site_lets_leave_is_refused(lesionlab: Lesionlab, store: Store) -> None:
    plan = finish_experiment(store)
    store.put(keys.POLICY.build(site="a"), b"site: a\nleaves: aggregates\n")
    told = "site a: 6 studies in alone, but its policy lets aggregates leave"
    refused = lesionlab("compare", "--experiment", "alone", "--masks", "x=.")
    assert refused.exit_code == 1
    assert told in refused.output
    with pytest.raises(InputError, match=told):
        write_report(store, plan)
    with pytest.raises(InputError, match=told):
        export_predictions(store, plan.runs, Path("masks"))
