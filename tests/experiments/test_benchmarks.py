"""A benchmark's studies are found under any name, and neither trained on nor tested outside the gate."""

from __future__ import annotations

import numpy as np
import pytest

from lesionlab.errors import InputError, MissingObject, SpecError
from lesionlab.experiments.benchmarks import (
    find_benchmark,
    freeze,
    refuse_benchmark_studies,
    refuse_looks,
    seal,
    volume_place,
)
from lesionlab.experiments.manifests import current_manifest
from lesionlab.experiments.patient_register import PatientRegister
from lesionlab.experiments.registry import SourceModel, register
from lesionlab.experiments.rehearsal import rehearse
from lesionlab.experiments.seen import seen_in_training
from lesionlab.experiments.store_planning import plan_experiment
from lesionlab.experiments.stored_plans import store_plan
from lesionlab.experiments.upkeep.contents import Contents
from lesionlab.store.arrays import copy_group, read_array, write_group
from lesionlab.store.documents import create_document
from lesionlab.store.objects import Store, open_store
from storage_schemas import keys
from storage_schemas.definitions import MetricDefinition
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.manifests import Manifest
from storage_schemas.models import Declared, ModelName
from storage_schemas.parts import DeclaredCohort
from storage_schemas.runs import Parent
from tests.experiments.drawn import entry, manifest
from tests.experiments.finished import SPEC, finish_experiment
from tests.experiments.test_champions import card_of
from tests.parts import contribute

BY = MetricDefinition()


def held_out(**changes: object) -> Manifest:
    """A cohort of one study, whose image and patient nobody else has unless the changes say so."""
    return manifest(entry(100, **changes), cohort="held-out").changed(spacing_mm=3.0)  # type: ignore[arg-type]


def spec(**changes: object) -> ExperimentSpec:
    return ExperimentSpec.model_validate(SPEC | changes)


@pytest.fixture
def store() -> Store:
    """The six studies of an experiment, sub-0000 to sub-0005 of patients p0 to p5."""
    place = open_store("memory://")
    contribute(place, manifest(*(entry(number) for number in range(6))).changed(spacing_mm=3.0))
    return place


def test_an_experiment_without_its_studies_is_planned(store: Store) -> None:
    contribute(store, held_out())
    freeze(store, "bench", "held-out", BY)
    assert plan_experiment(spec(), store).runs


def test_the_same_call_gives_the_same_benchmark_and_a_grown_cohort_another(store: Store) -> None:
    contribute(store, held_out())
    first = freeze(store, "bench", "held-out", BY)
    assert freeze(store, "bench", "held-out", BY) == first
    assert find_benchmark(store, "bench") == find_benchmark(store, first.benchmark.id) == first
    contribute(store, manifest(entry(100), entry(101), cohort="held-out"))
    second = freeze(store, "bench", "held-out", BY)
    assert (len(first.manifest.studies), len(second.manifest.studies)) == (1, 2)
    with pytest.raises(InputError, match=f"found 2; there are: .*{first.benchmark.id}"):
        find_benchmark(store, "bench")


def test_sealed_volumes_lie_where_the_gate_alone_may_read_and_nothing_is_missing(store: Store) -> None:
    contribute(store, held_out())
    frozen = freeze(store, "bench", "held-out", BY)
    (sealed_entry,) = frozen.manifest.studies
    with pytest.raises(MissingObject, match="no such group"):
        seal(store, frozen)
    write_group(store, sealed_entry.volume_key, {"label": np.ones((4, 4, 4), np.uint8)}, {"x": 1})
    assert volume_place(store, sealed_entry) == sealed_entry.volume_key
    assert (seal(store, frozen), seal(store, frozen)) == (1, 0)
    place = volume_place(store, sealed_entry)
    assert place.startswith("benchmarks/volumes/a/sub-0100/")
    assert read_array(store, place, "label").all()
    assert not [key for key in store.list("sites/") if ".zarr" in key]
    expected = set(Contents(store, frozenset(store.list(""))).expected())
    assert place in expected
    assert sealed_entry.volume_key not in expected


@pytest.mark.parametrize("halfway", [False, True], ids=["before the removal", "during it"])
def test_a_sealing_that_was_killed_after_the_copy_is_finished(store: Store, halfway: bool) -> None:
    contribute(store, held_out())
    frozen = freeze(store, "bench", "held-out", BY)
    (sealed_entry,) = frozen.manifest.studies
    write_group(store, sealed_entry.volume_key, {"label": np.ones((4, 4, 4), np.uint8)}, {"x": 1})
    copy_group(store, sealed_entry.volume_key, volume_place(store, sealed_entry).replace("sites/a/", "elsewhere/a/"))
    copy_group(store, sealed_entry.volume_key, f"benchmarks/volumes/a/sub-0100/{sealed_entry.volume}.zarr")
    if halfway:
        store.delete(f"{sealed_entry.volume_key}/zarr.json")
    assert seal(store, frozen) == 0
    assert not [key for key in store.list("sites/") if ".zarr" in key]


@pytest.mark.parametrize(
    ("changes", "how"),
    [({"image": 3}, "same image as sub-0003"), ({"further": (3,)}, "same image as sub-0003")],
    ids=["image", "further image"],
)
def test_a_study_of_a_benchmark_under_another_name_is_refused_in_training(
    store: Store, changes: dict[str, object], how: str
) -> None:
    contribute(store, held_out(**changes))
    name = freeze(store, "bench", "held-out", BY).name
    with pytest.raises(SpecError, match=rf"cohort ms holds 1 of the 1 studies of benchmark {name} \(sub-0100: {how}\)"):
        plan_experiment(spec(), store)


def test_a_frozen_part_of_the_cohort_itself_is_refused_by_name_and_patient(store: Store) -> None:
    part = contribute(store, manifest(entry(3), cohort="ms").changed(spacing_mm=3.0))
    freeze(store, "bench", "ms", BY)
    contribute(
        store,
        manifest(*(entry(number) for number in range(3)), entry(7, patient="p3"), *map(entry, (4, 5))).changed(
            spacing_mm=3.0
        ),
    )
    with pytest.raises(SpecError, match="sub-0003: same patient as sub-0007"):
        plan_experiment(spec(), store)
    assert len(part.studies) == 1


@pytest.mark.parametrize(
    ("held", "own"),
    [("clinic", "clinic"), ("clinic", "another"), ("clinic", None), (None, "clinic"), (None, None)],
)
def test_patients_are_compared_between_cohorts_of_one_register_only(
    store: Store, held: str | None, own: str | None
) -> None:
    contribute(store, held_out(patient="p4"))
    freeze(store, "bench", "held-out", BY, patient_register=held)
    by_register = spec(cohorts={"ms": {"patient_register": own} if own else {}})
    if own == held == "clinic":
        with pytest.raises(SpecError, match="sub-0100: same patient as sub-0004"):
            plan_experiment(by_register, store)
    else:
        assert plan_experiment(by_register, store).runs


def test_a_cohort_that_is_declared_to_have_the_same_patients_is_compared(store: Store) -> None:
    contribute(store, held_out(patient="p4"))
    freeze(store, "bench", "held-out", BY, same_patients=["ms"])
    with pytest.raises(SpecError, match="sub-0100: same patient as sub-0004"):
        plan_experiment(spec(), store)


def test_a_plan_that_was_stored_before_the_freeze_is_refused_too(store: Store) -> None:
    store_plan(store, plan_experiment(spec(), store))
    contribute(store, held_out(image=3))
    freeze(store, "bench", "held-out", BY)
    with pytest.raises(SpecError, match="same image as sub-0003"):
        plan_experiment(spec(), store)


def test_the_ancestors_of_a_source_are_searched(store: Store) -> None:
    """The run itself has other studies; the model that it starts from was trained on the benchmark."""
    parent = finish_experiment(store).runs[0]
    card = register(store, parent.run_id, "elsewhere")
    held = contribute(store, held_out(image=int(parent.train[0].study[4:])))
    freeze(store, "bench", "held-out", BY)
    clean = manifest(entry(50), entry(51), cohort="clean")
    started = Parent(model=ModelName(name="elsewhere", version=card.version), weights_sha256=card.weights_sha256)
    run = parent.changed(cohort="clean", train=clean.studies, test=(), parent=started)
    with pytest.raises(SpecError, match="cohort ms holds 1 of the 1 studies"):
        refuse_benchmark_studies(store, [run])
    refuse_benchmark_studies(store, [run.changed(parent=None)])
    with pytest.raises(SpecError, match="cohort clean holds 1 of the 1 studies"):  # tested, and not trained on
        refuse_benchmark_studies(store, [run.changed(parent=None, test=held.studies)])


@pytest.mark.parametrize("cohort", ["held-out", "elsewhere"])
def test_a_patient_that_an_imported_source_declares_counts_where_labels_mean_the_same_people(
    store: Store, cohort: str
) -> None:
    contribute(store, held_out(patient="p9"))
    freeze(store, "bench", "held-out", BY)
    declared = Declared(origin="another institution", patients=("p9", "p10"))
    card = card_of("e" * 16).model_copy(update={"name": "outside", "cohort": cohort, "declared": declared})
    create_document(store, keys.MODEL_CARD.build(name="outside", version=card.version), card)
    started = Parent(model=ModelName(name="outside", version=card.version), weights_sha256=card.weights_sha256)
    run = plan_experiment(spec(), store).runs[0].changed(parent=started)
    if cohort == "elsewhere":
        refuse_benchmark_studies(store, [run])
        return
    with pytest.raises(SpecError, match=rf"{card.full_name} was .* bench@.*, as declared \(sub-0100: same patient"):
        refuse_benchmark_studies(store, [run])


def test_testing_outside_the_gate_is_a_look_and_refused(store: Store) -> None:
    cohort = contribute(store, held_out())
    freeze(store, "bench", "held-out", BY)
    with pytest.raises(InputError, match="cohort held-out holds 1 studies of benchmark bench@"):
        refuse_looks(store, cohort)
    refuse_looks(store, manifest(entry(7), cohort="others"))


ONE_PATIENT = {
    "at one site": ("north", "p9", "a" * 64, "same patient of the register as north/sub-0004"),
    "at two sites": ("south", "p9", "a" * 64, "same patient of the register as north/sub-0004"),
}
TWO_PATIENTS = {
    "two sites' own labels": ("south", "p4", None),
    "two datasets of one site, each with its own sub-01": ("north", "p4", "b" * 64),
    "without register": ("north", "p4", None),
}


def pooled(store: Store, site: str, patient: str, token: str | None) -> None:
    """The cohort ms of site north, where sub-0004 has a register entry, and the benchmark of one study of a site."""
    with_token = entry(4, site="north").model_copy(update={"register_token": "a" * 64})
    own = [entry(number, site="north") for number in (0, 1, 2, 3, 5)]
    other = entry(100, site=site, patient=patient).model_copy(update={"register_token": token})
    for cohort, studies in (("ms", (*own, with_token)), ("held-out", (other,))):
        declared = DeclaredCohort(cohort=cohort, sites=("north", "south"), task="flair-single", rating="one rater")
        create_document(store, keys.COHORT.build(cohort=cohort), declared.model_copy(update={"spacing_mm": 3.0}))
        contribute(store, manifest(*studies, cohort=cohort).changed(spacing_mm=3.0))
    freeze(store, "bench", "held-out", BY)


@pytest.mark.parametrize(("site", "patient", "token", "how"), ONE_PATIENT.values(), ids=ONE_PATIENT)
def test_a_patient_of_the_consortium_is_found_in_another_cohort_before_anything_is_planned(
    site: str, patient: str, token: str | None, how: str
) -> None:
    store = open_store("memory://")
    pooled(store, site, patient, token)
    for plan in (plan_experiment, rehearse):
        with pytest.raises(SpecError, match=rf"cohort ms holds 1 .* bench@.* \({site}/sub-0100: {how}\)"):
            plan(spec(), store)


@pytest.mark.parametrize(("site", "patient", "token"), TWO_PATIENTS.values(), ids=TWO_PATIENTS)
def test_patients_whom_nothing_shows_to_be_the_same_are_not_taken_for_one(
    site: str, patient: str, token: str | None
) -> None:
    store = open_store("memory://")
    pooled(store, site, patient, token)
    plan = plan_experiment(spec(), store)
    assert rehearse(spec(), store).plan.runs == plan.runs
    assert all(study.register_token is None for run in plan.runs for study in (*run.train, *run.test))


@pytest.mark.parametrize(("site", "patient", "token", "how"), ONE_PATIENT.values(), ids=ONE_PATIENT)
def test_a_model_is_not_tested_on_a_patient_whom_another_cohort_of_the_consortium_trained(
    site: str, patient: str, token: str | None, how: str
) -> None:
    store = open_store("memory://")
    pooled(store, site, patient, token)
    frozen, trained = find_benchmark(store, "bench"), current_manifest(store, "ms")
    run = finish_experiment(open_store("memory://")).runs[0].changed(cohort="ms", train=trained.studies, test=())
    source = SourceModel(card_of("e" * 16), (run,), ())
    found = seen_in_training(frozen.manifest, source, marked=PatientRegister(store).marked)
    assert found.reasons == {f"{site}/sub-0100": f"{how} in cohort ms"}
    assert not found.namesakes
