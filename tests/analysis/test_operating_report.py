"""The report of predictions with probabilities says how many findings survive a matched operating point."""

from __future__ import annotations

import csv
from collections.abc import Callable

import pytest

from lesionlab.analysis.report import write_report
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas import keys
from storage_schemas.experiments import Plan
from storage_schemas.probabilities import THRESHOLDS
from storage_schemas.results import LesionRow, OperatingRow, StudyRow
from tests.analysis.drawn_points import draw
from tests.analysis.statistics.test_operating import better_network


@pytest.fixture(scope="module")
def files(draw_store: Callable[[], Store], plan: Plan) -> dict[str, bytes]:
    """The report of a drawn experiment whose fine-tuned networks are better at every threshold."""
    store = draw_store()
    points, rows = draw(plan, better_network)
    for run in plan.runs:
        place = {"experiment": plan.spec.name, "run_id": run.run_id}
        write_rows(store, keys.STUDY_ROWS.build(**place), [r for r in rows if r.run_id == run.run_id], StudyRow)
        own = [point for point in points if point.run_id == run.run_id]
        write_rows(store, keys.OPERATING_ROWS.build(**place), own, OperatingRow)
        key = keys.LESION_ROWS.build(**place)
        peaks = [one.model_copy(update={"peak": 0.8}) for one in read_rows(store, [key], LesionRow)]
        write_rows(store, key, peaks, LesionRow)
    result = write_report(store, plan, null_repetitions=0)
    root = result.key.removesuffix("report.html")
    return {key.removeprefix(root): store.get(key) for key in store.list(root)}


def test_the_section_says_how_many_findings_survive(files: dict[str, bytes]) -> None:
    page = files["report.html"].decode()
    section = page.partition('<section id="operating">')[2].partition("</section>")[0]
    assert "paper-style findings" in section
    assert "survive at a matched operating point" in section
    assert "Operating points of every model" in section
    assert "a test study is not used directly" in section
    assert section.count("<figure") == 2
    assert '<a href="#operating">' in page


def test_its_numbers_are_files_in_full_precision(files: dict[str, bytes]) -> None:
    froc = list(csv.DictReader(files["tables/froc.csv"].decode().splitlines()))
    assert len(froc) == 5 * len(THRESHOLDS)
    tuned = [row for row in froc if (row["arm"], row["training_size"]) == ("fine-tuned", "8")]
    assert [float(row["threshold"]) for row in tuned] == list(THRESHOLDS)
    found = [float(row["sensitivity"]) for row in tuned]
    assert found == sorted(found, reverse=True)
    bins = list(csv.DictReader(files["tables/calibration.csv"].decode().splitlines()))
    assert {row["of"] for row in bins} == {"voxels", "lesions"}
    assert all(0 <= float(row["share"]) <= 1 for row in bins)
    matched = list(csv.DictReader(files["tables/ours-matched.csv"].decode().splitlines()))
    assert {row["Outcome"] for row in matched if row["Comparison"].endswith("de novo")} == {"survives"}
    assert {"froc-drawn-glioma.png", "calibration-drawn-glioma.svg"} <= {
        name.removeprefix("figures/") for name in files if name.startswith("figures/")
    }


def test_without_probabilities_there_is_no_such_section(drawn_store: Store, plan: Plan) -> None:
    result = write_report(drawn_store, plan, null_repetitions=0)
    assert b'id="operating"' not in drawn_store.get(result.key)
