"""Plans in the store: kept under their name when an experiment is swept; the last one is found by the experiment."""

from __future__ import annotations

from lesionlab.errors import InputError
from lesionlab.store.documents import create_named, move_pointer, read_document, read_pointer
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.experiments import Plan


def keep_plan(store: Store, plan: Plan) -> None:
    """Store the plan and make it the experiment's current one."""
    name = plan.spec.name
    create_named(store, keys.PLAN.build(experiment=name, digest=plan.id), plan)
    move_pointer(store, keys.CURRENT_PLAN.build(experiment=name), plan.id)


def find_plan(store: Store, experiment: str) -> Plan | None:
    """The plan that was swept last under this name, or None."""
    digest = read_pointer(store, keys.CURRENT_PLAN.build(experiment=experiment))
    return None if digest is None else read_document(store, keys.PLAN.build(experiment=experiment, digest=digest), Plan)


def current_plan(store: Store, experiment: str) -> Plan:
    """The plan that was swept last under this name. Raises InputError that lists the experiments that there are."""
    plan = find_plan(store, experiment)
    if plan is None:
        found = {fields["experiment"] for key in store.list("plans/") if (fields := keys.CURRENT_PLAN.parse(key))}
        raise InputError(
            f"experiment {experiment}: no sweep in {store.uri}; there: {', '.join(sorted(found)) or 'none yet'}; "
            "start with: lesionlab sweep EXPERIMENT"
        )
    return plan
