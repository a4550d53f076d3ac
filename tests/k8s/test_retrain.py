"""The schedule of retraining is a valid CronJob that runs one process at a time, with a command that the image has."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.k8s.conftest import K8S

PATH = Path(__file__).parents[2] / "k8s" / "jobs" / "retrain" / "cronjob.yaml"


@pytest.fixture(scope="module")
def cronjob() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    return document


@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
def test_it_is_valid_in_the_oldest_and_newest_kubernetes(cronjob: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(cronjob, version, strict=True)


def test_no_two_run_at_once_and_a_lost_pod_is_started_again(cronjob: dict[str, Any]) -> None:
    assert cronjob["spec"]["concurrencyPolicy"] == "Forbid"
    assert cronjob["spec"]["jobTemplate"]["spec"]["backoffLimit"] > 0
    assert cronjob["spec"]["jobTemplate"]["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "lesionlab"


def test_a_refusal_is_not_tried_again_and_a_reclaimed_node_is_no_try(
    render: Callable[[Path], list[dict[str, Any]]],
) -> None:
    """Exit code 1: refused, or the store failed for longer than requests are repeated; 2: called wrongly."""
    for folder in ("retrain", "gate"):
        (job,) = [document for document in render(K8S / "jobs" / folder) if document["kind"] == "CronJob"]
        spec = job["spec"]["jobTemplate"]["spec"]
        reclaimed, refused = spec["podFailurePolicy"]["rules"]  # the first that fits decides
        assert (reclaimed["action"], reclaimed["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
        assert (refused["action"], refused["onExitCodes"]) == ("FailJob", {"operator": "In", "values": [1, 2]})
        assert spec["template"]["spec"]["restartPolicy"] == "Never", "the API server wants it for such a policy"


def test_its_command_and_options_exist(cronjob: dict[str, Any]) -> None:
    (container,) = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    python, module, name, _, *options = container["command"]
    assert (python, module, name) == ("python", "-m", "jobs.retrain")
    known = signature(import_module(name).retrain).parameters
    assert {option.removeprefix("--") for option in options if option.startswith("--")} <= set(known)
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_one_identity_trains_and_another_looks(render: Callable[[Path], list[dict[str, Any]]]) -> None:
    found = {}
    for folder in ("retrain", "gate"):
        (job,) = [document for document in render(K8S / "jobs" / folder) if document["kind"] == "CronJob"]
        pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == "lesionlab", "the account that has the registry's pull secret"
        (container,) = pod["containers"]
        part = container["command"][container["command"].index("--part") + 1]
        found[job["metadata"]["name"]] = part, container["envFrom"][1]["secretRef"]["name"]
    assert found == {
        "lesionlab-retrain": ("train", "lesionlab-s3-credentials"),
        "lesionlab-gate": ("look", "lesionlab-gate-credentials"),
    }


def test_the_gate_holds_no_gpu_while_no_candidate_waits(render: Callable[[Path], list[dict[str, Any]]]) -> None:
    wants = {}
    for folder in ("retrain", "gate"):
        (job,) = [document for document in render(K8S / "jobs" / folder) if document["kind"] == "CronJob"]
        kubernetes_validate.validate(job, "1.30", strict=True)
        pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        own = container["resources"]
        wants[folder] = "nvidia.com/gpu" in {
            *own["requests"],
            *own["limits"],
            *(one["key"] for one in pod["tolerations"]),
        }
        threads = {one["name"]: one["value"] for one in container.get("env", ())}.get("OMP_NUM_THREADS")
        assert wants[folder] or threads == own["limits"]["cpu"]
        assert {one["key"] for one in pod["tolerations"]} >= {"lesionlab.org/spot"}
    assert wants == {"retrain": True, "gate": False}


def test_the_store_is_that_of_the_rendered_folder(render: Callable[[Path], list[dict[str, Any]]]) -> None:
    documents = render(K8S / "jobs" / "retrain")
    (settings,) = [document for document in documents if document["kind"] == "ConfigMap"]
    (job,) = [document for document in documents if document["kind"] == "CronJob"]
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"][0]["configMapRef"]["name"] == settings["metadata"]["name"] != "lesionlab-store"
    assert settings["data"]["LESIONLAB_STORE"].startswith("s3://")
