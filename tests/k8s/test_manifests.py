"""What is applied from k8s/, and every job that is made of it, is accepted by an API server with KubeRay and Kueue."""

from __future__ import annotations

import copy
import functools
import importlib.util
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from kubernetes_validate.utils import schema_contents

from lesionlab.clusters.work_jobs import QUEUE_ANNOTATION
from tests.k8s import rules
from tests.k8s.conftest import K8S, ROOT, SUBMISSION
from tests.k8s.schemas import RULES, rule_faults

Job = dict[str, Any]
OLDEST_KUBERNETES = "1.30"
CUSTOM = ("ray.io/", "kueue.x-k8s.io/")
FOREIGN = ("monitoring.coreos.com/",)
"""Groups whose schemas are not at hand."""
ADMINISTRATORS_OWN = {"lesionlab-ca", "lesionlab-s3-credentials", "lesionlab-registry", "lesionlab-ray-token"}
"""What an administrator makes by hand in each namespace (k8s/README.md)."""
SchemaFaults = Callable[[Job], list[str]]


def as_pod_template(template: rules.Document) -> Job:
    return {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"}, "template": template}


def test_custom_resources_match_their_schemas(documents: list[Job], schema_faults: SchemaFaults) -> None:
    custom = [document for document in documents if document["apiVersion"].startswith(CUSTOM)]
    assert [fault for document in custom for fault in schema_faults(document)] == []


def test_submitted_jobs_match_their_schema(rayjob: Job, schema_faults: SchemaFaults) -> None:
    assert schema_faults(rayjob) == []


def test_submitted_jobs_follow_every_rule(rayjob: Job, template: Job) -> None:
    """Without Kueue there is no queue; the image of the base, which is never applied, is chosen by an overlay."""
    expected = [] if QUEUE_ANNOTATION in template["metadata"].get("annotations", {}) else ["outside every quota"]
    expected += [] if "namespace" in template["metadata"] else ["wanted a tag"]
    assert [fault for fault in rules.faults(rayjob) if not any(words in fault for words in expected)] == []


def test_the_template_waits_in_no_queue(template: Job) -> None:
    """With the label, Kueue would start the template itself."""
    assert template["spec"]["suspend"] is True
    assert rules.QUEUE not in template["metadata"]["labels"]


def test_no_secret_is_in_git(documents: list[Job]) -> None:
    assert [fault for document in documents for fault in rules.secrets_are_references(document)] == []


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


def test_a_rule_in_a_schema_is_evaluated_where_it_stands() -> None:
    """The language of `x-kubernetes-validations` is CEL; rules about a change have nothing to compare here."""
    rule = {"rule": "!has(self.least) || self.least <= self.most", "message": "least is above most"}
    bounds = {"type": "object", RULES: [rule, {"rule": "self.most >= oldSelf.most"}]}
    schema = {"properties": {"groups": {"items": bounds}}}
    assert list(rule_faults({"groups": [{"most": 2}, {"least": 1, "most": 2}]}, schema)) == []
    (fault,) = rule_faults({"groups": [{"most": 2}, {"least": 3, "most": 2}]}, schema)
    assert fault == "$.groups[1]: least is above most"


@pytest.fixture(scope="module", autouse=True)
def _read_each_core_schema_once() -> Iterator[None]:
    """The package reads and parses a file of 1 MB for each document."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_validate.utils, "schema_contents", functools.cache(schema_contents))
        yield


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, kubernetes_validate.latest_version()])
def test_core_kinds_are_valid_in_the_oldest_and_newest_kubernetes(documents: list[Job], version: str) -> None:
    for document in documents:
        if not document["apiVersion"].startswith(CUSTOM + FOREIGN):
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, kubernetes_validate.latest_version()])
def test_pods_are_valid_in_the_oldest_and_newest_kubernetes(rayjob: Job, version: str) -> None:
    templates = rules.pod_templates(rayjob)
    assert len(templates) == 3, "head, workers, submitter"
    for template in templates.values():
        kubernetes_validate.validate(as_pod_template(template), version, strict=True)


def test_a_misspelt_field_of_a_pod_is_refused_by_the_core_schema(rayjob: Job) -> None:
    template = copy.deepcopy(rules.pod_templates(rayjob)["submitter"])
    template["spec"]["containers"][0]["imagePullPolcy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="imagePullPolcy"):
        kubernetes_validate.validate(as_pod_template(template), OLDEST_KUBERNETES, strict=True)


def test_rays_own_autoscaler_reads_each_cluster(rayjob: Job) -> None:
    """Private code of Ray, so the test is tolerant: where the function is gone, it skips."""
    config = pytest.importorskip("ray.autoscaler._private.kuberay.autoscaling_config")
    derive = getattr(config, "_derive_autoscaling_config_from_ray_cr", None)
    if derive is None:
        pytest.skip("this version of Ray reads its cluster by another function")
    spec = rules.cluster(rayjob)
    found = derive({"metadata": {"name": rayjob["metadata"]["name"], "namespace": "here"}, "spec": spec})
    head = found["available_node_types"]["headgroup"]["resources"]
    assert (head["CPU"], head["driver"]) == (0, 64)
    (group,) = spec["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    workers = found["available_node_types"][group["groupName"]]
    assert workers["resources"]["CPU"] == int(limits["cpu"])
    assert workers["resources"].get("GPU", 0) == int(limits.get(rules.GPU, 0))
    assert workers["max_workers"] == group["maxReplicas"]


def test_everything_that_a_pod_takes_from_elsewhere_is_rendered_or_the_administrators(
    overlay: list[Job], rayjob: Job
) -> None:
    rendered = {document["metadata"]["name"] for document in overlay if document["kind"] == "ConfigMap"}
    for template in rules.pod_templates(rayjob).values():
        assert set(taken(template["spec"])) <= rendered | ADMINISTRATORS_OWN
    assert any(name.startswith("lesionlab-store-") for name in rendered)


def taken(pod: Job) -> list[str]:
    """Names of ConfigMaps and Secrets."""
    sources = [source for container in pod["containers"] for source in container.get("envFrom", [])]
    volumes = [volume["configMap"]["name"] for volume in pod.get("volumes", []) if "configMap" in volume]
    return [reference["name"] for source in sources for reference in source.values()] + volumes


def test_every_path_in_the_environment_is_mounted(overlay: list[Job], rayjob: Job) -> None:
    (settings,) = [document["data"] for document in overlay if document["kind"] == "ConfigMap"]
    paths = {value for value in settings.values() if value.startswith("/")}
    container = rules.groups(rayjob)[next(name for name in rules.groups(rayjob) if name != "head group")]
    mounts = {mount["mountPath"] for mount in container["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert [path for path in paths if not any(path == mount or path.startswith(f"{mount}/") for mount in mounts)] == []


def test_the_cluster_uses_the_ray_version_of_the_image(rayjob: Job) -> None:
    (pin,) = re.findall(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    assert rules.cluster(rayjob)["rayVersion"] == pin


def test_every_pod_runs_the_same_image(rayjob: Job) -> None:
    images = {template["spec"]["containers"][0]["image"] for template in rules.pod_templates(rayjob).values()}
    assert len(images) == 1


def test_the_entrypoint_carries_nothing_but_the_id(rayjob: Job) -> None:
    assert rayjob["spec"]["entrypoint"] == f"python -m jobs.work {SUBMISSION}"
    assert importlib.util.find_spec("jobs.work") is not None


def test_accounts_and_priorities_of_the_pods_are_made_with_the_cluster(
    rayjob: Job, render: Callable[[Path], list[Job]]
) -> None:
    made = {(document["kind"], document["metadata"]["name"]) for document in render(K8S / "cluster" / "sites")}
    for template in rules.pod_templates(rayjob).values():
        assert ("ServiceAccount", template["spec"]["serviceAccountName"]) in made
        if "priorityClassName" in template["spec"]:
            assert ("PriorityClass", template["spec"]["priorityClassName"]) in made


@pytest.mark.parametrize("component", sorted(path.name for path in (K8S / "components").iterdir()))
def test_each_component_fits_onto_the_job(
    component: str, render: Callable[[Path], list[Job]], schema_faults: SchemaFaults, tmp_path: Path
) -> None:
    shutil.copytree(K8S, tmp_path, dirs_exist_ok=True)
    overlay = tmp_path / "overlays" / "own"
    overlay.mkdir()
    names = ["gpu", "spot"] if component == "spot" else [component]  # spot nodes are tolerated beside GPUs
    listed = "".join(f"  - ../../components/{name}\n" for name in names)
    (overlay / "kustomization.yaml").write_text(f"resources:\n  - ../../jobs/work\ncomponents:\n{listed}")
    (job,) = [document for document in render(overlay) if document["kind"] == "RayJob"]
    assert schema_faults(job) == []
    assert [fault for fault in rules.faults(job) if "wanted a tag" not in fault and "quota" not in fault] == []


@pytest.mark.parametrize("file", sorted(K8S.rglob("*.yaml")), ids=lambda file: str(file.relative_to(K8S)))
def test_the_first_line_says_who_applies_the_file_and_nothing_is_commented_out(file: Path) -> None:
    first, *rest = file.read_text().splitlines()
    assert re.match(r"# (Applied by|Read by|A site) .+", first)
    assert not [line for line in rest if re.match(r"\s*#\s*(- )?[\w./-]+:( |$)", line)]
