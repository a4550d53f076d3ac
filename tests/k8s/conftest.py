"""Render kustomizations, make jobs of their templates, and validate resources against their schemas."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lesionlab.clusters.work_jobs import job_for
from tests.k8s.schemas import schema_faults_of

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
CRDS = Path(os.environ.get("LESIONLAB_CRDS", ROOT.parent / "shared" / "crds"))
RENDERED = [
    path.parent.relative_to(K8S).as_posix()
    for path in sorted(K8S.rglob("kustomization.yaml"))
    if path.parts[-3] in ("k8s", "jobs", "overlays") and "operators" not in path.parts
]
"""What is applied as a whole, and can be without the network: operators are charts of other projects."""

SUBMISSION = "0123456789abcdef"
Documents = list[dict[str, Any]]


@functools.cache
def rendered(folder: Path) -> str:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on the PATH: nothing renders the kustomizations")
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def render() -> Callable[[Path], Documents]:
    """Render a folder as `kubectl apply -k` would; the folder may be anywhere."""
    return lambda folder: list(yaml.load_all(rendered(folder), Loader=yaml.CSafeLoader))


@pytest.fixture(params=RENDERED)
def documents(request: pytest.FixtureRequest, render: Callable[[Path], Documents]) -> Documents:
    """All documents rendered from one folder of k8s/."""
    return render(K8S / request.param)


@pytest.fixture(params=[name for name in RENDERED if name.startswith(("overlays", "jobs/work"))])
def overlay(request: pytest.FixtureRequest, render: Callable[[Path], Documents]) -> Documents:
    """All documents rendered from one folder with a template of jobs."""
    return render(K8S / request.param)


@pytest.fixture
def template(overlay: Documents) -> dict[str, Any]:
    """The one RayJob among them."""
    (job,) = [document for document in overlay if document["kind"] == "RayJob"]
    return job


@pytest.fixture
def rayjob(template: dict[str, Any]) -> dict[str, Any]:
    """The job that `lesionlab submit` makes of the template."""
    return job_for(template, SUBMISSION, 1, experiment="demo", cache_gi=20)


@pytest.fixture(scope="session")
def schema_faults() -> Callable[[dict[str, Any]], list[str]]:
    """Faults of a custom resource by the strict JSON Schema of its CRD and the CEL rules in it."""
    if not CRDS.is_dir():
        pytest.skip(f"no schemas of custom resources at {CRDS}: name their folder with LESIONLAB_CRDS")
    return lambda document: schema_faults_of(document, CRDS)
