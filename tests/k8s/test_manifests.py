"""The rendered k8s/ manifests are accepted by an API server with KubeRay and Kueue and run what the image contains."""

from __future__ import annotations

import copy
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.k8s import rules

Job = dict[str, Any]
ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
OLDEST_KUBERNETES = "1.30"
SchemaFaults = Callable[[Job], list[str]]


def as_pod_template(template: rules.Document) -> Job:
    return {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"}, "template": template}


def test_custom_resources_match_their_schema(rayjob: Job, schema_faults: SchemaFaults) -> None:
    assert schema_faults(rayjob) == []


def test_rendered_jobs_follow_every_rule(rayjob: Job) -> None:
    assert rules.faults(rayjob) == []


@pytest.mark.parametrize(
    "path", [["spec"], ["spec", "rayClusterSpec", "headGroupSpec", "template", "spec"]], ids=["job", "pod"]
)
def test_a_misspelt_field_is_refused(rayjob: Job, schema_faults: SchemaFaults, path: list[str]) -> None:
    broken = copy.deepcopy(rayjob)
    place = broken
    for key in path:
        place = place[key]
    place["terminationGracePeriodSecond"] = 120
    (fault,) = schema_faults(broken)
    assert "terminationGracePeriodSecond" in fault


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, kubernetes_validate.latest_version()])
def test_core_kinds_and_pods_are_valid_in_the_oldest_and_newest_kubernetes(documents: list[Job], version: str) -> None:
    core = [document for document in documents if document["kind"] != "RayJob"]
    jobs = [document for document in documents if document["kind"] == "RayJob"]
    pods = [as_pod_template(template) for job in jobs for template in rules.pod_templates(job).values()]
    assert len(pods) == 3, "head, workers, submitter"
    for document in [*core, *pods]:
        kubernetes_validate.validate(document, version, strict=True)


def test_a_misspelt_field_of_a_pod_is_refused_by_the_core_schema(rayjob: Job) -> None:
    template = copy.deepcopy(rules.pod_templates(rayjob)["submitter"])
    template["spec"]["containers"][0]["imagePullPolcy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="imagePullPolcy"):
        kubernetes_validate.validate(as_pod_template(template), OLDEST_KUBERNETES, strict=True)


def test_pods_use_the_rendered_config_map_and_a_secret_that_is_not_in_git(documents: list[Job], rayjob: Job) -> None:
    (config,) = [document for document in documents if document["kind"] == "ConfigMap"]
    assert {"AWS_ENDPOINT_URL_S3", "AWS_REGION"} <= set(config["data"])
    for name in ("head group", "gpu"):
        container = rules.pod_templates(rayjob)[name]["spec"]["containers"][0]
        sources = {kind: source["name"] for entry in container["envFrom"] for kind, source in entry.items()}
        assert sources == {"configMapRef": config["metadata"]["name"], "secretRef": "lesionlab-s3-credentials"}
    assert not [document for document in documents if document["kind"] == "Secret"]


def test_the_cluster_uses_the_ray_version_of_the_image(rayjob: Job) -> None:
    (pin,) = re.findall(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    assert rules.cluster(rayjob)["rayVersion"] == pin


def test_every_pod_runs_the_same_image(rayjob: Job) -> None:
    images = {template["spec"]["containers"][0]["image"] for template in rules.pod_templates(rayjob).values()}
    assert len(images) == 1


def test_the_entrypoint_is_a_sweep_of_an_experiment_file_in_the_image(rayjob: Job) -> None:
    python, m, module, spec, option, store, *room = shlex.split(rayjob["spec"]["entrypoint"])
    assert (python, m, module, option) == ("python", "-m", "jobs.sweep", "--store")
    assert room == ["--device", "cuda"]  # a sweep on a cluster declares it
    assert (ROOT / spec).is_file()
    assert spec.startswith("jobs/specs/")
    assert store.startswith("s3://")


def test_copies_of_the_example_keep_experiments_apart(render: Callable[[Path], list[Job]], tmp_path: Path) -> None:
    """Two experiments of one site at a time: a suffix separates job and configuration."""
    shutil.copytree(K8S, tmp_path, dirs_exist_ok=True)
    kustomization = tmp_path / "overlays" / "example" / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text() + "nameSuffix: -flair\n")
    config, job = render(kustomization.parent)
    assert job["metadata"]["name"] == "lesionlab-sweep-flair"
    container = rules.pod_templates(job)["gpu"]["spec"]["containers"][0]
    assert container["envFrom"][0]["configMapRef"]["name"] == config["metadata"]["name"]
    assert config["metadata"]["name"].startswith("lesionlab-s3-flair-")


@pytest.mark.parametrize("file", sorted(K8S.rglob("*.yaml")), ids=lambda file: str(file.relative_to(K8S)))
def test_the_first_line_says_who_applies_the_file_and_nothing_is_commented_out(file: Path) -> None:
    first, *rest = file.read_text().splitlines()
    assert re.match(r"# (Applied by|Read by|A site) .+", first)
    assert not [line for line in rest if re.match(r"\s*#\s*(- )?[\w./-]+:( |$)", line)]
