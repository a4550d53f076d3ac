"""Store plans by experiment and digest; find the current plan of an experiment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from lesionlab.errors import DamagedObject, InputError
from lesionlab.store.documents import create_named, move_pointer, read_document, read_pointer
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.endpoints import Endpoint
from storage_schemas.experiments import Plan


def store_plan(store: Store, plan: Plan) -> None:
    """Store the plan and make it the experiment's current one."""
    name = plan.spec.name
    create_named(store, keys.PLAN.build(experiment=name, digest=plan.id), plan)
    move_pointer(store, keys.CURRENT_PLAN.build(experiment=name), plan.id)


def find_plan(store: Store, experiment: str) -> Plan | None:
    """The plan of the experiment's last sweep, or None."""
    digest = read_pointer(store, keys.CURRENT_PLAN.build(experiment=experiment))
    return None if digest is None else read_document(store, keys.PLAN.build(experiment=experiment, digest=digest), Plan)


def find_sound_plan(store: Store, experiment: str) -> Plan | None:
    """As `find_plan`; None also if the plan or its pointer is damaged: planning again repairs both."""
    try:
        return find_plan(store, experiment)
    except DamagedObject:
        return None


def sound_plans(store: Store, experiment: str) -> Iterator[Plan]:
    """All plans of the experiment that can be read, in the order of their names."""
    for key in store.list(keys.PLAN.prefix(experiment=experiment)):
        if key != _pointer(experiment):
            with suppress(DamagedObject):
                yield read_document(store, key, Plan)


def first_endpoint(store: Store, experiment: str) -> Endpoint | None:
    """The primary endpoint of the experiment's first plan, which every later plan holds too; None before the first.

    Raises DamagedObject if no plan of the experiment can be read.
    """
    places = [key for key in store.list(keys.PLAN.prefix(experiment=experiment)) if key != _pointer(experiment)]
    damage = None
    for place in places:
        try:
            return read_document(store, place, Plan).first_endpoint
        except DamagedObject as error:
            damage = error
    if damage:
        raise damage
    return None


def _pointer(experiment: str) -> str:
    return keys.CURRENT_PLAN.build(experiment=experiment)


def current_plan(store: Store, experiment: str) -> Plan:
    """The plan of the experiment's last sweep. Raises InputError that lists the experiments in the store."""
    plan = find_plan(store, experiment)
    if plan is None:
        found = {fields["experiment"] for key in store.list("plans/") if (fields := keys.CURRENT_PLAN.parse(key))}
        raise InputError(
            f"experiment {experiment}: no sweep in {store.uri}; experiments there: "
            f"{', '.join(sorted(found)) or 'none yet'}; start with: lesionlab sweep EXPERIMENT"
        )
    return plan
