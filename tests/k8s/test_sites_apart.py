"""Two sites of one cluster keep each other out: accounts, network and queues of one name nothing of the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.k8s.conftest import K8S

Document = dict[str, Any]
Render = Callable[[Path], list[Document]]

HEAD = {"ray.io/is-ray-node": "yes", "ray.io/node-type": "head"}
WORKER = {"ray.io/is-ray-node": "yes", "ray.io/node-type": "worker"}
SUBMITTER = {"app.kubernetes.io/component": "submitter"}
PODS = {
    "head": HEAD,
    "worker": WORKER,
    "submitter": SUBMITTER,
    "retrain": {"lesionlab.org/reaches": "store"},
    "other": {},
}
PORTS = (443, 6379, 8080, 8265, 10001)


@pytest.fixture(scope="module")
def documents(render: Render) -> list[Document]:
    return render(K8S / "cluster")


def of(documents: list[Document], kind: str, namespace: str = "") -> Iterator[Document]:
    for document in documents:
        if document["kind"] == kind and document["metadata"].get("namespace", "") == namespace:
            yield document


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Of a selector with labels alone, which all of ours are; an absent one matches nothing."""
    if selector is None:
        return False
    assert selector.keys() <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= labels.items()


def admits(documents: list[Document], direction: str, own: str, pod: Mapping[str, str], there: str, port: int) -> bool:
    """Whether the policies of a namespace let one of its pods exchange packets with some pod of the other namespace."""
    policies = [
        policy["spec"] for policy in of(documents, "NetworkPolicy", own) if matches(policy["spec"]["podSelector"], pod)
    ]
    assert any(direction in policy["policyTypes"] for policy in policies), "nothing is denied"
    side = {"Ingress": "from", "Egress": "to"}[direction]
    for rule in (rule for policy in policies for rule in policy.get(direction.lower(), ())):
        if "ports" in rule and port not in {one["port"] for one in rule["ports"]}:
            continue
        for peer in rule.get(side, [{"ipBlock": {"cidr": "0.0.0.0/0"}}]):
            if "ipBlock" in peer or matches(peer.get("namespaceSelector"), {"kubernetes.io/metadata.name": there}):
                return True
    return False


@pytest.mark.parametrize("pod", PODS)
def test_no_pod_of_a_site_lets_a_pod_of_another_site_in(documents: list[Document], pod: str) -> None:
    """Whatever a pod may send: egress to the store is any address on port 443, on which nothing listens here."""
    sites = ("lesionlab-north", "lesionlab-south")
    for own, other in (sites, sites[::-1]):
        assert not any(admits(documents, "Ingress", own, PODS[pod], other, port) for port in PORTS)
        assert not any(admits(documents, "Egress", own, PODS[pod], other, port) for port in PORTS if port != 443)
    assert admits(documents, "Ingress", "lesionlab-north", HEAD, "ray-system", 8265), "KubeRay is let in"


@pytest.mark.parametrize("site", ["north", "south"])
def test_people_and_accounts_of_a_site_have_rights_in_its_namespace_alone(documents: list[Document], site: str) -> None:
    namespace = f"lesionlab-{site}"
    (shared,) = of(documents, "ClusterRole")
    (rule,) = shared["rules"]
    assert (rule["apiGroups"], set(rule["verbs"])) == (["kueue.x-k8s.io"], {"get", "list", "watch"}), "queues are shown"
    bound = [subject for binding in of(documents, "RoleBinding", namespace) for subject in binding["subjects"]]
    assert bound
    for subject in bound:
        assert subject.get("namespace", subject["name"]) == namespace
    for rule in (rule for role in of(documents, "Role", namespace) for rule in role["rules"]):
        assert "*" not in [*rule["resources"], *rule["verbs"], *rule["apiGroups"]]
        assert "secrets" not in rule["resources"]


@pytest.mark.parametrize("site", ["north", "south"])
def test_the_queue_of_a_site_takes_jobs_of_its_namespace_alone(documents: list[Document], site: str) -> None:
    namespace = f"lesionlab-{site}"
    (local,) = of(documents, "LocalQueue", namespace)
    assert local["spec"]["clusterQueue"] == site
    (queue,) = [d for d in of(documents, "ClusterQueue") if d["metadata"]["name"] == site]
    assert queue["spec"]["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
