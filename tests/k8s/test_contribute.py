"""A hospital's contribution as a Job: valid, a command that exists, no retry of a refusal, the contributor's keys."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from lesionlab.clusters.site_resources import site_resources
from lesionlab.experiments.sites_file import read_sites
from tests.k8s.conftest import K8S


@pytest.fixture
def job(render: Callable[[Path], list[dict[str, Any]]]) -> dict[str, Any]:
    (found,) = [document for document in render(K8S / "jobs" / "contribute") if document["kind"] == "Job"]
    return found


@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
def test_it_is_valid_in_the_oldest_and_newest_kubernetes(job: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(job, version, strict=True)


def test_its_command_and_options_exist(job: dict[str, Any]) -> None:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    python, module, name, data, *options = [*container["command"], *container["args"]]
    assert (python, module, name) == ("python", "-m", "jobs.contribute")
    known = signature(import_module(name).contribute).parameters
    given = [option.removeprefix("--").replace("-", "_") for option in options if option.startswith("--")]
    assert set(given) <= set(known)
    mounted = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert mounted[data]["readOnly"] is True
    assert str(Path(options[options.index("--salt-file") + 1]).parent) in mounted


def test_a_refusal_is_not_tried_again_and_the_training_keys_are_not_there(job: dict[str, Any]) -> None:
    """Exit code 1: the input was refused; 2: the command was called wrongly."""
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [1, 2])
    (container,) = job["spec"]["template"]["spec"]["containers"]
    secrets = {source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source}
    assert secrets == {"lesionlab-contributor-credentials"}


def test_pods_of_jobs_without_ray_reach_the_store(job: dict[str, Any]) -> None:
    """All else is denied in a site's namespace."""
    retrain = yaml.safe_load((K8S / "jobs" / "retrain" / "cronjob.yaml").read_text())["spec"]["jobTemplate"]
    name, site = next(iter(read_sites(K8S / "sites.yaml").sites.items()))
    policies = [found for found in site_resources(name, site) if found["kind"] == "NetworkPolicy"]
    (policy,) = [found for found in policies if found["metadata"]["name"] == "store-jobs"]
    wanted = policy["spec"]["podSelector"]["matchLabels"].items()
    for owner in (job, retrain):
        assert wanted <= owner["spec"]["template"]["metadata"]["labels"].items()
    assert policy["spec"]["egress"][0]["ports"] == [{"protocol": "TCP", "port": 443}]
