"""Find faults of a rendered RayJob that the CRD's schema cannot detect, one sentence each; one function per rule.

The limits are those of KubeRay 1.7 (its `validation.go`) and Kueue 0.19, which fail silently or only at run time; the
last rules are our own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Document = Mapping[str, Any]
Rule = Callable[[Document], Iterator[str]]

LONGEST_NAME = {"RayCluster": 53, "RayJob": 47, "RayCronJob": 36}
QUEUE = "kueue.x-k8s.io/queue-name"
GPU = "nvidia.com/gpu"
ELASTIC = "kueue.x-k8s.io/elastic-job"
MOST_WORKER_GROUPS = 17
RAY_START_RESOURCES = {"num-cpus", "num-gpus", "memory", "resources"}
REDIS_VARIABLES = {"RAY_REDIS_ADDRESS", "REDIS_PASSWORD", "REDIS_USERNAME", "RAY_external_storage_namespace"}


def cluster(job: Document) -> Document:
    """The RayCluster that this job creates; empty if it selects a running one."""
    spec = job["spec"]["jobTemplate"] if job["kind"] == "RayCronJob" else job["spec"]
    found: Document = spec.get("rayClusterSpec", {})
    return found


def groups(job: Document) -> dict[str, Document]:
    """Head and workers by name."""
    workers = {group["groupName"]: group for group in cluster(job).get("workerGroupSpecs", [])}
    return {"head group": cluster(job)["headGroupSpec"], **workers} if cluster(job) else {}


def pod_templates(job: Document) -> dict[str, Document]:
    """Every pod of this job by its role; the submitter only if the job declares its own."""
    templates = {name: group["template"] for name, group in groups(job).items()}
    if "submitterPodTemplate" in job["spec"]:
        templates["submitter"] = job["spec"]["submitterPodTemplate"]
    return templates


def name_is_short_enough(job: Document) -> Iterator[str]:
    """KubeRay appends to names; names must be DNS-1035 to stay valid for its Services."""
    name, longest = job["metadata"]["name"], LONGEST_NAME[job["kind"]]
    if len(name) > longest:
        yield f"name {name}: {len(name)} characters, at most {longest} for a {job['kind']}"
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        yield f"name {name}: not DNS-1035 (lower-case letters, digits and '-', a letter first)"


def cluster_is_deleted_with_its_job(job: Document) -> Iterator[str]:
    """Time to live, suspension and Kueue all delete the cluster; deletion rules are the alternative."""
    spec = job["spec"]
    shuts_down = spec.get("shutdownAfterJobFinishes", False)
    if "deletionRules" in spec.get("deletionStrategy", {}):
        if shuts_down:
            yield "deletionStrategy.deletionRules: cannot be combined with shutdownAfterJobFinishes"
    elif not shuts_down:
        for field in ("ttlSecondsAfterFinished", "suspend"):
            if spec.get(field):
                yield f"{field}: needs shutdownAfterJobFinishes: true"
    if not shuts_down:
        yield "shutdownAfterJobFinishes: wanted true, because Kueue frees the quota only when the cluster is deleted"


def job_has_its_own_cluster(job: Document) -> Iterator[str]:
    """A job on an existing cluster silently bypasses its queue's quota and cannot be retried."""
    if "clusterSelector" in job["spec"]:
        yield "clusterSelector: bypasses Kueue's quota and cannot be retried; give rayClusterSpec"


def job_has_deadlines(job: Document) -> Iterator[str]:
    """The second deadline ends jobs that hang before they run, for example because a Secret is missing."""
    for field in ("activeDeadlineSeconds", "preRunningDeadlineSeconds"):
        if job["spec"].get(field, 0) < 1:
            yield f"{field}: wanted at least 1"


def ray_requires_a_token(job: Document) -> Iterator[str]:
    """By default KubeRay starts Ray without authentication: anyone who reaches the dashboard can run code."""
    if cluster(job).get("authOptions", {}).get("mode") != "token":
        yield "authOptions.mode: wanted token"
    version = cluster(job).get("rayVersion", "0.0")
    if tuple(map(int, version.split(".")[:2])) < (2, 52):
        yield f"rayVersion {version}: token authentication needs 2.52"


def resources_are_given_once(job: Document) -> Iterator[str]:
    """KubeRay refuses a group that gives resources in both ways."""
    for name, group in groups(job).items():
        twice = RAY_START_RESOURCES & set(group.get("rayStartParams", {}))
        if twice and group.get("resources"):
            yield f"{name}: resources, and rayStartParams {', '.join(sorted(twice))}; use one of the two"


def head_computes_nothing(job: Document) -> Iterator[str]:
    """Work on the head can starve Ray's control store; drivers have their own resource."""
    head = cluster(job).get("headGroupSpec", {})
    cpus = head.get("resources", {}).get("CPU", head.get("rayStartParams", {}).get("num-cpus"))
    if head and cpus != "0":
        yield f"head group: CPU: wanted '0', found {cpus}"


def worker_groups_are_bounded(job: Document) -> Iterator[str]:
    """Without the autoscaler both bounds are needed; two fields exist only with autoscaler v2."""
    version = cluster(job).get("autoscalerOptions", {}).get("version")
    for group in cluster(job).get("workerGroupSpecs", []):
        if not cluster(job).get("enableInTreeAutoscaling") and not {"minReplicas", "maxReplicas"} <= set(group):
            yield f"{group['groupName']}: minReplicas and maxReplicas are needed"
        for field in sorted({"idleTimeoutSeconds", "priority"} & set(group)):
            if version != "v2":
                yield f"{group['groupName']}: {field} needs autoscalerOptions.version: v2"


def redis_has_its_own_options(job: Document) -> Iterator[str]:
    """The environment variables enable fault tolerance only partially: KubeRay then cleans up nothing."""
    for name, template in pod_templates(job).items():
        for container in template["spec"]["containers"]:
            for variable in container.get("env", []):
                if variable["name"] in REDIS_VARIABLES:
                    yield f"{name}: {variable['name']}: use gcsFaultToleranceOptions"


def kueue_can_admit_it(job: Document) -> Iterator[str]:
    """Kueue names the head's pods `head` and limits the number of groups."""
    metadata, workers = job["metadata"], cluster(job).get("workerGroupSpecs", [])
    if not metadata.get("labels", {}).get(QUEUE):
        yield f"label {QUEUE}: missing; the job would run outside every quota"
    if any(group["groupName"] == "head" for group in workers):
        yield "worker group head: the name is taken by Kueue"
    if len(workers) > MOST_WORKER_GROUPS:
        yield f"{len(workers)} worker groups: at most {MOST_WORKER_GROUPS}"
    if cluster(job).get("enableInTreeAutoscaling") and metadata.get("annotations", {}).get(ELASTIC) != "true":
        yield f'enableInTreeAutoscaling: needs the annotation {ELASTIC}: "true"'


def pods_have_a_grace_period(job: Document) -> Iterator[str]:
    """KubeRay sets none; Kubernetes' default of 30 s is too short to write a checkpoint."""
    for name, template in pod_templates(job).items():
        if name != "submitter" and template["spec"].get("terminationGracePeriodSeconds", 0) < 60:
            yield f"{name}: terminationGracePeriodSeconds: wanted at least 60"


def heads_and_workers_are_apart(job: Document) -> Iterator[str]:
    """A head on a spot node takes the whole cluster with it."""
    for name, template in pod_templates(job).items():
        tolerated = {found.get("key") for found in template["spec"].get("tolerations", [])}
        if name in ("head group", "submitter") and tolerated:
            yield f"{name}: tolerates {', '.join(map(str, tolerated))}; only workers may run on tainted nodes"


def pods_are_unprivileged(job: Document) -> Iterator[str]:
    """Requirements of Kubernetes' Pod Security Standard `restricted`."""
    for name, template in pod_templates(job).items():
        pod = template["spec"].get("securityContext", {})
        if pod.get("runAsNonRoot") is not True:
            yield f"{name}: runAsNonRoot: wanted true"
        if pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name}: seccompProfile: wanted RuntimeDefault"
        for container in template["spec"]["containers"]:
            own = container.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{name}: {container['name']}: wanted no privilege escalation and no capabilities"
            if own.get("readOnlyRootFilesystem") is not True:
                yield f"{name}: {container['name']}: readOnlyRootFilesystem: wanted true"


def containers_declare_resources(job: Document) -> Iterator[str]:
    """Kueue counts requests, but Ray takes a node's size from the limits: they must be equal on a Ray node."""
    for name, template in pod_templates(job).items():
        for container in template["spec"]["containers"]:
            resources = container.get("resources", {})
            requests, limits = resources.get("requests", {}), resources.get("limits", {})
            if not {"cpu", "memory"} <= set(requests) & set(limits):
                yield f"{name}: {container['name']}: requests and limits of cpu and memory are needed"
            elif name != "submitter" and requests != limits:
                yield f"{name}: {container['name']}: requests and limits differ"
            for resource in {*requests, *limits} & {GPU}:
                if requests.get(resource) != limits.get(resource):
                    yield f"{name}: {container['name']}: {resource}: requests and limits differ"


def mounts_lead_somewhere(job: Document) -> Iterator[str]:
    """Kubernetes refuses a mount without a volume; a volume without a mount is a mistake that it does not see."""
    for name, template in pod_templates(job).items():
        volumes = {volume["name"] for volume in template["spec"].get("volumes", [])}
        mounted = {
            mount["name"] for container in template["spec"]["containers"] for mount in container.get("volumeMounts", [])
        }
        for volume in sorted(volumes ^ mounted):
            yield f"{name}: {volume}: wanted a volume and a mount of this name"


def images_are_pinned(job: Document) -> Iterator[str]:
    """`latest`, or no tag at all, runs another code on each node."""
    for name, template in pod_templates(job).items():
        for container in template["spec"]["containers"]:
            _, _, tag = container["image"].rpartition("/")[2].partition(":")
            if "@sha256:" not in container["image"] and tag in ("", "latest"):
                yield f"{name}: image {container['image']}: wanted a tag of a release, or a digest"


def secrets_are_references(document: Document) -> Iterator[str]:
    """Whoever reads the manifest, or may list jobs, would read the secret."""
    if document["kind"] == "Secret":
        yield f"Secret {document['metadata']['name']}: belongs to the administrator, not into git"
    for where, name, value in _named_values(document, document["kind"]):
        if re.search(r"SECRET|TOKEN|PASSWORD|ACCESS_KEY|CREDENTIAL", name, re.IGNORECASE) and value:
            yield f"{where}: {name}: a secret in clear; take it from a Secret"


def _named_values(part: Any, where: str) -> Iterator[tuple[str, str, Any]]:
    """Environment variables and the data of ConfigMaps: place, name and value."""
    if isinstance(part, Mapping):
        if "value" in part and isinstance(part.get("name"), str):
            yield where, part["name"], part["value"]
        for name, inner in part.items():
            if where == "ConfigMap" and name == "data":
                yield from ((where, key, value) for key, value in inner.items())
            yield from _named_values(inner, f"{where}.{name}")
    elif isinstance(part, list):
        for index, inner in enumerate(part):
            yield from _named_values(inner, f"{where}[{index}]")


RULES: tuple[Rule, ...] = (
    name_is_short_enough,
    cluster_is_deleted_with_its_job,
    job_has_its_own_cluster,
    job_has_deadlines,
    ray_requires_a_token,
    resources_are_given_once,
    head_computes_nothing,
    worker_groups_are_bounded,
    redis_has_its_own_options,
    kueue_can_admit_it,
    pods_have_a_grace_period,
    pods_are_unprivileged,
    containers_declare_resources,
    heads_and_workers_are_apart,
    mounts_lead_somewhere,
    images_are_pinned,
    secrets_are_references,
)


def faults(job: Document) -> list[str]:
    """All faults found by all rules."""
    return [fault for rule in RULES for fault in rule(job)]
