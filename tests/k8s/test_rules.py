"""Each rule finds the fault in the document made for it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lesionlab.clusters.work_jobs import job_for
from tests.k8s import rules

Job = dict[str, Any]
BASE = Path(__file__).parents[2] / "k8s" / "jobs" / "work" / "rayjob.yaml"


def ray(job: Job) -> Any:
    return job["spec"]["rayClusterSpec"]


def head(job: Job) -> Any:
    return ray(job)["headGroupSpec"]


def workers(job: Job) -> Any:
    return ray(job)["workerGroupSpecs"]


def ray_container(group: Any) -> Any:
    return group["template"]["spec"]["containers"][0]


def submitter(job: Job) -> Any:
    return job["spec"]["submitterPodTemplate"]["spec"]["containers"][0]


def redis_by_variable(job: Job) -> None:
    ray_container(head(job))["env"] = [{"name": "RAY_REDIS_ADDRESS", "value": "redis:6379"}]


def secret_by_variable(job: Job) -> None:
    ray_container(head(job))["env"] = [{"name": "AWS_SECRET_ACCESS_KEY", "value": "abc"}]


def retried_on_a_shared_cluster(job: Job) -> None:
    job["spec"] |= {"clusterSelector": {"ray.io/cluster": "shared"}, "backoffLimit": 2}


def deletion_rules(job: Job) -> None:
    job["spec"]["deletionStrategy"] = {"deletionRules": []}


def cluster_stays(job: Job) -> None:
    job["spec"]["shutdownAfterJobFinishes"] = False


def suspended_cluster_stays(job: Job) -> None:
    del job["spec"]["ttlSecondsAfterFinished"]
    job["spec"] |= {"suspend": True, "shutdownAfterJobFinishes": False}


BROKEN: list[tuple[rules.Rule, Callable[[Job], object], str]] = [
    (rules.name_is_short_enough, lambda job: job["metadata"].update(name="a" * 48), "at most 47"),
    (rules.name_is_short_enough, lambda job: job["metadata"].update(name="2nd-sweep"), "DNS-1035"),
    (rules.cluster_is_deleted_with_its_job, cluster_stays, "ttlSecondsAfterFinished: needs"),
    (rules.cluster_is_deleted_with_its_job, suspended_cluster_stays, "suspend: needs"),
    (rules.cluster_is_deleted_with_its_job, deletion_rules, "cannot be combined"),
    (
        rules.job_has_its_own_cluster,
        lambda job: job["spec"].update(clusterSelector={"ray.io/cluster": "shared"}),
        "bypasses",
    ),
    (rules.job_has_its_own_cluster, retried_on_a_shared_cluster, "cannot be retried"),
    (rules.job_has_deadlines, lambda job: job["spec"].pop("activeDeadlineSeconds"), "activeDeadlineSeconds"),
    (rules.job_has_deadlines, lambda job: job["spec"].update(preRunningDeadlineSeconds=0), "preRunning"),
    (rules.ray_requires_a_token, lambda job: ray(job).pop("authOptions"), "wanted token"),
    (rules.ray_requires_a_token, lambda job: ray(job).update(rayVersion="2.51.1"), "needs 2.52"),
    (rules.resources_are_given_once, lambda job: head(job)["rayStartParams"].update({"num-cpus": "0"}), "one of the"),
    (rules.head_computes_nothing, lambda job: head(job)["resources"].pop("CPU"), "wanted '0'"),
    (rules.worker_groups_are_bounded, lambda job: workers(job)[0].pop("minReplicas"), "minReplicas"),
    (rules.worker_groups_are_bounded, lambda job: workers(job)[0].update(idleTimeoutSeconds=60), "version: v2"),
    (rules.worker_groups_are_bounded, lambda job: workers(job)[0].update(priority=1), "priority needs"),
    (rules.redis_has_its_own_options, redis_by_variable, "gcsFaultToleranceOptions"),
    (rules.kueue_can_admit_it, lambda job: job["metadata"]["labels"].pop(rules.QUEUE), "outside every quota"),
    (rules.kueue_can_admit_it, lambda job: workers(job)[0].update(groupName="head"), "taken by Kueue"),
    (rules.kueue_can_admit_it, lambda job: workers(job).extend(workers(job) * 17), "at most 17"),
    (rules.kueue_can_admit_it, lambda job: ray(job).update(enableInTreeAutoscaling=True), "elastic"),
    (
        rules.pods_have_a_grace_period,
        lambda job: workers(job)[0]["template"]["spec"].pop("terminationGracePeriodSeconds"),
        "at least 60",
    ),
    (rules.pods_are_unprivileged, lambda job: head(job)["template"]["spec"].pop("securityContext"), "runAsNonRoot"),
    (rules.pods_are_unprivileged, lambda job: ray_container(head(job)).pop("securityContext"), "escalation"),
    (rules.containers_declare_resources, lambda job: ray_container(head(job)).pop("resources"), "are needed"),
    (
        rules.containers_declare_resources,
        lambda job: ray_container(workers(job)[0])["resources"]["limits"].update(cpu="16"),
        "differ",
    ),
    (
        rules.containers_declare_resources,
        lambda job: submitter(job)["resources"]["limits"].update({rules.GPU: "1"}),
        "nvidia.com/gpu: requests and limits differ",
    ),
    (
        rules.pods_are_unprivileged,
        lambda job: submitter(job)["securityContext"].update(readOnlyRootFilesystem=False),
        "readOnlyRootFilesystem",
    ),
    (
        rules.heads_and_workers_are_apart,
        lambda job: head(job)["template"]["spec"].update(tolerations=[{"key": "spot", "operator": "Exists"}]),
        "only workers",
    ),
    (rules.mounts_lead_somewhere, lambda job: submitter(job)["volumeMounts"].pop(), "home: wanted a volume"),
    (rules.images_are_pinned, lambda job: submitter(job).update(image="registry:5000/lesionlab"), "wanted a tag"),
    (rules.images_are_pinned, lambda job: submitter(job).update(image="lesionlab:latest"), "wanted a tag"),
    (rules.secrets_are_references, secret_by_variable, "AWS_SECRET_ACCESS_KEY: a secret in clear"),
]
"""The rules of KubeRay and Kueue that no schema holds, then our own: a job that breaks each, and what is said."""


@pytest.mark.parametrize(("kind", "longest"), rules.LONGEST_NAME.items())
def test_each_kind_has_its_longest_name(kind: str, longest: int) -> None:
    """KubeRay appends to it, and Services have at most 63 characters."""
    document = {"kind": kind, "metadata": {"name": "a" * longest}, "spec": {}}
    assert list(rules.name_is_short_enough(document)) == []
    document["metadata"] = {"name": "a" * (longest + 1)}
    assert len(list(rules.name_is_short_enough(document))) == 1


@pytest.fixture
def sound() -> Job:
    template: Job = yaml.safe_load(BASE.read_text().replace("image: lesionlab", "image: lesionlab:1.0"))
    template["metadata"]["annotations"] = {"lesionlab.org/queue": "lesionlab"}
    return job_for(template, "0123456789abcdef", 1, experiment="demo")


def test_the_base_follows_every_rule(sound: Job) -> None:
    assert rules.faults(sound) == []


@pytest.mark.parametrize(
    ("rule", "break_it", "says"), BROKEN, ids=[f"{rule.__name__}-{says}" for rule, _, says in BROKEN]
)
def test_a_rule_reports_the_document_that_breaks_it(
    sound: Job, rule: rules.Rule, break_it: Callable[[Job], object], says: str
) -> None:
    broken = copy.deepcopy(sound)
    break_it(broken)
    found = list(rule(broken))
    assert any(says in fault for fault in found), found


def test_every_rule_has_a_document_that_breaks_it() -> None:
    assert {rule for rule, _, _ in BROKEN} == set(rules.RULES)
