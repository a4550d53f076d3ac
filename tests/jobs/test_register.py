"""`lesionlab register` makes a model of what an experiment trained: one fold, or all folds as an ensemble."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from lesionlab.errors import InputError, ObjectExists, SpecError, TransferError
from lesionlab.evaluation.registered_network import registered_network
from lesionlab.experiments.champions import Person, promote
from lesionlab.experiments.chosen_runs import axis_values
from lesionlab.experiments.planning import testing_run as run_that_tests
from lesionlab.experiments.registry import champion, find_model, models, register, register_ensemble, source_model
from lesionlab.experiments.seen import seen_in_training
from lesionlab.model.devices import best_device
from lesionlab.model.windows import head_probability
from lesionlab.orchestration.cell import starting_network
from lesionlab.store.documents import write_document
from lesionlab.store.objects import Store, open_store
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.experiments import Plan
from storage_schemas.models import ModelName, TensorTransfer
from storage_schemas.runs import RunSpec
from tests.experiments.drawn import cohort_of
from tests.experiments.finished import finish_experiment
from tests.jobs.conftest import Lesionlab

CELL = ("register", "alone", "--arm", "de-novo", "--size", 4)


@pytest.fixture
def store(file_store_uri: str) -> Store:
    return open_store(file_store_uri)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    folder = tmp_path_factory.mktemp("finished")
    return folder, finish_experiment(open_store(folder.as_uri()))


@pytest.fixture
def plan(store: Store, tmp_path: Path, finished: tuple[Path, Plan]) -> Plan:
    """The plan of a finished experiment, which the store holds."""
    shutil.copytree(finished[0], tmp_path / "store", dirs_exist_ok=True)
    return finished[1]


def of_size(plan: Plan, size: int) -> list[RunSpec]:
    return [run for run in plan.runs if run.cell and run.cell.training_size == size]


def test_one_fold_becomes_a_version_that_predicts_as_its_run_and_names_its_studies(
    lesionlab: Lesionlab, store: Store, plan: Plan
) -> None:
    result = lesionlab(*CELL, "--fold", 2)
    assert result.exit_code == 0, result.output
    run = of_size(plan, 4)[1]
    card = find_model(store, f"alone-de-novo-4@{run.run_id}")
    assert f"registered {card.full_name}: 1 network trained de novo, on 4 studies of ms" in result.output
    assert card.trained_on == tuple(sorted(entry.study for entry in run.train))
    assert (card.training_studies, card.parent, card.networks) == (4, None, 1)
    assert source_model(store, card).made_by == (run,)
    assert store.get(keys.MODEL_WEIGHTS.build(name=card.name, version=card.version)) == store.get(
        keys.RUN_WEIGHTS.build(run_id=run.run_id)
    )


def test_registering_moves_no_champion_and_overwrites_nothing(lesionlab: Lesionlab, store: Store, plan: Plan) -> None:
    first, second, _ = of_size(plan, 4)
    promote(store, register(store, first.run_id, "mine").full_name, "first", Person("ann@north", datetime.now(UTC)))
    before = {key: store.get(key) for key in store.list("models/")}
    for _ in range(2):
        assert lesionlab(*CELL, "--fold", 2, "--name", "mine").exit_code == 0
    assert champion(store, "mine") == first.run_id
    assert {card.version for card in models(store)} == {first.run_id, second.run_id}
    assert {key: store.get(key) for key in before} == before


def test_an_ensemble_predicts_the_mean_probability_of_its_folds(lesionlab: Lesionlab, store: Store, plan: Plan) -> None:
    result = lesionlab(*CELL, "--ensemble", "--name", "joint")
    assert result.exit_code == 0, result.output
    (card,) = models(store)
    assert "3 networks trained de novo, on 6 studies of ms" in result.output
    assert card.members == tuple(sorted(run.run_id for run in of_size(plan, 4)))
    image_CIJK = np.random.default_rng(0).standard_normal((1, 20, 24, 18)).astype(np.float32)

    def probability(model: str) -> np.ndarray:
        return head_probability(registered_network(store, model)[0], image_CIJK, 16, 8, best_device())

    single = [register(store, member, "single") for member in card.members]
    each = [probability(one.full_name) for one in single]
    np.testing.assert_allclose(probability(card.full_name), np.mean(each, axis=0), atol=1e-6)
    assert np.std(each, axis=0).max() > 1e-3
    assert {run.run_id for run in source_model(store, card).made_by} == set(card.members)


def test_a_member_whose_run_the_store_lacks_is_known_to_be_missing(store: Store, plan: Plan) -> None:
    first, *others = (run.run_id for run in of_size(plan, 4))
    card = register_ensemble(store, [first, *others], "joint")
    store.delete(keys.RUN_SPEC.build(run_id=first))
    model = source_model(store, card)
    assert model.missing == (first,)
    assert not seen_in_training(cohort_of(2), model).whole


def test_the_order_of_the_folds_does_not_matter(store: Store, plan: Plan) -> None:
    runs = [run.run_id for run in of_size(plan, 4)]
    assert register_ensemble(store, runs, "joint") == register_ensemble(store, runs[::-1], "joint")
    assert len(models(store)) == 1


def test_an_ensemble_reports_the_origin_of_every_tensor(store: Store, plan: Plan) -> None:
    card = register_ensemble(store, [run.run_id for run in of_size(plan, 4)], "joint")
    rows = read_rows(store, [keys.MODEL_TRANSFER.build(name=card.name, version=card.version)], TensorTransfer)
    assert {row.tensor for row in rows} == set(registered_network(store, card.full_name)[0].state_dict())


def test_networks_of_different_kinds_are_no_ensemble(store: Store) -> None:
    runs = finish_experiment(store, depths=[1, 2], training_sizes=[4], folds=[1]).runs
    with pytest.raises(InputError, match="one task, architecture, patch size and parent"):
        register_ensemble(store, [runs[0].run_id, runs[-1].run_id], "joint")
    assert not models(store)


def test_an_ensemble_can_be_tested_but_not_trained(store: Store, plan: Plan) -> None:
    card = register_ensemble(store, [run.run_id for run in of_size(plan, 4)], "joint")
    run = run_that_tests(card, cohort_of(2, spacing_mm=3.0))
    _, transfers = starting_network(run, store)
    assert {row.origin for row in transfers} == {"source"}
    with pytest.raises(TransferError, match="an ensemble cannot be trained"):
        starting_network(run.changed(train=run.test), store)


def test_altered_weights_of_an_ensemble_are_refused(store: Store, plan: Plan) -> None:
    card = register_ensemble(store, [run.run_id for run in of_size(plan, 4)], "joint")
    key = keys.MODEL_WEIGHTS.build(name=card.name, version=card.version)
    data = store.get(key)
    store.put(key, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(TransferError, match="weights were altered"):
        registered_network(store, card.full_name)


def test_other_weights_under_a_registered_version_are_refused_and_nothing_changes(store: Store, plan: Plan) -> None:
    first, second, _ = (run.run_id for run in of_size(plan, 4))
    register(store, first, "mine")
    before = {key: store.get(key) for key in store.list("models/")}
    retrained = {"weights_sha256": "0" * 64}
    card = find_model(store, "mine").model_copy(update=retrained)
    write_document(store, keys.RUN_CARD.build(run_id=first), card)
    store.put(keys.RUN_WEIGHTS.build(run_id=first), store.get(keys.RUN_WEIGHTS.build(run_id=second)))
    with pytest.raises(ObjectExists, match="a version never changes"):
        register(store, first, "mine")
    assert {key: store.get(key) for key in store.list("models/")} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "wanted one cell, found 3 (fold: 1, 2, 3); choose one, as in --fold 1, or join the folds with --ensemble"),
        (("--fold", 9), "no such trained cell; found arm: de-novo; training_size: 2, 4; fold: 1, 2, 3"),
        (("--fold", 1, "--ensemble"), "found both"),
        (("--where", "depth=9"), "no such trained cell; found arm: de-novo; training_size: 2, 4; depth: 1"),
        (("--where", "colour=red"), "--where colour=red: wanted AXIS=VALUE with AXIS one of"),
    ],
    ids=["several folds", "no such fold", "both", "no such depth", "no axis"],
)
def test_a_choice_that_is_not_one_cell_is_refused_with_what_there_is(
    lesionlab: Lesionlab, store: Store, plan: Plan, options: tuple[object, ...], message: str
) -> None:
    result = lesionlab(*CELL, *options)
    assert result.exit_code == 1
    assert message in " ".join(result.output.split())
    assert not models(store)


def test_cells_that_differ_in_more_than_the_fold_are_told_apart(lesionlab: Lesionlab, store: Store) -> None:
    finish_experiment(store, depths=[1, 2], seeds=[0, 1], training_sizes=[4])
    refused = lesionlab(*CELL, "--ensemble")
    assert refused.exit_code == 1
    assert "(depth: 1, 2); choose one, as in --where depth=1" in " ".join(refused.output.split())
    both = lesionlab(*CELL, "--ensemble", "--where", "depth=2")
    assert "6 networks" in both.output, "three folds of two seeds"
    one_seed = lesionlab(*CELL, "--ensemble", "--where", "depth=2", "--where", "seed=1", "--name", "one-seed")
    assert "3 networks" in one_seed.output


def test_a_cell_that_is_not_trained_yet_is_refused(lesionlab: Lesionlab, store: Store, plan: Plan) -> None:
    store.delete(keys.LEDGER.build(run_id=of_size(plan, 4)[2].run_id))
    assert lesionlab(*CELL, "--fold", 1).exit_code == 0
    refused = lesionlab(*CELL, "--ensemble")
    assert refused.exit_code == 1
    assert "1 of 3 cells are not trained yet (de novo, 4 studies, depth 1, fold 3)" in refused.output


def test_a_name_without_a_champion_means_its_only_version_and_lists_several(store: Store, plan: Plan) -> None:
    first, second, _ = of_size(plan, 4)
    card = register(store, first.run_id, "mine")
    assert find_model(store, "mine") == card
    other = register(store, second.run_id, "mine")
    with pytest.raises(InputError, match=f"there are 2; name one of them: .*{other.full_name}"):
        find_model(store, "mine")


def test_axis_values_are_read_as_the_axis_has_them() -> None:
    values = axis_values(["learning_rate=1e-5", "freezing=encoder frozen for 5 epochs", "depth=3", "source=none"])
    assert (values["learning_rate"], values["depth"], values["source"]) == (1e-5, 3, None)
    assert values["freezing"].epochs == 5
    with pytest.raises(SpecError) as refused:
        axis_values(["depth=deep", "fold"])
    assert len(refused.value.args) == 2


def test_models_says_how_many_networks_an_ensemble_has(
    lesionlab: Lesionlab, store: Store, plan: Plan, tmp_path: Path
) -> None:
    assert lesionlab(*CELL, "--ensemble").exit_code == 0
    assert "6 studies of ms (3 networks)" in lesionlab("models").output


def test_versions_are_promoted_rolled_back_and_traced_on_the_command_line(
    lesionlab: Lesionlab, store: Store, plan: Plan
) -> None:
    first, second, _ = of_size(plan, 4)
    versions = [register(store, run.run_id, "mine").full_name for run in (first, second)]
    for version in versions:
        result = lesionlab("promote", version, "--reason", "it finds more")
        assert result.exit_code == 0, result.output
    assert f"decision 2 about mine: {second.run_id} is the champion, replaces {first.run_id}" in result.output
    again = lesionlab("promote", versions[1], "--reason", "it finds more")
    assert (again.exit_code, "is the champion already" in again.output) == (1, True)
    assert lesionlab("rollback", "mine", "--reason", "no").exit_code == 0
    states = {line["version"]: (line["champion"], line["decision"]) for line in json.loads(model_json(lesionlab))}
    assert states == {first.run_id: (True, 3), second.run_id: (False, 2)}
    shown = lesionlab("models").output
    assert "champion (decision 3, " in shown
    assert "replaced (decision 2, " in shown
    text = lesionlab("lineage", "mine").output
    for part in (
        versions[0],
        f"trained on 4 studies of 4 patients of cohort ms, manifest {first.manifest}: 4 of site a",
        "experiment alone, lesionlab 0, code 0000000000000000, on cpu",
        "trained de novo",
        "decision 1 about mine",
        "decision 3 about mine",
    ):
        assert part in text
    assert "decision 2" not in text, "it was about the other version"


def model_json(lesionlab: Lesionlab) -> str:
    return lesionlab("models", "--json").stdout


def test_a_reason_in_words_is_wanted(lesionlab: Lesionlab, store: Store, plan: Plan) -> None:
    card = register(store, of_size(plan, 4)[0].run_id, "mine")
    assert lesionlab("promote", card.full_name).exit_code == 2
    assert lesionlab("promote", card.full_name, "--reason", " ").exit_code == 2
    assert champion(store, "mine") is None


def test_the_lineage_follows_parents_and_says_what_is_unknown(lesionlab: Lesionlab, store: Store, plan: Plan) -> None:
    first, second, _ = of_size(plan, 4)
    parent = register(store, first.run_id, "parent")
    started = ModelName(name="parent", version=parent.version)
    child = register(store, second.run_id, "child").model_copy(update={"parent": started})
    write_document(store, keys.MODEL_CARD.build(name="child", version=child.version), child)
    form = json.loads(lesionlab("lineage", "child", "--json").stdout)
    assert [generation["model"] for generation in form["generations"]] == ["child", "parent"]
    assert (form["whole"], form["unknown"]) == (True, None)
    assert form["generations"][0]["trainings"][0]["studies_by_site"] == {"a": 4}
    store.delete(keys.RUN_SPEC.build(run_id=parent.version))
    assert "what it was trained on is unknown" in lesionlab("lineage", "child").output
    store.delete(keys.MODEL_CARD.build(name="parent", version=parent.version))
    form = json.loads(lesionlab("lineage", "child", "--json").stdout)
    assert (form["whole"], form["unknown"]) == (False, parent.full_name)
