"""The sites of a consortium in; the Kubernetes resources that give each a namespace, rights, network and quota out.

Each site has a namespace of its own, in which its people may start jobs and nothing else. Kueue lends idle GPUs of one
site to another and takes them back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from storage_schemas.sites import Consortium, Site

Resource = dict[str, Any]

OPERATORS, MONITORING = "ray-system", "monitoring"
"""Namespaces of KubeRay's operator and of Prometheus (`k8s/operators`)."""
QUEUE, FLAVOUR = "lesionlab", "gpu"
"""The queue of each namespace, and the one kind of node."""

AMPLE = {"cpu": 1000, "memory": "4000Gi", "ephemeral-storage": "9000Gi"}
"""Quota of what is not scarce: GPUs alone decide, but Kueue admits no pod that requests what no quota covers."""

JOBS_AT_ONCE = 100
"""RayJobs that a namespace may hold, finished ones too: more are a mistake in somebody's loop."""

STORE_PORT, DNS_PORT, DASHBOARD_PORT, METRICS_PORT = 443, 53, 8265, 8080

_LABELS = {"app.kubernetes.io/name": "lesionlab", "app.kubernetes.io/managed-by": "lesionlab"}
_NODES = {"ray.io/is-ray-node": "yes"}
_STORE_JOBS = {"lesionlab.org/reaches": "store"}
"""Pods of jobs without Ray: contributing, retraining."""


def namespace_of(site: str) -> str:
    """The namespace of a site."""
    return f"lesionlab-{site}"


def shared_resources(consortium: Consortium) -> list[Resource]:
    """What all sites share, without Kueue: priorities, and the right to see the queues."""
    readers = [_group(site) for site in consortium.sites]
    return [
        _priority(
            "lesionlab-head", 1000, "Heads of Ray clusters: losing one loses the work since the last checkpoints."
        ),
        _priority("lesionlab-work", 100, "Workers: what they lose is resumed."),
        _named("rbac.authorization.k8s.io/v1", "ClusterRole", "lesionlab-queues")
        | {"rules": [_rule("kueue.x-k8s.io", ["clusterqueues", "cohorts", "workloadpriorityclasses"], _READ)]},
        _binding("ClusterRole", "lesionlab-queues", "lesionlab-queues", readers, cluster=True),
    ]


def queue_resources(consortium: Consortium) -> list[Resource]:
    """Kueue's part: one cohort, a queue and its quota for each site, two priorities."""
    return [
        _kueue("ResourceFlavor", FLAVOUR, {}),
        _kueue("Cohort", consortium.consortium, {}),
        _kueue("WorkloadPriorityClass", "lesionlab-normal") | {"value": 0, "description": "Every job."},
        _kueue("WorkloadPriorityClass", "lesionlab-urgent")
        | {"value": 100, "description": "Goes before the site's other jobs; never takes what another site owns."},
        *(_cluster_queue(consortium.consortium, name, site) for name, site in consortium.sites.items()),
        *(_kueue("LocalQueue", QUEUE, {"clusterQueue": name}, namespace_of(name)) for name in consortium.sites),
    ]


def site_resources(name: str, site: Site) -> list[Resource]:
    """What one site has to itself: namespace, accounts, rights, network, quota, protection of its heads."""
    space = namespace_of(name)
    account = {"automountServiceAccountToken": False}
    return [
        _namespace(space, name),
        _named("v1", "ServiceAccount", "lesionlab", space)
        | account
        | {"imagePullSecrets": [{"name": "lesionlab-registry"}]},
        _named("v1", "ServiceAccount", "lesionlab-autoscaler", space)
        | account
        | {"imagePullSecrets": [{"name": "lesionlab-registry"}]},
        *_rights(space, name),
        *_network(space),
        _named("v1", "ResourceQuota", "lesionlab", space) | {"spec": {"hard": _hard(site)}},
        _named("policy/v1", "PodDisruptionBudget", "lesionlab-head", space)
        | {"spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"ray.io/node-type": "head"}}}},
    ]


def _cluster_queue(cohort: str, name: str, site: Site) -> Resource:
    gpus = {"name": "nvidia.com/gpu", "nominalQuota": site.gpus, "borrowingLimit": site.borrows}
    quotas = [{"name": resource, "nominalQuota": amount} for resource, amount in AMPLE.items()]
    return _kueue(
        "ClusterQueue",
        name,
        {
            "cohortName": cohort,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace_of(name)}},
            # A site gets back at once what it lent; within a site only a higher priority goes before.
            "preemption": {"reclaimWithinCohort": "Any", "withinClusterQueue": "LowerPriority"},
            "resourceGroups": [
                {
                    "coveredResources": [*AMPLE, "nvidia.com/gpu"],
                    "flavors": [{"name": FLAVOUR, "resources": [*quotas, gpus | {"lendingLimit": site.lent}]}],
                }
            ],
        },
    )


def _namespace(space: str, site: str) -> Resource:
    guard = {
        f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")
    }  # Kubernetes refuses a pod that the standard forbids
    found = _named("v1", "Namespace", space)
    found["metadata"]["labels"] = _LABELS | {"lesionlab.org/site": site} | guard
    return found


def _rights(space: str, site: str) -> Iterator[Resource]:
    """People of the site start, see and end jobs; they read no Secret. The autoscaler sees and resizes clusters."""
    role = "rbac.authorization.k8s.io/v1", "Role"
    yield _named(*role, "lesionlab-user", space) | {
        "rules": [
            _rule("ray.io", ["rayjobs"], [*_READ, "create", "patch", "delete"]),
            _rule("ray.io", ["rayclusters"], _READ),
            _rule("kueue.x-k8s.io", ["workloads", "localqueues"], _READ),
            _rule("", ["pods", "events", "configmaps"], _READ),
        ]
    }
    yield _binding("Role", "lesionlab-user", "lesionlab-user", [_group(site)], space)
    yield _named(*role, "lesionlab-autoscaler", space) | {
        "rules": [_rule("", ["pods"], _READ), _rule("ray.io", ["rayclusters"], ["get", "patch"])]
    }
    account = {"kind": "ServiceAccount", "name": "lesionlab-autoscaler", "namespace": space}
    yield _binding("Role", "lesionlab-autoscaler", "lesionlab-autoscaler", [account], space)


def _network(space: str) -> Iterator[Resource]:
    """Nothing may be reached but what a job needs: names, the store, its own nodes; by the operator and Prometheus."""
    submitter = {"app.kubernetes.io/component": "submitter"}
    head = {"ray.io/node-type": "head"}
    yield _policy(space, "deny-all", {}, ingress=[], egress=[])
    yield _policy(space, "names", {}, egress=[_to(_in_namespace("kube-system"), DNS_PORT, "UDP", "TCP")])
    yield _policy(space, "store", _NODES, egress=[_to({"ipBlock": {"cidr": "0.0.0.0/0"}}, STORE_PORT)])
    yield _policy(space, "store-jobs", _STORE_JOBS, egress=[_to({"ipBlock": {"cidr": "0.0.0.0/0"}}, STORE_PORT)])
    yield _policy(
        space, "nodes", _NODES, ingress=[{"from": [_pods(_NODES)]}], egress=[{"to": [_pods(_NODES)]}]
    )  # Ray's ports between nodes are not fixed
    yield _policy(space, "submitter", submitter, egress=[_to(_pods(head), DASHBOARD_PORT)])
    yield _policy(
        space,
        "head",
        head,
        ingress=[_from(_pods(submitter), DASHBOARD_PORT), _from(_in_namespace(OPERATORS), DASHBOARD_PORT)],
    )
    yield _policy(space, "metrics", _NODES, ingress=[_from(_in_namespace(MONITORING), METRICS_PORT)])


def _hard(site: Site) -> dict[str, str]:
    return {
        "count/rayjobs.ray.io": str(JOBS_AT_ONCE),
        "requests.nvidia.com/gpu": str(site.gpus + site.borrows),
    }


_READ = ["get", "list", "watch"]


def _named(version: str, kind: str, name: str, space: str | None = None) -> Resource:
    metadata: Resource = {"name": name} | ({"namespace": space} if space else {}) | {"labels": dict(_LABELS)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _kueue(kind: str, name: str, spec: Resource | None = None, space: str | None = None) -> Resource:
    own = _named("kueue.x-k8s.io/v1beta2", kind, name, space)
    return own if spec is None else own | {"spec": spec}


def _priority(name: str, value: int, why: str) -> Resource:
    return _named("scheduling.k8s.io/v1", "PriorityClass", name) | {
        "value": value,
        "globalDefault": False,
        "preemptionPolicy": "Never",
        "description": why,
    }


def _rule(group: str, resources: list[str], verbs: list[str]) -> Resource:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def _group(site: str) -> Resource:
    """The people of a site, as the identity provider of the cluster names their group."""
    return {"kind": "Group", "name": namespace_of(site), "apiGroup": "rbac.authorization.k8s.io"}


def _binding(
    kind: str, role: str, name: str, subjects: list[Resource], space: str | None = None, *, cluster: bool = False
) -> Resource:
    own = _named("rbac.authorization.k8s.io/v1", "ClusterRoleBinding" if cluster else "RoleBinding", name, space)
    return own | {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": subjects,
    }


def _policy(space: str, name: str, pods: dict[str, str], **flows: list[Resource]) -> Resource:
    return _named("networking.k8s.io/v1", "NetworkPolicy", name, space) | {
        "spec": {
            "podSelector": {"matchLabels": pods} if pods else {},
            "policyTypes": [flow.capitalize() for flow in flows],
            **{flow: rules for flow, rules in flows.items() if rules},
        }
    }


def _pods(labels: dict[str, str]) -> Resource:
    return {"podSelector": {"matchLabels": labels}}


def _in_namespace(name: str) -> Resource:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _to(peer: Resource, port: int, *protocols: str) -> Resource:
    return {"to": [peer], "ports": [{"protocol": protocol, "port": port} for protocol in protocols or ("TCP",)]}


def _from(peer: Resource, port: int) -> Resource:
    return {"from": [peer], "ports": [{"protocol": "TCP", "port": port}]}
