"""The emulated Kueue treats the jobs of two sites as the real one did: admission, borrowing, preemption, return."""

from __future__ import annotations

import copy
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import chain
from typing import Any

import pytest
import yaml

from tests.clusters.conftest import consortium, trace
from tests.clusters.controllers import Kueue
from tests.clusters.emulator import Api

History = dict[tuple[str, str], list[Any]]


def seen_of(kind: str, spec: dict[str, Any], status: dict[str, Any]) -> Any:
    """What is compared of an object: Kueue's decisions. That pods are not ready, it says at no fixed moment."""
    if kind == "RayJob":
        return bool(spec.get("suspend")), status.get("jobDeploymentStatus", "")
    if kind == "Workload":
        conditions = {c["type"]: (c["status"], c["reason"]) for c in status.get("conditions", [])}
        conditions.pop("PodsReady", None)
        return status.get("admission", {}).get("clusterQueue"), tuple(sorted(conditions.items()))
    gpus = next(r for r in status["flavorsUsage"][0]["resources"] if r["name"] == "nvidia.com/gpu")
    return status["pendingWorkloads"], status["admittedWorkloads"], gpus["total"], gpus["borrowed"]


def history(events: Iterable[tuple[str, str, Any]]) -> History:
    """The states of each object in order, each once; workloads under the name of their job."""
    found: History = defaultdict(list)
    for kind, name, state in events:
        own = found[kind, re.sub(r"^rayjob-(.+)-[0-9a-f]{5}$", r"\1", name)]
        if not own or own[-1] != state:
            own.append(state)
    return dict(found)


@pytest.fixture(scope="module")
def both(base: dict[str, Any]) -> tuple[History, History, list[str], list[str]]:
    """The recorded history and that of the same actions here; the messages of both."""
    recorded = json.loads(trace("kueue-two-sites.json").read_text())
    queues = list(yaml.safe_load_all(trace("queues.yaml").read_text()))
    api = consortium(queues)
    first = len(api.events)
    kueue = Kueue(api)
    for action in recorded["actions"]:
        act(api, action["did"], base)
        kueue.settle()
    theirs = [
        (o["kind"], o["name"], seen_of(o["kind"], o.get("spec", {}), o.get("status", {})))
        for o in (e["object"] for e in recorded["events"] if e["type"] != "DELETED")
    ]
    ours = [
        (
            e.object["kind"],
            e.object["metadata"]["name"],
            seen_of(e.object["kind"], e.object["spec"], e.object.get("status", {})),
        )
        for e in api.events[first:]
        if e.type != "DELETED" and e.object["kind"] in ("RayJob", "Workload", "ClusterQueue")
    ]
    said = [messages(e["object"]) for e in recorded["events"]], [messages(e.object) for e in api.events[first:]]
    return history(theirs), history(ours), *(sorted(set(chain.from_iterable(found))) for found in said)


def act(api: Api, did: str, base: dict[str, Any]) -> None:
    if made := re.match(r"create RayJob (\S+)/(\S+) ", did):
        job = copy.deepcopy(base)
        job["metadata"] = {"name": made[2], "namespace": made[1], "labels": {"kueue.x-k8s.io/queue-name": "lesionlab"}}
        api.create("rayjobs", made[1], job, {})
    elif told := re.match(r"operator, by hand: (\S+)/(\S+) status (.+)", did):
        status = yaml.safe_load(told[3])
        api.change("rayjobs", told[2], told[1], lambda found: found.update(status=found.get("status", {}) | status))
    else:
        api.delete("rayjobs", "lesionlab-north", did.removeprefix("delete RayJob "), lambda body: False)


def messages(body: dict[str, Any]) -> list[str]:
    """What the conditions of a workload say, without names drawn by chance."""
    found = [c["message"] for c in body.get("status", {}).get("conditions", []) if c["type"] == "QuotaReserved"]
    return [re.sub(r"\(UID: .*?\)", "(…)", message) for message in found if message and "Bypassed" not in message]


def test_every_object_goes_through_the_recorded_states(both: tuple[History, History, list[str], list[str]]) -> None:
    theirs, ours, _, _ = both
    assert ours.keys() == theirs.keys()
    for name, states in theirs.items():
        assert steps(ours[name]) == steps(states), name


def steps(states: list[Any]) -> list[Any]:
    """Without a pending evaluation, which lasts for no time."""
    return [state for state in states if "PendingEvaluation" not in str(state)]


def test_what_a_waiting_job_is_told_is_what_kueue_says(both: tuple[History, History, list[str], list[str]]) -> None:
    _, _, theirs, ours = both
    assert set(ours) == set(theirs)
