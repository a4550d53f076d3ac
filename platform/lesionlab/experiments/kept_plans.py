"""Plans in the store: kept under their digest when a study is swept; its last one is found again by its name."""

from __future__ import annotations

from lesionlab.errors import InputError
from lesionlab.store.documents import create_document, move_pointer, read_document, read_pointer
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.experiments import Plan


def keep_plan(store: Store, plan: Plan) -> None:
    """Store the plan and make it the study's current one."""
    name, digest = plan.spec.name, plan.digest()
    create_document(store, keys.PLAN.build(experiment=name, digest=digest), plan)
    move_pointer(store, keys.CURRENT_PLAN.build(experiment=name), digest)


def current_plan(store: Store, experiment: str) -> Plan:
    """The plan that was swept last under this name. Raises InputError that lists the studies that there are."""
    digest = read_pointer(store, keys.CURRENT_PLAN.build(experiment=experiment))
    if digest is None:
        found = {fields["experiment"] for key in store.list("plans/") if (fields := keys.CURRENT_PLAN.parse(key))}
        raise InputError(
            f"study {experiment}: no sweep in {store.uri}; there: {', '.join(sorted(found)) or 'none yet'}; "
            "start with: lesionlab sweep SPEC"
        )
    return read_document(store, keys.PLAN.build(experiment=experiment, digest=digest), Plan)
