"""`lesions.csv` has a line for every lesion of either mask, in full precision; bounded where a network failed."""

from __future__ import annotations

import csv
import io

import pytest

from lesionlab.analysis.sheets import lesion_records
from lesionlab.analysis.sheets.lesion_records import lesion_file
from storage_schemas.results import LesionRow
from tests.analysis.conftest import draw_lesions


def lines(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


@pytest.fixture
def lesions(rows) -> dict[str, list[LesionRow]]:
    found: dict[str, list[LesionRow]] = {}
    for row in rows:
        found.setdefault(row.run_id, []).extend(draw_lesions(row))
    return found


def test_every_lesion_is_a_line_with_its_model_fold_study_and_exact_volume(lesions):
    first = next(iter(lesions.values()))
    first[0] = first[0].model_copy(update={"volume_mm3": 1 / 3})
    found = lesion_file(lesions)
    written = lines(found.data)
    assert found.lesions == len(written) == sum(map(len, lesions.values()))
    assert float(written[0]["volume_mm3"]) == 1 / 3
    for line, lesion in zip(written, (one for own in lesions.values() for one in own), strict=True):
        assert (line["arm"], line["run_id"], line["study"]) == (lesion.arm, lesion.run_id, lesion.study)
        assert (line["training_size"], line["fold"]) == (str(lesion.training_size), str(lesion.fold))
        assert (line["side"], line["outcome"]) == (lesion.side, lesion.outcome)
    assert {line["outcome"] for line in written} == {"missed", "false-positive"}


def test_a_study_with_too_many_false_positives_keeps_the_largest_and_everything_else(lesions, monkeypatch):
    monkeypatch.setattr(lesion_records, "MOST_FALSE_POSITIVES", 2)
    run, own = next(iter(lesions.items()))
    reference, wrong = own[0], own[1]
    many = [wrong.model_copy(update={"lesion": n, "volume_mm3": float(n)}) for n in range(1, 6)]
    hit = wrong.model_copy(update={"lesion": 6, "volume_mm3": 0.5, "outcome": "true-positive"})
    found = lesion_file({run: [reference, *many, hit]})
    assert (found.lesions, found.left_out) == (4, 3)
    assert [line["lesion"] for line in lines(found.data)] == ["1", "4", "5", "6"]


def test_without_results_there_is_a_header_alone():
    found = lesion_file({})
    assert (lines(found.data), found.lesions) == ([], 0)
    assert found.data.decode().strip().endswith("matched,peak")
