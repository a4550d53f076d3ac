"""`plan --variances EXPERIMENT` tells SDs only of what the sites let leave, and only of enough patients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from jobs.cli import app
from lesionlab.experiments.stored_plans import store_plan
from lesionlab.store.documents import write_document
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.experiments import Plan
from storage_schemas.manifests import Manifest
from storage_schemas.sites import SmallestCounts
from tests.parts import contribute

FEW = "sensitivity, PPV: of fewer than 13 patients"


def test_sds_are_told_of_what_may_leave_and_of_enough_patients(
    draw_store: Callable[..., Store], plan: Plan, manifest: Manifest, tmp_path: Path
) -> None:
    store = draw_store((tmp_path / "store").as_uri())
    store_plan(store, plan)
    contribute(store, manifest)

    def told() -> str:
        command = ["plan", "wahlig2023-flair-single", "--variances", plan.spec.name, "--store", store.uri]
        return CliRunner().invoke(app, command, catch_exceptions=False, env={"COLUMNS": "200"}).output

    fitted = told()
    assert "of fewer than" not in fitted
    store.put(keys.POLICY.build(site="north"), b"site: north\nleaves: nothing\n")
    assert "site north: " in told()
    assert "lets nothing leave" in told()
    store.put(keys.POLICY.build(site="north"), b"site: north\nleaves: aggregates\nsmallest_count: 13\n")
    assert FEW in told()
    store.put(keys.POLICY.build(site="north"), b"site: north\nleaves: aggregates\n")
    assert told() == fitted
    write_document(store, keys.SMALLEST_COUNTS.build(), SmallestCounts(consortium="pool", smallest_count=13))
    assert FEW in told()
