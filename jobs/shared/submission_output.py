"""Print a submission before it is sent: what is done and missing, where it goes, what it differs in from what runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs.shared.console import console
from jobs.shared.submitting import Place
from lesionlab.experiments.publishing import finished
from lesionlab.experiments.rehearsal import Rehearsal
from lesionlab.experiments.site_policies import without_report
from lesionlab.experiments.stored_plans import find_sound_plan
from lesionlab.experiments.submissions import standing, stored_submission, submission_ids
from lesionlab.store.objects import Store
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.submissions import Submission
from storage_schemas.versions import version_difference


def show_submission(submission: Submission, number: int, rehearsal: Rehearsal, target: Place, store: Store) -> None:
    """Everything that helps to decide."""
    done, cells = len(rehearsal.done), len(rehearsal.plan.runs)
    console.print(f"{submission.spec.name}: submission {submission.id}, attempt {number}, to {target.name}")
    console.print(
        f"{len(rehearsal.pretrainings)} default models and {cells} cells; {done} done, {len(rehearsal.missing)} missing"
    )
    for one in rehearsal.left_out:
        console.print(one.text())
    if told := without_report(store, rehearsal.plan.runs):
        console.print("it ends without the report of the hospitals:", *told, sep="\n")
    for line in of_other_versions(submission, store):
        console.print(line)
    for line in target.forecast():
        console.print(line)
    for line in differences(submission, store):
        console.print(line)


def of_other_versions(submission: Submission, store: Store) -> Iterator[str]:
    """One line if the experiment was planned by code of other result versions: its cells are trained again."""
    stored = find_sound_plan(store, submission.spec.name)
    if stored is not None and stored.versions != submission.versions:
        done = len(finished(store, stored.runs))
        yield f"{version_difference(stored.versions)}; of those, {done} of {len(stored.runs)} cells are finished"


def differences(submission: Submission, store: Store) -> Iterator[str]:
    """One line for each field in which another submission of the experiment that is not over differs."""
    for other_id in submission_ids(store):
        now = standing(store, other_id) if other_id != submission.id else None
        if now is None or now.over:
            continue
        other = stored_submission(store, other_id)
        if other.spec.name == submission.spec.name:
            yield f"{other_id} of this experiment runs or waits ({now.attempt.place}); this one differs in:"
            yield from (f"  {line}" for line in spec_differences(other.spec, submission.spec))


def spec_differences(before: ExperimentSpec, after: ExperimentSpec) -> Iterator[str]:
    """One line for each value that two experiment files give differently."""
    yield from _differences("", before.model_dump(mode="json"), after.model_dump(mode="json"))


def _differences(path: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            yield from _differences(f"{path}.{name}".lstrip("."), before.get(name), after.get(name))
    elif before != after:
        yield f"{path}: {before} there, {after} here"
