"""Inserted lesions tell a model that sees small ones from one that does not; what cannot be graded is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lesionlab.analysis.statistics.detection import SelfGrading, self_grading
from lesionlab.analysis.statistics.gate import judge
from lesionlab.errors import InputError
from lesionlab.experiments.caches.volumes import CachedVolume
from lesionlab.experiments.registry import register
from lesionlab.orchestration import self_grading as room
from lesionlab.orchestration.self_grading import grade, grade_study, lesion_channel
from lesionlab.store.arrays import write_group
from lesionlab.store.objects import Store, open_store
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.definitions import MetricDefinition
from storage_schemas.grading import InsertedLesion
from storage_schemas.models import Architecture, InferenceConfig, ModelCard
from storage_schemas.tasks import TASKS
from storage_schemas.volumes import ATTRIBUTE, Grid, Normalisation, SourceImage, StudyVolumeCard
from tests.analysis.drawn_gates import rows as gate_rows
from tests.analysis.drawn_gates import rule
from tests.experiments.drawn import cohort_of, entry, manifest
from tests.experiments.finished import finish_experiment
from tests.imaging.phantoms import AFFINE, SHAPE, SPACING_MM, phantom
from tests.parts import contribute

PATIENTS = 5
GRID = Grid(shape=SHAPE, affine=tuple(map(tuple, AFFINE.tolist())))


class Brighter(nn.Module):
    """Voxels brighter than 0.8, after a mean over `blur` voxels along each axis: a wide one wipes small lesions out."""

    def __init__(self, blur: int) -> None:
        super().__init__()
        self.blur = blur

    def forward(self, image_BCIJK: Tensor) -> Tensor:
        seen = functional.avg_pool3d(image_BCIJK[:, :1], self.blur, stride=1, padding=self.blur // 2)
        lesion_BIJK = 20 * (seen[:, 0] - 0.8)
        return torch.stack([torch.zeros_like(lesion_BIJK), lesion_BIJK], dim=1)


def card(name: str) -> ModelCard:
    return ModelCard(
        name=name,
        version="0" * 16,
        task=TASKS["flair-single"],
        architecture=Architecture(depth=1, base_channels=2),
        channels=("flair",),
        spacing_mm=SPACING_MM,
        patch_voxels=40,
        inference=InferenceConfig(step_voxels=40),
        weights_sha256="0" * 64,
        cohort="elsewhere",
        training_studies=1,
    )


def volume(number: int, drawn: np.ndarray | None = None) -> CachedVolume:
    own = entry(number)
    empty = np.zeros(SHAPE, np.uint8) if drawn is None else drawn
    described = StudyVolumeCard(
        study=own.study,
        patient=own.patient,
        site=own.site,
        task=TASKS["flair-single"],
        channels=("flair",),
        spacing_mm=SPACING_MM,
        model_grid=GRID,
        native_grid=GRID,
        normalisation=(Normalisation(image="flair", mean=0.0, sd=1.0),),
        sources=(SourceImage(role="flair", sha256="0" * 64),),
        version=1,
    )
    return CachedVolume(described, phantom(number)[np.newaxis].astype(np.float16), empty, empty, None)


COHORT = cohort_of(PATIENTS)


def rows_of(network: nn.Module, name: str) -> list[InsertedLesion]:
    return [
        row
        for number, own in enumerate(COHORT.studies)
        for row in grade_study(network, card(name), COHORT, volume(number), own, MetricDefinition())
    ]


@pytest.fixture(scope="module")
def sharp() -> list[InsertedLesion]:
    return rows_of(Brighter(1), "sharp")


@pytest.fixture(scope="module")
def blurred() -> list[InsertedLesion]:
    return rows_of(Brighter(5), "blurred")


def share(found: SelfGrading, diameter_mm: float, contrast: float) -> float:
    one = found.cells[diameter_mm, contrast]
    assert one is not None
    assert one.interval.low <= one.share <= one.interval.high
    return one.share


def test_a_model_that_cannot_see_small_lesions_is_told_apart_from_one_that_can(sharp, blurred) -> None:
    can, cannot = self_grading(sharp), self_grading(blurred)
    assert (share(can, 3.0, 2.0), share(cannot, 3.0, 2.0)) == (1.0, 0.0)
    assert (share(can, 12.0, 2.0), share(cannot, 12.0, 2.0)) == (1.0, 1.0)
    assert can.cells[3.0, 2.0].lower(0.05) > cannot.cells[3.0, 2.0].interval.high
    assert can.patients == can.studies == PATIENTS
    assert sum(one.lesions for one in can.heights.values() if one) == len(sharp)


def test_no_fraction_tells_of_fewer_patients_than_may_be_told_nor_does_a_sum_without_the_others(sharp) -> None:
    first = sharp[0].model_copy(update={"marked_before": False, "detected": False})

    def at(height: str, patients: range) -> list[InsertedLesion]:
        return [first.model_copy(update={"height": height, "patient": f"p{number}"}) for number in patients]

    rows = [*at("upper", range(20)), *at("middle", range(9)), *at("lower", range(4))]
    assert {name for name, one in self_grading(rows).heights.items() if one} == {"upper", "middle", "lower"}
    found = self_grading(rows, 6)
    assert {name for name, one in found.heights.items() if one} == {"upper"}, "the middle would give the lowest away"
    assert found.cells[first.diameter_mm, first.contrast].patients == 20
    alone = self_grading([*at("upper", range(20)), *at("middle", range(20, 29)), *at("lower", range(6))], 6)
    assert all(alone.heights.values())
    assert not any(self_grading(rows, 21).cells.values())


def test_both_models_are_tested_on_the_same_lesions(sharp, blurred) -> None:
    places = [[(row.study, row.x_mm, row.y_mm, row.z_mm, row.contrast) for row in own] for own in (sharp, blurred)]
    assert places[0] == places[1]


def test_a_rule_can_ask_for_small_lesions(sharp, blurred) -> None:
    small = {"kind": "detects", "diameter_mm": 3.0, "contrast": 2.0, "least": 0.4}
    by = rule({"kind": "superior", "metric": "ppv"}, small, looks=2)
    before, now = np.full(20, 0.5), 0.6 + 0.01 * np.sin(np.arange(20))
    passed = [judge(by, gate_rows(before), gate_rows(now), own)[1] for own in (sharp, blurred, sharp[:3])]
    assert [one.passed for one in passed] == [True, False, False]
    assert passed[0].limit == pytest.approx(0.025 ** (1 / PATIENTS), abs=1e-6), "the level of one look"
    assert passed[2].untested == "few patients"


class Everything(nn.Module):
    """Marks every voxel."""

    def forward(self, image_BCIJK: Tensor) -> Tensor:
        ones_BIJK = torch.ones_like(image_BCIJK[:, 0])
        return torch.stack([-ones_BIJK, ones_BIJK], dim=1)


def test_a_model_that_marks_everything_detects_nothing() -> None:
    rows = list(grade_study(Everything(), card("all"), COHORT, volume(0), COHORT.studies[0], MetricDefinition()))
    assert rows
    assert all(row.detected and row.marked_before for row in rows)
    found = self_grading(rows)
    assert (found.marked_before, set(found.cells.values())) == (len(rows), {None})


def test_the_channel_of_a_lesion_is_the_later_image_and_never_guessed() -> None:
    assert [lesion_channel(TASKS[name]) for name in ("flair-single", "flair-new-pair", "enhancing")] == [
        *("flair", "follow-up", "after")
    ]
    own = TASKS["flair-new-pair"].model_copy(update={"name": "two-of-mine"})
    with pytest.raises(InputError, match="two-of-mine: wanted one channel"):
        lesion_channel(own)


@pytest.fixture
def store(file_store_uri: str) -> Store:
    return open_store(file_store_uri)


def stored(store: Store, number: int, drawn: np.ndarray | None = None) -> None:
    own = volume(number, drawn)
    arrays = {"image": own.image_CIJK, "label": own.label_IJK, "native_label": own.native_label_ijk}
    write_group(store, entry(number).volume_key, arrays, {ATTRIBUTE: own.card.stored_form()})


def test_studies_that_were_trained_on_or_have_no_room_are_refused_with_the_reason(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finish_experiment(store).runs[0]
    model = register(store, run.run_id, "ms")
    seen = next(one for one in run.train)
    full = np.zeros(SHAPE, np.uint8)
    full[::4, ::4, ::4] = 1
    stored(store, 100)
    stored(store, 101, full)
    cohort = contribute(store, manifest(seen, entry(100), entry(101), cohort="own").changed(spacing_mm=3.0))
    monkeypatch.setattr(room, "registered_network", lambda *_: (Brighter(1), model))
    found = grade(store, model, cohort, tmp_path)
    assert {row.study for row in found.rows} == {"sub-0100"}
    assert found.refused["sub-0101"] == room.NO_ROOM
    assert "it was trained on: same image as" in found.refused[seen.study]
    key = keys.SELF_GRADE.build(name="ms", version=model.version, manifest=cohort.id)
    assert tuple(read_rows(store, [key], InsertedLesion)) == found.rows
    monkeypatch.setattr(room, "grade_study", None)
    assert grade(store, model, cohort, tmp_path) == found, "the second time the rows are read"
    only = contribute(store, manifest(seen, cohort="seen").changed(spacing_mm=3.0))
    with pytest.raises(InputError, match=r"wanted a study of cohort seen.*trained on"):
        grade(store, model, only, tmp_path)
