"""Nothing of a withdrawn study is left in any kind of object, everything of others is, and a stop loses nothing."""

from __future__ import annotations

import numpy as np
import pytest

from lesionlab.errors import InputError
from lesionlab.experiments import withdrawal
from lesionlab.experiments.benchmarks import freeze, seal
from lesionlab.experiments.ledger import ledger_entries
from lesionlab.experiments.parts import current_part
from lesionlab.experiments.registry import register
from lesionlab.experiments.upkeep.kinds import TABLES
from lesionlab.experiments.withdrawal import Removed, execute, withdraw, withdrawals
from lesionlab.store.arrays import group_exists, write_group
from lesionlab.store.documents import write_document
from lesionlab.store.objects import Store, open_store
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas import keys
from storage_schemas.base import Document
from storage_schemas.definitions import MetricDefinition
from storage_schemas.experiments import Plan
from storage_schemas.facts import StudyFacts
from storage_schemas.grading import InsertedLesion
from storage_schemas.manifests import Exclusion, ManifestEntry
from storage_schemas.parts import DeclaredCohort
from storage_schemas.results import LesionRow, OperatingRow, StudyRow
from storage_schemas.runs import RunSpec
from storage_schemas.tasks import TASKS
from storage_schemas.verdicts import Finding
from tests.experiments.drawn import entry, manifest
from tests.experiments.finished import finish_experiment
from tests.parts import contribute

AT = "2026-11-28T00:00:00+00:00"
GONE, OTHER = "sub-0001", "sub-0002"
COUNTS = {"reference_lesions": 1, "predicted_lesions": 1, "true_positives": 1, "false_positives": 0}
FIELDS: dict[type[Document], dict[str, object]] = {
    StudyRow: COUNTS | {"reference_ml": 1.0, "predicted_ml": 1.0, "inference_s": 0.0},
    LesionRow: {"side": "reference", "lesion": 1, "outcome": "missed", "volume_mm3": 9.0, "overlap": 0.0}
    | dict.fromkeys(("x_mm", "y_mm", "z_mm"), 0.0),
    OperatingRow: COUNTS | {"threshold": 0.5, "voxels": 1, "lesion_voxels": 1, "probability_sum": 0.5},
}
OF_RUNS = {kind: model for kind, model in TABLES.items() if model in FIELDS and "run_id" in kind.fields}
"""Every table with rows of tested studies that the store knows, but for those of benchmarks."""
ATTEMPTS = ("", "a-1")
"""The attempt that counts, whose folder is the run's own in this store, and one that does not."""


def rows_of(run: RunSpec, kind: type[Document]) -> list[Document]:
    """One row for each tested study, and for the other one."""
    own = [*run.test, entry(2)]
    columns = run.columns().model_dump() | {"definition": "paper@0", "position": 1}
    return [
        kind.model_validate(columns | FIELDS[kind] | {"study": e.study, "patient": e.patient, "site": e.site})
        for e in own
    ]


def grades(*studies: ManifestEntry) -> list[InsertedLesion]:
    fields = {"model": "ms", "version": "a" * 16, "cohort": "ms", "manifest": "d" * 16, "channel": "flair"}
    fields |= {"definition": "paper@0", "diameter_mm": 3.0, "contrast": 1.0, "height": "middle", "region": "central"}
    fields |= {"x_mm": 0.0, "y_mm": 0.0, "z_mm": 0.0, "detected": True, "marked_before": False}
    return [
        InsertedLesion.model_validate(fields | {"study": e.study, "patient": e.patient, "site": e.site})
        for e in studies
    ]


def fill(store: Store) -> Plan:
    """An experiment with objects of every kind that holds something of a study; both studies are in all of them."""
    plan = finish_experiment(store)
    part = current_part(store, "a", "ms")
    assert part is not None
    (run, *_) = [one for one in plan.runs if GONE in {e.study for e in one.test}]
    values = {"run_id": run.run_id, "experiment": "alone", "definition": "paper-0", "version": "1"}
    for kind, model in OF_RUNS.items():
        for attempt in ATTEMPTS if kind.template.startswith("runs/") else ("",):
            key = kind.of(attempt).build(**{name: values[name] for name in kind.fields})
            write_rows(store, key, rows_of(run, model), model)
    for study in (one for one in part.studies if one.study in (GONE, OTHER)):
        write_group(store, study.volume_key, {"image": np.zeros((1, 2, 2, 2))}, {})
        store.put(study.volume_key.replace(".zarr", ".verdict.json"), b"1")
        for attempt in ATTEMPTS:
            write_group(store, keys.prediction_key(run.run_id, study.study, attempt), {"mask": np.zeros((2, 2, 2))}, {})
    facts = [StudyFacts(study=e.study, patient=e.patient, site=e.site) for e in part.studies]
    write_rows(store, keys.FACTS.build(site="a", cohort="ms", digest=part.id), facts, StudyFacts)
    for key in (
        keys.SELF_GRADE.build(name="ms", version="a" * 16, manifest="d" * 16),
        keys.GATE_GRADES.build(benchmark="b" * 16, version="a" * 16),
    ):
        write_rows(store, key, grades(entry(1), entry(2), entry(1, site="b")), InsertedLesion)
    frozen = freeze(store, "bench", "ms", MetricDefinition())
    key = keys.GATE_ROWS.build(benchmark=frozen.benchmark.id, version="a" * 16)
    write_rows(store, key, rows_of(run, StudyRow), StudyRow)
    register(store, plan.runs[0].run_id, "ms")
    store.put(keys.REPORT.build(experiment="alone", digest="c" * 16), b"page")
    store.put(keys.REPORT.build(experiment="another", digest="c" * 16), b"page")
    return plan


def holds(store: Store, study: str, site: str = "a") -> set[str]:
    """Keys of the objects with voxels, rows or a label of a study, but for what stays: receipts, parts of before, what
    was planned."""
    found = set()
    for key in store.list(""):
        if key.startswith(("manifests/", "splits/", "plans/", "sites/a/withdrawn/")) or keys.RUN_SPEC.parse(key):
            continue
        if key.endswith("/transfer.parquet"):
            continue
        if key.endswith(".parquet"):
            held = any((row.study, row.site) == (study, site) for row in read_rows(store, [key], model_of(key)))
        else:
            held = study in key and site == "a"
        found |= {key} if held else set()
    return found


def model_of(key: str) -> type[Document]:
    names = {"-facts.": StudyFacts, "self-grades/": InsertedLesion, "lesions": LesionRow, "operating": OperatingRow}
    return next((model for name, model in names.items() if name in key), StudyRow)


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


Objects = dict[str, bytes]


def objects(store: Store) -> Objects:
    return {key: store.get(key) for key in store.list("")}


@pytest.fixture(scope="module")
def drawn() -> tuple[Plan, Objects]:
    store = open_store("memory://")
    return fill(store), objects(store)


@pytest.fixture
def filled(store: Store, drawn: tuple[Plan, Objects]) -> Store:
    for key, data in drawn[1].items():
        store.put(key, data)
    return store


def test_nothing_of_the_study_is_left_in_any_kind_of_object_and_everything_of_others_is(
    filled: Store, drawn: tuple[Plan, Objects]
) -> None:
    store, plan = filled, drawn[0]
    before, others = holds(store, GONE), holds(store, OTHER)
    kinds = {key.partition("/")[0] for key in before}
    assert kinds == {"sites", "runs", "results", "rescored", "self-grades", "benchmarks"}
    same_label = holds(store, GONE, site="b")
    assert len(same_label) == 2
    withdraw(store, "a", [GONE], AT)
    assert not [key for key in holds(store, GONE) if key.startswith("sites/")]
    removed = execute(store, withdrawals(store))
    assert holds(store, GONE) == set()
    assert {key for key in others if not key.startswith("reports/")} <= holds(store, OTHER)
    assert holds(store, GONE, site="b") == same_label
    assert store.list("reports/alone/") == []
    assert store.list("reports/another/") != []
    marked = {run_id for run_id, own in ledger_entries(store, [r.run_id for r in plan.runs]).items() if own.withdrawn}
    read = {run.run_id for run in plan.runs if GONE in {e.study for e in (*run.train, *run.test)}}
    assert marked == read == {*removed.runs}
    # Old versions are deleted below these, so each object that held something of the study lies below one.
    assert not [key for key in before if not key.startswith(removed.places)]


def test_the_copies_of_ledger_entries_remember_the_withdrawal_too(filled: Store, drawn: tuple[Plan, Objects]) -> None:
    runs = [run.run_id for run in drawn[0].runs]
    copies = {
        run_id: keys.RUN_ENTRY.of(own.attempt).build(run_id=run_id)
        for run_id, own in ledger_entries(filled, runs).items()
    }
    for run_id, copy in copies.items():
        filled.put(copy, filled.get(keys.LEDGER.build(run_id=run_id)))
    withdraw(filled, "a", [GONE], AT)
    execute(filled, withdrawals(filled))
    assert any(b"withdrawn" in filled.get(copy) for copy in copies.values())
    assert all(filled.get(copies[run_id]) == filled.get(keys.LEDGER.build(run_id=run_id)) for run_id in runs)
    written = [filled.get_tagged(copy).tag for copy in copies.values()]
    execute(filled, withdrawals(filled))
    assert [filled.get_tagged(copy).tag for copy in copies.values()] == written


STEPS = ("_remove_predictions", "_rewrite", "_rewrite_looks", "_mark", "withdrawn_studies")


@pytest.fixture(scope="module")
def undisturbed(drawn: tuple[Plan, Objects]) -> tuple[Removed, Objects]:
    store = open_store("memory://")
    for key, data in drawn[1].items():
        store.put(key, data)
    withdraw(store, "a", [GONE], AT)
    return execute(store, withdrawals(store)), objects(store)


@pytest.mark.parametrize("step", STEPS)
def test_a_steward_who_is_stopped_finds_the_same_places_again(
    filled: Store, undisturbed: tuple[Removed, Objects], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, (removed, left) = filled, undisturbed
    withdraw(store, "a", [GONE], AT)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(withdrawal, step, stop)
        with pytest.raises(KeyboardInterrupt):
            execute(store, withdrawals(store))
    again = execute(store, withdrawals(store))
    assert ({*again.places}, again.runs, again.models) == ({*removed.places}, removed.runs, removed.models)
    assert objects(store) == left


def test_a_prediction_that_lost_its_own_metadata_goes_too(filled: Store, undisturbed: tuple[Removed, Objects]) -> None:
    """As a call leaves it that was stopped while it deleted one, or a worker that was stopped while it wrote one."""
    roots = [key for key in filled.list("runs/") if key.endswith(f"/predictions/{GONE}.zarr/zarr.json")]
    assert len(roots) == len(ATTEMPTS)
    for root in roots:
        filled.delete(root)
    withdraw(filled, "a", [GONE], AT)
    execute(filled, withdrawals(filled))
    assert objects(filled) == undisturbed[1]


@pytest.mark.parametrize("newer", [False, True], ids=["as it was sealed", "contributed again since"])
def test_a_study_of_a_sealed_benchmark_is_withdrawn_with_its_volume_and_its_rows(store: Store, newer: bool) -> None:
    write_document(
        store,
        keys.COHORT.build(cohort="held-out"),
        DeclaredCohort(cohort="held-out", sites=("north",), task=TASKS["flair-single"], rating="one"),
    )
    (run, *_) = finish_experiment(store).runs
    held = [entry(number, site="north") for number in (101, 102)]
    for one in held:
        write_group(store, one.volume_key, {"image": np.zeros((1, 2, 2, 2))}, {})
    contribute(store, manifest(*held, cohort="held-out"))
    frozen = freeze(store, "bench", "held-out", MetricDefinition())
    seal(store, frozen)
    key = keys.GATE_ROWS.build(benchmark=frozen.benchmark.id, version="a" * 16)
    columns = run.columns().model_dump() | {"definition": "paper@0", "position": 1} | FIELDS[StudyRow]
    rows = [
        StudyRow.model_validate(columns | {"study": e.study, "patient": e.patient, "site": e.site})
        for e in frozen.manifest.studies
    ]
    write_rows(store, key, rows, StudyRow)
    if newer:  # so its site's part has another volume than the benchmark
        contribute(store, manifest(held[0].model_copy(update={"volume": "e" * 16}), held[1], cohort="held-out"))
    withdraw(store, "north", [held[0].study], AT)
    removed = execute(store, withdrawals(store))
    assert [row.study for row in read_rows(store, [key], StudyRow)] == [f"north/{held[1].study}"]
    assert [group_exists(store, keys.sealed_key("north", e.study, e.volume)) for e in held] == [False, True]
    folder = f"benchmarks/volumes/north/{held[0].study}/"
    assert {key, folder} <= {*removed.places}
    assert folder in execute(store, withdrawals(store)).places, "its old versions go even if a call was stopped"


def test_a_study_that_failed_quality_control_can_be_withdrawn(store: Store) -> None:
    found = manifest(entry(1), entry(2)).changed(
        excluded=(Exclusion(study="sub-0003", findings=(Finding(code="mask-empty", place="mask", what="empty"),)),)
    )
    contribute(store, found)
    withdraw(store, "a", ["sub-0003"], AT)
    part = current_part(store, "a", "ms")
    assert part is not None
    assert (len(part.studies), part.excluded) == (2, ())


def test_every_study_that_the_site_does_not_have_is_named_and_nothing_is_withdrawn(store: Store) -> None:
    contribute(store, manifest(entry(1), entry(2)))
    before = store.list("")
    with pytest.raises(InputError) as caught:
        withdraw(store, "a", [GONE, "sub-8", "sub-9"], AT)
    assert [fault.split(";")[0] for fault in caught.value.args] == [f"site a: no study sub-{n}" for n in (8, 9)]
    assert store.list("") == before
