"""What Kueue and KubeRay do to the objects of the emulator: one queue a site, GPUs lent and taken back, jobs started.

`test_controllers.py` holds Kueue's part to `../shared/traces/kueue-two-sites.json`. Left out: priorities, several
flavours, partial admission, pods.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from typing import Any, Protocol

from tests.clusters.emulator import Api, Object

GPU = "nvidia.com/gpu"
QUEUE = "kueue.x-k8s.io/queue-name"


def gpus_of(job: Object) -> int:
    groups = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    return sum(
        group.get("replicas", 1) * int(group["template"]["spec"]["containers"][0]["resources"]["limits"].get(GPU, 0))
        for group in groups
    )


def set_condition(workload: Object, kind: str, state: bool, reason: str, message: str = "") -> None:
    conditions = workload["status"].setdefault("conditions", [])
    found = next((c for c in conditions if c["type"] == kind), None)
    if found is None:
        conditions.append(found := {"type": kind})
    found |= {"status": str(state), "reason": reason, "message": message, "observedGeneration": 1}


def is_true(workload: Object, kind: str) -> bool:
    return any(c["type"] == kind and c["status"] == "True" for c in workload["status"].get("conditions", []))


class Kueue:
    """One step does everything that is due; a real one reacts to events and gets there too."""

    def __init__(self, api: Api) -> None:
        self._api = api
        for name, amounts in self._quotas().items():
            self._show(name, amounts)

    def settle(self) -> None:
        """Until nothing changes any more."""
        for _ in range(20):
            before = self._api.version
            self._step()
            if before == self._api.version:
                return
        raise AssertionError("the queues do not come to rest")

    def _step(self) -> None:
        for job in self._api.every("rayjobs"):
            space = job["metadata"]["namespace"]
            queue = job["metadata"].get("labels", {}).get(QUEUE)
            if queue and self._workload(job) is None and "deletionTimestamp" not in job["metadata"]:
                drawn = hashlib.sha256(job["metadata"]["uid"].encode()).hexdigest()[:5]
                name = f"rayjob-{job['metadata']['name']}-{drawn}"
                owner = {
                    "apiVersion": "ray.io/v1",
                    "kind": "RayJob",
                    "name": job["metadata"]["name"],
                    "uid": job["metadata"]["uid"],
                }
                made = {
                    "apiVersion": "kueue.x-k8s.io/v1beta2",
                    "kind": "Workload",
                    "metadata": {"name": name, "namespace": space, "ownerReferences": [owner]},
                    "spec": {"active": True, "queueName": queue, "priority": 0},
                    "status": {},
                    "gpus": gpus_of(job),
                }
                self._api.put("workloads", made, space)
        for workload in self._live():
            self._look(workload)
        pending = [w for w in self._live() if not is_true(w, "QuotaReserved")]
        for workload in sorted(pending, key=self._would_borrow):
            self._schedule(workload)
        for name, amounts in self._quotas().items():
            self._show(name, amounts)

    def _look(self, workload: Object) -> None:
        """Follow the job: gone, finished, suspended."""
        job = self._job(workload)
        if job is None:
            return self._mark(workload, "Finished", True, "OwnerNotFound", "The workload's owner no longer exists")
        state = job.get("status", {}).get("jobDeploymentStatus", "")
        if state in ("Complete", "Failed"):
            reason = "Succeeded" if state == "Complete" else "Failed"
            self._mark(workload, "Finished", True, reason, job["status"].get("message", ""))
        elif is_true(workload, "Evicted") and is_true(workload, "QuotaReserved") and state in ("Suspended", ""):

            def requeue(found: Object) -> None:
                found["status"].pop("admission", None)
                why = next(c["message"] for c in found["status"]["conditions"] if c["type"] == "Evicted")
                set_condition(found, "QuotaReserved", False, "PendingEvaluation", why)
                set_condition(found, "Admitted", False, "NoReservation", "The workload has no reservation")
                set_condition(found, "Requeued", True, "Preempted")

            self._change(workload, requeue)

    def _schedule(self, workload: Object) -> None:
        name, wanted = self._queue_of(workload), workload["gpus"]
        quotas = self._quotas()
        own, used = quotas[name]["own"], quotas[name]["used"]
        free = sum(q["own"] - q["used"] for q in quotas.values())
        lacking = max(wanted - free, used + wanted - own - quotas[name]["most_borrowed"])
        if lacking <= 0:
            return self._admit(workload, name)
        said = f"couldn't assign flavors to pod set gpu: insufficient unused quota for {GPU} in flavor gpu"
        said += f", {lacking} more needed"
        reason = "WaitingForQuota"
        if used + wanted <= own and (victims := self._borrowers(name)):
            for victim in victims[:1]:
                self._evict(victim, workload, name)
            said, reason = f"{said}. Pending the preemption of 1 workload(s)", "WaitingForPreemptedWorkloads"

        def wait(found: Object) -> None:
            set_condition(found, "QuotaReserved", False, reason, said)
            set_condition(found, "Admitted", False, "NoReservation", "The workload has no reservation")

        self._change(workload, wait)

    def _would_borrow(self, workload: Object) -> bool:
        """Those that need only what is their site's own go first."""
        quota = self._quotas()[self._queue_of(workload)]
        return quota["used"] + workload["gpus"] > quota["own"]

    def _admit(self, workload: Object, queue: str) -> None:
        def admit(found: Object) -> None:
            found["status"]["admission"] = {"clusterQueue": queue}
            set_condition(found, "QuotaReserved", True, "QuotaReserved", f"Quota reserved in ClusterQueue {queue}")
            set_condition(found, "Admitted", True, "Admitted", "The workload is admitted")
            for kind in ("Evicted", "Preempted"):
                if any(c["type"] == kind for c in found["status"]["conditions"]):
                    set_condition(found, kind, False, "QuotaReserved", "Previously: Preempted")

        self._change(workload, admit)
        self._change_job(workload, lambda job: job["spec"].pop("suspend", None))

    def _evict(self, victim: Object, preemptor: Object, queue: str) -> None:
        if is_true(victim, "Evicted"):
            return
        theirs = self._queue_of(victim)
        said = f"Preempted to accommodate a workload (UID: {preemptor['metadata']['name']})"
        said += " due to reclamation within the cohort"
        said += f"; preemptor path: /consortium/{queue}; preemptee path: /consortium/{theirs}"

        def evict(found: Object) -> None:
            set_condition(found, "Evicted", True, "Preempted", said)
            set_condition(found, "Preempted", True, "InCohortReclamation", said)

        self._change(victim, evict)
        self._change_job(victim, lambda job: job["spec"].update(suspend=True))

    def _borrowers(self, queue: str) -> list[Object]:
        """Workloads of queues that use more than their own, the newest first; those that leave already among them."""
        quotas = self._quotas()
        over = {name for name, q in quotas.items() if name != queue and q["used"] > q["own"]}
        held = [w for w in self._live() if is_true(w, "QuotaReserved") and self._queue_of(w) in over]
        return held[::-1]

    def _quotas(self) -> dict[str, dict[str, int]]:
        found = {}
        for queue in self._api.every("clusterqueues"):
            quota = next(
                r for f in queue["spec"]["resourceGroups"] for r in f["flavors"][0]["resources"] if r["name"] == GPU
            )
            name = queue["metadata"]["name"]
            mine = [w for w in self._live() if self._queue_of(w) == name]
            held = [w for w in mine if is_true(w, "QuotaReserved")]
            found[name] = {
                "own": int(quota["nominalQuota"]),
                "most_borrowed": int(quota.get("borrowingLimit", 0)),
                "used": sum(w["gpus"] for w in held),
                "held": len(held),
                "pending": len(mine) - len(held),
            }
        return found

    def _show(self, name: str, amounts: dict[str, int]) -> None:
        borrowed = max(0, amounts["used"] - amounts["own"])
        usage = {"name": GPU, "total": str(amounts["used"]), "borrowed": str(borrowed)}
        counts = {"admittedWorkloads": amounts["held"], "reservingWorkloads": amounts["held"]}
        shown = {
            "pendingWorkloads": amounts["pending"],
            **counts,
            "flavorsUsage": [{"name": "gpu", "resources": [usage]}],
        }
        queue = self._api.find("clusterqueues", name)
        if queue is not None and queue.get("status") != shown:
            self._api.change("clusterqueues", name, None, lambda found: found.update(status=shown))

    def _live(self) -> list[Object]:
        return [w for w in self._api.every("workloads") if not is_true(w, "Finished")]

    def _queue_of(self, workload: Object) -> str:
        local = self._api.find("localqueues", workload["spec"]["queueName"], workload["metadata"]["namespace"])
        name: str = local["spec"]["clusterQueue"] if local else ""
        return name

    def _workload(self, job: Object) -> Object | None:
        uid = job["metadata"]["uid"]
        return next(
            (w for w in self._api.every("workloads") if w["metadata"]["ownerReferences"][0]["uid"] == uid), None
        )

    def _job(self, workload: Object) -> Object | None:
        owner = workload["metadata"]["ownerReferences"][0]
        found = self._api.find("rayjobs", owner["name"], workload["metadata"]["namespace"])
        return found if found is not None and found["metadata"]["uid"] == owner["uid"] else None

    def _mark(self, workload: Object, *condition: Any) -> None:
        self._change(workload, lambda found: set_condition(found, *condition))

    def _change(self, workload: Object, change: Callable[[Object], object]) -> None:
        before = self._api.find("workloads", workload["metadata"]["name"], workload["metadata"]["namespace"])
        after = copy.deepcopy(before)
        assert after is not None
        change(after)
        if after != before:
            self._api.put("workloads", after, workload["metadata"]["namespace"])

    def _change_job(self, workload: Object, change: Callable[[Object], object]) -> None:
        owner = workload["metadata"]["ownerReferences"][0]["name"]
        self._api.change("rayjobs", owner, workload["metadata"]["namespace"], change)


class Started(Protocol):
    """A Ray cluster with a command in it."""

    def poll(self) -> int | None: ...

    def kill(self) -> None: ...


class KubeRay:
    """Start the cluster and the command of a job that is not suspended; end them with it; start again what failed."""

    def __init__(self, api: Api, start: Callable[[Object], Started]) -> None:
        self._api, self._start = api, start
        self._running: dict[str, Started] = {}
        self._failures: dict[str, int] = {}
        self.starts: list[str] = []
        """Name of the job of each cluster that was started."""

    def step(self) -> None:
        for job in self._api.every("rayjobs"):
            name, state = job["metadata"]["name"], job.get("status", {}).get("jobDeploymentStatus", "")
            if "deletionTimestamp" in job["metadata"]:
                self._end(name)
                self._api.remove("rayjobs", name, job["metadata"]["namespace"])
            elif job["spec"].get("suspend"):
                self._end(name)
                if state not in ("", "Suspended"):
                    self._say(job, jobDeploymentStatus="Suspended", jobStatus="", rayClusterName="", jobId="")
            elif name in self._running:
                self._look(job, self._running[name].poll())
            elif state not in ("Complete", "Failed"):
                self._running[name] = self._start(job)
                self.starts.append(name)
                self._say(
                    job,
                    jobDeploymentStatus="Running",
                    jobStatus="RUNNING",
                    rayClusterName=f"{name}-x",
                    jobId=f"{name}-id",
                )

    def close(self) -> None:
        for name in list(self._running):
            self._end(name)

    def _look(self, job: Object, code: int | None) -> None:
        name = job["metadata"]["name"]
        if code is None:
            return
        self._end(name)
        if code == 0:
            self._say(job, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
            return
        self._failures[name] = self._failures.get(name, 0) + 1
        if self._failures[name] > job["spec"].get("backoffLimit", 0):
            self._say(job, jobDeploymentStatus="Failed", jobStatus="FAILED", reason="AppFailed", message=f"exit {code}")
        else:
            self._say(job, jobDeploymentStatus="Retrying", jobStatus="", rayClusterName="")

    def _end(self, name: str) -> None:
        if (started := self._running.pop(name, None)) is not None:
            started.kill()

    def _say(self, job: Object, **status: str) -> None:
        def change(found: Object) -> None:
            found["status"] = {"failed": 0, "succeeded": 0, **found.get("status", {}), **status}

        self._api.change("rayjobs", job["metadata"]["name"], job["metadata"]["namespace"], change)
