"""The whole gate on the command line, with networks on simulated patients: benchmark, rule, check, promote, lineage."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from lesionlab.experiments.registry import champion, find_model, models, register
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store, open_store
from storage_schemas import keys
from storage_schemas.models import ModelCard
from storage_schemas.runs import RunSpec
from tests.experiments.finished import finish
from tests.jobs.conftest import TINY, Lesionlab

RULE = """
model: tiny-glioma
benchmark: held-out
conditions:
  - {kind: non-inferior, metric: dice, margin: 0.5}
  - {kind: least-patients, patients: 4}
alpha: 0.2
looks: 1
"""


@pytest.fixture(scope="module")
def store(finished_tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The tiny experiment's store with a champion, two untrained candidates, and a benchmark of four MS patients."""
    folder = tmp_path_factory.mktemp("gate") / "store"
    shutil.copytree(finished_tiny / ".lesionlab" / "store", folder)
    place = open_store(folder.as_uri())
    trained = find_model(place, "tiny-glioma")
    run = read_document(place, keys.RUN_SPEC.build(run_id=trained.version), RunSpec)
    for seed in (11, 12):
        other = run.changed(seed=seed)
        finish(place, other)
        register(place, other.run_id, "tiny-glioma")
    return place


def test_from_the_benchmark_to_a_candidate_that_is_not_promoted(
    lesionlab: Lesionlab, store: Store, tmp_path: Path
) -> None:
    def call(*arguments: object) -> tuple[int, str]:
        result = lesionlab(*arguments, "--store", store.uri)
        return result.exit_code, result.output

    first, second, third = (card.full_name for card in found(store))
    code, told = call("promote", first, "--reason", "the first one")
    assert (code, champion(store, "tiny-glioma")) == (0, first.partition("@")[2])

    code, told = call("benchmark", "held-out", "tiny-ms")
    assert (code, "4 studies of 4 patients of tiny-ms" in told) == (0, True), told
    (tmp_path / "rule.yaml").write_text(RULE)
    code, told = call("rule", "declare", tmp_path / "rule.yaml")
    assert (code, "is declared" in told) == (0, True), told
    assert "was declared before" in call("rule", "declare", tmp_path / "rule.yaml")[1]
    code, told = call("rule", "check", "tiny-glioma")
    assert code == 0, told
    assert "dice not worse by 0.5" in told
    assert not store.list("benchmarks/results/") or all(
        "tickets" not in key for key in store.list("benchmarks/results/")
    )

    code, told = call("promote", second, "--reason", "by rule")
    assert "look 1 of 1" in told
    assert re.search(r"(pass|fail)  dice not worse by 0.5", told)
    assert code == (0 if champion(store, "tiny-glioma") == second.partition("@")[2] else 3)
    if code == 3:
        assert "lower limit" not in told, "no number below the gate"
    before = store.list("benchmarks/results/")
    code, told = call("promote", third, "--reason", "by rule")
    assert (code, "no look is left" in told) == (1, True), told
    assert store.list("benchmarks/results/") == before
    code, told = call("lineage", "tiny-glioma", "--verify")
    assert code == 0, told


def found(store: Store) -> list[ModelCard]:
    cards = [card for card in models(store) if card.name == "tiny-glioma"]
    return sorted(cards, key=lambda card: card.version)


def test_the_benchmark_is_neither_swept_nor_evaluated(lesionlab: Lesionlab, store: Store) -> None:
    assert lesionlab("benchmark", "held-out", "tiny-ms", "--store", store.uri).exit_code == 0
    for command in (("sweep", TINY, "--plain"), ("evaluate", "tiny-ms", "--model", "tiny-glioma")):
        result = lesionlab(*command, "--store", store.uri)
        assert result.exit_code == 1
        assert "studies of benchmark held-out@" in result.output


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("model: m\nbenchmark: nobody\nconditions: []\n", "benchmark 'nobody': wanted one"),
        ("model: m\nbenchmark: held-out\nconditions: [{kind: better}]\nlooks: 0\n", "looks"),
        ("- 1\n", "rule file"),
    ],
    ids=["no benchmark", "several faults", "no mapping"],
)
def test_a_faulty_rule_file_is_told_and_stores_nothing(
    lesionlab: Lesionlab, store: Store, tmp_path: Path, text: str, wanted: str
) -> None:
    lesionlab("benchmark", "held-out", "tiny-ms", "--store", store.uri)
    (tmp_path / "rule.yaml").write_text(text)
    before = store.list("rules/")
    result = lesionlab("rule", "declare", tmp_path / "rule.yaml", "--store", store.uri)
    assert (result.exit_code, wanted in result.output) == (1, True), result.output
    assert store.list("rules/") == before
