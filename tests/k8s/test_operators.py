"""The values of the operators' charts fit what they operate: our queues, our tainted nodes, our monitors.

The charts themselves are rendered where helm is and LESIONLAB_CHARTS names a folder with them, unpacked, each with its
dependencies and under its own name.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s.conftest import K8S, RENDERED, ROOT
from tests.k8s.schemas import faults_by, strict

OPERATORS = K8S / "operators"
CHARTS = {
    chart["name"]: chart for chart in yaml.safe_load((OPERATORS / "kustomization.yaml").read_text())["helmCharts"]
}
QUEUE = "kueue.x-k8s.io/queue-name"
FRAMEWORK_OF = {"RayJob": "ray.io/rayjob", "Job": "batch/job", "CronJob": "batch/job"}

Render = Callable[[Path], list[dict[str, Any]]]


def values(chart: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((OPERATORS / CHARTS[chart]["valuesFile"]).read_text())
    return found


def test_every_chart_is_pinned() -> None:
    assert [name for name, chart in CHARTS.items() if not re.fullmatch(r"\d+\.\d+\.\d+", chart["version"])] == []


def test_kueue_manages_every_kind_that_is_put_into_a_queue(render: Render) -> None:
    """It ignores the queue of a kind that is not in its list: such a job would take GPUs outside every quota."""
    own = yaml.safe_load(values("kueue")["managerConfig"]["controllerManagerConfigYaml"])
    queued = {
        document["kind"]
        for folder in ("jobs/retrain", "jobs/gate", "overlays/production")
        for document in render(K8S / folder)
        if f"{QUEUE}:" in yaml.safe_dump(document) and document["kind"] in FRAMEWORK_OF
    }
    assert "CronJob" in queued
    assert {FRAMEWORK_OF[kind] for kind in queued} <= set(own["integrations"]["frameworks"])
    assert own["manageJobsWithoutQueueName"] is False


def test_what_needs_a_gpu_or_finds_one_tolerates_every_taint_of_the_gpu_nodes(render: Render) -> None:
    """Without the plugin on a node it has no GPU, and a job that wants one waits for ever."""
    cluster = (ROOT / "infra" / "terraform" / "modules" / "cluster" / "main.tf").read_text()
    taints = set(re.findall(r'taint \{\s*key\s*= "([^"]+)"', cluster))
    assert {"nvidia.com/gpu", "lesionlab.org/spot"} <= taints
    plugin = values("nvidia-device-plugin")
    tolerated = {"plugin": plugin["tolerations"], "feature discovery": plugin["nfd"]["worker"]["tolerations"]}
    for folder in ("jobs/retrain", "jobs/gate"):
        (job,) = [document for document in render(K8S / folder) if document["kind"] == "CronJob"]
        pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        if any("nvidia.com/gpu" in container["resources"]["limits"] for container in pod["containers"]):
            tolerated[folder] = pod["tolerations"]
    assert set(tolerated) == {"plugin", "feature discovery", "jobs/retrain"}  # the gate looks on CPUs
    for who, tolerations in tolerated.items():
        keys = {one["key"] for one in tolerations if one["operator"] == "Exists" and one["effect"] == "NoSchedule"}
        assert taints <= keys, who


def unknown(own: dict[str, Any], known: dict[str, Any], at: str = "") -> Iterator[str]:
    """Keys of ours that the chart's values lack; an empty value of the chart may take any."""
    for key, value in own.items():
        if key not in known:
            yield f"{at}{key}"
        elif isinstance(value, dict) and known[key]:
            yield from unknown(value, known[key], f"{at}{key}.")


@pytest.fixture(params=CHARTS)
def chart(request: pytest.FixtureRequest) -> tuple[str, Path, str]:
    """A chart's name, its folder, and helm."""
    helm = os.environ.get("LESIONLAB_HELM") or shutil.which("helm")
    folder = Path(os.environ.get("LESIONLAB_CHARTS", "/nowhere")) / request.param
    if helm is None or not folder.is_dir():
        pytest.skip("helm is not installed, or LESIONLAB_CHARTS names no folder with this chart")
    return request.param, folder, helm


class Manifests(yaml.CSafeLoader):
    """YAML 1.2's plain `=`, which Prometheus's kinds have as a value."""


Manifests.add_constructor("tag:yaml.org,2002:value", lambda loader, node: node.value)


@functools.cache
def templated(chart: tuple[str, Path, str]) -> list[dict[str, Any]]:
    """All that the chart installs with our values, its own kinds too."""
    name, folder, helm = chart
    pinned = CHARTS[name]
    command = [helm, "template", pinned["releaseName"], folder, "--namespace", pinned["namespace"], "--include-crds"]
    done = subprocess.run(
        [*command, "--values", OPERATORS / pinned["valuesFile"]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.load_all(done.stdout, Loader=Manifests) if document]


def test_a_chart_renders_with_our_values_and_knows_each_of_them(chart: tuple[str, Path, str]) -> None:
    name, folder, _ = chart
    own = yaml.safe_load((folder / "Chart.yaml").read_text())
    assert (own["name"], str(own["version"])) == (name, CHARTS[name]["version"])
    faults = list(unknown(values(name), yaml.safe_load((folder / "values.yaml").read_text())))
    assert [fault for fault in faults if not fault.startswith("resources.")] == [], "helm ignores what it does not know"
    wanted = {"kube-prometheus-stack": "Prometheus", "nvidia-device-plugin": "DaemonSet"}.get(name, "Deployment")
    assert wanted in {document["kind"] for document in templated(chart)}


GROUPS = {"kuberay-operator": "ray.io", "kueue": "kueue.x-k8s.io", "kube-prometheus-stack": "monitoring.coreos.com"}
"""The group of kinds that a chart installs."""


@pytest.mark.parametrize("chart", GROUPS, indirect=True)
def test_our_resources_are_of_the_kinds_that_the_pinned_charts_install(
    chart: tuple[str, Path, str], render: Render
) -> None:
    """By the schemas of these very versions: the monitors, the alerts, and what the chart makes of our values too."""
    group = GROUPS[chart[0]]
    schemas = {
        (f"{group}/{version['name']}", crd["spec"]["names"]["kind"]): strict(version["schema"]["openAPIV3Schema"])
        for crd in templated(chart)
        if crd["kind"] == "CustomResourceDefinition" and crd["spec"]["group"] == group
        for version in crd["spec"]["versions"]
        if version["served"]
    }
    ours = [document for place in RENDERED for document in render(K8S / place)]
    ours += [yaml.safe_load((ROOT / "infra" / "monitoring" / "prometheusrule.yaml").read_text()), *templated(chart)]
    ours = [document for document in ours if document["apiVersion"].startswith(f"{group}/")]
    assert ours
    for document in ours:
        schema = schemas[document["apiVersion"], document["kind"]]
        assert faults_by(schema, document) == []
        assert faults_by(schema, document | {"misspelt": 1}) != []
