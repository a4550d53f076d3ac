"""The template of a namespace and a submission in; the RayJob that does the submission's work out.

A site's administrator applies the template (`k8s/jobs/work`): image, store, nodes, taints and secrets are in it. A
submission adds its id and the number of GPUs. Nothing that a user wrote reaches the entrypoint, which KubeRay gives
to a shell.
"""

from __future__ import annotations

import copy
import math
import re
from dataclasses import dataclass
from typing import Any

from lesionlab.errors import InputError
from storage_schemas.base import Digest

Resource = dict[str, Any]

TEMPLATE = "lesionlab-work"
"""Name of the template in every namespace."""
QUEUE_ANNOTATION, PRIORITY_ANNOTATION = "lesionlab.org/queue", "lesionlab.org/priority"
"""On the template: the queue and the priority of its copies. Absent: the copies start without a queue."""
QUEUE_LABEL, PRIORITY_LABEL = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class"
SUBMISSION_LABEL = "lesionlab.org/submission"
GPU = "nvidia.com/gpu"

_KEPT_BY_THE_SERVER = "kubectl.kubernetes.io/"
_SPARE_GI = 4
"""Disk of a node beside its volumes: the container's own layer and its logs."""


@dataclass(frozen=True)
class Nodes:
    """The worker nodes of a job."""

    pods: int
    gpus_per_pod: int

    @property
    def gpus(self) -> int:
        return self.pods * self.gpus_per_pod


def job_name(submission: Digest, attempt: int) -> str:
    """The same for the same attempt, so that applying a job twice makes one."""
    return f"lesionlab-{submission}" + (f"-{attempt}" if attempt > 1 else "")


def nodes_of(job: Resource) -> Nodes:
    """The worker nodes that a template or job asks for."""
    group = _workers(job)
    limits = _container(group)["resources"]["limits"]
    return Nodes(int(group.get("maxReplicas") or group.get("replicas") or 1), int(limits.get(GPU, 0)))


def job_for(
    template: Resource,
    submission: Digest,
    attempt: int,
    *,
    experiment: str,
    gpus: int | None = None,
    cache_gi: int | None = None,
) -> Resource:
    """The job of one attempt at a submission.

    `gpus`: on all nodes together. `cache_gi`: GiB of each node's cache of volumes. None: as in the template.

    Raises InputError if the template is none, or has no such nodes.
    """
    _check(template)
    job = _copied(template)
    metadata = job["metadata"]
    queue, priority = (metadata["annotations"].get(name) for name in (QUEUE_ANNOTATION, PRIORITY_ANNOTATION))
    metadata["name"] = job_name(submission, attempt)
    metadata["labels"] |= {"app.kubernetes.io/component": "work", SUBMISSION_LABEL: submission}
    metadata["labels"] |= {QUEUE_LABEL: queue} if queue else {}
    metadata["labels"] |= {PRIORITY_LABEL: priority} if priority and queue else {}
    metadata["annotations"]["lesionlab.org/experiment"] = experiment
    job["spec"]["entrypoint"] = f"python -m jobs.work {submission}"
    job["spec"]["suspend"] = bool(queue)
    if gpus is not None:
        _give_gpus(job, gpus)
    if cache_gi is not None:
        _size_cache(job, cache_gi)
    return job


def _check(template: Resource) -> None:
    spec = template.get("spec", {})
    groups = spec.get("rayClusterSpec", {}).get("workerGroupSpecs", [])
    if template.get("kind") != "RayJob" or len(groups) != 1:
        raise InputError(
            f"template {TEMPLATE}: wanted a RayJob with one group of workers, found a {template.get('kind')} with "
            f"{len(groups)}; the cluster's administrator applies it from k8s/overlays"
        )


def _copied(template: Resource) -> Resource:
    """Without what the server and kubectl wrote into it."""
    found = template["metadata"]
    annotations = found.get("annotations", {})
    return {
        "apiVersion": template["apiVersion"],
        "kind": "RayJob",
        "metadata": {
            **({"namespace": found["namespace"]} if "namespace" in found else {}),
            "labels": dict(found.get("labels", {})),
            "annotations": {k: v for k, v in annotations.items() if not k.startswith(_KEPT_BY_THE_SERVER)},
        },
        "spec": copy.deepcopy(template["spec"]),
    }


def _give_gpus(job: Resource, gpus: int) -> None:
    """Whole nodes of the template, or one smaller node with its share of CPUs and memory."""
    there = nodes_of(job).gpus_per_pod
    group = _workers(job)
    if not there:
        raise InputError(
            f"--gpus {gpus}: the nodes of this namespace's template have no GPU; leave the option out, or ask the "
            "administrator for an overlay with the component gpu"
        )
    if gpus > there and gpus % there:
        raise InputError(f"--gpus {gpus}: wanted whole nodes of {there} GPUs, or fewer than {there}")
    pods = math.ceil(gpus / there)
    if gpus < there:
        resources = _container(group)["resources"]
        for amounts in (resources["requests"], resources["limits"]):
            for name in ("cpu", "memory", GPU):
                amounts[name] = _share(amounts[name], gpus / there)
    elastic = job["spec"]["rayClusterSpec"].get("enableInTreeAutoscaling", False)
    group |= {"replicas": pods, "maxReplicas": pods, "minReplicas": group["minReplicas"] if elastic else pods}


def _share(quantity: str, part: float) -> str:
    """A part of a whole quantity such as `32` or `128Gi`, at least 1."""
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]*)", str(quantity)).groups()  # type: ignore[union-attr]
    return f"{max(1, round(int(number) * part))}{unit}"


def _size_cache(job: Resource, cache_gi: int) -> None:
    group = _workers(job)
    volumes = {v["name"]: v["emptyDir"] for v in group["template"]["spec"]["volumes"] if "emptyDir" in v}
    if "cache" not in volumes:
        return
    volumes["cache"]["sizeLimit"] = f"{cache_gi}Gi"
    on_disk = [v["sizeLimit"] for v in volumes.values() if v.get("medium") != "Memory" and "sizeLimit" in v]
    disk = sum(int(size.removesuffix("Gi")) for size in on_disk) + _SPARE_GI
    resources = _container(group)["resources"]
    for amounts in (resources["requests"], resources["limits"]):
        amounts["ephemeral-storage"] = f"{disk}Gi"


def _workers(job: Resource) -> Resource:
    group: Resource = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    return group


def _container(group: Resource) -> Resource:
    container: Resource = group["template"]["spec"]["containers"][0]
    return container
