"""Say in one line what a job in a namespace waits for, or how it ended.

Kueue says whether it is queued, KubeRay whether its nodes are there, the pods why not. What the command itself does is
in the store (`experiments/submissions`). Everything is asked anew each time: a watch through a hospital's proxy ends
without a word, seven small questions do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from lesionlab.clusters.work_jobs import GPU, nodes_of

Resource = dict[str, Any]
State = Literal["absent", "queued", "starting", "running", "leaving", "done", "failed"]


class Objects(Protocol):
    """What is asked of a cluster."""

    def find(self, kind: str, name: str) -> Resource | None: ...

    def listed(self, kind: str, **selectors: str) -> list[Resource]: ...


@dataclass(frozen=True)
class Seen:
    """Where a job stands; leaving: its nodes are taken from it, by Kueue or by whoever deletes it."""

    state: State
    line: str = ""

    @property
    def ended(self) -> bool:
        """Whether the cluster does nothing more for it."""
        return self.state in ("absent", "done", "failed")


def seen(cluster: Objects, name: str) -> Seen:
    """Where the job stands now. Raises ClusterError."""
    job = cluster.find("RayJob", name)
    if job is None:
        return Seen("absent", f"job {name} is not in the namespace any more")
    status = job.get("status", {})
    deployment = status.get("jobDeploymentStatus", "")
    if status.get("jobStatus") == "SUCCEEDED":
        return Seen("done", "finished")
    if deployment in ("Complete", "Failed", "ValidationFailed"):  # complete, but stopped by somebody
        why = status.get("reason") or status.get("jobStatus", "").lower()
        return Seen("failed", " ".join(filter(None, ["failed:", why, status.get("message")])))
    if "deletionTimestamp" in job["metadata"]:
        return Seen("leaving", "it is being deleted")
    workload = workload_of(cluster, job)
    if job["spec"].get("suspend"):
        return _queued(cluster, job, workload)
    if deployment == "Running":
        return Seen("running", "running")
    return Seen("starting", starting(cluster, job))


def workload_of(cluster: Objects, job: Resource) -> Resource | None:
    """What Kueue knows of a job; None if it does not know it (yet)."""
    if "kueue.x-k8s.io/queue-name" not in job["metadata"].get("labels", {}):
        return None
    for workload in cluster.listed("Workload"):
        owners = workload["metadata"].get("ownerReferences", [])
        if any((owner["kind"], owner["uid"]) == ("RayJob", job["metadata"]["uid"]) for owner in owners):
            return workload
    return None


def condition(workload: Resource | None, kind: str) -> Resource:
    """A condition of a workload; empty if it has none of this kind."""
    found = (workload or {}).get("status", {}).get("conditions", [])
    return next((c for c in found if c["type"] == kind), {})


def _queued(cluster: Objects, job: Resource, workload: Resource | None) -> Seen:
    evicted, reserved = condition(workload, "Evicted"), condition(workload, "QuotaReserved")
    why = f" ({reserved['message']})" if reserved.get("status") == "False" and reserved.get("message") else ""
    queue = job["metadata"].get("labels", {}).get("kueue.x-k8s.io/queue-name", "")
    room = queue_line(cluster, queue, nodes_of(job).gpus)
    if evicted.get("status") == "True":
        return Seen("leaving", f"its nodes were taken back ({evicted.get('reason', '').lower()}); {room}{why}")
    if condition(workload, "Admitted").get("status") == "True":
        return Seen("starting", "admitted; its nodes are asked for")
    return Seen("queued", f"{room}{why}")


def queue_line(cluster: Objects, local_queue: str, gpus: int) -> str:
    """`queued in north: wants 8 GPUs, 4 free, may borrow 4`."""
    name, found = _queue(cluster, local_queue)
    if name is None:
        return f"queued: {_wants(gpus)}; {_no_queue(local_queue)}"
    room = "" if found is None else f", {found.free} free, may borrow {found.may_borrow}"
    return f"queued in {name}: {_wants(gpus)}{room}"


def never_starts(cluster: Objects, local_queue: str, gpus: int) -> str | None:
    """Why a job would wait in this queue for ever; None: it would not. Raises ClusterError."""
    name, found = _queue(cluster, local_queue)
    if name is None:
        return _no_queue(local_queue)
    if found is None or gpus <= found.most:
        return None
    return f"{_wants(gpus)}, and its queue {name} never has more than {found.most}: submit it with fewer (--gpus)"


def _queue(cluster: Objects, local_queue: str) -> tuple[str | None, QueueGpus | None]:
    """Name and GPUs of the ClusterQueue behind a LocalQueue; no name without a LocalQueue."""
    local = cluster.find("LocalQueue", local_queue) if local_queue else None
    if local is None:
        return None, None
    name: str = local["spec"]["clusterQueue"]
    queue = cluster.find("ClusterQueue", name)
    return name, gpus_of(queue) if queue is not None else None


def _wants(gpus: int) -> str:
    return f"wants {gpus} GPU{'' if gpus == 1 else 's'}" if gpus else "wants no GPU"


def _no_queue(local_queue: str) -> str:
    return f"the namespace has no queue {local_queue or '(none named)'}: ask the administrator"


@dataclass(frozen=True)
class QueueGpus:
    """GPUs of one queue."""

    own: int
    used: int
    borrowed: int
    most_borrowed: int

    @property
    def free(self) -> int:
        """Of its own; those lent to others come back at once."""
        return max(0, self.own - self.used)

    @property
    def may_borrow(self) -> int:
        """Beyond what it has borrowed."""
        return max(0, self.most_borrowed - self.borrowed)

    @property
    def most(self) -> int:
        """With all that it may borrow."""
        return self.own + self.most_borrowed


def gpus_of(queue: Resource) -> QueueGpus | None:
    """The GPUs of a ClusterQueue; None if its quota covers none."""
    quotas = [
        resource
        for group in queue["spec"].get("resourceGroups", [])
        for flavour in group["flavors"]
        for resource in flavour["resources"]
        if resource["name"] == GPU
    ]
    used = [
        resource
        for flavour in queue.get("status", {}).get("flavorsUsage", [])
        for resource in flavour["resources"]
        if resource["name"] == GPU
    ]
    if not quotas:
        return None
    return QueueGpus(
        own=sum(int(quota["nominalQuota"]) for quota in quotas),
        used=sum(int(use.get("total", 0)) for use in used),
        borrowed=sum(int(use.get("borrowed", 0)) for use in used),
        most_borrowed=sum(int(quota.get("borrowingLimit", 0)) for quota in quotas),
    )


def starting(cluster: Objects, job: Resource) -> str:
    """`2 of 4 pods, gpu-2 pulling image`."""
    ray = job.get("status", {}).get("rayClusterName", "")
    wanted = nodes_of(job).pods + 1
    if not ray:
        return f"0 of {wanted} pods; the operator has not begun yet"
    pods = cluster.listed("Pod", labels=f"ray.io/cluster={ray}")
    ready = sum(_is_ready(pod) for pod in pods)
    waiting = [f"{_short(pod, ray)} {why}" for pod in pods if not _is_ready(pod) for why in _reasons(cluster, pod)]
    return ", ".join([f"{ready} of {wanted} pods", *waiting[:2]])


def _is_ready(pod: Resource) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _short(pod: Resource, ray: str) -> str:
    name: str = pod["metadata"]["name"]
    return name.removeprefix(f"{ray}-").replace("-worker", "") if name.startswith(ray) else name


def _reasons(cluster: Objects, pod: Resource) -> Iterator[str]:
    """Why a pod is not ready, in a few words; at most one."""
    status = pod.get("status", {})
    for c in status.get("conditions", []):
        if c["type"] == "PodScheduled" and c["status"] == "False":
            yield f"waits for a node ({c.get('message', c.get('reason', ''))})"
            return
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = container.get("state", {}).get("waiting")
        if waiting and waiting.get("reason") not in ("ContainerCreating", "PodInitializing", None):
            yield f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
            return
    events = cluster.listed("Event", fields=f"involvedObject.name={pod['metadata']['name']}")
    newest = max(events, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "", default={})
    yield "pulling image" if newest.get("reason") == "Pulling" else "starting"
