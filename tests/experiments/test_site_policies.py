"""What a site's policy forbids enters no run and leaves in no report; the plan says which site, how many and why."""

from __future__ import annotations

from datetime import timedelta

import pytest

from lesionlab.errors import InputError, SpecError
from lesionlab.experiments.rehearsal import rehearse
from lesionlab.experiments.site_policies import refuse_showing, site_policy, smallest_count, today, without_report
from lesionlab.experiments.store_planning import plan_experiment
from lesionlab.experiments.stored_plans import find_plan, store_plan
from lesionlab.experiments.upkeep.fsck import check_store
from lesionlab.store.documents import write_document
from lesionlab.store.objects import Store, open_store
from storage_schemas import keys
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.parts import DeclaredCohort
from storage_schemas.sites import SmallestCounts
from storage_schemas.tasks import TASKS
from tests.experiments.drawn import entry, manifest
from tests.experiments.finished import SPEC
from tests.parts import contribute

YESTERDAY = today() - timedelta(days=1)
DECLARED = DeclaredCohort(cohort="ms", sites=("north", "south"), task=TASKS["flair-single"], rating="one rater")


def spec(**changes: object) -> ExperimentSpec:
    return ExperimentSpec.model_validate(SPEC | {"spacing_mm": 1.0, **changes})


@pytest.fixture
def store() -> Store:
    """Six studies of each of two sites."""
    place = open_store("memory://")
    write_document(place, keys.COHORT.build(cohort="ms"), DECLARED)
    contribute(place, manifest(*(entry(n, site="north" if n < 6 else "south") for n in range(12))))
    return place


def allow(store: Store, *lines: str, site: str = "north") -> None:
    store.put(keys.POLICY.build(site=site), "\n".join((f"site: {site}", *lines, "")).encode())


def sites_in(plan) -> set[str]:
    return {study.site for run in plan.runs for study in (*run.train, *run.test)}


FORBIDDING = {
    "another task": (["leaves: images", "tasks: [enhancing]"], "allows the tasks enhancing, not flair-single"),
    "another experiment": (["leaves: images", "experiments: ['ms-*']"], "allows the experiments ms-*, not alone"),
    "expired": (["leaves: images", f"expires: {YESTERDAY}"], f"expired on {YESTERDAY}"),
    "nothing leaves": (["leaves: nothing"], "lets nothing leave"),
}


@pytest.mark.parametrize(("lines", "why"), FORBIDDING.values(), ids=FORBIDDING)
def test_forbidden_studies_are_in_no_run_and_the_plan_names_site_number_and_reason(
    store: Store, lines: list[str], why: str
) -> None:
    allow(store, *lines)
    plan = plan_experiment(spec(), store)
    assert sites_in(plan) == {"south"}
    (out,) = plan.left_out
    assert (out.site, out.studies) == ("north", 6)
    assert why in out.text()
    assert "6 studies of north left out" in out.text()
    store_plan(store, plan)
    assert find_plan(store, "alone") == plan
    found = rehearse(spec(), store)
    assert found.plan == plan
    assert found.left_out == plan.left_out


@pytest.mark.parametrize(
    "lines",
    [
        ["leaves: aggregates"],
        ["leaves: images", "tasks: [flair-single]", "experiments: ['al?ne']", f"expires: {today()}"],
    ],
    ids=["all", "this one, until today"],
)
def test_what_is_allowed_is_planned_as_without_a_policy(store: Store, lines: list[str]) -> None:
    before = plan_experiment(spec(), store)
    allow(store, *lines)
    assert plan_experiment(spec(), store) == before
    assert sites_in(before) == {"north", "south"}


def test_if_every_site_forbids_it_each_is_named(store: Store) -> None:
    for site in ("north", "south"):
        allow(store, "leaves: nothing", site=site)
    with pytest.raises(InputError) as caught:
        plan_experiment(spec(), store)
    assert [fault.partition(" of ")[2][:5] for fault in caught.value.args[:2]] == ["north", "south"]
    assert "no study is left" in str(caught.value)


def test_a_policy_that_changes_after_the_plan_stops_the_runs_until_somebody_plans_again(store: Store) -> None:
    store_plan(store, plan_experiment(spec(), store))
    allow(store, "leaves: images", f"expires: {YESTERDAY}")
    with pytest.raises(InputError, match=r"site north: 3 studies planned, but its policy expired") as caught:
        plan_experiment(spec(), store)
    assert "--replan" in str(caught.value)
    assert sites_in(plan_experiment(spec(), store, replan=True)) == {"south"}


def test_a_policy_that_allows_more_again_brings_the_studies_back(store: Store) -> None:
    allow(store, "leaves: nothing")
    store_plan(store, plan_experiment(spec(), store))
    allow(store, "leaves: rows")
    plan = plan_experiment(spec(), store)
    assert sites_in(plan) == {"north", "south"}
    assert plan.left_out == ()


def test_a_report_shows_no_more_than_every_site_lets_leave(store: Store) -> None:
    plan = plan_experiment(spec(), store)
    allow(store, "leaves: rows")
    refuse_showing(store, plan.runs, "rows")
    with pytest.raises(InputError, match=r"site north: 3 studies in alone, but .* rows of single studies leave, and"):
        refuse_showing(store, plan.runs, "images")
    allow(store, "leaves: images", f"expires: {YESTERDAY}")
    with pytest.raises(InputError, match="expired"):
        refuse_showing(store, plan.runs, "aggregates")


def test_aggregates_are_offered_instead_only_where_they_may_leave(store: Store) -> None:
    plan = plan_experiment(spec(), store)
    allow(store, "leaves: aggregates")
    assert "--share consortium" in without_report(store, plan.runs)[-1]
    allow(store, "leaves: aggregates", f"expires: {YESTERDAY}", site="south")
    told = without_report(store, plan.runs)
    assert [fault.partition(":")[0] for fault in told] == ["site north", "site south"]
    with pytest.raises(InputError, match="expired"):
        refuse_showing(store, plan.runs, "aggregates")


def test_the_largest_of_the_smallest_counts_holds(store: Store) -> None:
    plan = plan_experiment(spec(), store)
    assert smallest_count(store, plan.runs, 10) == 10
    allow(store, "leaves: aggregates", "smallest_count: 12")
    allow(store, "leaves: rows", "smallest_count: 5", site="south")
    assert smallest_count(store, plan.runs, 10) == 12
    assert smallest_count(store, plan.runs, 20) == 20


@pytest.mark.parametrize(
    ("agreed", "sites", "given", "found"),
    [
        (None, {}, None, 10),
        (6, {}, None, 6),
        (6, {}, 8, 8),
        (15, {}, None, 15),
        (15, {}, 8, 15),
        (6, {"north": 9}, None, 9),
        (6, {"west": 9}, None, 6),
    ],
    ids=["nothing", "agreed", "given more", "agreed more", "given less", "site of the runs", "another site"],
)
def test_what_the_consortium_agreed_on_holds_without_being_told(
    store: Store, agreed: int | None, sites: dict[str, int], given: int | None, found: int
) -> None:
    plan = plan_experiment(spec(), store)
    if agreed:
        counts = SmallestCounts(consortium="pool", smallest_count=agreed, sites=sites)
        write_document(store, keys.SMALLEST_COUNTS.build(), counts)
    assert smallest_count(store, plan.runs, given) == found


FAULTY = {
    "unknown key": ("leaves: rows\ncolour: blue", "colour"),
    "ambiguous value": ("leaves: rows\nsmallest_count: 010", "octal"),
    "no such level": ("leaves: some", "leaves"),
    "not YAML": ("leaves: [", "not valid YAML"),
    "another site's": ("leaves: rows\nsite: south", "twice"),
}


@pytest.mark.parametrize(("text", "fault"), FAULTY.values(), ids=FAULTY)
def test_while_a_policy_cannot_be_read_nothing_is_planned_and_fsck_names_it(
    store: Store, text: str, fault: str
) -> None:
    allow(store, text)
    with pytest.raises(SpecError, match=fault):
        plan_experiment(spec(), store)
    (damage,) = [one for one in check_store(store, lambda data: True).damage if "policy" in one.key]
    assert fault in damage.what
    assert "lesionlab policy" in damage.remedy


def test_a_policy_under_another_sites_name_is_refused(store: Store) -> None:
    store.put(keys.POLICY.build(site="north"), b"site: south\nleaves: images\n")
    with pytest.raises(SpecError, match="wanted north, found south"):
        site_policy(store, "north")
