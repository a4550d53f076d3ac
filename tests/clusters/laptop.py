"""A person at a laptop with a kubeconfig, a store on S3 and an experiment file; and other people's jobs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from jobs.cli import app
from jobs.shared.submitting import Namespace
from lesionlab.clusters.api import Cluster, connected
from lesionlab.experiments.submissions import Standing, standing, submission_ids
from lesionlab.store.objects import open_store
from tests.clusters.emulator import Answered, Api, Object
from tests.drill.experiment import spec

NORTH, SOUTH = "lesionlab-north", "lesionlab-south"


class Site:
    """A person at a laptop with a kubeconfig, a store on S3 and an experiment file."""

    def __init__(self, api: Api, url: str, store: str, folder: Path) -> None:
        self.api, self.url, self.store_uri, self.folder = api, url, store, folder
        self.store = open_store(store)
        self.experiment = folder / "experiment.yaml"
        self.experiment.write_text(spec(1))

    def __call__(self, *arguments: object) -> Result:
        return CliRunner().invoke(app, [*map(str, arguments), "--store", self.store_uri], catch_exceptions=False)

    def submit(self, *options: object) -> Result:
        return self("submit", self.experiment, "--device", "cpu", "--yes", "--detach", *options)

    def jobs(self) -> list[dict[str, Any]]:
        return [job for job in self.api.every("rayjobs") if job["metadata"]["name"] != "lesionlab-work"]

    def cluster(self) -> Cluster:
        return connected()


def use(monkeypatch: pytest.MonkeyPatch, folder: Path, config: dict[str, Any]) -> None:
    """Make this the kubeconfig; the client reads the variable when it is imported, and never again."""
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))


def submitted(site: Site, *options: object) -> str:
    """Id of the experiment's submission, whose job is in the cluster."""
    result = site.submit(*options)
    assert result.exit_code == 0, result.output
    (name,) = submission_ids(site.store)
    return name


def now_of(site: Site, name: str) -> Standing:
    now = standing(site.store, name)
    assert now is not None
    return now


def job_of(site: Site, name: str) -> Object:
    (job,) = [job for job in site.jobs() if job["metadata"]["name"].startswith(f"lesionlab-{name}")]
    return job


def show(site: Site, name: str, **status: Any) -> None:
    """Let KubeRay's status of the job be this."""
    site.api.change("rayjobs", f"lesionlab-{name}", NORTH, lambda job: job.update(status=status))


def namespace(site: Site) -> Namespace:
    return Namespace(site.cluster(), site.store_uri)


def refuse(verb: str, message: str) -> Callable[[str, Object], None]:
    """Admission that answers 403 to a verb."""

    def admit(asked: str, body: Object) -> None:
        if asked == verb:
            raise Answered(403, "Forbidden", message)

    return admit


class Started:
    """A cluster that runs until it is killed, or until its command is said to have ended."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.killed = False

    def poll(self) -> int | None:
        return self.code

    def kill(self) -> None:
        self.killed = True


def other(site: Site, base: Object, name: str, space: str) -> None:
    """Somebody else's job of four GPUs in a namespace's queue."""
    job = copy.deepcopy(base)
    job["metadata"] = {"name": name, "labels": {"kueue.x-k8s.io/queue-name": "lesionlab"}}
    site.api.create("rayjobs", space, job, {})
