"""What each site contributes: networks with its studies against networks without, on its own patients."""

from __future__ import annotations

import pytest

from jobs.usage import contributions
from lesionlab.store.objects import open_store
from tests.analysis.drawn_sites import LOSS, SITES, drawn_rows
from tests.experiments.finished import finish_experiment
from tests.jobs.conftest import Lesionlab


def test_the_planted_loss_without_a_site_is_its_contribution() -> None:
    found = {one.site: one for one in contributions(drawn_rows(dict.fromkeys(SITES, 24)), "exclude", 6)}
    assert set(found) == {*SITES, "all"}
    for site, loss in LOSS.items():
        one = found[site]
        assert one.difference == pytest.approx(one.with_it - one.without)
        assert one.low is not None
        assert one.high is not None
        assert one.low < loss < one.high
        assert one.patients == 24


def test_sites_of_few_patients_are_not_shown() -> None:
    rows = drawn_rows({"hdxt": 24, "mr750": 24, "skyra": 5})
    assert {one.site for one in contributions(rows, "exclude", 6)} == {"hdxt", "mr750", "all"}


def test_the_table_has_a_line_for_each_site_and_another_design_is_refused(
    lesionlab: Lesionlab, file_store_uri: str
) -> None:
    assert "no complete run" in lesionlab("usage").output
    finish_experiment(open_store(file_store_uri))
    assert "unknown" in lesionlab("usage").output
    refused = lesionlab("usage", "alone")
    assert refused.exit_code == 1
    assert "wanted the design cross-site" in refused.output
