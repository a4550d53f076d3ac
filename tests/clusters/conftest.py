"""A consortium's namespaces and queues in an emulated cluster, from the manifests that are in git."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lesionlab.clusters.site_resources import queue_resources
from lesionlab.experiments.sites_file import read_sites
from tests.clusters.emulator import KINDS, Api, User, kubeconfig, serving
from tests.clusters.laptop import NORTH, SOUTH, Site, use
from tests.drill.experiment import store_cohorts
from tests.k8s.schemas import schema_faults_of

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
CRDS = Path(os.environ.get("LESIONLAB_CRDS", SHARED / "crds"))
TRACES = Path(os.environ.get("LESIONLAB_TRACES", SHARED / "traces"))


def trace(name: str) -> Path:
    """A recorded trace, or a skip."""
    if not (TRACES / name).is_file():
        pytest.skip(f"no recorded trace at {TRACES / name}: name the folder with LESIONLAB_TRACES")
    return TRACES / name


def validate(document: dict[str, Any]) -> list[str]:
    """Faults of a custom resource; none where the schemas are not at hand, so that the rest of the tests runs."""
    if "." not in document.get("apiVersion", "") or not CRDS.is_dir() or document["kind"] == "Workload":
        return []
    return schema_faults_of({**document, "metadata": {}}, CRDS)


def consortium(queues: list[dict[str, Any]]) -> Api:
    """An emulated cluster with two sites' namespaces and these queues."""
    api = Api(validate=validate)
    api.users |= {"north": User("anna@north", frozenset({NORTH})), "south": User("ben@south", frozenset({SOUTH}))}
    for name in (NORTH, SOUTH):
        api.put("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    plurals = {kind: plural for plural, (_, _, kind) in KINDS.items()}
    for queue in queues:
        if queue["kind"] in ("LocalQueue", "ClusterQueue"):
            api.put(plurals[queue["kind"]], queue, queue["metadata"].get("namespace"))
    api.oldest = api.version
    return api


@pytest.fixture
def api() -> Api:
    """The consortium of `k8s/sites.yaml`."""
    return consortium(queue_resources(read_sites(ROOT / "k8s" / "sites.yaml")))


@pytest.fixture(scope="session")
def base() -> dict[str, Any]:
    """The template as it is in git, in a queue, with nodes of four GPUs."""
    template: dict[str, Any] = yaml.safe_load((ROOT / "k8s" / "jobs" / "work" / "rayjob.yaml").read_text())
    template["metadata"] |= {"namespace": NORTH, "annotations": {"lesionlab.org/queue": "lesionlab"}}
    resources = template["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0][
        "resources"
    ]
    for amounts in resources.values():
        amounts["nvidia.com/gpu"] = "4"
    return template


@pytest.fixture
def site(
    api: Api, base: dict[str, Any], s3_store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """Anna of north at her laptop; her namespace has a template."""
    api.put("rayjobs", base, NORTH)
    monkeypatch.setenv("COLUMNS", "200")
    with serving(api) as url:
        use(monkeypatch, tmp_path, kubeconfig(url, "north", NORTH))
        found = Site(api, url, s3_store_uri, tmp_path)
        store_cohorts(found.store)
        yield found
