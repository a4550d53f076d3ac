"""The second rater, pooled lesions, volumes and lesion-free studies, from rows whose numbers can be counted by hand."""

from __future__ import annotations

import pytest

from lesionlab.analysis.methods.equivalence import Shown
from lesionlab.analysis.methods.intervals import Covers
from lesionlab.analysis.statistics.conditions import conditions, rows_by_condition
from lesionlab.analysis.statistics.contrasts import Withheld
from lesionlab.analysis.statistics.further import Further, further
from lesionlab.analysis.statistics.pooled import false_positives, pooled
from lesionlab.analysis.statistics.volume_agreement import model_volumes
from storage_schemas.results import StudyRow
from tests.analysis.drawn_rows import drawn_rows


@pytest.fixture(scope="module")
def seen() -> Further:
    """The paper's rotation, with a rater that read the 10 studies of subset 1."""
    rows = drawn_rows(1, {"fine-tuned": 0.8, "de-novo": 1.0}, sizes=(10, 20), rater=0.62)
    return further(rows, rows, "exclude", 0.10)


def test_models_are_compared_with_the_rater_on_the_very_studies_that_both_read(seen):
    rows = drawn_rows(1, {"fine-tuned": 0.8, "de-novo": 1.0}, sizes=(10, 20), rater=0.62)
    read = {row.study: row.sensitivity for row in rows if row.arm == "rater"}
    own = {row.study: row.sensitivity for row in rows if (row.arm, row.training_size) == ("fine-tuned", 20)}
    (one,) = (
        one
        for one in seen.against_rater
        if (one.metric, one.pair.model.arm, one.pair.model.training_size) == ("sensitivity", "fine-tuned", 20)
    )
    assert (one.n, one.patients) == (10, 10)
    assert one.mean == pytest.approx(sum(own[study] - read[study] for study in read) / 10)
    # Subset 1 is tested by the networks of fold 1 alone.
    assert one.difference.covers is Covers.THESE_NETWORKS


def test_a_value_on_a_study_that_the_rater_did_not_read_changes_nothing_against_the_rater():
    rows = drawn_rows(1, {"fine-tuned": 0.8, "de-novo": 1.0}, sizes=(10,), rater=0.62)
    read = {row.study for row in rows if row.arm == "rater"}
    changed = [row if row.study in read else row.model_copy(update={"sensitivity": 0.0}) for row in rows]
    before, after = (further(own, own, "exclude", 0.1) for own in (rows, changed))
    assert after.against_rater == before.against_rater
    assert after.agreement == before.agreement
    assert after.between_arms != before.between_arms


def test_patients_with_two_studies_count_once_in_the_interval():
    rows = drawn_rows(1, {"fine-tuned": 0.8, "de-novo": 1.0}, sizes=(10,), rater=0.62, patients_per_fold=5)
    found = further(rows, rows, "exclude", 0.1).against_rater[0]
    assert (found.n, found.patients, found.difference.degrees) == (10, 5, 4)
    assert found.withheld is Withheld.FEW_PATIENTS


def test_the_margin_is_one_of_fractions_and_without_it_nothing_is_claimed(seen):
    tested = {one.metric for one in seen.against_rater if one.equivalence}
    assert tested == {"sensitivity", "ppv", "f1"}
    rows = drawn_rows(1, {"fine-tuned": 0.8, "de-novo": 1.0}, sizes=(10,), rater=0.62)
    plain = further(rows, rows, "exclude", None)
    assert {one.withheld for one in (*plain.against_rater, *plain.between_arms)} == {Withheld.NO_MARGIN}
    assert not any(one.equivalence for one in (*plain.against_rater, *plain.between_arms))


def test_arms_are_compared_at_each_size_over_folds_and_over_all_sizes_with_the_training_studies(seen):
    found = [one for one in seen.between_arms if one.metric == "sensitivity"]
    assert [one.pair.model.training_size for one in found] == [10, 20, 0]
    assert [one.difference.covers for one in found] == [
        *[Covers.INDEPENDENT_NETWORKS] * 2,
        Covers.TRAINING_STUDIES,
    ]
    assert all(one.equivalence.shown is not Shown.INFERIOR for one in found)


def test_the_raters_agreement_comes_first_and_every_model_is_beside_it_on_the_same_studies(seen):
    first, *others = seen.agreement
    assert first.condition.arm == "rater"
    assert {one.studies for one in seen.agreement} == {10}
    assert len(others) == 5
    assert first.means["sensitivity"].mean == pytest.approx(0.62, abs=0.1)
    assert first.means["sensitivity"].interval.low < first.means["sensitivity"].mean
    assert first.volume is None


def test_without_a_rater_there_is_nothing_about_it(rows, cells):
    found = further(rows, cells, "exclude", 0.1)
    assert (found.against_rater, found.agreement) == ((), ())
    assert found.pooled
    assert found.volumes


def hand_drawn(row: StudyRow, study: str, lesions: int, hits: int, spurious: int, **more: object) -> StudyRow:
    counts = {
        "study": study,
        "patient": study,
        "reference_lesions": lesions,
        "true_positives": hits,
        "predicted_lesions": hits + spurious,
        "false_positives": spurious,
        "sensitivity": hits / lesions if lesions else None,
        "ppv": hits / (hits + spurious) if hits + spurious else None,
    }
    return row.model_copy(update=counts | more)


def test_pooled_lesions_stand_beside_the_mean_of_shares(rows):
    own = [hand_drawn(rows[0], "sub-1", 1, 1, 0), hand_drawn(rows[0], "sub-2", 9, 1, 3)]
    sensitivity, ppv = pooled(rows_by_condition(own), conditions(own), "exclude")
    assert sensitivity.mean.mean == pytest.approx((1 + 1 / 9) / 2)
    assert (sensitivity.pooled.hits, sensitivity.pooled.lesions, sensitivity.pooled.share) == (2, 10, 0.2)
    assert ppv.mean.mean == pytest.approx((1 + 1 / 4) / 2)
    assert ppv.pooled.share == pytest.approx(2 / 5)


def test_false_positives_count_in_lesion_free_studies_and_a_study_is_clean_under_every_seed_only(rows):
    own = [
        hand_drawn(rows[0], "sub-1", 4, 2, 3),
        hand_drawn(rows[0], "sub-2", 0, 0, 0),
        hand_drawn(rows[0], "sub-3", 0, 0, 0),
        hand_drawn(rows[0], "sub-3", 0, 0, 2, seed=1),
    ]
    (found,) = false_positives(rows_by_condition(own), conditions(own))
    assert (found.studies, found.lesion_free, found.lesion_free_clean) == (3, 2, 1)
    assert found.per_study == pytest.approx((3 + 0 + 1) / 3)
    assert (found.per_lesion_free, found.most) == (0.5, 3)


def test_volumes_are_compared_by_study_each_once_over_its_seeds(rows):
    volumes = [(10.0, 12.0, 0), (10.0, 10.0, 1), (5.0, 4.0, 0), (1.0, 1.0, 0)]
    own = [
        hand_drawn(rows[0], f"sub-{reference:g}", 4, 2, 0, seed=seed, reference_ml=reference, predicted_ml=predicted)
        for reference, predicted, seed in volumes
    ]
    (found,) = model_volumes(rows_by_condition(own), conditions(own))
    assert [(pair.reference_ml, pair.predicted_ml) for pair in found.pairs] == [(1.0, 1.0), (10.0, 11.0), (5.0, 4.0)]
    assert found.agreement.bias == 0
    assert found.total_share == 1.0
    assert found.agreement.sd == pytest.approx(1.0)
